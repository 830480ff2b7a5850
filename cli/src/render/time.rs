//! Times, as people read them.

use jiff::Timestamp;

/// How long ago `time` was, in the largest unit that fits twice: `45s`, `12m`, `5h`, `3d`. Nothing for a time that is none.
pub(crate) fn age(time: &str, now: Timestamp) -> String {
    since(time, now).map(|seconds| length(seconds.max(0))).unwrap_or_default()
}

/// A time with how far away it is: `2026-11-23T20:00:00Z (5m ago)`.
pub(crate) fn with_distance(time: &str, now: Timestamp) -> String {
    let shown = whole_seconds(time);
    match since(time, now) {
        Some(seconds) if seconds >= 0 => format!("{shown} ({} ago)", distance(seconds)),
        Some(seconds) => format!("{shown} (in {})", distance(-seconds)),
        None => shown,
    }
}

/// A time without its fractions of seconds.
pub(crate) fn whole_seconds(time: &str) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) => format!("{time:.0}"),
        Err(_) => super::text::line(time),
    }
}

/// A time in UTC: of today that of the day alone, `14:26:49Z`.
pub(crate) fn short(time: &str, now: Timestamp) -> String {
    let day = |time: Timestamp| time.strftime("%F").to_string();
    match time.parse::<Timestamp>() {
        Ok(time) if day(time) == day(now) => time.strftime("%TZ").to_string(),
        _ => whole_seconds(time),
    }
}

fn since(time: &str, now: Timestamp) -> Option<i64> {
    time.parse::<Timestamp>().ok().map(|time| now.as_second() - time.as_second())
}

fn length(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// As [`length`], but of days with their hours.
fn distance(seconds: i64) -> String {
    match seconds / 3_600 % 24 {
        hours @ 1.. if seconds >= 172_800 => format!("{} {hours}h", length(seconds)),
        _ => length(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_short() {
        let now: Timestamp = "2026-11-23T20:00:00.7Z".parse().unwrap();
        assert_eq!(age("2026-11-23T19:58:30Z", now), "90s");
        assert_eq!(age("2026-11-23T18:30:00Z", now), "90m");
        assert_eq!(age("2026-11-20T20:00:00Z", now), "3d");
        assert_eq!(age("2026-11-23T20:00:05Z", now), "0s");
        assert_eq!(age("soon", now), "");
        assert_eq!(short("2026-11-23T00:00:05.9Z", now), "00:00:05Z");
        assert_eq!(short("2026-11-22T23:00:00.9Z", now), "2026-11-22T23:00:00Z");
        assert_eq!(with_distance("2026-11-23T23:00:00.123Z", now), "2026-11-23T23:00:00Z (in 3h)");
        assert_eq!(with_distance("2026-11-26T19:59:59Z", now), "2026-11-26T19:59:59Z (in 2d 23h)");
        assert_eq!(with_distance("2026-11-20T20:00:00Z", now), "2026-11-20T20:00:00Z (3d ago)");
    }
}
