//! Truth as the writer sees it inside its transaction: the tables, with what the batch has done so far.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use redb::ReadableTable;
use roaring::RoaringBitmap;

use super::super::index::{Entry, Words};
use super::super::store::{Head, State, Store, commit_row, replay, terms_in};
use super::super::tables::{self, CommitRow, Move, Place, VersionRow, last_move, place_of};
use super::super::view::version;
use super::{Tables, replayed};
use crate::engine::history::{Ground, Places, Truth};
use crate::error::Result;
use crate::model::{Applied, CommitId, MemoryId, Name, OpId, Pending, Time};

/// The batch's own versions, which the index does not know yet.
#[derive(Default)]
pub struct Recent {
    memories: HashMap<MemoryId, Vec<u32>>,
    texts: HashMap<[u8; 16], Vec<u32>>,
    pub entries: Vec<(u32, Entry)>,
}

impl Recent {
    fn vids_of(&self, id: &MemoryId) -> &[u32] {
        self.memories.get(id).map_or(&[], Vec::as_slice)
    }

    fn twins(&self, text: &[u8; 16]) -> &[u32] {
        self.texts.get(text).map_or(&[], Vec::as_slice)
    }

    pub fn push(&mut self, vid: u32, entry: Entry) {
        if let Entry::Whole { memory, text, .. } = &entry {
            self.memories.entry(memory.id).or_default().push(vid);
            self.texts.entry(*text).or_default().push(vid);
        }
        self.entries.push((vid, entry));
    }
}

/// What a batch leaves behind once it is durable.
pub struct Batch<'s> {
    store: &'s Store,
    erased: Arc<RoaringBitmap>,
    /// Branches that the batch moved, made or took away.
    pub heads: BTreeMap<Name, Option<Arc<Head>>>,
    /// States by commit, while they are being changed: each is copied once a batch.
    states: RefCell<HashMap<u32, Arc<RoaringBitmap>>>,
    pub recent: Recent,
    pub is_changed: bool,
}

impl<'s> Batch<'s> {
    pub fn new(store: &'s Store) -> Self {
        Self {
            store,
            erased: store.erased(),
            heads: BTreeMap::new(),
            states: RefCell::default(),
            recent: Recent::default(),
            is_changed: false,
        }
    }

    /// The state of a commit as the commits make it.
    fn state(&self, tables: &Tables, number: u32) -> Result<Arc<RoaringBitmap>> {
        let mut states = self.states.borrow_mut();
        if let Some(state) = states.get(&number) {
            return Ok(Arc::clone(state));
        }
        let state = match self.store.state_at_hand(number) {
            Some(state) => Arc::clone(&state.raw),
            None => Arc::new(replay(&tables.commits, &tables.states, number)?),
        };
        states.insert(number, Arc::clone(&state));
        Ok(state)
    }

    /// A state to be changed. Another branch that stands there too reads it again.
    pub fn take_state(&mut self, tables: &Tables, number: u32) -> Result<Arc<RoaringBitmap>> {
        let state = self.state(tables, number)?;
        self.states.get_mut().remove(&number);
        Ok(state)
    }

    pub fn keep_state(&mut self, number: u32, state: Arc<RoaringBitmap>) {
        self.states.get_mut().insert(number, state);
    }

    /// The states of the heads that moved, ready to be read.
    pub fn served(&self, tables: &Tables) -> Result<Vec<(u32, Arc<State>)>> {
        let (states, mut served) = (self.states.borrow(), Vec::new());
        for head in self.heads.values().flatten() {
            if let Some(raw) = states.get(&head.number) {
                let counts = (head.live, head.tokens);
                let terms = |vids: &RoaringBitmap| terms_in(&tables.versions, vids);
                let state = State::serve(Arc::clone(raw), counts, &self.erased, terms)?;
                served.push((head.number, Arc::new(state)));
            }
        }
        Ok(served)
    }
}

/// What a write of a batch is judged on.
pub struct Footing<'a, 't, 's> {
    pub tables: &'a Tables<'t>,
    pub batch: &'a Batch<'s>,
}

impl Places for Footing<'_, '_, '_> {
    fn place(&self, number: u32) -> Result<Place> {
        place_of(&self.tables.commits, number)
    }
}

impl Truth for Footing<'_, '_, '_> {
    fn commit(&self, number: u32) -> Result<CommitRow> {
        commit_row(&self.tables.commits, number)
    }

    fn number_of(&self, id: CommitId) -> Result<Option<u32>> {
        Ok(self.tables.commit_ids.get(&id.0)?.map(|number| number.value()))
    }

    fn raw(&self, number: u32) -> Result<Arc<RoaringBitmap>> {
        self.batch.state(self.tables, number)
    }

    fn erased(&self) -> Arc<RoaringBitmap> {
        Arc::clone(&self.batch.erased)
    }

    fn version<T>(&self, vid: u32, read: impl FnOnce(&VersionRow) -> Result<T>) -> Result<T> {
        version(&self.tables.versions, vid, read)
    }

    fn vids_of(&self, id: &MemoryId) -> Result<Vec<u32>> {
        let store = self.batch.store;
        let mut vids = store.mending(|| store.index.vids_of(id))?;
        vids.extend(self.batch.recent.vids_of(id));
        Ok(vids)
    }

    fn last_move(&self, name: &Name, until: Time) -> Result<Option<Move>> {
        last_move(&self.tables.names, name, until)
    }

    fn branches(&self, limit: usize) -> Result<Vec<Name>> {
        Ok(self.batch.store.heads().keys().take(limit).cloned().collect())
    }

    fn upheavals(&self) -> u64 {
        self.batch.store.upheavals()
    }
}

impl Ground for Footing<'_, '_, '_> {
    type Words = Words;

    fn replayed(&self, op: OpId) -> Result<Option<Applied>> {
        replayed(&self.tables.ops, op)
    }

    fn head(&self, branch: &Name) -> Result<Option<Arc<Head>>> {
        Ok(match self.batch.heads.get(branch) {
            Some(head) => head.clone(),
            None => self.batch.store.heads().get(branch).cloned(),
        })
    }

    fn twins(&self, text: &[u8; 16]) -> Result<Vec<u32>> {
        let store = self.batch.store;
        let mut vids = store.mending(|| store.index.twins(text))?;
        vids.extend(self.batch.recent.twins(text));
        Ok(vids)
    }

    fn pending(&self, branch: &Name) -> Result<Option<Pending>> {
        self.tables.pending.get(branch.as_str())?.map(|row| tables::pending(row.value())).transpose()
    }

    fn next_vid(&self) -> Result<u32> {
        self.batch.store.next_vid(&self.tables.versions)
    }

    fn next_commit(&self) -> Result<u32> {
        self.batch.store.next_commit(&self.tables.commits)
    }
}
