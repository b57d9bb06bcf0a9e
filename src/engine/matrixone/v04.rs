//! A database of the Memoria before this one (v0.4), read for an import: its memories, its branches' tables and its
//! snapshots, as far as the server still has them. It only reads; what becomes of the rows is the importer's.

use std::collections::HashMap;

use mysql_async::{Row, Value, from_value_opt, prelude::FromValue};
use tokio::runtime::Handle;

use super::pool::Pool;
use super::session::Session;
use super::settings::Settings;
use super::{row, sql};
use crate::clock;
use crate::error::{Error, Result};
use crate::model::{Feedback, Time};

/// Rows of one statement.
const ROWS_AT_ONCE: u32 = 500;
const MAIN: &str = "mem_memories";

/// Everything that is taken over. All of it is held in memory: such a database has some ten thousand rows.
#[derive(Debug, Default)]
pub struct Old {
    pub main: Vec<OldMemory>,
    /// By name: every row of the branch's table.
    pub branches: Vec<(String, Vec<OldMemory>)>,
    /// By name, the oldest first.
    pub snapshots: Vec<(String, Vec<OldMemory>)>,
    /// By `memory_id`: how often it was read, and what was said of it.
    pub stats: HashMap<String, (u32, Feedback)>,
    /// What could not be read, in sentences.
    pub problems: Vec<String>,
}

/// A row of `mem_memories`.
#[derive(Clone, Debug, PartialEq)]
pub struct OldMemory {
    pub id: String,
    pub user: String,
    pub author: Option<String>,
    pub subject: Option<String>,
    pub kind: String,
    pub text: String,
    pub session: Option<String>,
    /// JSON, or empty.
    pub metadata: String,
    pub is_active: bool,
    /// The row that took its place.
    pub superseded_by: Option<String>,
    pub trust: String,
    /// 0 to 1.
    pub confidence: f64,
    pub observed_at: Time,
    pub created_at: Time,
    pub updated_at: Option<Time>,
}

/// Reads all of it. Blocks.
///
/// # Errors
/// Where the database cannot be reached or holds no such tables. A branch or a snapshot that cannot be read is among
/// [`Old::problems`].
pub fn read(settings: &Settings, handle: Handle) -> Result<Old> {
    let pool = Pool::open(settings, handle);
    let mut old = Old { main: table(&pool, MAIN, None)?, ..Old::default() };
    for (name, of) in named(&pool, sql::V04_BRANCHES, "branches", &mut old.problems) {
        match judged(&of).map(|of| table(&pool, of, None)) {
            Some(Ok(rows)) => old.branches.push((name, rows)),
            Some(Err(error)) => old.problems.push(format!("branch `{name}` cannot be read: {error}")),
            None => old.problems.push(format!("branch `{name}` has a table of an impossible name")),
        }
    }
    for (name, of) in named(&pool, sql::V04_SNAPSHOTS, "snapshots", &mut old.problems) {
        match judged(&of).map(|of| table(&pool, MAIN, Some(of))) {
            Some(Ok(rows)) => old.snapshots.push((name, rows)),
            Some(Err(error)) => old.problems.push(format!("snapshot `{name}` cannot be read any more: {error}")),
            None => old.problems.push(format!("snapshot `{name}` is kept under an impossible name")),
        }
    }
    match pool.read(|session| session.rows(sql::V04_STATS, vec![])) {
        Ok(found) => old.stats = found.into_iter().map(stats).collect::<Result<_>>()?,
        Err(error) => old.problems.push(format!("access counts and feedback cannot be read: {error}")),
    }
    match pool.read(|session| session.rows(sql::V04_WORDS, vec![])) {
        Ok(found) => found.into_iter().try_for_each(|found| words(found, &mut old.stats))?,
        Err(error) => old.problems.push(format!("when feedback was given cannot be read: {error}")),
    }
    pool.close();
    Ok(old)
}

/// Names that may stand in a statement: the old program generated them.
fn judged(name: &str) -> Option<&str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    Some(name).filter(|name| !name.is_empty() && name.len() <= 64 && name.bytes().all(is_plain))
}

fn named(pool: &Pool, sql: &str, what: &str, problems: &mut Vec<String>) -> Vec<(String, String)> {
    let found = pool.read(|session| session.rows(sql, vec![]));
    let found = found.and_then(|found| found.into_iter().map(row).collect());
    found.unwrap_or_else(|error| {
        problems.push(format!("{what} cannot be read: {error}"));
        Vec::new()
    })
}

fn stats(found: Row) -> Result<(String, (u32, Feedback))> {
    let (id, reads, useful, irrelevant, outdated, wrong) = row(found)?;
    Ok((id, (reads, Feedback { useful, irrelevant, outdated, wrong, ..Feedback::default() })))
}

/// The words one by one know their times, and those that the old program did not count yet.
fn words(mut found: Row, stats: &mut HashMap<String, (u32, Feedback)>) -> Result<()> {
    let (_, said) = stats.entry(need(&mut found, 0)?).or_default();
    said.useful = said.useful.max(need(&mut found, 1)?);
    said.irrelevant = said.irrelevant.max(need(&mut found, 2)?);
    said.outdated = said.outdated.max(need(&mut found, 3)?);
    said.wrong = said.wrong.max(need(&mut found, 4)?);
    said.useful_at = time(&mut found, 5)?;
    said.doubted_at = time(&mut found, 6)?;
    Ok(())
}

fn table(pool: &Pool, table: &str, snapshot: Option<&str>) -> Result<Vec<OldMemory>> {
    let sql = sql::v04_memories(table, snapshot);
    let mut all: Vec<OldMemory> = Vec::new();
    loop {
        let after = all.last().map(|last| last.id.clone()).unwrap_or_default();
        let ask = |session: &mut Session| session.rows(&sql, vec![after.as_str().into(), ROWS_AT_ONCE.into()]);
        let found = pool.read(ask)?;
        let is_last = found.len() < ROWS_AT_ONCE as usize;
        for one in found {
            all.push(memory(one)?);
        }
        if is_last {
            return Ok(all);
        }
    }
}

fn memory(mut found: Row) -> Result<OldMemory> {
    let memory = OldMemory {
        id: need(&mut found, 0)?,
        user: need(&mut found, 1)?,
        author: take(&mut found, 2)?,
        subject: take(&mut found, 3)?,
        kind: need(&mut found, 4)?,
        text: need(&mut found, 5)?,
        session: take(&mut found, 6)?,
        metadata: take(&mut found, 7)?.unwrap_or_default(),
        is_active: need::<i64>(&mut found, 8)? != 0,
        superseded_by: take::<String>(&mut found, 9)?.filter(|id| !id.is_empty()),
        trust: take(&mut found, 10)?.unwrap_or_default(),
        confidence: take::<f64>(&mut found, 11)?.unwrap_or(0.5),
        observed_at: time(&mut found, 12)?.ok_or_else(hole)?,
        created_at: time(&mut found, 13)?.ok_or_else(hole)?,
        updated_at: time(&mut found, 14)?,
    };
    Ok(memory)
}

fn hole() -> Error {
    Error::invalid("a memory of the old database lacks what every memory of v0.4 has: is it one?")
}

fn take<T: FromValue>(found: &mut Row, column: usize) -> Result<Option<T>> {
    match found.take::<Value, _>(column) {
        None | Some(Value::NULL) => Ok(None),
        Some(value) => from_value_opt(value).map(Some).map_err(|_| hole()),
    }
}

fn need<T: FromValue>(found: &mut Row, column: usize) -> Result<T> {
    take(found, column)?.ok_or_else(hole)
}

/// The old program wrote the time in Greenwich.
fn time(found: &mut Row, column: usize) -> Result<Option<Time>> {
    match found.take::<Value, _>(column) {
        None | Some(Value::NULL) => Ok(None),
        Some(Value::Date(year, month, day, hour, minute, second, micros)) => {
            let ms = micros / 1_000;
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z");
            clock::parse_rfc3339_or_date(&text).map(Some)
        }
        Some(_) => Err(hole()),
    }
}
