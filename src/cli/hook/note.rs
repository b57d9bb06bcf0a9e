//! Why a hook was silent, as a line of the daemon's log: the one place where somebody looks. The line is of the form
//! that `daemon/logs.rs` writes. The same reason is written once a minute, whoever meets it: a daemon that hangs is met
//! by every prompt of every agent. A log that cannot be written is left alone: there is nobody to tell.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};

use crate::clock;
use crate::model::text::one_line;
use crate::paths::Paths;

/// A day's file that is longer is not made longer: the daemon, which prunes it, has not run for long.
const FILE_BYTES_MAX: u64 = 10_000_000;
const TEXT_CHARS_MAX: usize = 500;
/// So much of the log's end is looked at for the same reason.
const TAIL_BYTES: u64 = 4096;
/// `2026-11-23T14:05` of the time that a line opens with.
const MINUTE: std::ops::RangeTo<usize> = ..16;

#[derive(Clone, Copy)]
pub enum Level {
    /// As it should be: the daemon had ended for want of agents.
    Info,
    Warn,
}

/// Adds one line to today's log, where the log's folder is there already.
pub fn append(level: Level, typed: &str, why: &str) {
    let Ok(paths) = Paths::from_env() else { return };
    let now = clock::rfc3339(clock::now());
    let Some(day) = now.get(..10) else { return };
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let Ok(mut file) = options.open(paths.log_dir().join(format!("memoriad.{day}.log"))) else { return };
    let why = one_line(why, TEXT_CHARS_MAX);
    if file.metadata().is_ok_and(|file| file.len() < FILE_BYTES_MAX) && !is_said(&tail(&mut file), &now, &why) {
        let _ = file.write_all(line(&now, level, &one_line(typed, 80), &why).as_bytes());
    }
}

fn line(now: &str, level: Level, typed: &str, why: &str) -> String {
    let level = match level {
        Level::Info => "INFO",
        Level::Warn => "WARN",
    };
    format!("{now} {level} memoria::hook: `hook {typed}` was silent: {why}\n")
}

fn tail(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let len = file.metadata().map_or(0, |file| file.len());
    if file.seek(SeekFrom::Start(len.saturating_sub(TAIL_BYTES))).is_ok() {
        // What cannot be read was not said.
        let _ = file.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether the log has this reason in this minute already.
fn is_said(log: &str, now: &str, why: &str) -> bool {
    let end = format!("` was silent: {why}");
    let mut hooks = log.lines().filter(|line| line.contains(" memoria::hook: "));
    hooks.any(|line| line.get(MINUTE) == now.get(MINUTE) && line.ends_with(&end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reason_is_one_line_a_minute_whichever_agent_meets_it() {
        let said = line("2026-11-23T14:05:06.123Z", Level::Warn, "prompt --agent codex", "no answer");
        let log = format!("half a line\n{said}2026-11-23T14:05:07.000Z INFO memoria::daemon: no answer\n");
        assert!(is_said(&log, "2026-11-23T14:05:59.000Z", "no answer"));
        assert!(!is_said(&log, "2026-11-23T14:06:00.000Z", "no answer"), "a minute later it is news");
        assert!(!is_said(&log, "2026-11-23T14:05:59.000Z", "answer"), "another reason is news");
        assert!(!is_said("", "2026-11-23T14:05:59.000Z", "no answer"));
    }
}
