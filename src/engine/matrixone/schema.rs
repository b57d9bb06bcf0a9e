//! The database's tables: made where they are missing, brought up to date by numbered steps, refused where a newer
//! build made them. It knows no memories; every statement stands in `sql.rs`.
//!
//! Statements that make tables are no part of a transaction on this server. So each is repeatable, and the row of
//! `meta`, which makes the tables a store, comes last and once: whoever finds it missing does everything again.

use super::pool::Pool;
use super::session::Session;
use super::{incoming, put, sql};
use crate::clock;
use crate::engine::history::commit::first;
use crate::engine::history::rows::{bitmap_bytes, damaged};
use crate::error::{Error, Result};
use crate::model::{Name, Salt};

/// What this build reads and writes.
pub const FORMAT: u32 = 1;
/// Of the first branch table, which is `main`'s.
pub const FIRST_TABLE: u32 = 1;

/// What the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Random: tells this store from every other.
    pub store: [u8; 16],
    /// Raised when rows that never change otherwise have changed: whatever was remembered is void.
    pub upheavals: u64,
}

/// Makes sure that the tables are there and are ours. Where the database itself was missing, connecting has made it.
pub fn prepare(pool: &Pool) -> Result<Meta> {
    if let Some(meta) = pool.read(meta)? {
        pool.read(|session| match session.first(sql::HAS_FEEDBACK, vec![])? {
            Some(_) => Ok(()),
            None => session.text(sql::CREATE_FEEDBACK),
        })?;
        return Ok(meta);
    }
    pool.read(|session| sql::TABLES.iter().try_for_each(|table| session.text(table)))?;
    pool.read(|session| session.text(&sql::create_live(FIRST_TABLE)))?;
    pool.write(begin)?;
    pool.read(meta)?.ok_or_else(|| Error::internal("the database lost its first row: try again"))
}

/// The row that makes the tables a store; `None` where they are not there yet.
fn meta(session: &mut Session) -> Result<Option<Meta>> {
    if session.first(sql::HAS_META, vec![])?.is_none() {
        return Ok(None);
    }
    let Some(row) = session.first(sql::META, vec![])? else { return Ok(None) };
    let (format, store, upheavals): (u32, Vec<u8>, u64) = super::row(row)?;
    if format > FORMAT {
        return Err(Error::invalid(format!(
            "the database was made by a newer Memoria (its tables have format {format}, this build reads {FORMAT}): \
             install that version here too"
        )));
    }
    let store = store.try_into().map_err(|_| damaged("the store's id cannot be read"))?;
    Ok(Some(Meta { store, upheavals }))
}

/// `main` at the empty commit that every store begins with. Of several daemons that begin at once one is first, and
/// the others find its rows.
fn begin(session: &mut Session) -> Result<()> {
    if incoming::standing(session)?.is_some() {
        return Err(Error::unavailable(
            "a store is being moved into this database: let `memoria move` finish, or give it up with `memoria move \
             --to matrixone --abandon`",
        ));
    }
    let (store, at) = (Salt::random().0, clock::now());
    let taken = session.run(sql::INSERT_META, vec![FORMAT.into(), store.to_vec().into(), (FIRST_TABLE + 1).into()])?;
    if taken == 0 {
        return Ok(());
    }
    let (row, created) = first(store, at)?;
    put::commit(session, 0, &row)?;
    let empty = bitmap_bytes(&Default::default())?;
    session.run(sql::INSERT_STATE, vec![0.into(), empty.clone().into()])?;
    session.run(sql::INSERT_ERASED, vec![empty.into()])?;
    put::named(session, &Name::main(), None, &created, Some(FIRST_TABLE))
}
