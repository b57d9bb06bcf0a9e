//! `memoria mcp`: carries lines between an agent's standard input and output and the daemon, and outlives the
//! daemon without the agent noticing. It prints nothing but JSON-RPC, keeps no log, and ends with its input.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::call::introduction;
use super::connect::{self, Connection};
use super::fault::{Asked, INTERNAL_ERROR, INVALID_REQUEST};
use super::input::{Input, read_lines};
use crate::error::{Error, ErrorKind, Result};
use crate::model::OpId;
use crate::paths::Paths;
use crate::wire::limits::{
    ACKNOWLEDGED_MAX, ATTEMPTS_MAX, IN_FLIGHT_MAX, KEPT_LINES_MAX, LAST_REPLIES_WITHIN, LINE_BYTES_MAX,
};
use crate::wire::message::{Ask, ClientKind, Envelope, Keep, Open, Request, Response, ToClient, ToDaemon};

/// Delivered replies are acknowledged in batches: each saves the daemon a stored reply, none is urgent.
const ACKNOWLEDGE_AT: usize = ACKNOWLEDGED_MAX / 4;

/// Serves one agent, from its first line to the end of its input.
///
/// # Errors
/// When this process cannot even read and wait.
pub fn run(paths: &Paths) -> Result<()> {
    let (sender, lines) = mpsc::channel(1);
    let failed = |e: std::io::Error| Error::io("begin to read", &e);
    std::thread::Builder::new()
        .name("input".into())
        .stack_size(64 << 10)
        .spawn(move || {
            let from = BufReader::with_capacity(16 << 10, std::io::stdin());
            read_lines(from, |input| sender.blocking_send(input).is_ok());
        })
        .map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let shim = Shim {
        paths: paths.clone(),
        open: introduction(ClientKind::Shim),
        connection: None,
        in_flight: BTreeMap::new(),
        kept: Vec::new(),
        delivered: Vec::new(),
    };
    runtime.block_on(shim.serve(lines));
    Ok(())
}

struct Shim {
    paths: Paths,
    open: Open,
    /// `None` until the first line, and after the daemon has gone, until there is something to ask again: a daemon
    /// that a person stopped is not started by agents that have nothing to say.
    connection: Option<Connection>,
    /// Lines that wait for their answers, by number.
    in_flight: BTreeMap<u64, Pending>,
    /// Lines that made the session what it is, to be said again to the next daemon.
    kept: Vec<(u64, Vec<u8>)>,
    /// Answered and printed, and not acknowledged yet.
    delivered: Vec<OpId>,
}

struct Pending {
    line: Vec<u8>,
    /// Times sent.
    attempts: u8,
    /// The daemon is going and did not take it: the next one will.
    is_refused: bool,
}

/// The agent is gone, or reads no more: the shim ends.
struct AgentGone;

impl Shim {
    async fn serve(mut self, mut lines: mpsc::Receiver<Input>) {
        let mut ends_at = None;
        loop {
            if !self.in_flight.is_empty() && self.in_flight.values().all(|pending| pending.is_refused) {
                self.connection = None;
            }
            // Again and again, since the next daemon may die while it hears what is unanswered.
            while !self.in_flight.is_empty() && self.connection.is_none() {
                if self.reconnect().await.is_err() {
                    return;
                }
            }
            if ends_at.is_some() && self.in_flight.is_empty() {
                self.acknowledge().await;
                return self.tell(0, ToDaemon::Goodbye).await;
            }
            let may_read = ends_at.is_none() && self.in_flight.len() < IN_FLIGHT_MAX;
            let went_well = tokio::select! {
                message = receive(&mut self.connection) => self.heard(message),
                input = lines.recv(), if may_read => match input {
                    Some(input) => self.read(input).await,
                    None => {
                        ends_at = Some(Instant::now() + LAST_REPLIES_WITHIN);
                        Ok(())
                    }
                },
                () = sleep_until(ends_at.unwrap_or_else(Instant::now)), if ends_at.is_some() => return,
            };
            if went_well.is_err() {
                return;
            }
        }
    }

    /// One line from the agent.
    async fn read(&mut self, input: Input) -> Result<(), AgentGone> {
        match input {
            Input::TooLong(asked) => {
                let limit = LINE_BYTES_MAX >> 20;
                let why = format!("this message has more than {limit} MiB, and was not read: split it, or store less");
                print(asked.error(INVALID_REQUEST, &why))
            }
            Input::Line { bytes, .. } if bytes.trim_ascii().is_empty() => Ok(()),
            Input::Line { number, bytes } => {
                self.in_flight.insert(number, Pending { line: bytes, attempts: 0, is_refused: false });
                if self.connection.is_some() {
                    self.send(number).await;
                }
                Ok(())
            }
        }
    }

    /// One message from the daemon, or its end.
    fn heard(&mut self, message: Result<Option<Envelope<ToClient>>>) -> Result<(), AgentGone> {
        let Ok(Some(Envelope { serial, body })) = message else {
            self.connection = None;
            return Ok(());
        };
        // An answer to a line that was replayed finds nobody waiting: it was given before.
        let number = self.in_flight.keys().copied().find(|number| *number as u32 == serial);
        match (body, number) {
            (ToClient::Line(line), _) => print(Some(line)),
            (ToClient::Failed(error), Some(number)) if error.kind == ErrorKind::ShuttingDown => {
                if let Some(pending) = self.in_flight.get_mut(&number) {
                    // Refused is not tried.
                    (pending.is_refused, pending.attempts) = (true, pending.attempts.saturating_sub(1));
                }
                Ok(())
            }
            (ToClient::Failed(error), Some(number)) => self.fail(number, &error.message),
            (ToClient::Done(response), Some(number)) => match *response {
                Response::Mcp { line, keep } => self.answered(number, line, keep),
                _ => self.fail(number, "the daemon answered something else; update the older Memoria"),
            },
            _ => Ok(()),
        }
    }

    fn answered(&mut self, number: u64, line: Option<Vec<u8>>, keep: Keep) -> Result<(), AgentGone> {
        print(line)?;
        let Some(pending) = self.in_flight.remove(&number) else { return Ok(()) };
        if keep == Keep::ForReplay {
            if self.kept.len() == KEPT_LINES_MAX {
                self.kept.remove(0);
            }
            self.kept.push((number, pending.line));
        }
        self.delivered.push(OpId { nonce: self.open.nonce, line: number });
        Ok(())
    }

    fn fail(&mut self, number: u64, why: &str) -> Result<(), AgentGone> {
        match self.in_flight.remove(&number) {
            Some(pending) => print(Asked::by(&pending.line).error(INTERNAL_ERROR, why)),
            None => Ok(()),
        }
    }

    /// A new daemon (or the first) hears what made the session, and then what is still unanswered. When there is
    /// none to be had, whoever waits is told why, and the next line tries again.
    async fn reconnect(&mut self) -> Result<(), AgentGone> {
        let is_worn = |pending: &Pending| pending.attempts >= ATTEMPTS_MAX;
        for number in self.numbers(is_worn) {
            let why = format!("the daemon died {ATTEMPTS_MAX} times over this request: look at `memoria logs`");
            self.fail(number, &why)?;
        }
        match connect::connect_or_start(&self.paths, &self.open).await {
            Ok(connection) => self.connection = Some(connection),
            Err(error) => {
                for number in self.numbers(|_| true) {
                    self.fail(number, &error.message)?;
                }
                return Ok(());
            }
        }
        for (number, line) in self.kept.clone() {
            self.ask(number, line, 1, true).await;
        }
        for number in self.numbers(|_| true) {
            self.send(number).await;
        }
        Ok(())
    }

    fn numbers(&self, which: impl Fn(&Pending) -> bool) -> Vec<u64> {
        self.in_flight.iter().filter(|(_, pending)| which(pending)).map(|(number, _)| *number).collect()
    }

    async fn send(&mut self, number: u64) {
        if self.delivered.len() >= ACKNOWLEDGE_AT {
            self.acknowledge().await;
        }
        let Some(pending) = self.in_flight.get_mut(&number) else { return };
        pending.attempts += 1;
        pending.is_refused = false;
        let (line, attempt) = (pending.line.clone(), pending.attempts);
        self.ask(number, line, attempt, false).await;
    }

    async fn ask(&mut self, number: u64, line: Vec<u8>, attempt: u8, is_replay: bool) {
        let op = OpId { nonce: self.open.nonce, line: number };
        let ask = Ask { op, attempt, is_replay, request: Request::Mcp(line) };
        self.tell(number as u32, ToDaemon::Ask(ask)).await;
    }

    async fn acknowledge(&mut self) {
        let count = self.delivered.len().min(ACKNOWLEDGED_MAX);
        let ops: Vec<OpId> = self.delivered.drain(..count).collect();
        if !ops.is_empty() {
            self.tell(0, ToDaemon::Acknowledge(ops)).await;
        }
    }

    /// What cannot be sent is not lost: it is in flight still, and the connection is not.
    async fn tell(&mut self, serial: u32, body: ToDaemon) {
        if let Some(connection) = &mut self.connection
            && connection.send(serial, &body).await.is_err()
        {
            self.connection = None;
        }
    }
}

async fn receive(connection: &mut Option<Connection>) -> Result<Option<Envelope<ToClient>>> {
    match connection {
        Some(connection) => connection.receive().await,
        None => std::future::pending().await,
    }
}

fn print(line: Option<Vec<u8>>) -> Result<(), AgentGone> {
    let Some(line) = line else { return Ok(()) };
    let mut out = std::io::stdout().lock();
    out.write_all(&line).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()).map_err(|_| AgentGone)
}
