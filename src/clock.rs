//! The only file that reads time: now, local wall-clock words (`14:00`, `2h ago`) to moments, and back.

use crate::model::Time;

/// The system clock.
pub fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
