//! The database's rows given away, for another store to take (`engine/copy`). It only reads. Others may write
//! meanwhile: what comes after the cut is left out here, and comes with the next round.

use mysql_async::Value;
use mysql_async::prelude::FromRow;

use super::session::Session;
use super::truth::stored;
use super::{row, sql};
use crate::engine::copy::{Cut, PORTION_ROWS, Portion, Table, numbered};
use crate::engine::history::rows::{Move, bitmap_bytes, damaged};
use crate::error::Result;
use crate::model::Time;
use crate::model::canon::{Reader, Writer};
use crate::model::id::{hex, unhex};

/// Rows of one statement where each may be large: texts, commits of a thousand changes.
const LARGE: u32 = 256;
/// Of bitmaps of a whole state.
const LARGEST: u32 = 8;
/// Of small ones.
const SMALL: u32 = PORTION_ROWS as u32;

/// What the store is now; `None` where there is none.
pub fn cut(session: &mut Session) -> Result<Option<Cut>> {
    let Some(found) = session.first(sql::CUT, vec![])? else { return Ok(None) };
    let (store, next_vid, next_commit, upheavals): (Vec<u8>, u32, u32, u64) = row(found)?;
    let store = store.try_into().map_err(|_| damaged("the store's id cannot be read"))?;
    let mut upheaval = [0; 16];
    upheaval[..8].copy_from_slice(&upheavals.to_le_bytes());
    Ok(Some(Cut { store, next_vid, next_commit, upheaval }))
}

/// See [`Giver::give`](crate::engine::copy::Giver::give).
pub fn give(session: &mut Session, cut: &Cut, table: Table, after: &[u8]) -> Result<Portion> {
    let mut giving = Giving { session, portion: Portion::new(table), after };
    match table {
        Table::Versions => giving.versions(cut.next_vid)?,
        Table::Commits => giving.numbered(sql::COMMITS_AFTER, cut.next_commit, LARGE)?,
        Table::Wide => giving.numbered(sql::WIDE_AFTER, cut.next_commit, LARGEST)?,
        Table::States => giving.numbered(sql::STATES_AFTER, cut.next_commit, LARGEST)?,
        Table::Touches => giving.touches(cut)?,
        Table::Moves => giving.moves(cut.next_commit)?,
        Table::Pending => giving.pending()?,
        Table::Ops => giving.ops()?,
        Table::Erased => giving.erased()?,
        Table::Feedback => giving.feedback()?,
    }
    Ok(giving.portion)
}

struct Giving<'a> {
    session: &'a mut Session,
    portion: Portion,
    after: &'a [u8],
}

impl Giving<'_> {
    /// Rows in order, each read and put by `put`, which says whether there was room. As many as were asked for mean
    /// that there may be more.
    fn each<T: FromRow>(
        &mut self,
        sql: &str,
        mut values: Vec<Value>,
        limit: u32,
        mut put: impl FnMut(&mut Portion, T) -> Result<bool>,
    ) -> Result<()> {
        values.push(limit.into());
        let found = self.session.rows(sql, values)?;
        let is_last = found.len() < limit as usize;
        for one in found {
            if !put(&mut self.portion, row(one)?)? {
                return Ok(());
            }
        }
        self.portion.is_last = is_last;
        Ok(())
    }

    /// The number behind which to begin: -1 is before the first.
    fn number(&self) -> Result<i64> {
        if self.after.is_empty() { Ok(-1) } else { Ok(i64::from(Reader(self.after).u32()?)) }
    }

    fn versions(&mut self, end: u32) -> Result<()> {
        let values = vec![self.number()?.into(), end.into(), LARGE.into()];
        let found = self.session.rows(sql::VERSIONS_AFTER, values)?;
        let is_last = found.len() < LARGE as usize;
        for one in found {
            let (vid, stored) = stored(one)?;
            if !push_numbered(&mut self.portion, vid, &stored.row().encode(), end) {
                return Ok(());
            }
        }
        self.portion.is_last = is_last;
        Ok(())
    }

    fn numbered(&mut self, sql: &str, end: u32, limit: u32) -> Result<()> {
        let values = vec![self.number()?.into(), end.into()];
        self.each(sql, values, limit, |portion, (number, record): (u32, Vec<u8>)| {
            Ok(push_numbered(portion, number, &record, end))
        })
    }

    fn touches(&mut self, cut: &Cut) -> Result<()> {
        let (mut memory, mut commit) = (-1, -1);
        if !self.after.is_empty() {
            let mut after = Reader(self.after);
            (memory, commit) = (i64::from(after.u32()?), i64::from(after.u32()?));
        }
        let values = vec![cut.next_commit.into(), memory.into(), memory.into(), commit.into()];
        self.each(sql::TOUCHES_AFTER, values, SMALL, |portion, (memory, commit): (u32, u32)| {
            let row = [memory.to_le_bytes(), commit.to_le_bytes()].concat();
            let has_room = portion.push(row.clone(), || row);
            portion.share = memory as f32 / cut.next_vid.max(1) as f32;
            Ok(has_room)
        })
    }

    fn moves(&mut self, end: u32) -> Result<()> {
        let (mut name, mut at, mut seq) = (String::new(), i64::MIN, 0);
        if !self.after.is_empty() {
            let mut after = Reader(self.after);
            (name, at, seq) = (after.text()?, after.time()?.0, after.u32()?);
        }
        let values = vec![name.as_str().into(), name.as_str().into(), at.into(), at.into(), seq.into()];
        self.each(sql::MOVES_AFTER, values, SMALL, |portion, (name, at, seq, record): (String, i64, u32, Vec<u8>)| {
            let mut out = Writer::default();
            out.text(&name).time(Time(at)).u32(seq);
            let after = out.0.clone();
            out.fixed(&record);
            if Move::decode(Time(at), seq, &record)?.standing.number >= end {
                portion.after = after;
                return Ok(true);
            }
            Ok(portion.push(out.0, || after))
        })
    }

    fn pending(&mut self) -> Result<()> {
        let after = String::from_utf8_lossy(self.after).into_owned();
        self.each(sql::PENDING_AFTER, vec![after.into()], LARGE, |portion, (branch, record): (String, Vec<u8>)| {
            let mut out = Writer::default();
            out.text(&branch).fixed(&record);
            Ok(portion.push(out.0, || branch.into_bytes()))
        })
    }

    fn ops(&mut self) -> Result<()> {
        let after = hex(self.after);
        self.each(sql::OPS_AFTER, vec![after.into()], LARGE, |portion, (op, reply): (String, Vec<u8>)| {
            let op = unhex::<24>(&op, "operation's id")?;
            Ok(portion.push([&op[..], &reply].concat(), || op.to_vec()))
        })
    }

    fn feedback(&mut self) -> Result<()> {
        let after = hex(self.after);
        self.each(sql::FEEDBACK_AFTER, vec![after.into()], SMALL, |portion, (memory, said): (String, Vec<u8>)| {
            let memory = unhex::<16>(&memory, "memory id")?;
            Ok(portion.push([&memory[..], &said].concat(), || memory.to_vec()))
        })
    }

    fn erased(&mut self) -> Result<()> {
        if !self.after.is_empty() {
            return Ok(());
        }
        let bytes = match self.session.first(sql::ERASED, vec![])? {
            Some(found) => row::<(Vec<u8>,)>(found)?.0,
            None => bitmap_bytes(&Default::default())?,
        };
        self.portion.push(bytes, || vec![0]);
        Ok(())
    }
}

fn push_numbered(portion: &mut Portion, number: u32, record: &[u8], end: u32) -> bool {
    let has_room = portion.push(numbered(number, record), || number.to_le_bytes().to_vec());
    portion.share = number as f32 / end.max(1) as f32;
    has_room
}
