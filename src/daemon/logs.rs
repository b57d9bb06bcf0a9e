//! The daemon's log: one line per event, one file per day (`memoriad.2026-11-23.log`; a full one becomes
//! `memoriad.2026-11-23.0001.log`, so that names sort by age), capped in size and number.
//! Line: `2026-11-23T14:05:06.123Z LEVEL target: message key=value`. Writing never makes a caller wait: what comes
//! faster than the disk takes it is left out, counted, and the count is logged. Only our own targets are written: a
//! library's debug line could hold the text of a memory. Ours never do.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};

use crate::clock;
use crate::config;
use crate::error::{Error, Result};
use crate::model::Time;
use crate::paths::Paths;

const LINE_BYTES_MAX: usize = 4096;
/// About a megabyte of ordinary lines.
const WAITING_LINES_MAX: usize = 8192;
const BETWEEN_LOSS_REPORTS: Duration = Duration::from_secs(60);
const MB: u64 = 1_000_000;

static LAST_ERROR: Mutex<Option<(Time, String)>> = Mutex::new(None);

/// The newest line of level ERROR since the start, for `status`.
pub fn last_error() -> Option<(Time, String)> {
    lock(&LAST_ERROR).clone()
}

/// The log while it is held; dropping it writes what waits, for at most a second.
pub struct Logs {
    control: Control,
    _worker: WorkerGuard,
}

/// Changes what is logged while it is being logged.
#[derive(Clone)]
pub struct Control(Arc<Sink>);

impl Control {
    /// The level at once, the limits with the next file.
    pub fn apply(&self, settings: &config::Log) {
        *lock(&self.0.limits) = settings.clone();
        *lock(&self.0.level) = level_filter(settings.level);
        tracing::callsite::rebuild_interest_cache();
    }
}

impl Logs {
    /// Begins to log, panics included. Once per process.
    ///
    /// # Errors
    /// When the folder or today's file cannot be opened.
    pub fn start(paths: &Paths, settings: &config::Log) -> Result<Self> {
        let logs = Self::open(paths.log_dir(), settings)?;
        let subscriber = tracing_subscriber::registry().with(Writer(logs.control.0.clone()));
        tracing::subscriber::set_global_default(subscriber)
            .map_err(|_| Error::internal("the log was begun twice in one process"))?;
        std::panic::set_hook(Box::new(log_panic));
        Ok(logs)
    }

    /// For whoever hears of changed settings (`watch.rs`).
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// A log that `tracing`'s macros do not reach, for tests of its neighbours.
    #[cfg(test)]
    pub(super) fn for_tests(paths: &Paths) -> Self {
        Self::open(paths.log_dir(), &config::Config::default().log).unwrap()
    }

    fn open(dir: PathBuf, settings: &config::Log) -> Result<Self> {
        let limits = Arc::new(Mutex::new(settings.clone()));
        let unwritten = Arc::new(AtomicU64::new(0));
        let mut file = LogFile { dir, limits: limits.clone(), unwritten: unwritten.clone(), open: None };
        let today = &clock::rfc3339(clock::now())[..10];
        if let Err(e) = file.turn_to(today) {
            return Err(Error::io(format_args!("write the log in {}", file.dir.display()), &e));
        }
        let (waiting, worker) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(WAITING_LINES_MAX)
            .thread_name("log")
            .finish(file);
        let sink = Sink {
            left_out: waiting.error_counter(),
            waiting,
            unwritten,
            limits,
            level: Mutex::new(level_filter(settings.level)),
            losses: Mutex::new(Losses { said: 0, at: None }),
            echo: io::stderr().is_terminal(),
        };
        Ok(Self { control: Control(Arc::new(sink)), _worker: worker })
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.control.0.report_losses(Duration::ZERO);
    }
}

fn level_filter(level: config::Level) -> LevelFilter {
    match level {
        config::Level::Error => LevelFilter::ERROR,
        config::Level::Warn => LevelFilter::WARN,
        config::Level::Info => LevelFilter::INFO,
        config::Level::Debug => LevelFilter::DEBUG,
        config::Level::Trace => LevelFilter::TRACE,
    }
}

/// A panic's message is logged only where it is a literal: a computed one may quote what was being worked on.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let why = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("no fixed message");
    tracing::error!(target: "memoria::panic", "panic at {place} in thread {}: {why}", thread.name().unwrap_or("?"));
}

/// Where lines go on the caller's side: a bounded queue, and what is known of losses.
struct Sink {
    waiting: NonBlocking,
    /// Lines that found the queue full.
    left_out: ErrorCounter,
    /// Lines that the disk did not take.
    unwritten: Arc<AtomicU64>,
    limits: Arc<Mutex<config::Log>>,
    level: Mutex<LevelFilter>,
    losses: Mutex<Losses>,
    /// A person is watching: show the lines as well.
    echo: bool,
}

struct Losses {
    said: u64,
    at: Option<Instant>,
}

impl Sink {
    fn line(&self, line: &str) {
        // The queue takes every line or counts it: it has no other way to fail.
        let _ = self.waiting.clone().write_all(line.as_bytes());
        if self.echo {
            let _ = io::stderr().write_all(line.as_bytes());
        }
    }

    fn report_losses(&self, at_most_every: Duration) {
        let lost = self.left_out.dropped_lines() as u64 + self.unwritten.load(Ordering::Relaxed);
        let mut losses = lock(&self.losses);
        if lost == losses.said || losses.at.is_some_and(|at| at.elapsed() < at_most_every) {
            return;
        }
        let new = lost - losses.said;
        *losses = Losses { said: lost, at: Some(Instant::now()) };
        drop(losses);
        let text = format!("{new} log lines were lost: they came too fast, or the disk did not take them");
        self.line(&format_line(clock::now(), tracing::Level::WARN, module_path!(), &text));
    }
}

/// The layer under `tracing`'s macros. (A newtype, because the sink is shared with [`Control`].)
struct Writer(Arc<Sink>);

impl<S: Subscriber> Layer<S> for Writer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target().starts_with("memoria") && *metadata.level() <= *lock(&self.0.level)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(*lock(&self.0.level))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut words = Words::default();
        event.record(&mut words);
        let (now, metadata) = (clock::now(), event.metadata());
        let text = format!("{}{}", words.message, words.fields);
        if *metadata.level() == tracing::Level::ERROR {
            *lock(&LAST_ERROR) = Some((now, text.clone()));
        }
        self.0.line(&format_line(now, *metadata.level(), metadata.target(), &text));
        self.0.report_losses(BETWEEN_LOSS_REPORTS);
    }
}

#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// One line whatever the text holds: control characters are escaped, and a very long text is cut, visibly.
fn format_line(at: Time, level: tracing::Level, target: &str, text: &str) -> String {
    let mut line = format!("{} {level} {target}: ", clock::rfc3339(at));
    for (i, c) in text.char_indices() {
        if i >= LINE_BYTES_MAX {
            let _ = write!(line, "... ({} bytes more)", text.len() - i);
            break;
        }
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    line
}

/// Where lines go on the worker's side: the file of the day.
struct LogFile {
    dir: PathBuf,
    limits: Arc<Mutex<config::Log>>,
    unwritten: Arc<AtomicU64>,
    open: Option<OpenFile>,
}

struct OpenFile {
    file: File,
    day: String,
    bytes: u64,
}

impl Write for LogFile {
    /// Takes one whole line; the day is the line's own.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let day = line.get(..10).and_then(|day| std::str::from_utf8(day).ok()).unwrap_or("0000-00-00");
        let written = self.turn_to(day).and_then(|open| {
            open.file.write_all(line)?;
            open.bytes += line.len() as u64;
            Ok(line.len())
        });
        if written.is_err() {
            self.unwritten.fetch_add(1, Ordering::Relaxed);
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogFile {
    /// The file for a line of this day: a new one where the day is new or the file is full.
    fn turn_to(&mut self, day: &str) -> io::Result<&mut OpenFile> {
        let limits = lock(&self.limits).clone();
        let bytes_max = u64::from(limits.max_file_mb) * MB - LINE_BYTES_MAX as u64;
        let open = match self.open.take().filter(|open| open.day == day && open.bytes < bytes_max) {
            Some(open) => open,
            None => self.begin(day, bytes_max, &limits)?,
        };
        Ok(self.open.insert(open))
    }

    fn begin(&self, day: &str, bytes_max: u64, limits: &config::Log) -> io::Result<OpenFile> {
        let mut open = self.open_day(day)?;
        if open.bytes >= bytes_max {
            std::fs::rename(self.path(day, None), self.path(day, Some(self.next_number(day)?)))?;
            open = self.open_day(day)?;
        }
        // A file that cannot be removed is tried again with the next one; it must not stop the log.
        let _ = self.prune(limits);
        Ok(open)
    }

    fn path(&self, day: &str, number: Option<u32>) -> PathBuf {
        self.dir.join(match number {
            Some(number) => format!("memoriad.{day}.{number:04}.log"),
            None => format!("memoriad.{day}.log"),
        })
    }

    fn open_day(&self, day: &str) -> io::Result<OpenFile> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(self.path(day, None))?;
        let bytes = file.metadata()?.len();
        Ok(OpenFile { file, day: day.to_owned(), bytes })
    }

    fn next_number(&self, day: &str) -> io::Result<u32> {
        let prefix = format!("memoriad.{day}.");
        let number = |(name, _): &(String, u64)| name.strip_prefix(&prefix)?.strip_suffix(".log")?.parse::<u32>().ok();
        Ok(self.files()?.iter().filter_map(number).max().map_or(1, |newest| newest + 1))
    }

    /// Oldest first, with their sizes in bytes.
    fn files(&self) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with("memoriad.") && name.ends_with(".log") {
                files.push((name, entry.metadata()?.len()));
            }
        }
        files.sort();
        Ok(files)
    }

    /// Done whenever a file is begun, which is the only time that the folder can outgrow its limits: each file keeps
    /// to its own. Leaves room for the file in hand to fill up.
    fn prune(&self, limits: &config::Log) -> io::Result<()> {
        let mut files = self.files()?;
        files.pop();
        let others_bytes_max = u64::from(limits.max_total_mb.saturating_sub(limits.max_file_mb)) * MB;
        let mut kept_bytes = 0;
        for (i, (name, bytes)) in files.iter().rev().enumerate() {
            kept_bytes += bytes;
            if i + 1 >= limits.keep_files as usize || kept_bytes > others_bytes_max {
                std::fs::remove_file(self.dir.join(name))?;
            }
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> config::Log {
        config::Config::default().log
    }

    /// What is logged in `act`, line by line.
    fn logged(settings: &config::Log, act: impl FnOnce(&Control)) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::open(dir.path().into(), settings).unwrap();
        let control = logs.control();
        let subscriber = tracing_subscriber::registry().with(Writer(control.0.clone()));
        tracing::subscriber::with_default(subscriber, || act(&control));
        drop(logs);
        all_lines(dir.path())
    }

    fn all_lines(dir: &std::path::Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        let texts = names.iter().map(|name| std::fs::read_to_string(name).unwrap());
        texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    fn log_file(dir: &std::path::Path, settings: config::Log) -> LogFile {
        let unwritten = Arc::new(AtomicU64::new(0));
        LogFile { dir: dir.into(), limits: Arc::new(Mutex::new(settings)), unwritten, open: None }
    }

    fn line_of_bytes(day: &str, bytes: usize) -> Vec<u8> {
        format!("{day}T00:00:00.000Z {}\n", ".".repeat(bytes - 26)).into_bytes()
    }

    #[test]
    fn a_line_has_the_form_that_is_read_back() {
        let lines = logged(&settings(), |_| tracing::warn!(count = 3, "the disk is {}", "slow"));
        let (time, rest) = lines[0].split_at(24);
        assert!(clock::parse_rfc3339_or_date(time).is_ok(), "{time}");
        assert_eq!(rest, " WARN memoria::daemon::logs::tests: the disk is slow count=3");
    }

    #[test]
    fn an_event_is_one_line_whatever_it_holds() {
        let long = format!("first\nsecond\u{1b}[31m{}", "é".repeat(LINE_BYTES_MAX));
        let lines = logged(&settings(), |_| tracing::info!("{long}"));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("first\\nsecond\\u{1b}[31m") && lines[0].ends_with("bytes more)"), "{}", lines[0]);
    }

    #[test]
    fn only_our_own_targets_are_written() {
        let lines = logged(&settings(), |_| {
            tracing::error!(target: "tokio::net", "may hold a memory");
            tracing::error!("ours");
        });
        assert!(lines.len() == 1 && lines[0].ends_with("ours"), "{lines:?}");
    }

    #[test]
    fn level_changes_while_running() {
        let lines = logged(&settings(), |control| {
            let say = |what: &str| tracing::debug!("{what}");
            say("too early");
            control.apply(&config::Log { level: config::Level::Debug, ..settings() });
            say("heard");
            control.apply(&config::Log { level: config::Level::Error, ..settings() });
            tracing::warn!("too late");
        });
        assert!(lines.len() == 1 && lines[0].ends_with("heard"), "{lines:?}");
    }

    #[test]
    fn an_error_is_remembered_for_status() {
        logged(&settings(), |_| tracing::error!("the index is gone"));
        assert!(last_error().is_some());
    }

    #[test]
    fn a_panic_is_logged_without_what_it_was_working_on() {
        let text = "a memory of the user";
        let lines = logged(&settings(), |_| {
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(log_panic));
            let _ = std::panic::catch_unwind(|| panic!("broken"));
            let _ = std::panic::catch_unwind(|| panic!("cannot split {text}"));
            std::panic::set_hook(hook);
        });
        assert!(lines[0].contains("ERROR memoria::panic: panic at src/daemon/logs.rs:"), "{lines:?}");
        assert!(lines[0].ends_with("broken") && lines[1].ends_with("no fixed message"), "{lines:?}");
    }

    #[test]
    fn a_full_file_gives_way_to_a_new_one_and_the_folder_keeps_its_limits() {
        let dir = tempfile::tempdir().unwrap();
        let mut file =
            log_file(dir.path(), config::Log { max_file_mb: 1, max_total_mb: 3, keep_files: 7, ..settings() });
        for _ in 0..80 {
            file.write_all(&line_of_bytes("2026-11-23", 100_000)).unwrap();
        }
        let files = file.files().unwrap();
        assert!(files.iter().all(|(_, bytes)| *bytes <= MB), "{files:?}");
        assert!(files.iter().map(|(_, bytes)| bytes).sum::<u64>() <= 3 * MB, "{files:?}");
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["memoriad.2026-11-23.0006.log", "memoriad.2026-11-23.0007.log", "memoriad.2026-11-23.log"]);
    }

    #[test]
    fn the_oldest_days_go_first() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("notes.txt"), "not ours").unwrap();
        let mut file = log_file(dir.path(), config::Log { keep_files: 2, ..settings() });
        for day in ["2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23"] {
            file.write_all(&line_of_bytes(day, 100)).unwrap();
        }
        let names: Vec<_> = file.files().unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["memoriad.2026-11-22.log", "memoriad.2026-11-23.log"]);
        assert!(dir.path().join("notes.txt").exists());
    }

    #[cfg(unix)]
    #[test]
    fn log_files_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let mut file = log_file(dir.path(), settings());
        file.write_all(&line_of_bytes("2026-11-23", 100)).unwrap();
        let mode = std::fs::metadata(file.path("2026-11-23", None)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn lost_lines_are_counted_and_the_count_is_logged_once_a_minute() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = log_file(&dir.path().join("gone"), settings());
        assert!(file.write_all(&line_of_bytes("2026-11-23", 100)).is_err());
        assert_eq!(file.unwritten.load(Ordering::Relaxed), 1);

        let lines = logged(&settings(), |control| {
            for _ in 0..3 {
                control.0.unwritten.fetch_add(2, Ordering::Relaxed);
                tracing::info!("going on");
            }
        });
        let reports: Vec<_> = lines.iter().filter(|line| line.contains("log lines were lost")).collect();
        assert!(reports[0].contains(" 2 log lines were lost"), "{lines:?}");
        assert!(reports.len() == 2 && reports[1].contains(" 4 log lines were lost"), "at the end the rest: {lines:?}");
    }
}
