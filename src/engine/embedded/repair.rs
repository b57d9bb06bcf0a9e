//! Repair: truth is written afresh from every row that can be read, what others follow from (look-ups, stored states,
//! touches) is made anew, and so is the index. Whatever cannot be read is named. A version that has lost its bytes
//! keeps its place in history, as an erased one does.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::{Key, ReadOnlyTable, ReadableTable, TableDefinition};
use roaring::RoaringBitmap;

use super::read::delta_of;
use super::rewrite::{self, Fresh};
use super::store::{Store, living_id, replay};
use super::tables::{
    self, Body, COMMIT_IDS, COMMITS, CommitRow, Delta, ERASED, FEEDBACK, META, Meta, NAMES, OPS, PENDING, Reply,
    STATES, Snapshot, TOUCHES, VERSIONS, VersionRow, WIDE, last_move, touch,
};
use super::verify::verify;
use crate::engine::history::audit::Checking;
use crate::error::{Error, Result};
use crate::model::{Check, MemoryId, Name, Time};

/// Rows of one transaction of the new file.
const BATCH_ROWS: usize = 1 << 14;
/// States of commits that may yet be built upon.
const STATES_HELD_MAX: usize = 32;

type Numbered = TableDefinition<'static, u32, &'static [u8]>;

/// On the writer's thread, with nothing else under way.
pub fn repair(store: &Store) -> Result<Vec<Check>> {
    let mut readable = Checking::of("Every row of the store can be read.");
    rewrite::anew(store, |truth, fresh| {
        let mut salvage = Salvage { store, truth, fresh, readable: &mut readable, first: Vec::new() };
        salvage.meta()?;
        salvage.versions()?;
        salvage.commits()?;
        salvage.derive()?;
        salvage.names()?;
        salvage.keyed(OPS, "the reply to an operation", |_, reply| Reply::decode(reply).map(|_| ()))?;
        salvage.keyed(PENDING, "a merge in progress", |_, row| tables::pending(row).map(|_| ()))?;
        match truth.open_if_there(FEEDBACK)? {
            None => Ok(()),
            Some(_) => salvage.keyed(FEEDBACK, "what was said of a memory", |_, row| tables::feedback(row).map(|_| ())),
        }
    })?;
    store.rebuild_index()?;
    let versions = store.snapshot()?.open(VERSIONS)?;
    store.vectors.recount(&|vid| living_id(&versions, vid))?;
    let mut checks = vec![readable.done()];
    checks.extend(verify(store)?);
    Ok(checks)
}

/// One row, of a page that may make redb panic.
fn row_of(table: &ReadOnlyTable<u32, &'static [u8]>, number: u32) -> Result<Option<Vec<u8>>> {
    let read = || Ok(table.get(number)?.map(|row| row.value().to_vec()));
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_panic| Err(tables::damaged("a page cannot be read")))
}

struct Salvage<'a> {
    store: &'a Store,
    truth: &'a Snapshot,
    fresh: &'a Fresh,
    readable: &'a mut Checking,
    /// The number of a version's memory, by vid.
    first: Vec<u32>,
}

impl Salvage<'_> {
    fn meta(&self) -> Result<()> {
        let meta = Meta { scrub: false, ..rewrite::meta_of(self.truth)? };
        self.put(META, (), &meta.encode())
    }

    fn put<K: Key + 'static>(
        &self,
        table: TableDefinition<'static, K, &'static [u8]>,
        key: K::SelfType<'_>,
        row: &[u8],
    ) -> Result<()> {
        self.fresh.write(|transaction| {
            transaction.open_table(table)?.insert(key, row)?;
            Ok(())
        })
    }

    /// Rows by number, from `read`, in large transactions.
    fn fill(&self, table: Numbered, end: u32, mut read: impl FnMut(u32) -> Result<Option<Vec<u8>>>) -> Result<()> {
        let mut next = 0;
        while next < end {
            self.fresh.write(|transaction| {
                let mut target = transaction.open_table(table)?;
                let until = end.min(next.saturating_add(BATCH_ROWS as u32));
                for number in next..until {
                    if let Some(row) = read(number)? {
                        target.insert(number, row.as_slice())?;
                    }
                }
                next = until;
                Ok(())
            })?;
        }
        Ok(())
    }

    fn versions(&mut self) -> Result<()> {
        let (table, end) = (self.truth.open(VERSIONS)?, rewrite::meta_of(self.truth)?.next_vid);
        let (mut erased, mut first, mut lost) = (RoaringBitmap::new(), vec![0; end as usize], Vec::new());
        self.fill(VERSIONS, end, |vid| {
            let row = match self.version(&table, vid) {
                Ok(None) => return Ok(None),
                Ok(Some(Kept::Whole(row))) => row,
                Ok(Some(Kept::Place(row, memory))) => {
                    lost.push(format!("version {vid} of memory {memory} is lost: its place in history is kept"));
                    row
                }
                Err(error) => {
                    lost.push(format!("version {vid} is lost, and nothing is known of it: {error}"));
                    return Ok(None);
                }
            };
            let decoded = VersionRow::decode(&row)?;
            first[vid as usize] = decoded.first();
            if let VersionRow::Erased { .. } = decoded {
                erased.insert(vid);
            }
            Ok(Some(row))
        })?;
        self.readable.check.checked += u64::from(end);
        lost.into_iter().for_each(|what| self.readable.problem(what));
        self.first = first;
        self.put(ERASED, (), &tables::bitmap_bytes(&erased)?)
    }

    /// What can be kept of a version; `None` where there is none.
    fn version(&self, table: &ReadOnlyTable<u32, &'static [u8]>, vid: u32) -> Result<Option<Kept>> {
        let read = row_of(table, vid);
        let error = match &read {
            Ok(None) => return Ok(None),
            Ok(Some(row)) => match VersionRow::decode(row).and_then(|row| row.memory()) {
                Ok(_) => return Ok(read?.map(Kept::Whole)),
                Err(error) => error,
            },
            Err(error) => error.clone(),
        };
        let left = read.ok().flatten().unwrap_or_default();
        self.place(vid).or_else(|_unknown| remains(&left)).map(Some).map_err(|_nothing| error)
    }

    /// The index knows the places of versions.
    fn place(&self, vid: u32) -> Result<Kept> {
        let (index, one) = (&self.store.index, RoaringBitmap::from([vid]));
        let unknown = || tables::damaged(&format!("version {vid} is not in the index"));
        let memory = *index.ids(&[vid])?.first().ok_or_else(unknown)?;
        let version = *index.version_ids(&one)?.first().ok_or_else(unknown)?;
        let first = *index.memory_numbers(&one)?.first().ok_or_else(unknown)?;
        let terms = index.len_of(vid)?;
        Ok(Kept::Place(VersionRow::Erased { terms, first, version, memory }.encode(), memory))
    }

    /// Commits, as far as they can be read, and their wide changes.
    fn commits(&mut self) -> Result<()> {
        let end = rewrite::meta_of(self.truth)?.next_commit;
        let mut lost = Vec::new();
        for (table, check) in [(COMMITS, readable_commit as fn(&[u8]) -> Result<()>), (WIDE, readable_delta)] {
            let rows = self.truth.open(table)?;
            self.fill(table, end, |number| {
                let row = row_of(&rows, number).and_then(|row| row.as_deref().map(check).transpose().map(|_| row));
                row.or_else(|error| {
                    lost.push(format!("commit {number} is lost, or what it changed: {error}"));
                    Ok(None)
                })
            })?;
        }
        self.readable.check.checked += u64::from(end);
        lost.into_iter().for_each(|what| self.readable.problem(what));
        Ok(())
    }

    /// What follows from the commits: their look-up, the history of each memory, and stored states.
    fn derive(&mut self) -> Result<()> {
        let (mut ids, mut touches) = (Vec::new(), Vec::new());
        let mut states = States { stored: self.truth.open(STATES)?, fresh: self.fresh, held: VecDeque::new() };
        let saved = self.fresh.snapshot()?;
        for row in saved.open(COMMITS)?.iter()? {
            let (number, row) = row?;
            let (number, row) = (number.value(), CommitRow::decode(row.value())?);
            ids.push((row.id().0, number));
            let delta = delta_of(&saved, number, &row).ok();
            if let (Body::Narrow { .. }, Some(delta)) = (&row.body, &delta) {
                let changed = (&delta.added | &delta.removed).into_iter();
                touches.extend(changed.filter_map(|vid| Some(touch(*self.first.get(vid as usize)?, number))));
            }
            if !states.next(number, &row, delta.as_ref())? {
                self.readable.problem(format!("the state of commit {number} is lost, and cannot be made from others"));
            }
        }
        ids.sort_unstable();
        touches.sort_unstable();
        self.fresh.write(|transaction| {
            let mut table = transaction.open_table(COMMIT_IDS)?;
            ids.iter().try_for_each(|(id, number)| table.insert(id, number).map(|_| ()))?;
            let mut table = transaction.open_table(TOUCHES)?;
            Ok(touches.iter().try_for_each(|touch| table.insert(touch, ()).map(|_| ()))?)
        })
    }

    /// Every move that can be read. Without `main` the rest would lead nowhere.
    fn names(&mut self) -> Result<()> {
        self.keyed(NAMES, "a move of a name", |key, row| tables::move_of(key, row).map(|_| ()))?;
        match last_move(&self.fresh.snapshot()?.open(NAMES)?, &Name::main(), Time::MAX)? {
            Some(_) => Ok(()),
            None => Err(Error::corrupt(
                "the names cannot be read, so that nothing leads to the memories: restore the store from a backup.",
            )),
        }
    }

    /// The rows of a small table, from both ends: a page that cannot be read hides what lies behind it.
    fn keyed<K: Key + 'static>(
        &mut self,
        table: TableDefinition<'static, K, &'static [u8]>,
        what: &str,
        check: impl Fn(&K::SelfType<'_>, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let source = self.truth.open(table)?;
        let (mut lost, mut read) = (Vec::new(), 0);
        self.fresh.write(|transaction| {
            let mut target = transaction.open_table(table)?;
            for is_forward in [true, false] {
                let mut rows = source.iter()?;
                let mut next = || {
                    let next = || Ok(if is_forward { rows.next() } else { rows.next_back() }.transpose()?);
                    catch_unwind(AssertUnwindSafe(next)).unwrap_or_else(|_panic| Err(tables::damaged("a page is lost")))
                };
                loop {
                    let (key, row) = match next() {
                        Ok(Some(row)) => row,
                        Ok(None) => return Ok(()),
                        Err(error) => {
                            lost.push(format!("{what} is lost, and perhaps more of them: {error}"));
                            break;
                        }
                    };
                    read += 1;
                    match check(&key.value(), row.value()) {
                        Ok(()) => drop(target.insert(key.value(), row.value())?),
                        Err(error) => lost.push(format!("{what} is lost: {error}")),
                    }
                }
            }
            Ok(())
        })?;
        self.readable.check.checked += read;
        lost.into_iter().for_each(|what| self.readable.problem(what));
        Ok(())
    }
}

/// Makes each commit's state from its parent's, and stores those that are keyframes.
struct States<'a> {
    stored: ReadOnlyTable<u32, &'static [u8]>,
    fresh: &'a Fresh,
    held: VecDeque<(u32, RoaringBitmap)>,
}

impl States<'_> {
    /// Whether the state is known.
    fn next(&mut self, number: u32, row: &CommitRow, delta: Option<&Delta>) -> Result<bool> {
        let made = match (self.parent(row.place.parents[0]), delta) {
            (Some(mut state), Some(delta)) => {
                delta.apply_to(&mut state);
                Some(state)
            }
            _ => None,
        };
        let is_whole = |state: &RoaringBitmap| state.len() == u64::from(row.live);
        let stored = || Some(tables::bitmap(&row_of(&self.stored, number).ok()??).ok()?).filter(is_whole);
        let Some(state) = made.filter(is_whole).or_else(stored) else { return Ok(false) };
        if row.since_keyframe == 0 {
            let bytes = tables::bitmap_bytes(&state)?;
            self.fresh.write(|transaction| {
                transaction.open_table(STATES)?.insert(number, bytes.as_slice())?;
                Ok(())
            })?;
        }
        self.held.push_back((number, state));
        if self.held.len() > STATES_HELD_MAX {
            self.held.pop_front();
        }
        Ok(true)
    }

    fn replayed(&self, number: u32) -> Result<RoaringBitmap> {
        let fresh = self.fresh.snapshot()?;
        replay(&fresh.open(COMMITS)?, &fresh.open(STATES)?, number)
    }

    fn parent(&mut self, parent: Option<u32>) -> Option<RoaringBitmap> {
        let Some(parent) = parent else { return Some(RoaringBitmap::new()) };
        match self.held.iter().position(|(number, _)| *number == parent) {
            Some(at) => self.held.remove(at).map(|(_, state)| state),
            None => self.replayed(parent).ok(),
        }
    }
}

enum Kept {
    Whole(Vec<u8>),
    /// The row of an erased version, and whose it was.
    Place(Vec<u8>, MemoryId),
}

/// The same from the row itself, where the index has not heard of it: its hash is then another than history says.
fn remains(row: &[u8]) -> Result<Kept> {
    let row = VersionRow::decode(row)?;
    let (terms, first, version, memory) = (row.terms(), row.first(), row.id(), row.memory_id()?);
    Ok(Kept::Place(VersionRow::Erased { terms, first, version, memory }.encode(), memory))
}

fn readable_commit(row: &[u8]) -> Result<()> {
    CommitRow::decode(row)?.bare().map(|_| ())
}

fn readable_delta(row: &[u8]) -> Result<()> {
    Delta::decode(row).map(|_| ())
}
