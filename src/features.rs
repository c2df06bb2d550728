//! The features of the crate that this build has, and the one error for anything that needs another. The table
//! of operations (`ops`) says which operation needs a feature, the list of keys (`config::keys`) which key; which
//! address does is said here.

use multiaddr::Protocol;

use crate::Multiaddr;
use crate::error::{Error, ErrorKind, Result};

/// A feature, as Cargo.toml has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Feature {
    pub name: &'static str,
    /// True if this build has it.
    pub built: bool,
}

/// Gives the feature of a name. The compiler knows the names, and so refuses a misspelt one.
macro_rules! cargo_feature {
    ($name:literal) => {
        $crate::features::Feature { name: $name, built: cfg!(feature = $name) }
    };
}
pub(crate) use cargo_feature;

pub(crate) const DHT: Feature = cargo_feature!("dht");
pub(crate) const GOSSIP: Feature = cargo_feature!("gossip");
pub(crate) const MDNS: Feature = cargo_feature!("mdns");
pub(crate) const QUIC: Feature = cargo_feature!("quic");
const DNS: Feature = cargo_feature!("dns");

impl Feature {
    /// Fails where this build is without it; `what` needs it.
    pub(crate) fn require(self, what: &str) -> Result<()> {
        if self.built { Ok(()) } else { Err(self.absent(what)) }
    }

    /// Makes the error for `what`, which needs it, in a build without it.
    pub(crate) fn absent(self, what: &str) -> Error {
        Error::new(ErrorKind::Unsupported, format!("{what}: {}", self.absence()))
            .with("feature", self.name)
            .with_hint(self.remedy())
    }

    /// Says that this build is without it.
    pub(crate) fn absence(self) -> String {
        format!("peerkit was built without the feature `{}`", self.name)
    }

    /// Says what to do about that.
    pub(crate) fn remedy(self) -> String {
        format!("build peerkit with the feature `{}`", self.name)
    }
}

/// Finds the feature that an address needs and this build is without.
pub(crate) fn missing_for(address: &Multiaddr) -> Option<Feature> {
    let needed = address.iter().filter_map(|part| match part {
        Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) | Protocol::Dnsaddr(_) => {
            Some(DNS)
        }
        Protocol::Quic | Protocol::QuicV1 => Some(QUIC),
        _ => None,
    });
    needed.into_iter().find(|feature| !feature.built)
}
