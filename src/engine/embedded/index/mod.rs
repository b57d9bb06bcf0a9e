//! Words and columns of every version, by vid: data derived from truth, which it can be thrown away for and
//! rebuilt from at any time. It never touches truth, and damage to it never fails a read for good: a damaged
//! piece is [`ErrorKind::Corrupt`](crate::error::ErrorKind::Corrupt), upon which the engine calls `rebuild`.
//!
//! `entry` is what it takes in, `terms` numbers words, `segment` is a file of posting lists, `columns` what filters
//! need, `keys` look-ups by id, `find` answers questions, `audit` compares with truth. The loops over posting lists
//! are the package `memoria-kernel`.

mod audit;
mod columns;
mod entry;
mod find;
mod keys;
mod segment;
mod terms;

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use memoria_kernel::postings::Growing;
use roaring::RoaringBitmap;

use crate::error::{Error, Result};
use crate::model::canon::{Reader, Writer};
use crate::model::{Filter, Kind, MemoryId, Query, Time, VersionId};

pub use audit::Audit;
use columns::Columns;
pub use entry::{Entry, Words, text_key};
use find::List;
pub use find::{Found, Matches};
use keys::Keys;
use segment::Segment;
use terms::{ByTerm, TermId};

/// What truth holds: an index of another store or of a future that truth does not know is thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// Changes whenever vids might mean something else than before (a store that was repaired or restored).
    pub generation: u64,
    /// The vid after the last one given out.
    pub next_vid: u32,
    pub store_id: [u8; 16],
}

/// The index of one store. Every method blocks, for about as long as its work takes; `flush` may take seconds.
pub struct Index {
    home: Home,
    inner: RwLock<Inner>,
    /// Who holds it may change what is on disk.
    disk: Mutex<()>,
}

/// Where the segments are, and of what store.
struct Home {
    folder: PathBuf,
    truth: Watermark,
}

struct Inner {
    columns: Columns,
    keys: Keys,
    /// On disk, in rising order of vid, without gaps.
    segments: Vec<Arc<Segment>>,
    /// What is being flushed.
    frozen: Option<Arc<Tail>>,
    tail: Tail,
}

/// The terms of the vids from `first` on, in memory.
#[derive(Default)]
struct Tail {
    first: u32,
    terms: ByTerm<Growing>,
}

impl Index {
    /// Opens what there is, as far as it fits `truth`; the rest is missing (`missing_from`).
    pub fn open(folder: &Path, truth: Watermark) -> Result<Self> {
        let home = Home { folder: folder.to_owned(), truth };
        let inner = home.open()?;
        Ok(Self { home, inner: RwLock::new(inner), disk: Mutex::new(()) })
    }

    /// The first vid that the index lacks: at open, the engine adds from here on what truth holds.
    pub fn missing_from(&self) -> u32 {
        self.read().columns.next_vid()
    }

    /// Adds a version, which is found from now on. Vids come in rising order; a vid that is skipped stays empty,
    /// a vid that is there already is left alone.
    pub fn add(&self, vid: u32, entry: &Entry) {
        self.write().add(vid, entry);
    }

    /// Adds what is missing up to `next_vid`, from what `read` gives (`None` where truth has no such version).
    /// For opening a store; questions wait until it is done.
    pub fn catch_up(&self, next_vid: u32, read: impl FnMut(u32) -> Result<Option<Entry>>) -> Result<()> {
        let _disk = self.disk();
        self.write().catch_up(&self.home, next_vid, read)
    }

    /// Throws everything away and adds again what truth holds. `truth` is called once nothing can be added any
    /// more, so that what it sees is all there is: it gives the vid after the last, and a reader of versions
    /// (`None` where truth has no such version any longer). Questions wait until it is done.
    pub fn rebuild<R>(&self, truth: impl FnOnce() -> Result<(u32, R)>) -> Result<()>
    where
        R: FnMut(u32) -> Result<Option<Entry>>,
    {
        let _disk = self.disk();
        let mut inner = self.write();
        let (next_vid, read) = truth()?;
        *inner = Inner::empty();
        self.home.clear()?;
        inner.catch_up(&self.home, next_vid, read)
    }

    /// The index's content, to be held against truth by `verify`. Nothing is added while the result lives.
    pub fn audit(&self) -> Result<Audit<'_>> {
        Audit::of(self.read())
    }

    /// The best `query.limit` versions of the state within the filter, and the statistics of the state, which
    /// has `live` versions of `tokens` terms in all. Expired versions are never candidates.
    pub fn candidates(
        &self,
        state: &RoaringBitmap,
        query: &Query,
        live: u32,
        tokens: u64,
        now: Time,
    ) -> Result<Matches> {
        find::candidates(&self.read(), state, query, (live, tokens), now)
    }

    /// Versions that contain all of these terms, oldest first, up to `limit` (0 is all), and how many there are.
    pub fn containing(
        &self,
        state: &RoaringBitmap,
        terms: &[String],
        filter: &Filter,
        now: Time,
        limit: u32,
    ) -> Result<(Vec<u32>, u32)> {
        let inner = self.read();
        let holding = find::containing(&inner, state, terms)?;
        let wanted = inner.columns.wanted(filter, now);
        let all: Vec<u32> = holding.iter().filter(|vid| wanted.has(*vid)).collect();
        let limit = if limit == 0 { all.len() } else { limit as usize };
        Ok((all.iter().take(limit).copied().collect(), all.len() as u32))
    }

    /// The versions of the state that pass the filter and have not expired.
    pub fn filter(&self, state: &RoaringBitmap, filter: &Filter, now: Time) -> Result<RoaringBitmap> {
        let inner = self.read();
        let wanted = inner.columns.wanted(filter, now);
        Ok(state.iter().filter(|vid| wanted.has(*vid)).collect())
    }

    /// Part of a state, newest first by `observed_at`, then by memory id; `limit` 0 is all.
    pub fn newest(&self, state: &RoaringBitmap, offset: u32, limit: u32) -> Result<Vec<u32>> {
        Ok(self.read().columns.newest(state, offset, limit))
    }

    /// A version's length in terms, as the statistics count it.
    pub fn len_of(&self, vid: u32) -> Result<u32> {
        Ok(self.read().columns.len_of(vid))
    }

    /// How many versions of the state there are of each kind, in the order of `Kind::ALL`, without zeros.
    pub fn by_kind(&self, state: &RoaringBitmap) -> Result<Vec<(Kind, u32)>> {
        let inner = self.read();
        let mut counts = [0u32; Kind::ALL.len()];
        for vid in state {
            counts[inner.columns.class(vid).kind as usize] += 1;
        }
        Ok(Kind::ALL.iter().copied().zip(counts).filter(|(_, count)| *count > 0).collect())
    }

    /// Every version of a memory, rising.
    pub fn vids_of(&self, id: &MemoryId) -> Result<Vec<u32>> {
        Ok(self.read().keys.vids_of(id))
    }

    pub fn vid_of(&self, version: &VersionId) -> Result<Option<u32>> {
        Ok(self.read().keys.vid_of(version))
    }

    /// The versions that have this [`text_key`], rising. Once in a very long while one of them says something else:
    /// compare the texts.
    pub fn twins(&self, text: &[u8; 16]) -> Result<Vec<u32>> {
        Ok(self.read().keys.twins(text))
    }

    /// Up to `limit` different ids of memories from `first` to `last`, rising.
    pub fn ids_between(&self, first: &MemoryId, last: &MemoryId, limit: usize) -> Result<Vec<MemoryId>> {
        Ok(self.read().keys.ids_between(first, last, limit))
    }

    /// The nearest ids of other memories, below and above.
    pub fn neighbours(&self, id: &MemoryId) -> Result<[Option<MemoryId>; 2]> {
        Ok(self.read().keys.neighbours(id))
    }

    /// The memories that these versions belong to, one for each.
    pub fn ids(&self, vids: &[u32]) -> Result<Vec<MemoryId>> {
        let inner = self.read();
        vids.iter().map(|vid| inner.keys.id(*vid).ok_or_else(|| unknown(*vid))).collect()
    }

    /// The ids of all these versions, in the order of the vids.
    pub fn version_ids(&self, vids: &RoaringBitmap) -> Result<Vec<VersionId>> {
        let inner = self.read();
        vids.iter().map(|vid| inner.keys.version_id(vid).ok_or_else(|| unknown(vid))).collect()
    }

    /// The vid of the first version of each one's memory, in the order of the vids: array reads.
    pub fn memory_numbers(&self, vids: &RoaringBitmap) -> Result<Vec<u32>> {
        let inner = self.read();
        vids.iter().map(|vid| inner.keys.memory_number(vid).ok_or_else(|| unknown(vid))).collect()
    }

    /// How many versions are in memory only. The engine calls `flush`, off the path of writes, when there are
    /// more than [`FLUSH_AT`](Self::FLUSH_AT).
    pub fn unflushed(&self) -> u32 {
        let inner = self.read();
        inner.columns.next_vid() - inner.frozen.as_ref().map_or(inner.tail.first, |frozen| frozen.first)
    }

    /// How many unflushed versions are worth a flush: a few MB of memory.
    pub const FLUSH_AT: u32 = 4096;

    /// Brings what is in memory only to disk, durably, and merges small segments. Questions and additions go on.
    pub fn flush(&self) -> Result<()> {
        let _disk = self.disk();
        let frozen = {
            let mut inner = self.write();
            let next = inner.columns.next_vid();
            if inner.tail.first == next {
                return Ok(());
            }
            let frozen = Arc::new(std::mem::replace(&mut inner.tail, Tail { first: next, terms: ByTerm::default() }));
            inner.frozen = Some(frozen.clone());
            frozen
        };
        let (next, columns) = {
            let inner = self.read();
            (inner.tail.first, inner.encode(frozen.first, inner.tail.first))
        };
        let written = frozen.write(&self.home, next, &columns);
        let mut inner = self.write();
        inner.frozen = None;
        match written {
            Ok(segment) => inner.segments.push(Arc::new(segment)),
            Err(error) => {
                // The tail goes on from where it was, and the next flush tries again.
                let added = std::mem::take(&mut inner.tail);
                inner.tail = Arc::into_inner(frozen).unwrap_or_default().followed_by(added);
                return Err(error);
            }
        }
        drop(inner);
        self.merge()
    }

    /// Joins the youngest segments while the one before them is not much larger: their number stays below about
    /// ten, and a version is rewritten a few times at most.
    fn merge(&self) -> Result<()> {
        let (parts, columns) = {
            let inner = self.read();
            let parts = inner.segments[Inner::unmerged_from(&inner.segments)..].to_vec();
            if parts.len() < 2 {
                return Ok(());
            }
            let columns = inner.encode(parts[0].first, parts[parts.len() - 1].next);
            (parts, columns)
        };
        let merged = segment::merge(&self.home.folder, &self.home.truth, &parts, &columns, &RoaringBitmap::new())?;
        let mut inner = self.write();
        let keep = inner.segments.len() - parts.len();
        inner.segments.truncate(keep);
        inner.segments.push(Arc::new(merged));
        drop(inner);
        parts.iter().for_each(|part| remove(&part.path));
        Ok(())
    }

    /// Flushes, and lets go of what memory can be read again when it is asked for.
    pub fn rest(&self) -> Result<()> {
        self.flush()
    }

    /// Takes from these versions all that their memories said: when it returns, no file of the index holds any of
    /// it, and only their ids and their place remain. Forgetting again what is forgotten costs nothing.
    pub fn forget(&self, vids: &RoaringBitmap) -> Result<()> {
        self.flush()?;
        let _disk = self.disk();
        let mut inner = self.write();
        for vid in vids {
            inner.columns.forget(vid);
            inner.keys.forget(vid);
        }
        for at in 0..inner.segments.len() {
            let old = inner.segments[at].clone();
            if vids.range_cardinality(old.first..old.next) == 0 {
                continue;
            }
            let columns = inner.encode(old.first, old.next);
            let new = segment::merge(&self.home.folder, &self.home.truth, &[old], &columns, vids)?;
            inner.segments[at] = Arc::new(new);
        }
        Ok(())
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.read().segments.iter().map(|segment| segment.bytes).sum()
    }

    fn disk(&self) -> MutexGuard<'_, ()> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Home {
    /// The longest unbroken row of whole segments of this store; everything else in the folder goes.
    fn open(&self) -> Result<Inner> {
        let mut inner = Inner::empty();
        let failed = |error: std::io::Error| Error::io(format_args!("open {}", self.folder.display()), &error);
        if self.folder.is_file() {
            remove(&self.folder);
        }
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            match Segment::open(&path, &self.truth) {
                Ok(Some(segment)) => found.push(segment),
                _ => remove(&path),
            }
        }
        // An index that knows vids which truth has not given out belongs to another past of this store.
        if found.iter().any(|segment| segment.next > self.truth.next_vid) {
            found.clear();
            self.clear()?;
        }
        // A merge that was cut short leaves a segment beside the parts that it was made of: take the longest.
        found.sort_by_key(|segment| (segment.first, std::cmp::Reverse(segment.next)));
        for segment in found {
            let (first, next) = (segment.first, segment.next);
            if first != inner.columns.next_vid() {
                remove(&segment.path);
                continue;
            }
            let decoded = segment.columns().and_then(|columns| inner.decode(first, next, &columns));
            if decoded.is_err() {
                inner = Inner::empty();
                self.clear()?;
                break;
            }
            inner.segments.push(Arc::new(segment));
        }
        inner.tail.first = inner.segments.last().map_or(0, |segment| segment.next);
        Ok(inner)
    }

    /// Removes every file.
    fn clear(&self) -> Result<()> {
        let failed = |error: std::io::Error| Error::io(format_args!("clear {}", self.folder.display()), &error);
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
        }
        Ok(())
    }
}

fn unknown(vid: u32) -> Error {
    Error::not_found(format!("version {vid} cannot be read in the store: run `memoria verify`"))
}

/// Removes a file that is not needed; one that stays is not read, and goes at the next opening.
fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

impl Tail {
    fn write(&self, home: &Home, next: u32, columns: &[u8]) -> Result<Segment> {
        let mut terms: Vec<(&TermId, &Growing)> = self.terms.iter().collect();
        terms.sort_unstable_by_key(|(term, _)| **term);
        Segment::write(&home.folder, &home.truth, (self.first, next), columns, |emit| {
            terms.iter().try_for_each(|(term, list)| emit(**term, list))
        })
    }

    fn followed_by(mut self, later: Self) -> Self {
        for (term, list) in later.terms {
            self.terms.entry(term).or_default().append(&list.bytes, list.count, list.last);
        }
        self
    }
}

impl Inner {
    fn empty() -> Self {
        Self {
            columns: Columns::new(),
            keys: Keys::default(),
            segments: Vec::new(),
            frozen: None,
            tail: Tail::default(),
        }
    }

    fn add(&mut self, vid: u32, entry: &Entry) {
        if vid < self.columns.next_vid() {
            return;
        }
        self.keys.add(vid, entry);
        let Entry::Whole { memory, words, .. } = entry else {
            self.columns.push_gap(vid);
            return;
        };
        let row = self.columns.row_of(memory, words.len);
        self.columns.push(vid, row);
        for (term, frequency) in &words.frequencies {
            self.tail.terms.entry(*term).or_default().push(vid, *frequency);
        }
    }

    fn encode(&self, first: u32, next: u32) -> Vec<u8> {
        let mut out = Writer::default();
        out.bytes(&self.columns.encode(first, next)).bytes(&self.keys.encode(first, next));
        out.0
    }

    fn decode(&mut self, first: u32, next: u32, bytes: &[u8]) -> Result<()> {
        let mut from = Reader(bytes);
        self.columns.decode(first, next, from.bytes()?)?;
        self.keys.decode(first, next, from.bytes()?)?;
        from.end()
    }

    fn catch_up(
        &mut self,
        home: &Home,
        next_vid: u32,
        mut read: impl FnMut(u32) -> Result<Option<Entry>>,
    ) -> Result<()> {
        for vid in self.columns.next_vid()..next_vid {
            if let Some(entry) = read(vid)? {
                self.add(vid, &entry);
            }
            if self.columns.next_vid() - self.tail.first >= CATCH_UP_AT
                && let Err(error) = self.spill(home)
            {
                tracing::warn!("the index could not be brought to disk, and stays in memory: {error}");
            }
        }
        Ok(())
    }

    /// The tail to disk while nobody else looks.
    fn spill(&mut self, home: &Home) -> Result<()> {
        let (first, next) = (self.tail.first, self.columns.next_vid());
        let segment = self.tail.write(home, next, &self.encode(first, next))?;
        self.segments.push(Arc::new(segment));
        self.tail = Tail { first: next, terms: ByTerm::default() };
        Ok(())
    }

    /// Where the segments begin that are worth merging.
    fn unmerged_from(segments: &[Arc<Segment>]) -> usize {
        let len = |segment: &Segment| u64::from(segment.next - segment.first);
        let mut from = segments.len().saturating_sub(1);
        let mut total = segments.last().map_or(0, |last| len(last));
        while from > 0 && len(&segments[from - 1]) < 3 * total {
            from -= 1;
            total += len(&segments[from]);
        }
        from
    }

    /// The parts that are in memory, with the vid after their last.
    fn tails(&self) -> impl Iterator<Item = (&Tail, u32)> {
        let frozen = self.frozen.as_deref().map(|frozen| (frozen, self.tail.first));
        frozen.into_iter().chain([(&self.tail, self.columns.next_vid())])
    }

    fn for_each_list(&self, mut visit: impl FnMut(TermId, &[u8])) -> Result<()> {
        for segment in &self.segments {
            let mut lists = segment.lists();
            while let Some((entry, bytes)) = lists.next()? {
                visit(entry.term, bytes);
            }
        }
        for (tail, _) in self.tails() {
            tail.terms.iter().for_each(|(term, list)| visit(*term, &list.bytes));
        }
        Ok(())
    }

    /// A term's lists, in rising order of vid.
    fn lists(&self, term: TermId) -> Result<Vec<List<'_>>> {
        let mut lists = Vec::new();
        for segment in &self.segments {
            if let Some((bytes, count)) = segment.list(term)? {
                lists.push(List { bytes: Cow::Owned(bytes), count, first: segment.first, next: segment.next });
            }
        }
        for (tail, next) in self.tails() {
            if let Some(list) = tail.terms.get(&term) {
                let bytes = Cow::Borrowed(list.bytes.as_slice());
                lists.push(List { bytes, count: list.count, first: tail.first, next });
            }
        }
        Ok(lists)
    }
}

/// At how many versions a catching up brings its tail to disk: fewer and larger segments than while serving.
const CATCH_UP_AT: u32 = 4 * Index::FLUSH_AT;
