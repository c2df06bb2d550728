//! Judges whether a peer may be dialled, and for what reason: the one answer for everybody who dials or
//! lets a connection stand. Pure.

use super::record::Record;
use crate::addr::Scope;
use crate::clock::Timestamp;
use crate::config::Settings;
use crate::model::{Policy, Source};

/// The reason for a dial. Every dial has one, and the connection that comes of it keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// A call asked for the peer.
    Call,
    /// The peer, or the address, is on the bootstrap list.
    Bootstrap,
    /// The auto dialer found few peers connected.
    Auto,
    /// A query of the DHT wants to ask the peer.
    Query,
}

impl Origin {
    /// Tells whether the dial is automatic: no call asked for it.
    pub(crate) const fn is_automatic(self) -> bool {
        !matches!(self, Origin::Call)
    }

    /// Returns the reason as events name it.
    pub(crate) const fn source(self) -> Source {
        match self {
            Origin::Call => Source::User,
            Origin::Bootstrap => Source::Bootstrap,
            Origin::Auto => Source::Book,
            Origin::Query => Source::Dht,
        }
    }
}

/// The verdict on a peer at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    /// The user wants it connected.
    Wanted,
    /// It may be dialled automatically.
    Allowed,
    /// A dial to it failed lately, and its next turn hasn't come.
    BackingOff,
    /// Only a call may dial it: the user disconnected it.
    OnRequest,
    /// Nobody may dial it: the user blocked it.
    Refused,
}

impl Intent {
    /// Judges a peer by what the user said of it, and by how dials to it went.
    pub(crate) fn of(record: &Record, now: Timestamp) -> Self {
        match record.policy {
            Policy::Blocked => Intent::Refused,
            Policy::Off => Intent::OnRequest,
            _ if record.dial_disabled => Intent::OnRequest,
            _ if !record.may_retry(now) => Intent::BackingOff,
            Policy::Keep => Intent::Wanted,
            Policy::Normal => Intent::Allowed,
        }
    }

    /// Judges a peer as [`of`](Self::of) does, once its turn has come.
    pub(crate) fn in_the_end(record: &Record) -> Self {
        Self::of(record, Timestamp::MAX)
    }

    /// Tells whether a dial of this origin may be made, and a connection of it kept.
    pub(crate) const fn admits(self, origin: Origin) -> bool {
        match (self, origin) {
            (Intent::Refused, _) => false,
            (_, Origin::Call) => true,
            (Intent::Wanted | Intent::Allowed, _) => true,
            // A query asks many peers at once and doesn't wait for those that don't answer.
            (Intent::BackingOff, Origin::Query) => true,
            (Intent::BackingOff | Intent::OnRequest, _) => false,
        }
    }
}

/// Tells whether an address of a peer may be dialled: the intent judges the peer, the reach of the
/// address the address. `listed`: the user gave the address.
pub(crate) fn may_dial(
    intent: Intent,
    origin: Origin,
    (scope, listed): (Scope, bool),
    settings: &Settings,
) -> bool {
    let reaches = !origin.is_automatic() || settings.may_dial_automatically(scope, listed);
    intent.admits(origin) && reaches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PeerId;
    use crate::config::{Config, Profile};
    use proptest::prelude::*;

    const ORIGINS: [Origin; 4] = [Origin::Call, Origin::Bootstrap, Origin::Auto, Origin::Query];
    const SCOPES: [Scope; 5] =
        [Scope::Loopback, Scope::LinkLocal, Scope::Private, Scope::Public, Scope::Name];
    const POLICIES: [Policy; 4] = [Policy::Keep, Policy::Normal, Policy::Off, Policy::Blocked];
    const PROFILES: [Profile; 3] = [Profile::Offline, Profile::Lan, Profile::Internet];

    fn settings(profile: Profile) -> Settings {
        Settings::resolve(&Config::new().profile(profile), None).unwrap()
    }

    proptest! {
        #[test]
        fn a_call_dials_whoever_is_not_blocked_and_nobody_else_whom_the_user_disconnected(
            policy in prop::sample::select(&POLICIES[..]),
            disabled: bool,
            retry in prop::option::of(0i64..2000),
            now in 0i64..2000,
            origin in prop::sample::select(&ORIGINS[..]),
            scope in prop::sample::select(&SCOPES[..]),
            listed: bool,
            profile in prop::sample::select(&PROFILES[..]),
        ) {
            let mut record = Record::new(PeerId::random());
            (record.policy, record.dial_disabled) = (policy, disabled);
            record.next_retry_at = retry.map(Timestamp::from_micros);
            let now = Timestamp::from_micros(now);
            let settings = settings(profile);
            let may = |intent| may_dial(intent, origin, (scope, listed), &settings);
            let (intent, later) = (Intent::of(&record, now), Intent::in_the_end(&record));

            let hung_up = disabled || policy == Policy::Off;
            match origin {
                Origin::Call => prop_assert_eq!(may(intent), policy != Policy::Blocked),
                _ if hung_up || policy == Policy::Blocked => prop_assert!(!may(intent)),
                _ => prop_assert_eq!(may(later), settings.may_dial_automatically(scope, listed)),
            }
            // Waiting never allows more, and what may be dialled now may be dialled later.
            prop_assert!(!may(intent) || may(later));
            let waits = retry.is_some_and(|at| at > now.as_micros());
            let patient = matches!(origin, Origin::Bootstrap | Origin::Auto);
            prop_assert!(!(waits && patient && may(intent)));
        }
    }
}
