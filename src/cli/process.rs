//! The daemon as a process, seen from outside: who holds the lock, waiting for its end, ending it by force; and what
//! commands that start one for themselves need: a temporary folder, and to hear that they shall end.
//! The lock is only looked at, never kept: whoever holds it is the daemon (`daemon/lock.rs`).

use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::model::OpId;
use crate::model::id::hex;
use crate::paths::Paths;

/// How often a wait looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The process that holds the data folder's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// As it wrote it into the lock file; `None` when that cannot be read (yet).
    pid: Option<u32>,
}

impl Holder {
    pub fn pid_text(self) -> String {
        self.pid.map_or_else(|| "an unknown process".to_owned(), |pid| format!("pid {pid}"))
    }

    pub fn pid(self) -> Option<u32> {
        self.pid
    }
}

/// Who is the daemon, if anybody is.
pub fn holder(paths: &Paths) -> Result<Option<Holder>> {
    let file = paths.lock_file();
    let mut handle = match File::open(&file) {
        Ok(handle) => handle,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(format_args!("look at the lock {}", file.display()), &e)),
    };
    match handle.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let pid = handle.read_to_string(&mut text).ok().and_then(|_| text.split_whitespace().next()?.parse().ok());
            Ok(Some(Holder { pid }))
        }
        Err(TryLockError::Error(e)) => Err(Error::io(format_args!("look at the lock {}", file.display()), &e)),
    }
}

/// Longer than any orderly end takes: the drain's limit from the settings, and what follows it.
pub fn end_wait(paths: &Paths) -> Duration {
    // A broken config file must not keep anybody from stopping the daemon.
    let config = Config::load(paths).unwrap_or_default();
    Duration::from_millis(u64::from(config.daemon.drain_ms_max)) + Duration::from_secs(8)
}

/// Whether this holder let the lock go within the time; an agent may have started the next daemon meanwhile.
pub async fn ends_within(paths: &Paths, before: Holder, time: Duration) -> Result<bool> {
    let deadline = Instant::now() + time;
    loop {
        // A lock file is empty for a moment while it changes hands.
        if holder(paths)?.is_none_or(|now| now.pid.is_some() && now.pid != before.pid) {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// A new folder for this user's eyes, for what shall leave nothing behind. Whoever asks for it removes it.
pub fn temporary_folder(purpose: &str) -> Result<PathBuf> {
    // A name that nobody can have made before us.
    let dir = std::env::temp_dir().join(format!("memoria-{purpose}-{}", &hex(&OpId::nonce())[..12]));
    make_private(&dir)?;
    Ok(dir)
}

/// Makes one folder that only this user can enter.
pub fn make_private(dir: &Path) -> Result<()> {
    #[cfg_attr(windows, allow(unused_mut))]
    let mut private = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut private, 0o700);
    private.create(dir).map_err(|e| Error::io(format_args!("make {}", dir.display()), &e))
}

/// Comes true when somebody wants this command to end: Ctrl-C, or SIGTERM.
pub async fn interrupted() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// Ends a process at once. The caller has seen it hold the daemon's lock, or is its parent.
#[cfg(unix)]
pub fn kill(pid: u32) -> Result<()> {
    let what = || format!("kill pid {pid}");
    let raw = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let pid = raw.ok_or_else(|| Error::invalid(format!("{pid} is not a process id")))?;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).map_err(|e| Error::io(what(), &e.into()))
}

/// Ends a process at once. The caller has seen it hold the daemon's lock, or is its parent.
#[cfg(not(unix))]
pub fn kill(pid: u32) -> Result<()> {
    let done = std::process::Command::new("taskkill").args(["/F", "/PID", &pid.to_string()]).output();
    match done {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => Err(Error::denied(String::from_utf8_lossy(&done.stderr).trim().to_owned())),
        Err(e) => Err(Error::io(format_args!("kill pid {pid}"), &e)),
    }
}
