//! The temporary folder in which the demo plays, and its clearing: nothing of it stays, whatever happened.

use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::client::spawn;
use crate::error::{Error, Result};

use super::super::process::{kill, make_private, temporary_folder};

#[derive(Clone)]
pub struct Stage {
    dir: PathBuf,
    /// The daemon that ran last, 0 before the first.
    daemon: Arc<AtomicU32>,
    /// The agents' shims; `None` when the curtain is down and nobody may enter any more.
    shims: Arc<Mutex<Option<Vec<Child>>>>,
}

impl Stage {
    pub fn new() -> Result<Self> {
        let dir = temporary_folder("demo")?;
        for inner in ["home", "project"] {
            make_private(&dir.join(inner))?;
        }
        Ok(Self { dir, daemon: Arc::default(), shims: Arc::new(Mutex::new(Some(Vec::new()))) })
    }

    /// A `memoria mcp` for an agent.
    pub fn shim(&self) -> Result<(ChildStdin, ChildStdout)> {
        let mut shims = self.shims.lock().unwrap_or_else(PoisonError::into_inner);
        let shims = shims.as_mut().ok_or_else(over)?;
        let mut command = self.memoria();
        command.arg("mcp").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| Error::io("start `memoria mcp`", &e))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        shims.push(child);
        pipes.ok_or_else(|| Error::internal("`memoria mcp` was started without pipes"))
    }

    /// Ends the shims, so that none of them starts the daemon again.
    pub fn close(&self) {
        let shims = self.shims.lock().unwrap_or_else(PoisonError::into_inner).take();
        for mut shim in shims.into_iter().flatten() {
            // It may have ended by itself.
            let _ = shim.kill();
            let _ = shim.wait();
        }
    }

    /// This program in the demo's home and project, without the settings of the person who runs it.
    fn memoria(&self) -> Command {
        let mut command = Command::new(spawn::program("memoria"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MEMORIA_")) {
            command.env_remove(name);
        }
        command.env("MEMORIA_HOME", self.dir.join("home")).current_dir(self.dir.join("project"));
        command
    }

    /// What a command answers with `--json`.
    pub fn answer(&self, words: &[&str]) -> Result<Value> {
        if self.shims.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            return Err(over());
        }
        self.run(words)
    }

    fn run(&self, words: &[&str]) -> Result<Value> {
        let done = self
            .memoria()
            .args(words)
            .arg("--json")
            .stdin(Stdio::null())
            .output()
            .map_err(|e| Error::io("run memoria", &e))?;
        let answer: Value = serde_json::from_slice(&done.stdout).unwrap_or_default();
        match answer["error"]["message"].as_str() {
            Some(message) => Err(Error::internal(format!("`memoria {}`: {message}", words.join(" ")))),
            None if answer.is_null() => Err(Error::internal(format!("`memoria {}` said nothing", words.join(" ")))),
            None => Ok(answer),
        }
    }

    /// Asks which process is the daemon, and keeps it for the clearing.
    pub fn note_daemon(&self) -> Result<u32> {
        let status = self.answer(&["status"])?;
        let pid = status["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        self.daemon.store(pid, Ordering::Relaxed);
        Ok(pid)
    }

    pub fn daemon(&self) -> u32 {
        self.daemon.load(Ordering::Relaxed)
    }

    /// Stops the daemon and removes the folder, and the socket's where that had to be elsewhere.
    pub fn clear(&self) -> Result<()> {
        self.close();
        let socket = self.run(&["status"]).ok().and_then(|s| s["paths"]["socket"].as_str().map(PathBuf::from));
        if self.run(&["stop"]).is_err() && self.daemon() != 0 {
            // It had its chance; whether it is there at all is not known.
            let _ = kill(self.daemon());
        }
        if let Some(folder) = socket.as_deref().and_then(Path::parent).filter(|folder| !folder.starts_with(&self.dir)) {
            let _ = std::fs::remove_dir(folder);
        }
        std::fs::remove_dir_all(&self.dir).map_err(|e| Error::io(format_args!("remove {}", self.dir.display()), &e))
    }
}

fn over() -> Error {
    Error::cancelled("the demo is over")
}
