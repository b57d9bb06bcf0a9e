//! The open store: truth's database, the heads in memory, states and the index. It opens, heals and answers
//! "what is there now"; what changes truth is `writer.rs`, what answers questions is `read.rs`.
//!
//! `open` is the way from a file to a store.

mod open;

use std::collections::BTreeMap;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend};
use roaring::RoaringBitmap;

use self::open::{Beginning, Opened, open_database};
use super::disk::Disk;
use super::index::{Entry, Index, Watermark};
use super::opener::Opener;
use super::tables::{self, COMMITS, CommitRow, STATES, Snapshot, VERSIONS, VersionRow};
use super::unembedded::OnBranches;
use super::vectors::Vectors;
use crate::engine::At;
use crate::engine::history::lives::Unreachable;
use crate::engine::history::naming::no_branch;
use crate::engine::history::state::{self, States};
pub use crate::engine::history::state::{Head, Heads, State};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Name, Time, VersionId};

/// Of a table's last rows, how many compaction can have removed: more of them than a store has is damage.
const REMOVED_LAST_MAX: u32 = 1 << 24;

pub struct Store {
    /// For messages: the file's path.
    name: String,
    opener: Box<dyn Opener>,
    cache_bytes: usize,
    /// Of this file since the start, however often it was opened again.
    header_writes: Arc<AtomicU64>,
    openings: AtomicU64,
    /// How often history was changed under those who work something out: by erasing, compacting, opening again.
    upheavals: AtomicU64,
    /// An error while it could not be opened again.
    opened: RwLock<Result<Opened>>,
    heads: RwLock<Heads>,
    states: States,
    /// No lower vid and no lower commit number is handed out.
    floors: [AtomicU32; 2],
    /// Who holds it builds the index anew.
    mending: Mutex<()>,
    pub unreachable: Unreachable,
    pub index: Index,
    pub vectors: Vectors,
    /// Vids of no text that could have a vector, as far as anybody looked.
    pub blank: Mutex<RoaringBitmap>,
    pub on_branches: OnBranches,
}

impl Store {
    pub fn open(name: String, opener: Box<dyn Opener>, derived: [&Path; 2], cache_bytes: usize) -> Result<Self> {
        let [index, vectors] = derived;
        // Half of a file that a rewrite left when it was cut short.
        opener.discard()?;
        let header_writes = Arc::new(AtomicU64::new(0));
        let ready = |truth: &Snapshot, beginning: &Beginning| {
            let meta = &beginning.meta;
            let next_vid = next_number(&truth.open(VERSIONS)?, meta.next_vid)?;
            let watermark = Watermark { generation: meta.generation, next_vid, store_id: meta.store };
            let index = Index::open(index, watermark)?;
            catch_up(&index, truth, meta.next_vid)?;
            let versions = truth.open(VERSIONS)?;
            Ok((index, Vectors::open(vectors, watermark, &|vid| living_id(&versions, vid))?))
        };
        let (opened, beginning, (index, vectors)) =
            open_database(&name, opener.open()?, cache_bytes, &header_writes, ready)?;
        let store = Self {
            name,
            opener,
            cache_bytes,
            header_writes,
            openings: AtomicU64::new(1),
            upheavals: AtomicU64::new(0),
            opened: RwLock::new(Ok(opened)),
            heads: RwLock::default(),
            states: States::default(),
            floors: Default::default(),
            mending: Mutex::default(),
            unreachable: Unreachable::default(),
            index,
            vectors,
            blank: Mutex::default(),
            on_branches: OnBranches::default(),
        };
        store.begin(beginning);
        Ok(store)
    }

    fn begin(&self, Beginning { meta, heads, erased }: Beginning) {
        self.floors[0].store(meta.next_vid, Ordering::Release);
        self.floors[1].store(meta.next_commit, Ordering::Release);
        self.states.erase(Arc::new(erased));
        *self.heads.write().unwrap_or_else(PoisonError::into_inner) = heads;
        self.upheavals.fetch_add(1, Ordering::AcqRel);
    }

    /// Truth as of now. After a disk error, readers too try whether the disk is well again.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let openings = self.openings();
        let begin = || self.with(|opened| Ok(Snapshot(opened.database.begin_read()?)));
        begin().or_else(|_| self.reopen(openings).and_then(|()| begin()))
    }

    pub fn begin_write(&self) -> Result<redb::WriteTransaction> {
        self.with(|opened| {
            let mut transaction = opened.database.begin_write()?;
            transaction.set_quick_repair(true);
            Ok(transaction)
        })
    }

    /// How often redb's header was written: without a write of it there is no commit.
    pub fn header_writes(&self) -> u64 {
        self.header_writes.load(Ordering::Acquire)
    }

    pub fn truth_bytes(&self) -> Result<u64> {
        self.with(|opened| {
            opened.disk.len().map_err(|source| Error::io(format!("see the size of {}", self.name), &source))
        })
    }

    pub fn heads(&self) -> RwLockReadGuard<'_, Heads> {
        self.heads.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn head(&self, name: &Name) -> Result<Arc<Head>> {
        if let Some(head) = self.heads().get(name) {
            return Ok(Arc::clone(head));
        }
        Err(no_branch(&self.view()?, name))
    }

    /// What the writer made durable: branches that moved, came or went, and the states of those that moved.
    pub fn publish(&self, changed: BTreeMap<Name, Option<Arc<Head>>>, states: Vec<(u32, Arc<State>)>) {
        let erased = self.states.erased();
        states.into_iter().for_each(|(number, state)| self.states.keep(number, &state, &erased));
        let mut heads = self.heads.write().unwrap_or_else(PoisonError::into_inner);
        let mut left = Vec::new();
        for (name, head) in changed {
            let before = match head {
                Some(head) => heads.insert(name, head),
                None => heads.remove(&name),
            };
            left.extend(before.map(|before| before.number));
        }
        // What a branch has left is asked for less often than where it stands.
        left.retain(|number| !heads.values().any(|head| head.number == *number));
        drop(heads);
        left.into_iter().for_each(|number| self.states.forget(number));
    }

    pub fn is_open(&self) -> bool {
        self.opened.read().unwrap_or_else(PoisonError::into_inner).is_ok()
    }

    /// How often the file was opened.
    pub fn openings(&self) -> u64 {
        self.openings.load(Ordering::Acquire)
    }

    /// Whoever worked something out under another number works it out anew.
    pub fn upheavals(&self) -> u64 {
        self.upheavals.load(Ordering::Acquire)
    }

    /// After a disk error redb goes no further: the file is closed and opened afresh, and what it says now is true.
    /// Of several who met the error at the same opening, the first does it.
    pub fn reopen(&self, failed_at: u64) -> Result<()> {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if opened.is_ok() && self.openings() != failed_at {
            return Ok(());
        }
        self.open_again(&mut opened, || Ok(()))
    }

    /// Closes the file, does what can only be done meanwhile, and opens it, whatever came of that.
    fn open_again(&self, opened: &mut Result<Opened>, meanwhile: impl FnOnce() -> Result<()>) -> Result<()> {
        if opened.as_ref().is_err_and(|error| error.kind == ErrorKind::ShuttingDown) {
            return Err(Error::shutting_down("the store is closed"));
        }
        // First closed, since it holds the file's lock.
        let busy = Error::unavailable("the store is being opened again after a disk error: try again");
        if let Ok(open) = mem::replace(opened, Err(busy)) {
            let_go(open);
        }
        let done = meanwhile();
        let attempt = self.opener.open().and_then(|file| {
            open_database(&self.name, file, self.cache_bytes, &self.header_writes, |truth, beginning| {
                catch_up(&self.index, truth, beginning.meta.next_vid)
            })
        });
        match attempt {
            Ok((fresh, beginning, ())) => {
                *opened = Ok(fresh);
                self.openings.fetch_add(1, Ordering::AcqRel);
                self.begin(beginning);
                done
            }
            Err(error) => {
                *opened = Err(error.clone());
                Err(error)
            }
        }
    }

    /// Only on the writer's thread: after a transaction that changed more than branches' heads (erased versions,
    /// names and numbers that are gone), what the engine starts from is read anew.
    pub fn reload(&self) -> Result<()> {
        let beginning = Beginning::read(&self.name, &self.snapshot()?)?;
        self.begin(beginning);
        Ok(())
    }

    /// Only on the writer's thread: `fill` writes a fresh file beside the store's and closes it, durably; then it
    /// takes the store's place and is opened. Where anything fails before that, the store is what it was.
    pub fn swap(&self, fill: impl FnOnce(Database) -> Result<()>) -> Result<()> {
        let file = Disk::holding(self.opener.fresh()?, Arc::default());
        file.accept().map_err(|source| Error::io(format!("write beside {}", self.name), &source))?;
        let fresh = redb::Builder::new().set_cache_size(self.cache_bytes).create_with_backend(file);
        let filled = fresh.map_err(Error::from).and_then(fill);
        if let Err(error) = filled {
            let _ = self.opener.discard();
            return Err(error);
        }
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        self.open_again(&mut opened, || self.opener.replace())
    }

    /// Closes the file. Reads that are under way end with an error.
    pub fn close(&self) {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if let Ok(open) = mem::replace(&mut *opened, Err(Error::shutting_down("the store is closed"))) {
            let_go(open);
        }
    }

    /// The vid that the next version gets, and the number that the next commit gets.
    pub fn next_vid(&self, versions: &impl ReadableTable<u32, &'static [u8]>) -> Result<u32> {
        next_number(versions, self.floors[0].load(Ordering::Acquire))
    }

    pub fn next_commit(&self, commits: &impl ReadableTable<u32, &'static [u8]>) -> Result<u32> {
        next_number(commits, self.floors[1].load(Ordering::Acquire))
    }

    fn with<T>(&self, f: impl FnOnce(&Opened) -> Result<T>) -> Result<T> {
        match &*self.opened.read().unwrap_or_else(PoisonError::into_inner) {
            Ok(opened) => f(opened),
            Err(error) => Err(error.clone()),
        }
    }
}

/// States.
impl Store {
    /// The versions whose bytes are gone.
    pub fn erased(&self) -> Arc<RoaringBitmap> {
        self.states.erased()
    }

    /// What is live at a commit, remembered for the next who asks.
    pub fn state(&self, truth: &Snapshot, number: u32) -> Result<Arc<State>> {
        if let Some(state) = self.states.get(number) {
            return Ok(state);
        }
        let erased = self.states.erased();
        let (commits, states) = (truth.open(COMMITS)?, truth.open(STATES)?);
        let row = commit_row(&commits, number)?;
        let raw = Arc::new(replay(&commits, &states, number)?);
        if raw.len() != u64::from(row.live) {
            return Err(tables::damaged(&format!("commit {number} has lost memories")));
        }
        let state = Arc::new(State::serve(raw, (row.live, row.tokens), &erased, |vids| {
            terms_in(&truth.open(VERSIONS)?, vids)
        })?);
        self.states.keep(number, &state, &erased);
        Ok(state)
    }

    /// The same where it is at hand, without a look at the disk.
    pub fn state_at_hand(&self, number: u32) -> Option<Arc<State>> {
        self.states.get(number)
    }

    pub fn forget_past_states(&self) {
        self.states.rest();
    }

    /// A branch's head at a moment, without a look at the disk, where that is possible.
    pub fn at_hand(&self, name: &Name, now: Time) -> Option<At> {
        let head = self.heads().get(name).map(Arc::clone)?;
        Some(state::at_head(&head, &*self.state_at_hand(head.number)?, now))
    }

    /// Derived data that proves damaged is built again from truth, once, and asked again.
    pub fn mending<T>(&self, ask: impl Fn() -> Result<T>) -> Result<T> {
        match ask() {
            Err(error) if error.kind == ErrorKind::Corrupt => {
                let _one = self.mending.lock().unwrap_or_else(PoisonError::into_inner);
                // Somebody else may have mended it meanwhile.
                ask().or_else(|error| {
                    tracing::warn!("the index is damaged, and is built again: {error}");
                    self.rebuild_index()?;
                    ask()
                })
            }
            answer => answer,
        }
    }

    pub fn rebuild_index(&self) -> Result<()> {
        self.index.rebuild(|| {
            let versions = self.snapshot()?.open(VERSIONS)?;
            Ok((self.next_vid(&versions)?, move |vid| entry_of(&versions, vid)))
        })
    }
}

pub fn commit_row(commits: &impl ReadableTable<u32, &'static [u8]>, number: u32) -> Result<CommitRow> {
    match commits.get(number)? {
        Some(row) => CommitRow::decode(row.value()),
        None => Err(tables::damaged(&format!("commit {number} is missing"))),
    }
}

/// How long versions are together; one that is missing counts for nothing.
pub fn terms_in(versions: &impl ReadableTable<u32, &'static [u8]>, vids: &RoaringBitmap) -> Result<u64> {
    let mut terms = 0;
    for vid in vids {
        if let Some(row) = versions.get(vid)? {
            terms += u64::from(VersionRow::decode(row.value())?.terms());
        }
    }
    Ok(terms)
}

/// The state of a commit as the commits make it.
pub fn replay(
    commits: &impl ReadableTable<u32, &'static [u8]>,
    states: &impl ReadableTable<u32, &'static [u8]>,
    number: u32,
) -> Result<RoaringBitmap> {
    let keyframe = |number| states.get(number)?.map(|row| tables::bitmap(row.value())).transpose();
    state::replay(|number| commit_row(commits, number), keyframe, number)
}

/// One past the last row, and at least `floor`: compaction may have removed the last ones. Numbers are handed out one
/// after another from there: a row beyond them has a damaged key, and is no row. Whoever keeps a place for each number
/// would otherwise fill memory with places.
pub fn next_number(table: &impl ReadableTable<u32, &'static [u8]>, floor: u32) -> Result<u32> {
    let handed_out = u64::from(floor).saturating_add(table.len()?).min(u64::from(u32::MAX)) as u32;
    let last = table.range(..handed_out)?.next_back().transpose()?;
    let next = last.map_or(0, |(last, _)| last.value() + 1);
    if floor.saturating_sub(next) > REMOVED_LAST_MAX {
        return Err(tables::damaged("it counts further than it has ever got"));
    }
    Ok(next.max(floor))
}

/// Which version a vid is; `None` where there is none, or its bytes are gone.
pub fn living_id(versions: &impl ReadableTable<u32, &'static [u8]>, vid: u32) -> Result<Option<VersionId>> {
    let Some(row) = versions.get(vid)? else { return Ok(None) };
    let row = VersionRow::decode(row.value())?;
    Ok(matches!(row, VersionRow::Whole { .. }).then(|| row.id()))
}

/// A version as the index takes it in.
pub fn entry_of(versions: &impl ReadableTable<u32, &'static [u8]>, vid: u32) -> Result<Option<Entry>> {
    let Some(row) = versions.get(vid)? else { return Ok(None) };
    let row = VersionRow::decode(row.value())?;
    let (version, first) = (row.id(), row.first());
    Ok(Some(match row.memory()? {
        Some(memory) => Entry::whole(memory, version, first),
        None => Entry::Erased { id: row.memory_id()?, version, first },
    }))
}

/// A version that cannot be read is left out: `verify` tells of it, and the others are served all the same.
fn catch_up(index: &Index, truth: &Snapshot, next_vid_min: u32) -> Result<()> {
    let versions = truth.open(VERSIONS)?;
    index.catch_up(next_number(&versions, next_vid_min)?, |vid| match entry_of(&versions, vid) {
        Err(error) if error.kind == ErrorKind::Corrupt => {
            tracing::error!("version {vid} is left out of the index: {error}");
            Ok(None)
        }
        entry => entry,
    })
}

/// Closes the file as a crash would, writing nothing: every commit is durable, and the file opens as it stands. redb
/// would make one more commit here, which on damaged pages panics while a panic unwinds, and that ends the process. It
/// leaves that commit out where it is dropped in unwinding.
fn let_go(opened: Opened) {
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let _dropped_in_unwinding = opened;
        resume_unwind(Box::new(()))
    }));
}
