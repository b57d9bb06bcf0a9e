//! The only file that reads the time of day: now, the words that people use for moments (`14:00`, `2h ago`), and back.
//! Deadlines use the monotonic clock (`Instant`, tokio) wherever they stand; this is for times that are shown or kept.

use chrono::{DateTime, Days, Local, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeZone, Utc};

use crate::error::{Error, Result};
use crate::model::Time;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The system clock.
pub fn now() -> Time {
    Time(Utc::now().timestamp_millis())
}

/// A moment as people type it: `14:00` (the last one), `2026-05-01`, `2026-05-01 14:00`, RFC 3339, `2h ago`, `30m`,
/// `3d ago`, `now`, `today`, `yesterday`. Without an offset it is local time; a day alone is its start.
///
/// # Errors
/// `Invalid`, with the forms that are understood.
pub fn parse_when(text: &str, now: Time) -> Result<Time> {
    parse_in(&Local, text, now)
}

/// A moment to come, as people write it: `3d`, `in 2h`, `18:00` (the next one), `2026-12-01`.
///
/// # Errors
/// `Invalid`, with the forms that are understood; for what is past, too.
pub fn parse_until(text: &str, now: Time) -> Result<Time> {
    until_in(&Local, text, now)
}

/// A moment as programs write it: RFC 3339, or a local date or date and time.
pub fn parse_rfc3339_or_date(text: &str) -> Result<Time> {
    dated(&Local, text.trim()).ok_or_else(|| {
        Error::invalid(format!(
            "`{}` is not a time: write 2026-05-01, 2026-05-01T14:00:00Z or 2026-05-01T14:00:00+02:00",
            shown(text)
        ))
    })
}

/// Local, to the minute: `2026-11-23 14:05`.
pub fn local(time: Time) -> String {
    match Local.timestamp_millis_opt(time.0).single() {
        Some(at) => at.format("%Y-%m-%d %H:%M").to_string(),
        None => out_of_range(time),
    }
}

/// Local, without the day: `14:05:06`.
pub fn of_day(time: Time) -> String {
    match Local.timestamp_millis_opt(time.0).single() {
        Some(at) => at.format("%H:%M:%S").to_string(),
        None => out_of_range(time),
    }
}

/// UTC, to the millisecond: `2026-11-23T14:05:06.123Z`.
pub fn rfc3339(time: Time) -> String {
    match DateTime::<Utc>::from_timestamp_millis(time.0) {
        Some(at) => at.to_rfc3339_opts(SecondsFormat::Millis, true),
        None => out_of_range(time),
    }
}

/// How long ago, in the largest unit that says something: `just now`, `3 min ago`, `5 days ago`, or the date.
pub fn ago(time: Time, now: Time) -> String {
    let since = now.since(time);
    match since / MINUTE_MS {
        ..0 => local(time),
        0 => "just now".to_owned(),
        1..60 => format!("{} min ago", since / MINUTE_MS),
        60..1440 => format!("{} h ago", since / HOUR_MS),
        _ if since < 2 * DAY_MS => "1 day ago".to_owned(),
        _ if since < 60 * DAY_MS => format!("{} days ago", since / DAY_MS),
        _ => local(time)[..10].to_owned(),
    }
}

fn out_of_range(time: Time) -> String {
    format!("{} ms", time.0)
}

fn shown(text: &str) -> String {
    text.trim().chars().take(80).collect()
}

fn parse_in<Z: TimeZone>(zone: &Z, text: &str, now: Time) -> Result<Time> {
    let words = text.trim().to_ascii_lowercase();
    let found = match words.as_str() {
        "now" => Some(now),
        "today" => day_start(zone, now, 0),
        "yesterday" => day_start(zone, now, 1),
        _ => span_ms(&words).map(|ms| now.plus_ms(-ms)).or_else(|| last_time_of_day(zone, &words, now)),
    };
    found.or_else(|| dated(zone, text.trim())).ok_or_else(|| {
        Error::invalid(format!(
            "`{}` is not a time: write 14:00, 2026-05-01, \"2026-05-01 14:00\", 2026-05-01T14:00:00Z, \"2h ago\", \
             30m, 3d or yesterday",
            shown(text)
        ))
    })
}

fn until_in<Z: TimeZone>(zone: &Z, text: &str, now: Time) -> Result<Time> {
    let words = text.trim().to_ascii_lowercase();
    let span = if words.ends_with("ago") { None } else { span_ms(words.strip_prefix("in ").unwrap_or(&words)) };
    let found = span.map(|ms| now.plus_ms(ms)).or_else(|| next_time_of_day(zone, &words, now));
    let at = found.or_else(|| dated(zone, text.trim())).ok_or_else(|| {
        Error::invalid(format!(
            "`{}` is not a time to come: write 3d, 2h, 18:00, 2026-12-01, \"2026-12-01 18:00\" or 2026-12-01T18:00:00Z",
            shown(text)
        ))
    })?;
    if at <= now {
        return Err(Error::invalid(format!("`{}` is past: name a time to come", shown(text))));
    }
    Ok(at)
}

fn next_time_of_day<Z: TimeZone>(zone: &Z, words: &str, now: Time) -> Option<Time> {
    let time = time_of_day(words)?;
    let today = zone.timestamp_millis_opt(now.0).single()?.date_naive();
    let mut days = [today, today.checked_add_days(Days::new(1))?].into_iter();
    days.find_map(|day| moment(zone, day.and_time(time)).filter(|at| *at > now))
}

/// `2h`, `2h ago`, `2 hours ago`, `90 min`: how many milliseconds.
fn span_ms(words: &str) -> Option<i64> {
    let words = words.strip_suffix("ago").unwrap_or(words).trim_end();
    let digits = words.len() - words.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = words.split_at(digits);
    let unit_ms = match unit.trim_start() {
        "s" | "sec" | "secs" | "second" | "seconds" => 1000,
        "m" | "min" | "mins" | "minute" | "minutes" => MINUTE_MS,
        "h" | "hour" | "hours" => HOUR_MS,
        "d" | "day" | "days" => DAY_MS,
        "w" | "week" | "weeks" => 7 * DAY_MS,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit_ms)
}

fn last_time_of_day<Z: TimeZone>(zone: &Z, words: &str, now: Time) -> Option<Time> {
    let time = time_of_day(words)?;
    let today = zone.timestamp_millis_opt(now.0).single()?.date_naive();
    [today, today.checked_sub_days(Days::new(1))?]
        .into_iter()
        .filter_map(|day| moment(zone, day.and_time(time)))
        .find(|at| *at <= now)
}

fn time_of_day(text: &str) -> Option<NaiveTime> {
    ["%H:%M", "%H:%M:%S"].iter().find_map(|form| NaiveTime::parse_from_str(text, form).ok())
}

fn day_start<Z: TimeZone>(zone: &Z, now: Time, days_back: u64) -> Option<Time> {
    let day = zone.timestamp_millis_opt(now.0).single()?.date_naive().checked_sub_days(Days::new(days_back))?;
    moment(zone, day.and_time(NaiveTime::MIN))
}

fn dated<Z: TimeZone>(zone: &Z, text: &str) -> Option<Time> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(Time(at.timestamp_millis()));
    }
    let (day, rest) = text.split_at_checked(10)?;
    let day = NaiveDate::parse_from_str(day, "%Y-%m-%d").ok()?;
    let time = match rest.strip_prefix([' ', 'T']) {
        Some(rest) => time_of_day(rest.trim())?,
        None if rest.is_empty() => NaiveTime::MIN,
        None => return None,
    };
    moment(zone, day.and_time(time))
}

/// A wall-clock time that happens twice is the first of them; one that is skipped is an hour later.
fn moment<Z: TimeZone>(zone: &Z, at: NaiveDateTime) -> Option<Time> {
    let later = || zone.from_local_datetime(&at.checked_add_signed(chrono::TimeDelta::hours(1))?).earliest();
    let at = zone.from_local_datetime(&at).earliest().or_else(later)?;
    Some(Time(at.timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use chrono::FixedOffset;

    use super::*;

    /// 2026-11-23 14:05:06.123 at +02:00.
    const NOW: Time = Time(1_795_435_506_123);

    fn when(text: &str) -> String {
        rfc3339(parse_in(&FixedOffset::east_opt(2 * 3600).unwrap(), text, NOW).unwrap())
    }

    #[test]
    fn words_for_moments_mean_what_people_mean() {
        for (text, expected) in [
            ("now", "2026-11-23T12:05:06.123Z"),
            ("14:00", "2026-11-23T12:00:00.000Z"),
            ("14:06", "2026-11-22T12:06:00.000Z"),
            ("9:30", "2026-11-23T07:30:00.000Z"),
            ("14:05:07", "2026-11-22T12:05:07.000Z"),
            ("today", "2026-11-22T22:00:00.000Z"),
            ("Yesterday", "2026-11-21T22:00:00.000Z"),
            ("2026-05-01", "2026-04-30T22:00:00.000Z"),
            ("2026-05-01 14:00", "2026-05-01T12:00:00.000Z"),
            ("2026-05-01T14:00:30", "2026-05-01T12:00:30.000Z"),
            ("2026-05-01T14:00:00Z", "2026-05-01T14:00:00.000Z"),
            ("2026-05-01T14:00:00.5-03:00", "2026-05-01T17:00:00.500Z"),
            ("2h ago", "2026-11-23T10:05:06.123Z"),
            ("2 hours ago", "2026-11-23T10:05:06.123Z"),
            ("30m", "2026-11-23T11:35:06.123Z"),
            ("3d ago", "2026-11-20T12:05:06.123Z"),
            ("1w", "2026-11-16T12:05:06.123Z"),
        ] {
            assert_eq!(when(text), expected, "{text}");
        }
    }

    #[test]
    fn words_for_what_is_to_come_mean_what_people_mean() {
        let until = |text: &str| until_in(&FixedOffset::east_opt(2 * 3600).unwrap(), text, NOW);
        for (text, expected) in [
            ("3d", "2026-11-26T12:05:06.123Z"),
            ("in 2 hours", "2026-11-23T14:05:06.123Z"),
            ("18:00", "2026-11-23T16:00:00.000Z"),
            ("14:00", "2026-11-24T12:00:00.000Z"),
            ("2026-12-01", "2026-11-30T22:00:00.000Z"),
            ("2026-12-01T18:00:00Z", "2026-12-01T18:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(until(text).unwrap()), expected, "{text}");
        }
        for (text, why) in [("2h ago", "to come"), ("soon", "to come"), ("2026-05-01", "is past"), ("0d", "is past")] {
            assert!(until(text).unwrap_err().message.contains(why), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_forms_that_work() {
        for text in ["", "ago", "soon", "25:00", "2026-13-01", "2026-05-01x", "h", "99999999999999999d", "明天明天"]
        {
            let error = parse_in(&Utc, text, NOW).unwrap_err();
            assert!(error.message.contains("2h ago"), "{text}: {error}");
        }
        assert!(parse_rfc3339_or_date("2h ago").unwrap_err().message.contains("2026-05-01"));
    }

    #[test]
    fn a_time_of_day_is_never_in_the_future() {
        for minute in 0..24 * 60 {
            let text = format!("{:02}:{:02}", minute / 60, minute % 60);
            let at = parse_when(&text, NOW).unwrap();
            assert!(at <= NOW && NOW.since(at) <= DAY_MS + HOUR_MS, "{text}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        assert_eq!(parse_rfc3339_or_date(&rfc3339(NOW)).unwrap(), NOW);
        let to_the_minute = parse_when(&local(NOW), NOW).unwrap();
        assert_eq!(local(to_the_minute), local(NOW));
    }

    #[test]
    fn ago_uses_the_largest_unit_that_says_something() {
        for (ms, expected) in [
            (0, "just now"),
            (59_999, "just now"),
            (3 * MINUTE_MS, "3 min ago"),
            (2 * HOUR_MS + 1, "2 h ago"),
            (DAY_MS, "1 day ago"),
            (59 * DAY_MS, "59 days ago"),
        ] {
            assert_eq!(ago(NOW.plus_ms(-ms), NOW), expected);
        }
        assert_eq!(ago(NOW.plus_ms(-400 * DAY_MS), NOW).len(), "2025-10-19".len());
    }

    #[test]
    fn extreme_times_do_not_panic() {
        for time in [Time::MIN, Time::MAX, Time(0)] {
            let _ = (local(time), rfc3339(time), ago(time, NOW), ago(NOW, time));
        }
    }
}
