//! Truth, written afresh: row by row into a new file beside the old one, which then takes its place in one step. That
//! is how erased bytes leave the disk (redb's free pages keep what they held), how a file becomes smaller, and how a
//! damaged one is made whole.
//!
//! A rewrite that is cut short leaves the old file in its place; half of a new one is removed when the store is opened.

use std::collections::HashSet;

use redb::{Database, Durability, Key, ReadableDatabase, ReadableTable, TableDefinition, Value, WriteTransaction};
use roaring::RoaringBitmap;

use super::store::{Store, next_number};
use super::tables::{
    self, COMMIT_IDS, COMMITS, ERASED, FEEDBACK, META, Meta, NAMES, OPS, PENDING, STATES, Snapshot, TOUCHES, VERSIONS,
    WIDE,
};
use crate::error::Result;

/// Rows of one transaction: enough that its end costs nothing beside them, few enough for redb's cache.
const BATCH_ROWS: usize = 1 << 16;

/// Rows that are not to be kept.
#[derive(Default)]
pub struct LeftOut {
    pub versions: RoaringBitmap,
    pub commits: RoaringBitmap,
    /// First and last key of each stretch of moves, in their order.
    pub moves: Vec<(Vec<u8>, Vec<u8>)>,
    pub ops: HashSet<[u8; 24]>,
    /// Memories of which no version stays: what was said of them.
    pub feedback: HashSet<[u8; 16]>,
}

/// Whether the next opening has to scrub the store.
#[derive(Clone, Copy, PartialEq)]
pub enum Scrub {
    Due,
    Done,
}

/// Writes all of truth but these rows into a new file, and goes on with that one.
pub fn rewrite(store: &Store, left_out: &LeftOut, scrub: Scrub) -> Result<()> {
    anew(store, |truth, fresh| left_out.leave(truth, scrub, &Rows::Anew(truth, fresh)))
}

/// Takes these rows out of the file there is, in one transaction.
pub fn remove(store: &Store, left_out: &LeftOut, scrub: Scrub) -> Result<()> {
    let truth = store.snapshot()?;
    let transaction = store.begin_write()?;
    left_out.leave(&truth, scrub, &Rows::InPlace(&transaction))?;
    drop(truth);
    transaction.commit()?;
    store.reload()
}

/// Says that the index has forgotten what truth has.
pub fn scrubbed(store: &Store) -> Result<()> {
    let meta = Meta { scrub: false, ..meta_of(&store.snapshot()?)? };
    let transaction = store.begin_write()?;
    transaction.open_table(META)?.insert((), meta.encode().as_slice())?;
    Ok(transaction.commit()?)
}

/// Fills a new file, and goes on with that one. What fails before the last step leaves the store as it was.
pub fn anew(store: &Store, fill: impl FnOnce(&Snapshot, &Fresh) -> Result<()>) -> Result<()> {
    let truth = store.snapshot()?;
    store.swap(move |database| {
        let fresh = Fresh(database);
        fill(&truth, &fresh)?;
        fresh.seal()
    })
}

/// What the store is, with the numbers that it has given out so far.
pub fn meta_of(truth: &Snapshot) -> Result<Meta> {
    let meta = truth.open(META)?.get(())?.map(|row| Meta::decode(row.value())).transpose()?;
    let meta = meta.ok_or_else(|| tables::damaged("it does not say what it is"))?;
    let next = |table, floor| next_number(&truth.open::<u32, &[u8]>(table)?, floor);
    Ok(Meta { next_vid: next(VERSIONS, meta.next_vid)?, next_commit: next(COMMITS, meta.next_commit)?, ..meta })
}

pub fn erased_of(truth: &Snapshot) -> Result<RoaringBitmap> {
    Ok(truth.open(ERASED)?.get(())?.map(|row| tables::bitmap(row.value())).transpose()?.unwrap_or_default())
}

impl LeftOut {
    fn has_move(&self, key: &[u8]) -> bool {
        let behind = self.moves.partition_point(|(first, _)| &first[..] <= key);
        behind.checked_sub(1).is_some_and(|at| key <= &self.moves[at].1[..])
    }

    fn leave(&self, truth: &Snapshot, scrub: Scrub, rows: &Rows) -> Result<()> {
        let meta = Meta { scrub: scrub == Scrub::Due, ..meta_of(truth)? };
        rows.put(META, &meta.encode())?;
        rows.put(ERASED, &tables::bitmap_bytes(&(erased_of(truth)? - &self.versions))?)?;
        rows.keep(VERSIONS, |vid, _| !self.versions.contains(vid))?;
        rows.keep(COMMITS, |number, _| !self.commits.contains(number))?;
        rows.keep(COMMIT_IDS, |_, number| !self.commits.contains(number))?;
        rows.keep(WIDE, |number, _| !self.commits.contains(number))?;
        rows.keep(STATES, |number, _| !self.commits.contains(number))?;
        rows.keep(TOUCHES, |touch, ()| !self.commits.contains(touch as u32))?;
        rows.keep(NAMES, |key, _| !self.has_move(key))?;
        rows.keep(OPS, |op, _| !self.ops.contains(op))?;
        if truth.open_if_there(FEEDBACK)?.is_some() {
            rows.keep(FEEDBACK, |memory, _| !self.feedback.contains(memory))?;
        }
        rows.keep(PENDING, |_, _| true)
    }
}

/// Where the rows that stay are to be.
enum Rows<'a> {
    Anew(&'a Snapshot, &'a Fresh),
    InPlace(&'a WriteTransaction),
}

impl Rows<'_> {
    fn keep<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDefinition<'static, K, V>,
        is_kept: impl for<'k, 'v> FnMut(K::SelfType<'k>, V::SelfType<'v>) -> bool,
    ) -> Result<()> {
        match self {
            Self::Anew(from, fresh) => fresh.copy(from, table, is_kept),
            Self::InPlace(transaction) => {
                let mut is_kept = is_kept;
                Ok(transaction.open_table(table)?.retain(|key, value| is_kept(key, value))?)
            }
        }
    }

    fn put(&self, table: TableDefinition<'static, (), &'static [u8]>, row: &[u8]) -> Result<()> {
        match self {
            Self::Anew(_, fresh) => fresh.write(|transaction| put(transaction, table, row)),
            Self::InPlace(transaction) => put(transaction, table, row),
        }
    }
}

fn put(transaction: &WriteTransaction, table: TableDefinition<'static, (), &'static [u8]>, row: &[u8]) -> Result<()> {
    transaction.open_table(table)?.insert((), row)?;
    Ok(())
}

/// The new file, while it is being filled. Nothing of it counts before [`Fresh::seal`].
pub struct Fresh(Database);

impl Fresh {
    /// Copies a table's rows that are wanted, in their order: redb packs what comes in rising order.
    fn copy<K: Key + 'static, V: Value + 'static>(
        &self,
        from: &Snapshot,
        table: TableDefinition<'static, K, V>,
        mut is_wanted: impl for<'k, 'v> FnMut(K::SelfType<'k>, V::SelfType<'v>) -> bool,
    ) -> Result<()> {
        let source = from.open(table)?;
        let mut rows = source.iter()?;
        loop {
            let mut room = BATCH_ROWS;
            self.write(|transaction| {
                let mut target = transaction.open_table(table)?;
                while room > 0
                    && let Some(row) = rows.next()
                {
                    let (key, value) = row?;
                    if is_wanted(key.value(), value.value()) {
                        target.insert(key.value(), value.value())?;
                        room -= 1;
                    }
                }
                Ok(())
            })?;
            if room > 0 {
                return Ok(());
            }
        }
    }

    /// One transaction that is not synced yet.
    pub fn write<T>(&self, fill: impl FnOnce(&WriteTransaction) -> Result<T>) -> Result<T> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(Durability::None)?;
        let filled = fill(&transaction)?;
        transaction.commit()?;
        Ok(filled)
    }

    /// What was written so far.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot(self.0.begin_read()?))
    }

    /// Makes everything durable and closes the file.
    fn seal(self) -> Result<()> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_quick_repair(true);
        transaction.commit()?;
        Ok(self.0.close()?)
    }
}
