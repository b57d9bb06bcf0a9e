//! One connection, for the length of one request: statements that block until they are answered or the deadline is
//! there. What a failure meant is remembered for `pool.rs`, which decides what comes next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Row, Value};
use tokio::runtime::Handle;
use tokio::time::timeout_at;

use super::fault::{Course, Fault};
use super::sql;
use crate::error::Result;

/// MatrixOne's own errors begin here; those below are MySQL's.
const OWN_CODES_FROM: u16 = 20_000;

/// A connection that somebody uses. Statements fail with sentences; none of them waits longer than the deadline.
pub struct Session {
    conn: Conn,
    handle: Handle,
    server: Arc<str>,
    deadline: Instant,
    /// The last failure for which the whole request is worth trying again.
    trouble: Option<Fault>,
}

/// What is known of a transaction that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing of it was kept.
    Undone,
    /// COMMIT was sent, and nobody said what came of it.
    Unknown,
}

impl Session {
    pub(super) fn new(conn: Conn, handle: Handle, server: Arc<str>, deadline: Instant) -> Self {
        Self { conn, handle, server, deadline, trouble: None }
    }

    pub(super) fn into_conn(self) -> Conn {
        self.conn
    }

    pub(super) fn trouble(&self) -> Option<&Fault> {
        self.trouble.as_ref()
    }

    /// Whether another request may use the connection.
    pub(super) fn is_sound(&self) -> bool {
        self.trouble.as_ref().is_none_or(|fault| fault.course != Course::Broken)
    }

    /// When the request must be over.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What comes next may take this long, because of its length and not because nobody answers.
    pub fn extend(&mut self, by: Duration) {
        self.deadline = self.deadline.max(Instant::now() + by);
    }

    /// The rows of a prepared statement; it is prepared once for each connection. `params` stand for its `?`.
    ///
    /// # Errors
    /// By what failed: see `fault.rs`.
    pub fn rows(&mut self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>> {
        self.ask(sql, async |conn| conn.exec(sql, positional(params)).await)
    }

    /// The first row of a prepared statement.
    ///
    /// # Errors
    /// As of [`Self::rows`].
    pub fn first(&mut self, sql: &str, params: Vec<Value>) -> Result<Option<Row>> {
        self.ask(sql, async |conn| conn.exec_first(sql, positional(params)).await)
    }

    /// Runs a prepared statement; how many rows it found, whether it changed them or not.
    ///
    /// # Errors
    /// As of [`Self::rows`].
    pub fn run(&mut self, sql: &str, params: Vec<Value>) -> Result<u64> {
        self.ask(sql, async |conn| {
            conn.exec_drop(sql, positional(params)).await?;
            Ok(conn.affected_rows())
        })
    }

    /// Runs a statement that cannot be prepared. It holds generated identifiers and numbers only.
    ///
    /// # Errors
    /// As of [`Self::rows`].
    pub fn text(&mut self, sql: &str) -> Result<()> {
        self.ask(sql, async |conn| conn.query_drop(sql).await)
    }

    /// The rows of a statement that cannot be prepared. It holds generated identifiers and numbers only.
    ///
    /// # Errors
    /// As of [`Self::rows`].
    pub fn text_rows(&mut self, sql: &str) -> Result<Vec<Row>> {
        self.ask(sql, async |conn| conn.query(sql).await)
    }

    /// BEGIN, `work`, COMMIT. `outcome` is set where it fails and that does not mean that nothing was kept.
    pub(super) fn transaction<T>(
        &mut self,
        work: &mut impl FnMut(&mut Self) -> Result<T>,
        outcome: &mut Outcome,
    ) -> Result<T> {
        self.text(sql::BEGIN)?;
        let worked = work(self);
        // A statement that the server undid took the whole transaction with it, even where `work` passed over it.
        let failed = worked.as_ref().err().or(self.trouble.as_ref().map(|fault| &fault.error)).cloned();
        if let Some(error) = failed {
            self.roll_back();
            return Err(error);
        }
        if let Err(fault) = self.judged(sql::COMMIT, async |conn| conn.query_drop(sql::COMMIT).await) {
            let is_refused = match fault.course {
                Course::Again => true,
                Course::Broken => false,
                Course::Final => fault.code.is_some_and(|code| code < OWN_CODES_FROM),
            };
            if !is_refused {
                *outcome = Outcome::Unknown;
                // Whatever the reason was: asking for the operation's id again will tell.
                self.trouble = Some(Fault { course: Course::Broken, ..fault.clone() });
            }
            return Err(fault.error);
        }
        worked
    }

    /// A connection whose transaction cannot be ended is let go of, which ends it.
    fn roll_back(&mut self) {
        if self.is_sound()
            && let Err(fault) = self.judged(sql::ROLLBACK, async |conn| conn.query_drop(sql::ROLLBACK).await)
        {
            self.trouble = Some(Fault { course: Course::Broken, ..fault });
        }
    }

    fn ask<T>(&mut self, sql: &str, statement: impl AsyncFnOnce(&mut Conn) -> mysql_async::Result<T>) -> Result<T> {
        self.judged(sql, statement).map_err(|fault| fault.error)
    }

    fn judged<T>(
        &mut self,
        sql: &str,
        statement: impl AsyncFnOnce(&mut Conn) -> mysql_async::Result<T>,
    ) -> Result<T, Fault> {
        if let Some(fault) = self.trouble.as_ref().filter(|fault| fault.course == Course::Broken) {
            return Err(fault.clone());
        }
        let conn = &mut self.conn;
        let until = self.deadline.into();
        let answered = self.handle.block_on(async { timeout_at(until, statement(conn)).await });
        let fault = match answered {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(cause)) => Fault::of(&self.server, sql, &cause),
            Err(_) => Fault::silence(&self.server),
        };
        if fault.course != Course::Final {
            self.trouble = Some(fault.clone());
        }
        Err(fault)
    }
}

fn positional(params: Vec<Value>) -> Params {
    if params.is_empty() { Params::Empty } else { Params::Positional(params) }
}
