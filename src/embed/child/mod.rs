//! The process `memoriad embed`, from the daemon's side: it is started when it is needed, asked one thing at a time,
//! never waited for without end, and left alone for a while after it failed. Whatever happens in it, the daemon lives.
//!
//! `recipe` reads a model's folder, `library` finds the runtime, `frame` is what is said, `serve` and `runtime` are the
//! process itself.

pub mod frame;
pub mod library;
pub mod recipe;
mod runtime;
pub mod serve;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::frame::{Reply, Start};
use super::background;
use crate::error::{Error, ErrorKind, Result};

/// For loading: a runtime of 35 MB and weights of gigabytes from a slow disk.
const START_MAX: Duration = Duration::from_secs(120);
/// For one text of 512 pieces through a large model on a busy machine.
const TEXT_MAX: Duration = Duration::from_secs(30);
/// Before the next start after the first failure.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// For ending by itself, once its input has ended.
const END_MAX: Duration = Duration::from_secs(2);
/// How often it is looked whether it has ended.
const END_STEP: Duration = Duration::from_millis(5);
/// Bytes of its last words that are kept.
const WORDS_BYTES_MAX: usize = 300;

/// How it is started, and the process while there is one.
pub struct Worker {
    program: PathBuf,
    start: Start,
    /// Of waits: another in tests alone.
    patience: Patience,
    state: Mutex<State>,
}

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub start: Duration,
    /// For each text of a request.
    pub text: Duration,
    /// Before the next start after a failure; twice as long after each further one.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { start: START_MAX, text: TEXT_MAX, pause: PAUSE }
    }
}

#[derive(Default)]
struct State {
    process: Option<Process>,
    /// Since it last answered.
    failures: u32,
    rests_until: Option<Instant>,
    why: String,
}

impl Worker {
    /// Starts nothing yet.
    pub fn new(program: PathBuf, start: Start, patience: Patience) -> Self {
        Self { program, start, patience, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers of the texts' vectors, one after the other. Waits for others who ask.
    ///
    /// # Errors
    /// `Unavailable` with what it said last, when it cannot be started, dies, hangs or was left alone after that;
    /// `Invalid` where it answers that it cannot.
    pub fn vectors(&self, texts: &[String]) -> Result<Vec<f32>> {
        let mut state = self.state();
        // It ends by itself when it is idle; that is no failure.
        if state.process.as_mut().is_some_and(Process::has_ended) {
            state.process = None;
        }
        let outcome = self.asked(&mut state, texts);
        match &outcome {
            Ok(_) | Err(Error { kind: ErrorKind::Invalid, .. }) if state.process.is_some() => {
                state.failures = 0;
                state.rests_until = None;
            }
            Err(error) if state.rests_until.is_none_or(|until| until <= Instant::now()) => {
                state.process = None;
                state.failures += 1;
                state.why.clone_from(&error.message);
                let pause = self.patience.pause * 2u32.saturating_pow((state.failures - 1).min(12));
                state.rests_until = Some(Instant::now() + pause.min(PAUSE_MAX));
            }
            _ => {}
        }
        outcome
    }

    fn asked(&self, state: &mut State, texts: &[String]) -> Result<Vec<f32>> {
        if let Some(left) = state.rests_until.map(|until| until.saturating_duration_since(Instant::now()))
            && !left.is_zero()
        {
            let seconds = left.as_secs() + 1;
            return Err(Error::unavailable(format!("{}. It is tried again in {seconds} s", state.why)));
        }
        let process = match &mut state.process {
            Some(process) => process,
            none => none.insert(Process::started(&self.program, &self.start, self.patience.start)?),
        };
        let body = serde_json::to_vec(texts).map_err(|e| Error::internal(format!("texts cannot be sent: {e}")))?;
        let most = self.patience.text * u32::try_from(texts.len()).unwrap_or(u32::MAX);
        match process.exchange(&body, most)? {
            Reply::Vectors(numbers) => Ok(numbers),
            Reply::Failed(why) => Err(Error::invalid(why)),
            Reply::Ready(_) => Err(Error::internal("the process that makes vectors said something out of turn")),
        }
    }

    /// The process as it is now.
    pub fn describe(&self) -> String {
        // Somebody who waits for it holds the lock, perhaps for long.
        let Ok(state) = self.state.try_lock() else { return "its process is at work".to_owned() };
        match (&state.process, state.failures) {
            (Some(process), _) => format!("{}, process {}", process.about, process.pid),
            (None, 0) => "its process starts when it is needed".to_owned(),
            (None, _) => format!("its process failed: {}", state.why),
        }
    }

    /// Ends the process. The next request starts another.
    pub fn rest(&self) {
        self.state().process = None;
    }
}

/// A running process; it ends when this is dropped.
struct Process {
    pid: u32,
    /// What it runs on, by its own words.
    about: String,
    /// `None` once it is to end.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// Tells when its last words have been heard.
    heard: mpsc::Receiver<()>,
    shared: Arc<Shared>,
}

/// With the threads that watch over it.
struct Shared {
    child: Mutex<Child>,
    watch: Mutex<Watch>,
    changed: Condvar,
    last_words: Mutex<String>,
}

/// What the watching thread does.
#[derive(Default)]
struct Watch {
    /// Then it is killed.
    until: Option<Instant>,
    was_late: bool,
    is_over: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    fn started(program: &Path, start: &Start, most: Duration) -> Result<Self> {
        let failed = |e: std::io::Error| {
            Error::unavailable(format!("cannot start the process that makes vectors ({}): {e}", program.display()))
        };
        let mut child = background::command(program)
            .arg("embed")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let pid = child.id();
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let shared = Arc::new(Shared {
            child: Mutex::new(child),
            watch: Mutex::default(),
            changed: Condvar::new(),
            last_words: Mutex::default(),
        });
        let (input, Some(output), Some(errors)) = pipes else {
            return Err(Error::internal("the process that makes vectors has no pipes"));
        };
        let output = BufReader::new(output);
        let (tell, heard) = mpsc::channel();
        let mut process = Self { pid, about: String::new(), input, output, heard, shared };
        let (hearing, watching) = (Arc::clone(&process.shared), Arc::clone(&process.shared));
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned()).stack_size(64 * 1024);
        let hear = move || {
            hearing.hear(errors);
            // Nobody waits for it where nobody asks for last words.
            let _ = tell.send(());
        };
        thread("embed-errors").spawn(hear).map_err(failed)?;
        thread("embed-watch").spawn(move || watching.watch()).map_err(failed)?;
        let body = serde_json::to_vec(start).map_err(|e| Error::internal(format!("a start cannot be sent: {e}")))?;
        match process.exchange(&body, most)? {
            Reply::Ready(about) => process.about = about,
            Reply::Failed(why) => return Err(Error::unavailable(why)),
            Reply::Vectors(_) => return Err(Error::internal("the process that makes vectors answers out of turn")),
        }
        Ok(process)
    }

    fn exchange(&mut self, body: &[u8], most: Duration) -> Result<Reply> {
        self.shared.kill_at(Some(Instant::now() + most));
        let input = self.input.as_mut();
        let said = match input.map(|input| frame::write(input, body)) {
            Some(Ok(())) => frame::read(&mut self.output),
            Some(Err(e)) => Err(e),
            None => Ok(None),
        };
        self.shared.kill_at(None);
        match said {
            Ok(Some(body)) => Reply::from_bytes(&body)
                .ok_or_else(|| Error::unavailable("the process that makes vectors says what is no reply of ours")),
            Ok(None) | Err(_) if lock(&self.shared.watch).was_late => Err(Error::unavailable(format!(
                "the process that makes vectors (pid {}) did not answer within {} s, and was ended",
                self.pid,
                most.as_secs_f32()
            ))),
            Ok(None) | Err(_) => Err(self.death()),
        }
    }

    /// How it died, or what it was ended for.
    fn death(&mut self) -> Error {
        let status = self.ended().map_or_else(|e| e.to_string(), |status| status.to_string());
        // They end with it, unless somebody else holds its error output.
        let _ = self.heard.recv_timeout(END_MAX);
        let words = lock(&self.shared.last_words).clone();
        let words = if words.is_empty() { String::new() } else { format!(": {words}") };
        Error::unavailable(format!("the process that makes vectors (pid {}) ended, {status}{words}", self.pid))
    }

    /// Nothing is expected of it any more.
    fn ended(&self) -> std::io::Result<ExitStatus> {
        let mut child = lock(&self.shared.child);
        // Fails where it has ended by itself, as it should have.
        let _ = child.kill();
        child.wait()
    }

    fn has_ended(&mut self) -> bool {
        !matches!(lock(&self.shared.child).try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        let until = Instant::now() + END_MAX;
        while !self.has_ended() && Instant::now() < until {
            std::thread::sleep(END_STEP);
        }
        // Where it did not end at the end of its input, as it should have, it is killed.
        let _ = self.ended();
        lock(&self.shared.watch).is_over = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn kill_at(&self, until: Option<Instant>) {
        lock(&self.watch).until = until;
        self.changed.notify_all();
    }

    /// Kills it when it is time.
    fn watch(&self) {
        let mut watch = lock(&self.watch);
        while !watch.is_over {
            let left = watch.until.map(|until| until.saturating_duration_since(Instant::now()));
            watch = match left {
                Some(left) if left.is_zero() => {
                    watch.until = None;
                    watch.was_late = true;
                    // Fails where it has just ended by itself.
                    let _ = lock(&self.child).kill();
                    watch
                }
                Some(left) => self.changed.wait_timeout(watch, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(watch).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Keeps the last line of what it says on its error output.
    fn hear(&self, errors: ChildStderr) {
        let mut errors = BufReader::new(errors);
        let mut line = Vec::new();
        while errors.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line[..line.len().min(WORDS_BYTES_MAX)]).trim().to_owned();
            if !text.is_empty() {
                *lock(&self.last_words) = text;
            }
            line.clear();
        }
    }
}
