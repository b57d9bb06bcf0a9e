//! Finding the daemon, or starting one: exactly one, however many try at once.
//! The Hello is the proof of life, not the connection; silence is not death; and whoever may start a daemon is
//! decided by locks, never by the socket.

use std::fs::{File, TryLockError};
use std::io::ErrorKind as Io;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio::time::{Instant, sleep, timeout};

use super::spawn::{self, Started};
use crate::error::{Error, Result};
use crate::model::OpId;
use crate::paths::Paths;
use crate::wire::hello::{Build, Hello, Role, greet};
use crate::wire::limits::{
    ATTEMPTS_MAX, DRAIN_WATCHDOG, OPEN_WITHIN, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, START_WITHIN,
};
use crate::wire::message::{Ask, ClientKind, Envelope, Open, Opened, Request, StopReason, ToClient, ToDaemon};
use crate::wire::{codec, frame, socket};

pub use super::call::Client;

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// A session that the daemon has opened.
pub struct Connection {
    incoming: frame::Incoming,
    writer: WriteHalf<socket::Stream>,
    /// Who answered.
    pub daemon: Hello,
    /// The session's name.
    pub opened: Opened,
}

impl Connection {
    /// Sends one message.
    ///
    /// # Errors
    /// `TooLarge` for what no frame takes; anything else means that the daemon is gone.
    pub async fn send(&mut self, serial: u32, body: &ToDaemon) -> Result<()> {
        let bytes = frame::encode(&Envelope { serial, body }, REQUEST_BYTES_MAX)?;
        self.writer.write_all(&bytes).await.map_err(|e| Error::io("write to the daemon", &e))
    }

    /// The daemon's next message; `None` when it has gone. Can be cancelled.
    ///
    /// # Errors
    /// When what comes is no message, or the connection breaks: the daemon is as good as gone.
    pub async fn receive(&mut self) -> Result<Option<Envelope<ToClient>>> {
        self.incoming.next().await?.map(|bytes| codec::decode(&bytes)).transpose()
    }
}

/// What came of one attempt to reach a daemon.
enum Probe {
    Ready(Box<Connection>),
    /// Nobody is there, or it died before its first word.
    Gone,
    /// Somebody may be there and says nothing: wait, never start another.
    Silent,
    Refused(Error),
}

/// A session with the daemon that runs, if one does. Starts nothing.
///
/// # Errors
/// When a daemon is there but refuses, or stays silent for as long as a starter would wait.
pub async fn connect(paths: &Paths, open: &Open) -> Result<Option<Connection>> {
    let deadline = Instant::now() + START_WITHIN;
    loop {
        match probe(paths, open).await {
            Probe::Ready(connection) => return Ok(Some(*connection)),
            Probe::Gone => return Ok(None),
            Probe::Refused(error) => return Err(error),
            Probe::Silent if Instant::now() >= deadline => return Err(silence(paths)),
            Probe::Silent => sleep(PAUSE_MIN).await,
        }
    }
}

/// A session with the daemon, which is started when there is none, or replaced when it is older than this program. One
/// that is killed while it starts is started again.
///
/// # Errors
/// Why no daemon could be reached or started, in a sentence for the person who waits.
pub async fn connect_or_start(paths: &Paths, open: &Open) -> Result<Connection> {
    let mut deadline = Instant::now() + START_WITHIN;
    let mut pause = PAUSE_MIN;
    let mut start_lock = None;
    let mut may_replace = true;
    let mut deaths = 0;
    loop {
        match probe(paths, open).await {
            Probe::Ready(connection) if may_replace && is_outdated(connection.daemon.build) => {
                may_replace = false;
                hand_over(*connection).await;
                deadline = Instant::now() + DRAIN_WATCHDOG + START_WITHIN;
                continue;
            }
            Probe::Ready(connection) => return Ok(*connection),
            Probe::Refused(error) => return Err(error),
            Probe::Silent => {}
            Probe::Gone if start_lock.is_none() => {
                start_lock = take_start_lock(paths)?;
                if start_lock.is_some() {
                    // Somebody may have started one between our look and our lock: look again.
                    pause = PAUSE_MIN;
                    continue;
                }
            }
            Probe::Gone => match spawn::daemon(deadline).await? {
                Started::Ready => continue,
                // The one before is still being torn down, or somebody else's start was faster.
                Started::LockHeld => {}
                Started::Died(why) => {
                    deaths += 1;
                    if deaths >= ATTEMPTS_MAX {
                        return Err(why);
                    }
                }
            },
        }
        if Instant::now() >= deadline {
            return Err(silence(paths));
        }
        sleep(pause).await;
        if start_lock.is_none() {
            pause = (pause * 3 / 2).min(PAUSE_MAX);
        }
    }
}

/// Starts a daemon unless one answers; for `memoria start`. Says whether it had to.
///
/// # Errors
/// As [`connect_or_start`].
pub async fn start(paths: &Paths, open: &Open) -> Result<(Connection, bool)> {
    if let Some(connection) = connect(paths, open).await? {
        return Ok((connection, false));
    }
    Ok((connect_or_start(paths, open).await?, true))
}

async fn probe(paths: &Paths, open: &Open) -> Probe {
    let mut stream = match socket::connect(&paths.socket_path()).await {
        Ok(stream) => stream,
        Err(e) if matches!(e.kind(), Io::NotFound | Io::ConnectionRefused) => return Probe::Gone,
        Err(e) if matches!(e.kind(), Io::WouldBlock | Io::TimedOut | Io::Interrupted) => return Probe::Silent,
        // ERROR_PIPE_BUSY: every instance of the pipe is taken for the moment.
        Err(e) if cfg!(windows) && e.raw_os_error() == Some(231) => return Probe::Silent,
        Err(e) => {
            // Most likely the folders are not ours to use, and their own check says what mends that.
            let plain = Error::io(format_args!("use {}", paths.socket_path().display()), &e);
            return Probe::Refused(paths.prepare().err().unwrap_or(plain));
        }
    };
    match socket::check_peer(&stream) {
        // No peer yet: the daemon's queue of connections is full.
        Err(_) => return Probe::Silent,
        Ok(Err(error)) => return Probe::Refused(error),
        Ok(Ok(())) => {}
    }
    let role = match open.client {
        ClientKind::Shim => Role::Shim,
        ClientKind::Cli => Role::Cli,
    };
    match greet(&mut stream, role).await {
        Ok(Ok(daemon)) => open_session(stream, daemon, open).await,
        Ok(Err(error)) => Probe::Refused(error),
        Err(e) => match e.kind() {
            Io::UnexpectedEof | Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::NotConnected => {
                Probe::Gone
            }
            _ => Probe::Silent,
        },
    }
}

async fn open_session(stream: socket::Stream, daemon: Hello, open: &Open) -> Probe {
    let (reader, mut writer) = tokio::io::split(stream);
    let message = Envelope { serial: 0, body: ToDaemon::Open(open.clone()) };
    let bytes = match frame::encode(&message, REQUEST_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) => return Probe::Refused(error),
    };
    if writer.write_all(&bytes).await.is_err() {
        return Probe::Gone;
    }
    let mut incoming = frame::Incoming::start(reader, REPLY_BYTES_MAX);
    let answer = match timeout(OPEN_WITHIN, incoming.next()).await {
        Err(_) => return Probe::Silent,
        Ok(Err(_) | Ok(None)) => return Probe::Gone,
        Ok(Ok(Some(bytes))) => codec::decode::<Envelope<ToClient>>(&bytes),
    };
    match answer.map(|envelope| envelope.body) {
        Ok(ToClient::Opened(opened)) => Probe::Ready(Box::new(Connection { incoming, writer, daemon, opened })),
        Ok(ToClient::Failed(error)) if error.is_retryable() => Probe::Gone,
        Ok(ToClient::Failed(error)) | Err(error) => Probe::Refused(error),
        Ok(_) => Probe::Refused(Error::protocol("the daemon did not open the session; run `memoria restart`")),
    }
}

/// Whether the daemon is older than the one that we would start. Never true for a newer one: two installed
/// versions would replace each other for ever.
fn is_outdated(running: Build) -> bool {
    running < Build::own() && spawn::installed_build().is_some_and(|installed| running < installed)
}

/// Asks the daemon to drain and make room; its end shows in the next probes.
async fn hand_over(mut connection: Connection) {
    let op = OpId { nonce: OpId::nonce(), line: 0 };
    let request = Request::Stop(StopReason::HandOver);
    if connection.send(1, &ToDaemon::Ask(Ask { op, attempt: 1, is_replay: false, request })).await.is_ok() {
        let _ = timeout(OPEN_WITHIN, connection.receive()).await;
    }
}

/// `None` while another starter holds it.
fn take_start_lock(paths: &Paths) -> Result<Option<File>> {
    paths.prepare()?;
    let path = paths.start_lock_file();
    let failed = |e: std::io::Error| Error::io(format_args!("lock {} to start the daemon", path.display()), &e);
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(failed(e)),
    }
}

/// Nobody answered in time, although somebody seems to be there.
fn silence(paths: &Paths) -> Error {
    let holder = std::fs::read_to_string(paths.lock_file()).unwrap_or_default();
    let waited = START_WITHIN.as_secs();
    match holder.trim().parse::<u32>() {
        Ok(pid) => Error::unavailable(format!(
            "the daemon (process {pid}) has not answered for {waited} seconds: look at `memoria logs`; if it hangs, \
             `memoria restart --force` ends it and starts anew, and no acknowledged memory is lost"
        )),
        Err(_) => Error::unavailable(format!(
            "no daemon answered within {waited} seconds, though one is being started: look at `memoria logs`, then \
             try again"
        )),
    }
}
