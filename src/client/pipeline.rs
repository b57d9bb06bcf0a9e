//! Asking the daemon many things without waiting for each answer, as an import does. What a dying daemon did not
//! answer is sent again to the next one under the same operation ids, so that each happens once.

use std::collections::VecDeque;

use super::call::introduction;
use super::connect::{self, Connection};
use crate::error::{Error, ErrorKind, Result};
use crate::model::OpId;
use crate::paths::Paths;
use crate::wire::limits::{ACKNOWLEDGED_MAX, ATTEMPTS_MAX, IN_FLIGHT_BYTES_MAX, IN_FLIGHT_MAX};
use crate::wire::message::{Ask, ClientKind, Open, Request, Response, ToClient, ToDaemon};

/// A session with several requests under way.
pub struct Pipeline {
    paths: Paths,
    open: Open,
    /// `None` after the daemon has gone.
    connection: Option<Connection>,
    /// In the order of their sending.
    waiting: VecDeque<Sent>,
    serial: u32,
}

struct Sent {
    serial: u32,
    op: OpId,
    body: ToDaemon,
    bytes: usize,
}

impl Pipeline {
    /// Starts the daemon when there is none.
    ///
    /// # Errors
    /// Why no daemon could be reached or started.
    pub async fn connect_or_start(paths: &Paths, client: ClientKind) -> Result<Self> {
        let open = introduction(client);
        let connection = connect::connect_or_start(paths, &open).await?;
        Ok(Self { paths: paths.clone(), open, connection: Some(connection), waiting: VecDeque::new(), serial: 0 })
    }

    /// Whether a request of about this size may be sent now. More would wait in the socket, not in the daemon.
    pub fn has_room(&self, bytes: usize) -> bool {
        let under_way: usize = self.waiting.iter().map(|sent| sent.bytes).sum();
        self.waiting.is_empty() || (self.waiting.len() < IN_FLIGHT_MAX && under_way + bytes <= IN_FLIGHT_BYTES_MAX)
    }

    /// Sends a request of about `bytes`; its answer comes from [`next`](Self::next).
    ///
    /// # Errors
    /// `TooLarge` for what no message takes.
    pub async fn send(&mut self, op: OpId, request: Request, bytes: usize) -> Result<()> {
        self.serial += 1;
        let body = ToDaemon::Ask(Ask { op, attempt: 1, is_replay: false, request });
        let sent = Sent { serial: self.serial, op, body, bytes };
        if let Some(connection) = &mut self.connection {
            match connection.send(sent.serial, &sent.body).await {
                Err(error) if error.kind == ErrorKind::TooLarge => return Err(error),
                // It is sent again by `next`, with everything else that waits.
                Err(_) => self.connection = None,
                Ok(()) => {}
            }
        }
        self.waiting.push_back(sent);
        Ok(())
    }

    /// An answer to one of the requests under way, in the order of the answers; `None` when none is.
    ///
    /// # Errors
    /// The daemon's own, or why it could not be reached.
    pub async fn next(&mut self) -> Result<Option<(OpId, Response)>> {
        let mut attempts = 1;
        while !self.waiting.is_empty() {
            let connection = match &mut self.connection {
                Some(connection) => connection,
                None if attempts == ATTEMPTS_MAX => {
                    return Err(Error::unknown(format!(
                        "the daemon died {ATTEMPTS_MAX} times in a row; the same command goes on where it was"
                    )));
                }
                None => {
                    attempts += 1;
                    self.send_again().await?;
                    continue;
                }
            };
            let Ok(Some(envelope)) = connection.receive().await else {
                self.connection = None;
                continue;
            };
            let Some(at) = self.waiting.iter().position(|sent| sent.serial == envelope.serial) else { continue };
            match envelope.body {
                ToClient::Done(answer) => return Ok(self.waiting.remove(at).map(|sent| (sent.op, *answer))),
                ToClient::Failed(error) if error.kind == ErrorKind::ShuttingDown => self.connection = None,
                ToClient::Failed(error) => return Err(error),
                _ => {}
            }
        }
        Ok(None)
    }

    /// A new connection, and everything that waits for an answer on it.
    async fn send_again(&mut self) -> Result<()> {
        let mut connection = connect::connect_or_start(&self.paths, &self.open).await?;
        for sent in &mut self.waiting {
            if let ToDaemon::Ask(ask) = &mut sent.body {
                ask.attempt = ask.attempt.saturating_add(1);
            }
            if connection.send(sent.serial, &sent.body).await.is_err() {
                return Ok(());
            }
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// Lets the daemon forget these operations' replies: sent again, they are done again. Best effort.
    pub async fn acknowledge(&mut self, ops: &[OpId]) {
        for some in ops.chunks(ACKNOWLEDGED_MAX) {
            let Some(connection) = &mut self.connection else { return };
            if connection.send(0, &ToDaemon::Acknowledge(some.to_vec())).await.is_err() {
                return;
            }
        }
    }
}
