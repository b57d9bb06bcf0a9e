//! Why a hook was silent, as a line of the daemon's log: the one place where somebody looks. The line is of the form
//! that `daemon/logs.rs` writes. A log that cannot be written is left alone: there is nobody to tell.

use std::fs::OpenOptions;
use std::io::Write;

use crate::clock;
use crate::model::text::one_line;
use crate::paths::Paths;

/// A day's file that is longer is not made longer: the daemon, which prunes it, has not run for long.
const FILE_BYTES_MAX: u64 = 10_000_000;
const TEXT_CHARS_MAX: usize = 500;

/// Adds one line to today's log, where the log's folder is there already.
pub fn append(typed: &str, why: &str) {
    let Ok(paths) = Paths::from_env() else { return };
    let now = clock::rfc3339(clock::now());
    let Some(day) = now.get(..10) else { return };
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let Ok(mut file) = options.open(paths.log_dir().join(format!("memoriad.{day}.log"))) else { return };
    if file.metadata().is_ok_and(|file| file.len() < FILE_BYTES_MAX) {
        let (typed, why) = (one_line(typed, 80), one_line(why, TEXT_CHARS_MAX));
        let _ = file.write_all(format!("{now} WARN memoria::hook: `hook {typed}` was silent: {why}\n").as_bytes());
    }
}
