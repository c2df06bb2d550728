//! Evidence against this machine's clock: certificates of peers that aren't valid by it, and beside them a file
//! that was written, or an announcement that was signed, later than it reads. TLS demands that a certificate be
//! valid at the time of the handshake, and those of go-libp2p and js-libp2p are so from an hour before they were
//! made. A clock that is behind by more lets TLS and QUIC fail with every such peer, and none of them is to blame.
//! Noise needs no clock.
//!
//! `tls` and `attempt` tell of certificates, from the task of each handshake; `security` leaves TLS alone while
//! anything stands against the clock; the status warns. What was presented is compared with the clock each time
//! anew, so that it counts no longer as soon as the clock is right. A remote can present what it likes, and so have
//! us warn and do without TLS for an hour; Noise is as good.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clock::Timestamp;
use crate::worker::util::clock::jumped;

/// Certificates remembered, the newest.
const MOST: usize = 16;
/// Time for which one is heeded: a remote may present what it likes.
const HEEDED: Duration = Duration::from_secs(3600);
/// The least time by which a file, or what a peer has signed, must be newer than the clock to speak against it.
const TOLERANCE: Duration = Duration::from_secs(60);
/// A number of a peer's record that is further ahead is no time: 100 years.
#[cfg(any(feature = "gossip", test))]
const FARTHEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The time within which a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub from: Timestamp,
    pub until: Timestamp,
}

impl Validity {
    pub(super) fn holds_at(&self, time: Timestamp) -> bool {
        self.from <= time && time <= self.until
    }
}

/// A moment by the monotonic clock and by the clock in question.
pub(crate) type Moment = (Instant, Timestamp);

/// A certificate that wasn't valid by this machine's clock.
struct Presented {
    /// None where QUIC, which doesn't tell it, refused the certificate.
    validity: Option<Validity>,
    at: Moment,
}

impl Presented {
    /// Tells whether it would be refused now.
    fn speaks(&self, now: Moment) -> bool {
        let age = now.0.saturating_duration_since(self.at.0);
        let refused = match self.validity {
            // As much time has gone by for whoever made it.
            Some(Validity { from, until }) => now.1 < from.after(age) || now.1 > until,
            None => !jumped(self.at, now),
        };
        refused && age < HEEDED
    }
}

/// Everything that is known against the clock. One for each run.
#[derive(Default)]
pub(crate) struct ClockEvidence {
    presented: Mutex<VecDeque<Presented>>,
    newest_file: OnceLock<(String, Timestamp)>,
    /// The time of a peer's record that was of the future, and when it came.
    announced: Mutex<Option<(Timestamp, Instant)>>,
}

impl ClockEvidence {
    /// Notes when the newest file of earlier runs was written.
    pub(crate) fn found_file(&self, name: String, written: Timestamp) {
        let _ = self.newest_file.set((name, written));
    }

    /// Notes the time at which a peer has signed what it announces.
    #[cfg(any(feature = "gossip", test))]
    pub(crate) fn announced(&self, signed: Timestamp, now: Moment) {
        if now.1.after(TOLERANCE) < signed && signed < now.1.after(FARTHEST) {
            *self.announced.lock() = Some((signed, now.0));
        }
    }

    /// Notes a certificate that isn't valid by the clock; returns what to tell of it.
    pub(super) fn presented(&self, validity: Option<Validity>, now: Moment) -> String {
        let mut presented = self.presented.lock();
        // A peer presents the same one again and again.
        presented.retain(|known| known.validity != validity && known.speaks(now));
        let others = presented.iter().filter(|known| known.validity.is_some()).count();
        presented.truncate(MOST - 1);
        presented.push_front(Presented { validity, at: now });
        drop(presented);
        let mut told = format!(
            "by this machine's clock, which reads {}, the peer's certificate is not valid{}",
            now.1.utc(),
            bound(validity, now.1)
        );
        match others {
            0 => {}
            1 => told += "; nor is another one that was presented lately",
            _ => told += &format!("; nor are {others} others that were presented lately"),
        }
        told + &self.file(now.1).unwrap_or_default() + &self.announcement(now).unwrap_or_default()
    }

    /// Tells whether anything stands against the clock.
    pub(super) fn stands(&self, now: impl FnOnce() -> Moment) -> bool {
        let presented = self.presented.lock();
        if presented.is_empty() {
            return false;
        }
        let now = now();
        presented.iter().any(|known| known.speaks(now))
    }

    /// Returns what to warn of, while anything stands against the clock.
    pub(crate) fn warning(&self, now: Moment) -> Option<String> {
        let presented = self.presented.lock();
        let speaking: Vec<_> = presented.iter().filter(|known| known.speaks(now)).collect();
        let dated = speaking.iter().filter(|known| known.validity.is_some()).count();
        let newest = speaking.iter().find(|known| dated == 0 || known.validity.is_some())?;
        let (file, announcement) = (self.file(now.1), self.announcement(now));
        let sure = dated > 1 || file.is_some() || announcement.is_some();
        let may_be = if sure { "is" } else { "may be" };
        let certificates = match dated {
            0 | 1 => "the certificate of a peer is".to_owned(),
            many => format!("{many} certificates of peers are"),
        };
        Some(format!(
            "this machine's clock {may_be} wrong: it reads {}, and {certificates} not valid{}{}{}; until it is set, TLS and QUIC fail with such peers, and TCP goes on with Noise",
            now.1.utc(),
            bound(newest.validity, now.1),
            file.unwrap_or_default(),
            announcement.unwrap_or_default(),
        ))
    }

    /// Tells of the newest file, where it is of the future.
    fn file(&self, time: Timestamp) -> Option<String> {
        let (name, written) = self.newest_file.get()?;
        let newer = *written > time.after(TOLERANCE);
        newer.then(|| format!("; {name} in the data directory was written at {}", written.utc()))
    }

    fn announcement(&self, now: Moment) -> Option<String> {
        let (signed, came) = (*self.announced.lock())?;
        let age = now.0.saturating_duration_since(came);
        let newer = signed.after(age) > now.1.after(TOLERANCE) && age < HEEDED;
        newer.then(|| format!("; a peer signed an announcement at {}", signed.utc()))
    }
}

/// Says from when on, or until when, a certificate is valid, whichever keeps it from being so.
fn bound(validity: Option<Validity>, time: Timestamp) -> String {
    match validity {
        None => String::new(),
        Some(Validity { until, .. }) if time > until => format!(" after {}", until.utc()),
        Some(Validity { from, .. }) => format!(" before {}", from.utc()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros((1_800_000_000 + seconds) * 1_000_000)
    }

    fn valid(from: i64) -> Option<Validity> {
        Some(Validity { from: at(from), until: at(1_000_000) })
    }

    #[test]
    fn what_stands_against_the_clock_goes_when_it_is_set_or_after_an_hour() {
        let (evidence, start) = (ClockEvidence::default(), Instant::now());
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        assert!(evidence.warning((start, at(0))).is_none());
        let told = evidence.presented(valid(300), (start, at(0)));
        assert!(
            told.contains("this machine's clock, which reads 2027-01-15 08:00:00 UTC"),
            "{told}"
        );
        assert!(told.ends_with("not valid before 2027-01-15 08:05:00 UTC"), "{told}");
        let warning = evidence.warning((start, at(0))).unwrap();
        assert!(warning.starts_with("this machine's clock may be wrong"), "{warning}");
        // The clock goes on as it went; it is set; or nobody has presented such a certificate for an hour.
        assert!(evidence.stands(|| (after(1000), at(1000))));
        assert!(evidence.warning((after(1000), at(1300))).is_none());
        assert!(!evidence.stands(|| (after(3600), at(3600))));
    }

    #[test]
    fn several_certificates_or_a_file_make_it_sure() {
        let (evidence, start) = (ClockEvidence::default(), Instant::now());
        evidence.presented(valid(300), (start, at(0)));
        evidence.presented(valid(300), (start, at(0)));
        assert!(evidence.warning((start, at(0))).unwrap().contains("may be wrong"));
        let told = evidence.presented(valid(200), (start, at(0)));
        assert!(told.contains("nor is another one"), "{told}");
        let warning = evidence.warning((start, at(0))).unwrap();
        assert!(
            warning.contains("clock is wrong") && warning.contains("2 certificates"),
            "{warning}"
        );

        let evidence = ClockEvidence::default();
        evidence.found_file("book.redb".to_owned(), at(4000));
        assert!(evidence.warning((start, at(0))).is_none(), "the clock may have been wrong then");
        let told = evidence.presented(None, (start, at(0)));
        assert!(told.contains("book.redb in the data directory was written at"), "{told}");
        assert!(evidence.warning((start, at(0))).unwrap().contains("clock is wrong"));
        assert!(evidence.warning((start, at(4000))).is_none(), "it was set");

        let evidence = ClockEvidence::default();
        evidence.announced(at(100), (start, at(0)));
        evidence.announced(Timestamp::from_micros(i64::MAX), (start, at(0)));
        assert!(evidence.warning((start, at(0))).is_none());
        evidence.presented(valid(300), (start, at(0)));
        let warning = evidence.warning((start, at(0))).unwrap();
        assert!(
            warning.contains("a peer signed an announcement at 2027-01-15 08:01:40"),
            "{warning}"
        );
    }

    #[test]
    fn a_remote_makes_it_remember_so_much_and_no_more() {
        let (evidence, start) = (ClockEvidence::default(), Instant::now());
        for n in 0..1000 {
            evidence.presented(valid(300 + n), (start, at(0)));
        }
        assert_eq!(evidence.presented.lock().len(), MOST);
    }
}
