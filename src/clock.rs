//! Time: the one wall clock, and the type that carries its readings.
//!
//! Only [`now`] reads the system's clock. The book and everything pure take a [`Timestamp`]
//! as a parameter, so tests choose the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment by the wall clock: microseconds since the Unix epoch. In JSON, seconds as a float.
///
/// ```
/// use peerkit::Timestamp;
///
/// let moment = Timestamp::from_micros(1_500_000);
/// assert_eq!((moment.as_micros(), moment.as_secs_f64()), (1_500_000, 1.5));
/// assert_eq!(serde_json::to_string(&moment).unwrap(), "1.5");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The latest moment there is.
    pub(crate) const MAX: Timestamp = Timestamp(i64::MAX);

    /// Makes a moment from microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Timestamp(micros)
    }

    /// Returns the microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Returns the moment that is `wait` later.
    pub(crate) fn after(self, wait: Duration) -> Self {
        let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
        Timestamp(self.0.saturating_add(wait))
    }

    /// Returns the time from an earlier moment to this one; zero if this one is no later.
    pub(crate) fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Returns the seconds since the Unix epoch.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_secs_f64())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Ok(Timestamp((seconds * 1e6).round() as i64))
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "description": "unix time in seconds" })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// Reads the system's clock. A clock set before 1970 reads as 1970.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
