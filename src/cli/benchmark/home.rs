//! A store for one benchmark: a temporary folder, a daemon of its own in it, and one session with that. Whatever
//! happens, the daemon is ended by its process and the folder removed when this is dropped.

use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::client::connect::{self, Connection};
use crate::client::spawn;
use crate::error::{Error, Result};
use crate::model::OpId;
use crate::paths::Paths;
use crate::wire::message::{Ask, ClientKind, Open, Request, Response, Status, StopReason, ToClient, ToDaemon};

use super::super::ask::unexpected;
use super::super::process::temporary_folder;

/// Longer than the watchdog of a daemon that drains.
const END_WITHIN: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

pub struct Home {
    daemon: Daemon,
    connection: Connection,
    nonce: [u8; 16],
    asked: u32,
}

impl Home {
    /// With these settings, as `(variable, value)`; all others are at their defaults.
    pub async fn open(settings: &[(String, String)]) -> Result<Self> {
        let daemon = Daemon::start(settings)?;
        let nonce = OpId::nonce();
        let cwd = daemon.folder.path.to_string_lossy().into_owned();
        let open = Open { client: ClientKind::Cli, nonce, project: None, cwd, pid: std::process::id() };
        let connection = connect::connect(&Paths::in_home(&daemon.folder.path)?, &open).await?.ok_or_else(gone)?;
        let mut home = Self { daemon, connection, nonce, asked: 0 };
        // A running daemon keeps its settings when it is given bad ones; a measurement must have what it names.
        match home.status().await?.config_error {
            Some(why) => Err(Error::invalid(why)),
            None => Ok(home),
        }
    }

    /// Asks and waits for the answer; a daemon that dies is not started again, since its end is a finding.
    pub async fn ask(&mut self, request: Request) -> Result<Response> {
        self.asked += 1;
        let op = OpId { nonce: self.nonce, line: u64::from(self.asked) };
        let ask = Ask { op, attempt: 1, is_replay: false, request };
        self.connection.send(self.asked, &ToDaemon::Ask(ask)).await?;
        loop {
            let envelope = self.connection.receive().await?.ok_or_else(gone)?;
            match envelope.body {
                ToClient::Done(answer) if envelope.serial == self.asked => return Ok(*answer),
                ToClient::Failed(error) if envelope.serial == self.asked => return Err(error),
                _ => {}
            }
        }
    }

    pub async fn status(&mut self) -> Result<Box<Status>> {
        match self.ask(Request::Status).await? {
            Response::Status(status) => Ok(status),
            _ => Err(unexpected()),
        }
    }

    /// Lets the daemon finish; what is left of it after that is ended.
    pub async fn close(mut self) -> Result<()> {
        self.ask(Request::Stop(StopReason::Stop)).await?;
        let deadline = Instant::now() + END_WITHIN;
        while Instant::now() < deadline && matches!(self.daemon.process.try_wait(), Ok(None)) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }
}

/// Ended when it is dropped, and then its folder is removed.
struct Daemon {
    process: Child,
    folder: Folder,
}

impl Daemon {
    fn start(settings: &[(String, String)]) -> Result<Self> {
        let folder = Folder::new()?;
        Ok(Self { process: spawn::child(&folder.path, settings)?, folder })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn gone() -> Error {
    Error::unavailable("the benchmark's own daemon has died; nothing of yours is concerned. Its store is removed")
}

/// Removed with everything in it when it is dropped.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new() -> Result<Self> {
        Ok(Self { path: temporary_folder("benchmark")? })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The socket's folder is elsewhere where the path was too long for a socket.
        if let Ok(paths) = Paths::in_home(&self.path)
            && !paths.runtime_dir.starts_with(&self.path)
        {
            let _ = std::fs::remove_dir_all(paths.runtime_dir);
        }
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
