//! What operations are given and what they answer, a file for each topic: an operation's parameters
//! stand beside its reply, so that adding one is adding both there and a line in `ops`. [`params`] and
//! [`reply`] show them to the outside, sorted by who sends.
//!
//! A field's documentation is its description in the JSON Schema.

/// Declares a parameter struct whose fields are all optional, with a builder method for each. Where
/// `= text` stands it takes anything with a text form, so a `PeerId` or `Multiaddr` as it is.
macro_rules! params {
    (
        $(#[$meta:meta])* $name:ident {
            $( $(#[$fmeta:meta])* $field:ident : $ty:ty $(= $arg:tt)?, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        #[non_exhaustive]
        pub struct $name {
            $( $(#[$fmeta])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$ty>, )*
        }

        impl $name {
            /// Nothing set.
            pub fn new() -> Self {
                Self::default()
            }
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                pub fn $field(mut self, value: params!(@arg $ty $(, $arg)?)) -> Self {
                    self.$field = Some(params!(@value value $(, $arg)?));
                    self
                }
            )*
        }
    };
    // A number's own type: `impl Into<u32>` would refuse a plain `50`, which is an i32 until told.
    (@arg $ty:ty) => { $ty };
    (@arg $ty:ty, text) => { impl ToString };
    (@arg $ty:ty, texts) => { impl IntoIterator<Item = impl ToString> };
    (@value $value:ident) => { $value };
    (@value $value:ident, text) => { $value.to_string() };
    (@value $value:ident, texts) => { $value.into_iter().map(|text| text.to_string()).collect() };
}

mod book;
mod connections;
mod discovery;
mod events;
mod lookup;
mod node;
mod pubsub;

/// What callers send: one struct for each operation that has parameters, with builder methods for Rust
/// and serde for JSON.
pub mod params {
    pub use super::book::params::*;
    pub use super::connections::params::*;
    pub use super::discovery::params::*;
    pub use super::events::params::*;
    pub use super::lookup::params::*;
    pub use super::node::params::*;
    pub use super::pubsub::params::*;
}

/// What operations answer; in JSON the envelope stands around it, which is made in `ops`.
pub mod reply {
    pub use super::book::reply::*;
    pub use super::connections::reply::*;
    pub use super::discovery::reply::*;
    pub use super::events::reply::*;
    pub use super::lookup::reply::*;
    pub use super::node::reply::*;
    pub use super::pubsub::reply::*;
}
