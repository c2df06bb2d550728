//! Says what Rust may give where a parameter is a peer id or an address: the type itself or its text.
//! Inside, parameters keep the text, as they have it in JSON; the call reads it, and refuses what is none.

use crate::model::Text;
use crate::{Multiaddr, PeerId};

/// Names a peer: a [`PeerId`], or a text in any form that [`parse_peer_id`](crate::parse_peer_id)
/// reads. A text that is no peer id is refused by the call it is given to, with `invalid_peer_id`.
///
/// ```
/// use peerkit::params::GetPeer;
///
/// let text = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
/// let typed = peerkit::parse_peer_id(text)?;
/// assert_eq!(GetPeer::new(text), GetPeer::new(typed));
/// # Ok::<(), peerkit::Error>(())
/// ```
pub trait PeerIdArg: sealed::Text {
    #[doc(hidden)]
    fn into_text(self) -> String;
}

/// Names an address: a [`Multiaddr`], or its text. A text that is no address is refused by the call
/// it is given to, with `invalid_multiaddr`.
///
/// ```
/// use peerkit::Multiaddr;
/// use peerkit::params::ConnectPeer;
///
/// let text = "/ip4/192.0.2.1/udp/4001/quic-v1";
/// let typed: Multiaddr = text.parse()?;
/// assert_eq!(ConnectPeer::at(text), ConnectPeer::at(&typed));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait MultiaddrArg: sealed::Text {
    #[doc(hidden)]
    fn into_text(self) -> String;
}

mod sealed {
    /// Keeps the list of types ours.
    pub trait Text {}
}

macro_rules! args {
    ($( $kind:ident: $($ty:ty),+; )+) => {
        $( $(
            impl $kind for $ty {
                fn into_text(self) -> String {
                    self.to_string()
                }
            }
        )+ )+
    };
}

macro_rules! sealed {
    ($( $ty:ty ),+) => { $( impl sealed::Text for $ty {} )+ };
}

sealed! { PeerId, &PeerId, Multiaddr, &Multiaddr, &str, String, &String, Text, &Text }

args! {
    PeerIdArg: PeerId, &PeerId, &str, String, &String, Text, &Text;
    MultiaddrArg: Multiaddr, &Multiaddr, &str, String, &String, Text, &Text;
}
