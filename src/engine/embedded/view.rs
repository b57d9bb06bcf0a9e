//! Truth as a reader sees it: one snapshot of the tables, with the index and the states beside it. It answers what
//! `history` asks.

use std::cell::OnceCell;
use std::sync::Arc;

use redb::{ReadOnlyTable, ReadableTable};
use roaring::RoaringBitmap;

use super::read::wide;
use super::store::{State, Store, commit_row, replay};
use super::tables::{
    self, COMMIT_IDS, COMMITS, CommitRow, Delta, Move, NAMES, Place, STATES, Snapshot, TOUCHES, VERSIONS, VersionRow,
    WIDE, place_of, touches_of,
};
use crate::engine::history::{Brief, Past, Places, Truth};
use crate::error::Result;
use crate::model::{CommitId, Filter, MemoryId, Name, Time, VersionId};

/// Versions whose rows are read for their lengths; of more, the columns.
const LENGTHS_READ_MAX: u64 = 64;

/// A snapshot of truth, open for reading.
pub struct View<'s> {
    pub store: &'s Store,
    pub truth: Snapshot,
    commits: OnceCell<Numbered>,
    versions: OnceCell<Numbered>,
}

type Numbered = ReadOnlyTable<u32, &'static [u8]>;

impl Store {
    /// Truth as of now.
    pub(super) fn view(&self) -> Result<View<'_>> {
        Ok(View { store: self, truth: self.snapshot()?, commits: OnceCell::new(), versions: OnceCell::new() })
    }
}

impl View<'_> {
    fn commits(&self) -> Result<&Numbered> {
        opened(&self.commits, || self.truth.open(COMMITS))
    }

    fn versions(&self) -> Result<&Numbered> {
        opened(&self.versions, || self.truth.open(VERSIONS))
    }

    /// Asks the index, which mends itself.
    fn index<T>(&self, ask: impl Fn(&super::index::Index) -> Result<T>) -> Result<T> {
        self.store.mending(|| ask(&self.store.index))
    }
}

/// Opening a table costs as much as some look-ups in it: it is done once, and only by those who need it.
fn opened(table: &OnceCell<Numbered>, open: impl FnOnce() -> Result<Numbered>) -> Result<&Numbered> {
    match table.get() {
        Some(table) => Ok(table),
        None => {
            let fresh = open()?;
            Ok(table.get_or_init(|| fresh))
        }
    }
}

impl Places for View<'_> {
    fn place(&self, number: u32) -> Result<Place> {
        place_of(self.commits()?, number)
    }
}

impl Truth for View<'_> {
    fn commit(&self, number: u32) -> Result<CommitRow> {
        commit_row(self.commits()?, number)
    }

    fn number_of(&self, id: CommitId) -> Result<Option<u32>> {
        Ok(self.truth.open(COMMIT_IDS)?.get(&id.0)?.map(|number| number.value()))
    }

    fn raw(&self, number: u32) -> Result<Arc<RoaringBitmap>> {
        match self.store.state_at_hand(number) {
            Some(state) => Ok(Arc::clone(&state.raw)),
            None => Ok(Arc::new(replay(self.commits()?, &self.truth.open(STATES)?, number)?)),
        }
    }

    fn erased(&self) -> Arc<RoaringBitmap> {
        self.store.erased()
    }

    fn version<T>(&self, vid: u32, read: impl FnOnce(&VersionRow) -> Result<T>) -> Result<T> {
        version(self.versions()?, vid, read)
    }

    fn vids_of(&self, id: &MemoryId) -> Result<Vec<u32>> {
        self.index(|index| index.vids_of(id))
    }

    fn last_move(&self, name: &Name, until: Time) -> Result<Option<Move>> {
        tables::last_move(&self.truth.open(NAMES)?, name, until)
    }

    fn branches(&self, limit: usize) -> Result<Vec<Name>> {
        Ok(self.store.heads().keys().take(limit).cloned().collect())
    }

    fn upheavals(&self) -> u64 {
        self.store.upheavals()
    }
}

impl Past for View<'_> {
    fn state(&self, number: u32) -> Result<Arc<State>> {
        self.store.state(&self.truth, number)
    }

    fn wide(&self, number: u32) -> Result<Delta> {
        wide(&self.truth, number)
    }

    fn wides_until(&self, number: u32, mut see: impl FnMut(u32, Delta) -> Result<()>) -> Result<()> {
        for row in self.truth.open(WIDE)?.range(..=number)? {
            let (number, delta) = row?;
            see(number.value(), Delta::decode(delta.value())?)?;
        }
        Ok(())
    }

    fn touches(&self, memory: u32) -> Result<Vec<u32>> {
        touches_of(&self.truth.open(TOUCHES)?, memory)
    }

    fn memory_numbers(&self, vids: &RoaringBitmap) -> Result<Vec<u32>> {
        self.index(|index| index.memory_numbers(vids))
    }

    fn ids(&self, memories: &[u32]) -> Result<Vec<MemoryId>> {
        self.index(|index| index.ids(memories))
    }

    fn version_ids(&self, vids: &RoaringBitmap) -> Result<Vec<VersionId>> {
        self.index(|index| index.version_ids(vids))
    }

    fn briefs(&self, vids: &RoaringBitmap) -> Result<Vec<Brief>> {
        let brief = |row: &VersionRow| Ok(Brief { first: row.first(), memory: row.memory_id()?, version: row.id() });
        vids.iter().map(|vid| self.version(vid, brief)).collect()
    }

    fn terms_of(&self, vids: &RoaringBitmap) -> Result<u64> {
        // Many are array reads; for a few the arrays are not brought to memory.
        if vids.len() > LENGTHS_READ_MAX {
            return self.index(|index| index.terms_of(vids));
        }
        let (mut tokens, mut found) = (0, 0);
        let mut vids_left = vids.iter();
        // Neighbours are read in one go: a commit's versions mostly stand together.
        while let Some(range) = vids_left.next_range() {
            for row in self.versions()?.range(range)? {
                tokens += u64::from(VersionRow::decode(row?.1.value())?.terms());
                found += 1;
            }
        }
        if found == vids.len() { Ok(tokens) } else { Err(tables::damaged("versions of a commit are missing")) }
    }

    fn passing(&self, vids: &RoaringBitmap, filter: &Filter, now: Time) -> Result<RoaringBitmap> {
        self.index(|index| index.filter(vids, filter, now))
    }

    fn next_move(&self, name: &Name, after: Time) -> Result<Option<Move>> {
        tables::next_move(&self.truth.open(NAMES)?, name, after)
    }

    fn every_name(&self) -> Result<Vec<(Name, Move)>> {
        tables::every_name(&self.truth.open(NAMES)?)
    }
}

/// Reads one version's row.
pub fn version<T>(
    versions: &impl ReadableTable<u32, &'static [u8]>,
    vid: u32,
    read: impl FnOnce(&VersionRow) -> Result<T>,
) -> Result<T> {
    match versions.get(vid)? {
        Some(row) => read(&VersionRow::decode(row.value())?),
        None => Err(tables::damaged(&format!("version {vid} is missing"))),
    }
}
