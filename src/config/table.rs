//! Makes of one list of keys all that hangs on it: the struct with its builder methods and JSON Schema, what
//! serde reads, the names and other names, the bounds and defaults of numbers, how one object lies over
//! another, which keys differ between two runs, and which ask for what this build is without. The list itself
//! is in `keys`.

use std::fmt::Display;

use serde::de::DeserializeOwned;

use super::error::invalid;
use crate::error::Result;
use crate::features::Feature;

/// The facts about a key that don't depend on its type.
#[derive(Debug)]
pub(super) struct Key {
    /// The name from the outermost object on: `limits.max_peers`.
    pub name: &'static str,
    /// Another name, in the outermost object.
    pub alias: Option<&'static str>,
    /// The keys inside, where it is an object.
    pub inside: &'static [Key],
    /// Needed for it to have an effect.
    pub needs: Needs,
}

/// A need of a key: without it the key has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    Feature(Feature),
    /// A later release.
    Later,
}

impl Needs {
    /// Tells whether this build has it.
    pub(super) fn are_met(self) -> bool {
        match self {
            Needs::Nothing => true,
            Needs::Feature(feature) => feature.built,
            Needs::Later => false,
        }
    }
}

/// A value of a key that needs a feature.
pub(super) trait Asks {
    /// Tells whether it asks for what the feature brings.
    fn asks(&self) -> bool {
        true
    }
}

impl Asks for String {}

impl Asks for bool {
    fn asks(&self) -> bool {
        *self
    }
}

/// A number's bounds, and its value where none is given.
pub(super) struct Number<T> {
    pub key: &'static str,
    pub least: T,
    pub most: T,
    /// The least, where the default depends on other keys.
    pub default: T,
}

impl<T: Copy + PartialOrd + Display> Number<T> {
    /// Returns the value given, or the default.
    pub(super) fn or_default(&self, given: Option<T>) -> Result<T> {
        self.check(given.unwrap_or(self.default))
    }

    /// Returns the value if it's within its bounds.
    pub(super) fn check(&self, value: T) -> Result<T> {
        if (self.least..=self.most).contains(&value) {
            return Ok(value);
        }
        Err(invalid(self.key, out_of_bounds(self.least, self.most, value)))
    }
}

/// Says what a number must be and what was there instead.
pub(super) fn out_of_bounds(
    least: impl Display,
    most: impl Display,
    found: impl Display,
) -> String {
    format!("it must be a whole number from {least} to {most}, not {found}")
}

/// An object of keys that are all optional.
pub(super) trait Keys: Sized {
    /// The object as serde reads it. The object itself is not `Deserialize`: whoever read one past
    /// [`Config::from_json`](super::Config::from_json) would hear nothing of a misspelt key.
    type Read: DeserializeOwned + Into<Self>;
    /// The settings that the keys become.
    type Settings;
    /// A struct with a [`Number`] for each key that is one.
    type Numbers;

    /// The keys, in the order of the list.
    const KEYS: &'static [Key];
    const NUMBERS: Self::Numbers;

    /// Returns the keys, here and inside, whose values ask for what not every build has.
    fn asking(&self) -> Vec<&'static Key>;

    /// Lays this object over another of less precedence.
    fn over(self, under: Self) -> Self;

    /// Adds the names of the keys that are set here and became different settings.
    fn differing(
        &self,
        ours: Option<&Self::Settings>,
        theirs: Option<&Self::Settings>,
        names: &mut Vec<&'static str>,
    );
}

/// Declares an object of keys: its name, what its keys' names begin with, the type of its settings, a name for
/// the type of its numbers, and a line for each key:
///
/// ```text
/// KIND KEY: TYPE [, in LEAST..=MOST [, default DEFAULT]] [, also ALIAS] [, needs FEATURE] [=> SETTING];
/// ```
///
/// The kind says what the builder method takes: the value (`exact`), what becomes it (`into`) or a list of what
/// becomes a text (`list`); or that the value is another such object (`object`), or that its feature isn't
/// built (`unbuilt`). The setting is named where it isn't called like the key.
macro_rules! keys {
    (
        $(#[$about:meta])*
        $object:ident at $at:literal, becomes $settings:ty, with $numbers:ident {
            $(
                $(#[$meta:meta])*
                $kind:ident $key:ident : $ty:ty
                $(, in $least:literal ..= $most:literal $(, default $default:literal)?)?
                $(, also $alias:ident)? $(, needs $feature:literal)? $(=> $($setting:ident).+)?;
            )*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
        #[non_exhaustive]
        pub struct $object {
            $(
                $(#[$meta])*
                $(
                    $( #[doc = concat!("Default: ", stringify!($default), ".")] )?
                    #[doc = concat!("From ", stringify!($least), " to ", stringify!($most), ".")]
                    #[schemars(range(min = $least, max = $most))]
                )?
                pub $key: Option<$ty>,
            )*
        }

        impl $object {
            /// Creates one in which no key is set.
            pub fn new() -> Self {
                Self::default()
            }
            $( keys!(@builder $kind $key: $ty); )*
        }

        pub(super) struct $numbers {
            $( $( #[doc = concat!("From ", stringify!($least), ".")] pub $key: Number<$ty>, )? )*
        }

        const _: () = {
            #[derive(Deserialize)]
            pub(super) struct Read {
                $( $key: Option<keys!(@read $kind $ty)>, )*
            }

            impl From<Read> for $object {
                fn from(read: Read) -> Self {
                    Self { $( $key: read.$key.map(Into::into), )* }
                }
            }

            impl Keys for $object {
                type Read = Read;
                type Settings = $settings;
                type Numbers = $numbers;

                const KEYS: &'static [Key] = &[ $( Key {
                    name: concat!($at, stringify!($key)),
                    alias: keys!(@some $(stringify!($alias))?),
                    inside: keys!(@inside $kind $ty),
                    needs: keys!(@needs $kind $($feature)?),
                }, )* ];

                const NUMBERS: $numbers = $numbers { $( $( $key: Number {
                    key: concat!($at, stringify!($key)),
                    least: $least,
                    most: $most,
                    default: keys!(@first $($default,)? $least),
                }, )? )* };

                fn asking(&self) -> Vec<&'static Key> {
                    let asks = [ $( keys!(@asks $kind self.$key $(, $feature)?), )* ];
                    let inside = vec![ $( keys!(@asking $kind self.$key), )* ];
                    let here = Self::KEYS.iter().zip(asks).filter(|(_, asks)| *asks).map(|(key, _)| key);
                    here.chain(inside.into_iter().flatten().flatten()).collect()
                }

                fn over(self, under: Self) -> Self {
                    Self { $( $key: keys!(@over $kind self.$key, under.$key), )* }
                }

                fn differing(
                    &self,
                    ours: Option<&$settings>,
                    theirs: Option<&$settings>,
                    names: &mut Vec<&'static str>,
                ) {
                    $( keys!(
                        @differing $kind self.$key, ours, theirs, names, concat!($at, stringify!($key)),
                        $key $(=> $($setting).+)?
                    ); )*
                }
            }
        };
    };

    (@builder list $key:ident: $ty:ty) => {
        #[doc = concat!("Sets [`", stringify!($key), "`](Self::", stringify!($key), ").")]
        #[must_use]
        pub fn $key(
            mut self,
            values: impl IntoIterator<Item = impl $crate::params::MultiaddrArg>,
        ) -> Self {
            let texts = values.into_iter().map($crate::params::MultiaddrArg::into_text);
            self.$key = Some(texts.collect());
            self
        }
    };
    (@builder exact $key:ident: $ty:ty) => { keys!(@builder-of $key($ty)); };
    (@builder unbuilt $key:ident: $ty:ty) => { keys!(@builder-of $key($ty)); };
    (@builder $into:ident $key:ident: $ty:ty) => { keys!(@builder-of $key(impl Into<$ty>)); };
    (@builder-of $key:ident($taken:ty)) => {
        #[doc = concat!("Sets [`", stringify!($key), "`](Self::", stringify!($key), ").")]
        #[must_use]
        pub fn $key(mut self, value: $taken) -> Self {
            self.$key = Some(value.into());
            self
        }
    };

    (@read object $ty:ty) => { <$ty as Keys>::Read };
    (@read $plain:ident $ty:ty) => { $ty };
    (@inside object $ty:ty) => { <$ty as Keys>::KEYS };
    (@inside $plain:ident $ty:ty) => { &[] };
    (@needs unbuilt) => { Needs::Later };
    (@needs $kind:ident) => { Needs::Nothing };
    (@needs $kind:ident $feature:literal) => { Needs::Feature(cargo_feature!($feature)) };
    (@some) => { None };
    (@some $it:expr) => { Some($it) };
    (@first $it:expr $(, $more:expr)*) => { $it };

    (@asks unbuilt $given:expr) => { $given.is_some() };
    (@asks $kind:ident $given:expr) => { false };
    (@asks $kind:ident $given:expr, $feature:literal) => { $given.as_ref().is_some_and(Asks::asks) };
    (@asking object $given:expr) => { $given.as_ref().map(Keys::asking) };
    (@asking $plain:ident $given:expr) => { None::<Vec<&'static Key>> };

    (@over object $over:expr, $under:expr) => {
        match ($over, $under) {
            (Some(over), Some(under)) => Some(over.over(under)),
            (over, under) => over.or(under),
        }
    };
    (@over $plain:ident $over:expr, $under:expr) => { $over.or($under) };

    (@differing unbuilt $($any:tt)*) => {};
    (@differing object $given:expr, $ours:ident, $theirs:ident, $names:ident, $name:expr, $($setting:tt)+) => {
        if let Some(given) = &$given {
            let ours = $ours.and_then(|all| Option::from(&keys!(@setting all $($setting)+)));
            let theirs = $theirs.and_then(|all| Option::from(&keys!(@setting all $($setting)+)));
            given.differing(ours, theirs, $names);
            // An empty object names no key inside, yet may ask for a feature that is off without it.
            if *given == Default::default() && ours.is_some() != theirs.is_some() {
                $names.push($name);
            }
        }
    };
    (@differing $plain:ident $given:expr, $ours:ident, $theirs:ident, $names:ident, $name:expr, $($setting:tt)+) => {
        let ours = $ours.map(|all| &keys!(@setting all $($setting)+));
        let theirs = $theirs.map(|all| &keys!(@setting all $($setting)+));
        if $given.is_some() && ours != theirs {
            $names.push($name);
        }
    };
    (@setting $all:ident $key:ident) => { $all.$key };
    (@setting $all:ident $key:ident => $($setting:ident).+) => { $all.$($setting).+ };
}

pub(super) use keys;
