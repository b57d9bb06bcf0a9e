//! The open store: truth's database, the heads in memory, past states and the index. It opens, heals and answers
//! "what is there now"; what changes truth is `writer.rs`, what answers questions is `read.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend};
use roaring::RoaringBitmap;

use super::disk::Disk;
use super::index::{Entry, Index, Watermark};
use super::tables::{
    self, Body, COMMITS, CommitRow, FORMAT, Meta, OLD_MOVES, OLD_NAMES, OPS, Place, STATES, Snapshot, VERSIONS,
    VersionRow,
};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{CommitId, Memory, Name, Time};

/// Gives the file, each time that the store is opened or opened again.
pub type Opener = Box<dyn Fn() -> Result<Box<dyn StorageBackend>> + Send + Sync>;

/// How many states of the past are kept for the next question about them.
const PAST_STATES_MAX: usize = 8;
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";

pub struct Store {
    /// For messages: the file's path.
    name: String,
    opener: Opener,
    cache_bytes: usize,
    /// Of this file since the start, however often it was opened again.
    header_writes: Arc<AtomicU64>,
    openings: AtomicU64,
    /// An error while it could not be opened again.
    opened: RwLock<Result<Opened>>,
    heads: RwLock<Arc<Heads>>,
    past: Mutex<VecDeque<(u32, Arc<RoaringBitmap>)>>,
    pub index: Index,
}

struct Opened {
    database: Database,
    disk: Disk,
}

pub type Heads = BTreeMap<Name, Head>;

/// Where a branch stands, with its whole state.
#[derive(Clone, Debug)]
pub struct Head {
    pub number: u32,
    pub id: CommitId,
    pub place: Place,
    pub since_keyframe: u32,
    pub live: u32,
    pub tokens: u64,
    /// When the name was last moved: its history never runs backwards, whatever the clock does.
    pub moved_at: Time,
    pub state: Arc<RoaringBitmap>,
}

impl Store {
    pub fn open(name: String, opener: Opener, index: &Path, cache_bytes: usize) -> Result<Self> {
        let header_writes = Arc::new(AtomicU64::new(0));
        let (opened, heads, index) = open_database(&name, &opener, cache_bytes, &header_writes, |truth, meta| {
            let next_vid = next_number(&truth.open(VERSIONS)?)?;
            let watermark = Watermark { generation: meta.generation, next_vid, store_id: meta.store };
            let index = Index::open(index, watermark)?;
            catch_up(&index, truth)?;
            Ok(index)
        })?;
        Ok(Self {
            name,
            opener,
            cache_bytes,
            header_writes,
            openings: AtomicU64::new(1),
            opened: RwLock::new(Ok(opened)),
            heads: RwLock::new(Arc::new(heads)),
            past: Mutex::default(),
            index,
        })
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

    pub fn heads(&self) -> Arc<Heads> {
        Arc::clone(&self.heads.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn publish(&self, heads: Heads) {
        *self.heads.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(heads);
    }

    pub fn head(&self, name: &Name) -> Result<Head> {
        let heads = self.heads();
        heads.get(name).cloned().ok_or_else(|| {
            let known: Vec<&str> = heads.keys().map(Name::as_str).collect();
            Error::not_found(format!("there is no branch `{name}`: there is {}", known.join(", ")))
        })
    }

    pub fn is_open(&self) -> bool {
        self.opened.read().unwrap_or_else(PoisonError::into_inner).is_ok()
    }

    /// How often the file was opened.
    pub fn openings(&self) -> u64 {
        self.openings.load(Ordering::Acquire)
    }

    /// After a disk error redb goes no further: the file is closed and opened afresh, and what it says now is true.
    /// Of several who met the error at the same opening, the first does it.
    pub fn reopen(&self, failed_at: u64) -> Result<()> {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if opened.is_ok() && self.openings() != failed_at {
            return Ok(());
        }
        if opened.as_ref().is_err_and(|error| error.kind == ErrorKind::ShuttingDown) {
            return Err(Error::shutting_down("the store is closed"));
        }
        // First closed, since it holds the file's lock.
        let busy = Error::unavailable("the store is being opened again after a disk error: try again");
        let_go(mem::replace(&mut *opened, Err(busy)));
        let attempt = open_database(&self.name, &self.opener, self.cache_bytes, &self.header_writes, |truth, _| {
            catch_up(&self.index, truth)
        });
        match attempt {
            Ok((fresh, heads, ())) => {
                *opened = Ok(fresh);
                self.openings.fetch_add(1, Ordering::AcqRel);
                self.publish(heads);
                self.past().clear();
                Ok(())
            }
            Err(error) => {
                *opened = Err(error.clone());
                Err(error)
            }
        }
    }

    /// Closes the file. Reads that are under way end with an error.
    pub fn close(&self) {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        let_go(mem::replace(&mut *opened, Err(Error::shutting_down("the store is closed"))));
    }

    /// The state at a commit, remembered for the next who asks.
    pub fn state_at(&self, truth: &Snapshot, number: u32) -> Result<Arc<RoaringBitmap>> {
        if let Some(head) = self.heads().values().find(|head| head.number == number) {
            return Ok(Arc::clone(&head.state));
        }
        if let Some((_, state)) = self.past().iter().find(|(known, _)| *known == number) {
            return Ok(Arc::clone(state));
        }
        let state = Arc::new(replay(truth, number)?);
        let mut past = self.past();
        past.truncate(PAST_STATES_MAX - 1);
        past.push_front((number, Arc::clone(&state)));
        Ok(state)
    }

    pub fn forget_past_states(&self) {
        *self.past() = VecDeque::new();
    }

    fn past(&self) -> std::sync::MutexGuard<'_, VecDeque<(u32, Arc<RoaringBitmap>)>> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, f: impl FnOnce(&Opened) -> Result<T>) -> Result<T> {
        match &*self.opened.read().unwrap_or_else(PoisonError::into_inner) {
            Ok(opened) => f(opened),
            Err(error) => Err(error.clone()),
        }
    }
}

/// The nearest keyframe at or before a commit, and the deltas since.
pub fn replay(truth: &Snapshot, number: u32) -> Result<RoaringBitmap> {
    let (commits, states) = (truth.open(COMMITS)?, truth.open(STATES)?);
    let mut deltas = Vec::new();
    let mut at = number;
    let mut state = loop {
        if let Some(keyframe) = states.get(at)? {
            break tables::bitmap(keyframe.value())?;
        }
        let row = commit_row(&commits, at)?;
        let Body::Narrow { delta, .. } = row.body else {
            return Err(tables::damaged(&format!("wide commit {at} has no keyframe")));
        };
        deltas.push(delta);
        match row.place.parents[0] {
            Some(parent) if parent < at => at = parent,
            _ => return Err(tables::damaged(&format!("no keyframe lies before commit {number}"))),
        }
    };
    deltas.iter().rev().for_each(|delta| delta.apply_to(&mut state));
    Ok(state)
}

pub fn commit_row(commits: &impl ReadableTable<u32, &'static [u8]>, number: u32) -> Result<CommitRow> {
    match commits.get(number)? {
        Some(row) => CommitRow::decode(row.value()),
        None => Err(tables::damaged(&format!("commit {number} is missing"))),
    }
}

/// Numbers are handed out in order and rows are never removed.
pub fn next_number(table: &impl ReadableTable<u32, &'static [u8]>) -> Result<u32> {
    Ok(table.last()?.map_or(0, |(last, _)| last.value().saturating_add(1)))
}

pub fn memory_of(versions: &impl ReadableTable<u32, &'static [u8]>, vid: u32) -> Result<Option<Memory>> {
    match versions.get(vid)? {
        Some(row) => VersionRow::decode(row.value())?.memory(),
        None => Ok(None),
    }
}

/// A version as the index takes it in.
pub fn entry_of_version(versions: &impl ReadableTable<u32, &'static [u8]>, vid: u32) -> Result<Option<Entry>> {
    let Some(row) = versions.get(vid)? else { return Ok(None) };
    let row = VersionRow::decode(row.value())?;
    let (version, first) = (row.id(), row.first());
    Ok(Some(match row.memory()? {
        Some(memory) => Entry::whole(memory, version, first),
        None => Entry::Erased { id: row.memory_id()?, version, first },
    }))
}

/// A version that cannot be read is left out: `verify` tells of it, and the others are served all the same.
fn catch_up(index: &Index, truth: &Snapshot) -> Result<()> {
    let versions = truth.open(VERSIONS)?;
    index.catch_up(next_number(&versions)?, |vid| match entry_of_version(&versions, vid) {
        Err(error) if error.kind == ErrorKind::Corrupt => {
            tracing::error!("version {vid} is left out of the index: {error}");
            Ok(None)
        }
        entry => entry,
    })
}

/// Opens the file, reads what the engine starts from, and makes `ready` for it. A file that is not our store is left
/// as it was, and redb's panics on damaged pages become the sentence that any other damage gets.
fn open_database<T>(
    name: &str,
    opener: &Opener,
    cache_bytes: usize,
    header_writes: &Arc<AtomicU64>,
    ready: impl FnOnce(&Snapshot, Meta) -> Result<T>,
) -> Result<(Opened, Heads, T)> {
    let io = |doing: &'static str| move |source| Error::io(format!("{doing} {name}"), &source);
    let below = opener()?;
    let is_new = is_empty(below.as_ref()).map_err(io("read"))?;
    if !is_new && !begins_as_redb(below.as_ref()) {
        return Err(foreign(name));
    }
    let disk = Disk::holding(below, Arc::clone(header_writes));
    let attempt = catch_unwind(AssertUnwindSafe(|| -> Result<_> {
        if is_new {
            disk.accept().map_err(io("write"))?;
        }
        let database = redb::Builder::new().set_cache_size(cache_bytes).create_with_backend(disk.clone())?;
        if is_new {
            super::writer::initialise(&database)?;
        }
        let truth = Snapshot(database.begin_read()?);
        let meta = meta_of(name, &truth)?;
        let heads = load_heads(&truth)?;
        let ready = ready(&truth, meta)?;
        drop(truth);
        disk.accept().map_err(io("write"))?;
        Ok((Opened { database, disk }, heads, ready))
    }));
    match attempt {
        Ok(Err(error)) if error.message.contains(name) => Err(error),
        Ok(Err(error)) if error.kind == ErrorKind::Corrupt => {
            // What to do about a record is not what to do about a store that cannot be opened.
            let why = error.message.split(". ").next().unwrap_or_default();
            Err(damaged(name, &format!(" ({})", why.trim_start_matches("the store is damaged: "))))
        }
        Ok(Err(error)) => Err(Error { message: format!("{name}: {}", error.message), ..error }),
        Ok(opened) => opened,
        Err(_panic) => Err(damaged(name, "")),
    }
}

fn damaged(name: &str, why: &str) -> Error {
    Error::corrupt(format!("{name} is damaged{why}: restore it from a backup, or move it away to begin anew."))
}

fn foreign(name: &str) -> Error {
    Error::corrupt(format!(
        "{name} is not a Memoria store, or its beginning is lost: restore it from a backup, or move it away to begin \
         anew."
    ))
}

fn meta_of(name: &str, truth: &Snapshot) -> Result<Meta> {
    let row = match truth.0.open_table(tables::META) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Err(foreign(name)),
        table => table?.get(())?.map(|row| Meta::decode(row.value())).transpose()?,
    };
    let meta = row.ok_or_else(|| foreign(name))?;
    if meta.format > FORMAT {
        return Err(Error::corrupt(format!(
            "{name} was written by a newer memoria (format {}, this one knows up to {FORMAT}): update memoria.",
            meta.format
        )));
    }
    Ok(meta)
}

fn is_empty(file: &dyn StorageBackend) -> std::io::Result<bool> {
    Ok(file.len()? == 0)
}

fn begins_as_redb(file: &dyn StorageBackend) -> bool {
    let mut magic = [0; MAGIC.len()];
    file.read(0, &mut magic).is_ok() && magic == *MAGIC
}

fn load_heads(truth: &Snapshot) -> Result<Heads> {
    let (commits, moves) = (truth.open(COMMITS)?, truth.open(OLD_MOVES)?);
    // Opened to see that it is there: a store without it is damaged.
    truth.open(OPS)?;
    let mut heads = Heads::new();
    for entry in truth.open(OLD_NAMES)?.iter()? {
        let (name, number) = entry?;
        let (name, number): (Name, u32) = (name.value().parse()?, number.value());
        let row = commit_row(&commits, number)?;
        let last =
            moves.range(..=tables::old_move_key(&name, Time::MAX, u32::MAX).as_slice())?.next_back().transpose()?;
        let head = Head {
            number,
            id: row.id(),
            place: row.place,
            since_keyframe: row.since_keyframe,
            live: row.live,
            tokens: row.tokens,
            moved_at: last.map_or(Ok(Time::MIN), |(key, _)| tables::old_move_time(key.value()))?,
            state: Arc::new(replay(truth, number)?),
        };
        if head.state.len() != u64::from(head.live) {
            return Err(tables::damaged(&format!("branch `{name}` has lost memories")));
        }
        heads.insert(name, head);
    }
    if heads.is_empty() { Err(tables::damaged("it has no branch")) } else { Ok(heads) }
}

/// redb writes while it closes, and panics where the file is damaged: that is no reason for us to fall.
fn let_go(opened: Result<Opened>) {
    if catch_unwind(AssertUnwindSafe(|| drop(opened))).is_err() {
        tracing::error!("the store could not be closed in order: run `memoria verify`");
    }
}
