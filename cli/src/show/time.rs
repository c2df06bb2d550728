//! Times and lengths of time, for people.

use std::time::{SystemTime, UNIX_EPOCH};

use peerkit::Timestamp;

/// Gives the seconds since 1970.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Tells how long ago something was, or in how long it will be.
pub fn relative(at: Timestamp, now: f64) -> String {
    let seconds = now - at.as_secs_f64();
    match seconds {
        s if s < -1.0 => format!("in {}", length(-s)),
        s if s < 1.0 => "now".to_owned(),
        s => format!("{} ago", length(s)),
    }
}

/// Writes a length of time in its largest unit, rounded down.
pub fn length(seconds: f64) -> String {
    let s = if seconds.is_finite() { seconds.max(0.0) as u64 } else { 0 };
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min", s / 60),
        3600..86_400 => format!("{} h", s / 3600),
        _ => format!("{} d", s / 86_400),
    }
}

/// Writes a latency or the time a call took.
pub fn ms(ms: f64) -> String {
    match ms {
        ms if ms < 1.0 => format!("{ms:.2} ms"),
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 10_000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}

/// Writes a moment in UTC: `2026-11-22 21:05:11Z`.
pub fn utc(at: Timestamp) -> String {
    let seconds = at.as_micros().div_euclid(1_000_000);
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// Counts days from 1970-01-01: Howard Hinnant's `civil_from_days`, whose year begins in March.
fn date(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    (year, month, doy - (153 * mp + 2) / 5 + 1)
}

/// Writes a number of bytes.
pub fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_a_person_would_say_them() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let now = 1_000_000.0;
        let cases = [
            (1_000_000, "now"),
            (999_995, "5 s ago"),
            (999_800, "3 min ago"),
            (990_000, "2 h ago"),
            (0, "11 d ago"),
            (1_000_090, "in 1 min"),
        ];
        for (seconds, said) in cases {
            assert_eq!(relative(at(seconds), now), said);
        }
        assert_eq!(
            [ms(0.123), ms(7.25), ms(42.4), ms(12_345.0)].join(" "),
            "0.12 ms 7.2 ms 42 ms 12.3 s"
        );
        assert_eq!(
            bytes(1023) + " " + &bytes(1536) + " " + &bytes(5 << 40),
            "1023 B 1.5 KiB 5.0 TiB"
        );
    }

    #[test]
    fn utc_is_the_calendars() {
        let cases = [
            (0, "1970-01-01 00:00:00Z"),
            (951_827_696, "2000-02-29 12:34:56Z"),
            (1_795_381_511, "2026-11-22 21:05:11Z"),
            (-1, "1969-12-31 23:59:59Z"),
        ];
        for (seconds, text) in cases {
            assert_eq!(utc(Timestamp::from_micros(seconds * 1_000_000)), text);
        }
    }
}
