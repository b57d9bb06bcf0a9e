//! Asking the daemon one thing after the other, as commands do. A request that a dying daemon did not answer is
//! sent again under the same operation id, so that it happens once.

use super::connect::{self, Connection};
use super::project;
use crate::error::{Error, Result};
use crate::model::OpId;
use crate::paths::Paths;
use crate::wire::hello::MINOR;
use crate::wire::limits::ATTEMPTS_MAX;
use crate::wire::message::{Ask, ClientKind, Open, Opened, Request, Response, ToClient, ToDaemon};

/// A client with a session of its own.
pub struct Client {
    paths: Paths,
    open: Open,
    /// `None` after the daemon has gone.
    connection: Option<Connection>,
    opened: Opened,
    calls: u64,
}

impl Client {
    /// Starts the daemon when there is none.
    ///
    /// # Errors
    /// Why no daemon could be reached or started.
    pub async fn connect_or_start(paths: &Paths, client: ClientKind) -> Result<Self> {
        let open = introduction(client);
        let connection = connect::connect_or_start(paths, &open).await?;
        Ok(Self::with(paths, open, connection))
    }

    /// `None` when no daemon runs.
    ///
    /// # Errors
    /// When one is there but refuses or stays silent.
    pub async fn connect(paths: &Paths, client: ClientKind) -> Result<Option<Self>> {
        let open = introduction(client);
        let connection = connect::connect(paths, &open).await?;
        Ok(connection.map(|connection| Self::with(paths, open, connection)))
    }

    fn with(paths: &Paths, open: Open, connection: Connection) -> Self {
        let opened = connection.opened.clone();
        Self { paths: paths.clone(), open, connection: Some(connection), opened, calls: 0 }
    }

    /// What the daemon said when it opened the session.
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Asks and waits for the answer, through a restart of the daemon if need be.
    ///
    /// # Errors
    /// The daemon's own, or why it could not be reached.
    pub async fn ask(&mut self, request: Request) -> Result<Response> {
        self.calls += 1;
        let op = OpId { nonce: self.open.nonce, line: self.calls };
        for attempt in 1..=ATTEMPTS_MAX {
            let connection = match &mut self.connection {
                Some(connection) => connection,
                slot => slot.insert(connect::connect_or_start(&self.paths, &self.open).await?),
            };
            let ask = Ask { op, attempt, is_replay: false, request: request.clone() };
            match exchange(connection, self.calls as u32, ask).await {
                Err(error) => return Err(error),
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => self.connection = None,
            }
            // Stopping is done when the daemon has gone, and must not start the next one.
            if let Request::Stop(_) = request {
                return Ok(Response::Stopping { pid: self.opened.pid });
            }
        }
        Err(Error::unknown(format!(
            "the daemon died {ATTEMPTS_MAX} times over this request; whether it was done, `memoria log` tells"
        )))
    }
}

/// A talk with the daemon that runs: nothing is started, and nothing is sent again. For whoever has no time.
pub struct Running {
    connection: Connection,
    nonce: [u8; 16],
    calls: u64,
}

impl Running {
    /// `None` where no daemon runs.
    ///
    /// # Errors
    /// When one is there but refuses or stays silent; or is older than this program, and does not know every request.
    pub async fn connect(paths: &Paths, open: &Open) -> Result<Option<Self>> {
        let Some(connection) = connect::connect(paths, open).await? else { return Ok(None) };
        if connection.daemon.minor < MINOR {
            let older = connection.daemon.build;
            return Err(Error::protocol(format!("the daemon that runs is older, {older}: run `memoria restart`")));
        }
        Ok(Some(Self { connection, nonce: open.nonce, calls: 0 }))
    }

    /// `None` where the daemon goes before it has answered.
    ///
    /// # Errors
    /// The daemon's own.
    pub async fn ask(&mut self, request: Request) -> Result<Option<Response>> {
        self.calls += 1;
        let op = OpId { nonce: self.nonce, line: self.calls };
        exchange(&mut self.connection, self.calls as u32, Ask { op, attempt: 1, is_replay: false, request }).await
    }
}

/// `None` when the daemon went before it answered, or is going and refused.
async fn exchange(connection: &mut Connection, serial: u32, ask: Ask) -> Result<Option<Response>> {
    let is_stop = matches!(ask.request, Request::Stop(_));
    match connection.send(serial, &ToDaemon::Ask(ask)).await {
        Err(error) if error.kind == crate::error::ErrorKind::TooLarge => return Err(error),
        Err(_) => return Ok(None),
        Ok(()) => {}
    }
    loop {
        let Ok(Some(envelope)) = connection.receive().await else { return Ok(None) };
        match envelope.body {
            ToClient::Done(answer) if envelope.serial == serial => return Ok(Some(*answer)),
            ToClient::Failed(error) if envelope.serial == serial => {
                return if error.kind == crate::error::ErrorKind::ShuttingDown && !is_stop {
                    Ok(None)
                } else {
                    Err(error)
                };
            }
            _ => {}
        }
    }
}

/// Who this process is, in its own folder.
pub fn introduction(client: ClientKind) -> Open {
    let cwd = std::env::current_dir().ok();
    Open {
        client,
        nonce: OpId::nonce(),
        project: cwd.as_deref().and_then(project::identify),
        cwd: cwd.map(|dir| dir.to_string_lossy().into_owned()).unwrap_or_default(),
        pid: std::process::id(),
    }
}
