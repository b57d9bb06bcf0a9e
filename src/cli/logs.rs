//! `memoria logs`: what the daemon wrote, read from its files, whether it runs or not. The files and their line
//! (`2026-11-23T14:05:06.123Z LEVEL target: message`) are `daemon/logs.rs`'s: names sort by age, and the newest is
//! the one that grows.

use std::fs::{File, Metadata};
use std::io::{ErrorKind as Io, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::clock;
use crate::error::{Error, Result};
use crate::model::Time;
use crate::model::text::visible;
use crate::paths::Paths;

use super::exit::Exit;
use super::terminal::{Out, Paint, Style};
use super::what;

/// How often a follower looks for more.
const LOOK_AGAIN: Duration = Duration::from_millis(150);

/// Show what the daemon wrote, whether it runs or not
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria logs -f\n  memoria logs --level warn --since 2h -n 0")]
pub struct Args {
    /// Go on with what is written from now on
    #[arg(long, short)]
    follow: bool,
    /// The last N lines; 0 is all
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    lines: usize,
    /// error, warn, info, debug or trace, and above
    #[arg(long, value_enum, value_name = "LEVEL", hide_possible_values = true)]
    level: Option<Level>,
    /// Since: 14:00, 2026-05-01, 2h ago
    #[arg(long, value_name = "WHEN", value_parser = what::when)]
    since: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "ERROR" => Self::Error,
            "WARN" => Self::Warn,
            "INFO" => Self::Info,
            "DEBUG" => Self::Debug,
            "TRACE" => Self::Trace,
            _ => return None,
        })
    }

    fn paint(self) -> Paint {
        match self {
            Self::Error => Paint::Red,
            Self::Warn => Paint::Yellow,
            Self::Info => Paint::Green,
            Self::Debug | Self::Trace => Paint::Dim,
        }
    }
}

pub fn run(args: &Args, out: &Out) -> Result<Exit> {
    let dir = Paths::from_env()?.log_dir();
    let wanted = Wanted { level: args.level, since: args.since };
    let mut files = Files::open(dir)?;
    let lines = files.last_lines(args.lines, &wanted)?;
    if lines.is_empty() && !args.follow && !out.json {
        let what = if files.current.is_some() { "No line matches" } else { "Nothing has been logged yet" };
        out.line(&format!("{what}; the log is in {}", files.dir.display()))?;
    }
    for line in &lines {
        show(line, out)?;
    }
    while args.follow && !out.is_closed() {
        std::thread::sleep(LOOK_AGAIN);
        for line in files.more()? {
            if wanted.takes(&line) {
                show(&line, out)?;
            }
        }
    }
    Ok(Exit::Ok)
}

fn show(line: &str, out: &Out) -> Result<()> {
    if !out.json {
        return out.line(&painted(line, &out.style));
    }
    let value = match Parts::of(line) {
        Some(parts) => {
            let level = format!("{:?}", parts.level).to_lowercase();
            json!({"at": parts.at, "level": level, "target": parts.target, "message": parts.message})
        }
        None => json!({"message": line}),
    };
    out.line(&value.to_string())
}

fn painted(line: &str, style: &Style) -> String {
    let Some(parts) = Parts::of(line) else { return visible(line).into_owned() };
    let level = format!("{:5}", format!("{:?}", parts.level).to_uppercase());
    let level = style.paint(parts.level.paint(), &level);
    format!(
        "{} {level} {} {}",
        style.dim(parts.at),
        style.dim(&format!("{}:", visible(parts.target))),
        visible(parts.message)
    )
}

/// A line of the log, taken apart.
struct Parts<'a> {
    at: &'a str,
    level: Level,
    target: &'a str,
    message: &'a str,
}

impl<'a> Parts<'a> {
    /// `None` for a line that is not in the log's form; it is shown as it is, unless a filter asks for more.
    fn of(line: &'a str) -> Option<Self> {
        let (at, rest) = line.split_once(' ')?;
        let (level, rest) = rest.trim_start().split_once(' ')?;
        let (target, message) = rest.split_once(": ")?;
        Some(Self { at, level: Level::parse(level)?, target, message })
    }
}

struct Wanted {
    level: Option<Level>,
    since: Option<Time>,
}

impl Wanted {
    fn takes(&self, line: &str) -> bool {
        let Some(parts) = Parts::of(line) else { return self.level.is_none() && self.since.is_none() };
        self.level.is_none_or(|level| parts.level <= level)
            && self.since.is_none_or(|since| clock::parse_rfc3339_or_date(parts.at).is_ok_and(|at| at >= since))
    }
}

/// The log's files, and how far the newest has been read.
struct Files {
    dir: PathBuf,
    current: Option<Current>,
}

struct Current {
    file: File,
    identity: (u64, u64),
    read_bytes: u64,
    /// The start of a line whose end is not written yet.
    partial: Vec<u8>,
}

impl Files {
    fn open(dir: PathBuf) -> Result<Self> {
        let mut files = Self { dir, current: None };
        if let Some(newest) = files.names()?.last() {
            files.current = Current::open(newest)?;
        }
        Ok(files)
    }

    /// Oldest first.
    fn names(&self) -> Result<Vec<PathBuf>> {
        let failed = |e: &std::io::Error| Error::io(format_args!("read the log in {}", self.dir.display()), e);
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == Io::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed(&e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| failed(&e))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with("memoriad.") && name.ends_with(".log") {
                names.push(path);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The last `limit` lines that are wanted (0: all), oldest first; older files are read only as far as needed.
    fn last_lines(&mut self, limit: usize, wanted: &Wanted) -> Result<Vec<String>> {
        let limit = if limit == 0 { usize::MAX } else { limit };
        let mut found = Vec::new();
        let names = self.names()?;
        for (age, name) in names.iter().rev().enumerate() {
            let lines = match &mut self.current {
                Some(current) if age == 0 => current.read_lines(name)?,
                _ => Current::open(name)?.map_or_else(|| Ok(Vec::new()), |mut older| older.read_lines(name))?,
            };
            found.extend(lines.into_iter().rev().filter(|line| wanted.takes(line)).take(limit - found.len()));
            if found.len() >= limit {
                break;
            }
        }
        found.reverse();
        Ok(found)
    }

    /// What has been written since the last call, across rotation and truncation.
    fn more(&mut self) -> Result<Vec<String>> {
        let names = self.names()?;
        let mut lines = match &mut self.current {
            // The open handle still reads a file that was renamed or removed.
            Some(current) => current.read_lines(&self.dir)?,
            None => Vec::new(),
        };
        let known = self.current.as_ref().map(|current| current.identity);
        let place = names.iter().position(|name| std::fs::metadata(name).ok().map(|meta| identity(&meta)) == known);
        let newer = match place {
            Some(place) => &names[place + 1..],
            // Ours is gone: whatever is there now is new, and of that the newest is being written.
            None => &names[names.len().saturating_sub(1)..],
        };
        for name in newer {
            if let Some(mut next) = Current::open(name)? {
                lines.extend(next.read_lines(name)?);
                self.current = Some(next);
            }
        }
        Ok(lines)
    }
}

impl Current {
    /// `None` when it was removed meanwhile.
    fn open(path: &Path) -> Result<Option<Self>> {
        let failed = |e: &std::io::Error| Error::io(format_args!("read {}", path.display()), e);
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == Io::NotFound => return Ok(None),
            Err(e) => return Err(failed(&e)),
        };
        let identity = identity(&file.metadata().map_err(|e| failed(&e))?);
        Ok(Some(Self { file, identity, read_bytes: 0, partial: Vec::new() }))
    }

    /// Whole lines that have not been read yet; from the start again when the file has become shorter.
    fn read_lines(&mut self, path: &Path) -> Result<Vec<String>> {
        let failed = |e: std::io::Error| Error::io(format_args!("read {}", path.display()), &e);
        if self.file.metadata().map_err(failed)?.len() < self.read_bytes {
            self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
            self.read_bytes = 0;
            self.partial.clear();
        }
        self.read_bytes += self.file.read_to_end(&mut self.partial).map_err(failed)? as u64;
        let end = self.partial.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let rest = self.partial.split_off(end);
        let whole = std::mem::replace(&mut self.partial, rest);
        Ok(String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect())
    }
}

/// What stays the same when a file is renamed.
#[cfg(unix)]
fn identity(meta: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (meta.dev(), meta.ino())
}

/// What stays the same when a file is renamed.
#[cfg(not(unix))]
fn identity(meta: &Metadata) -> (u64, u64) {
    let created = meta.created().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
    (created.as_secs(), created.subsec_nanos().into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const ALL: Wanted = Wanted { level: None, since: None };

    fn line(second: u32, level: &str, text: &str) -> String {
        format!("2026-11-23T14:05:{second:02}.000Z {level} memoria::daemon: {text}\n")
    }

    fn append(path: &Path, text: &str) {
        File::options().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn texts(lines: &[String]) -> Vec<&str> {
        lines.iter().map(|line| Parts::of(line).unwrap().message).collect()
    }

    #[test]
    fn last_lines_reach_back_over_files_and_filter() {
        let dir = tempfile::tempdir().unwrap();
        append(&dir.path().join("memoriad.2026-11-22.log"), &(line(1, "INFO", "a") + &line(2, "ERROR", "b")));
        append(&dir.path().join("memoriad.2026-11-23.0001.log"), &line(3, "INFO", "c"));
        append(&dir.path().join("memoriad.2026-11-23.log"), &(line(4, "WARN", "d: e") + &line(5, "DEBUG", "f")));
        let last = |limit, wanted: &Wanted| {
            let mut files = Files::open(dir.path().to_owned()).unwrap();
            texts(&files.last_lines(limit, wanted).unwrap()).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(last(0, &ALL), ["a", "b", "c", "d: e", "f"]);
        assert_eq!(last(3, &ALL), ["c", "d: e", "f"]);
        assert_eq!(last(0, &Wanted { level: Some(Level::Warn), since: None }), ["b", "d: e"]);
        let since = clock::parse_rfc3339_or_date("2026-11-23T14:05:04Z").unwrap();
        assert_eq!(last(0, &Wanted { level: None, since: Some(since) }), ["d: e", "f"]);
    }

    #[test]
    fn follow_crosses_rotation_truncation_and_half_lines() {
        let dir = tempfile::tempdir().unwrap();
        let today = dir.path().join("memoriad.2026-11-23.log");
        append(&today, &line(1, "INFO", "a"));
        let mut files = Files::open(dir.path().to_owned()).unwrap();
        assert_eq!(texts(&files.last_lines(0, &ALL).unwrap()), ["a"]);

        let whole = line(2, "INFO", "half");
        append(&today, &whole[..20]);
        assert!(files.more().unwrap().is_empty());
        append(&today, &whole[20..]);
        assert_eq!(texts(&files.more().unwrap()), ["half"]);

        append(&today, &line(3, "INFO", "last of the full one"));
        std::fs::rename(&today, dir.path().join("memoriad.2026-11-23.0001.log")).unwrap();
        append(&today, &line(4, "INFO", "first of the next"));
        assert_eq!(texts(&files.more().unwrap()), ["last of the full one", "first of the next"]);

        append(&dir.path().join("memoriad.2026-11-24.log"), &line(5, "INFO", "tomorrow"));
        assert_eq!(texts(&files.more().unwrap()), ["tomorrow"]);

        let tomorrow = dir.path().join("memoriad.2026-11-24.log");
        std::fs::write(&tomorrow, "").unwrap();
        assert!(files.more().unwrap().is_empty());
        append(&tomorrow, &line(6, "INFO", "after the cut"));
        assert_eq!(texts(&files.more().unwrap()), ["after the cut"]);
    }

    #[test]
    fn follow_begins_before_there_is_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::open(dir.path().join("logs")).unwrap();
        assert!(files.last_lines(10, &ALL).unwrap().is_empty() && files.more().unwrap().is_empty());
        std::fs::create_dir(dir.path().join("logs")).unwrap();
        append(&dir.path().join("logs/memoriad.2026-11-23.log"), &line(1, "INFO", "first"));
        assert_eq!(texts(&files.more().unwrap()), ["first"]);
    }
}
