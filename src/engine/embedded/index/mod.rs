//! What is derived of every version, by vid: words, columns and keys. All of it can be thrown away and rebuilt from
//! truth at any time. It never touches truth, and damage to it never fails a read for good: a damaged piece is
//! [`ErrorKind::Corrupt`](crate::error::ErrorKind::Corrupt), upon which the engine calls `rebuild`.
//!
//! `entry` is what it takes in, `pieces` what it is made of: `tail` in memory, and `segment`s on disk, of a
//! `dictionary` of `terms`, `runs` of `keys`, and `columns` with their `vocabulary`, all in pages of a `file`.
//! `writing` makes segments, `upkeep` decides when, in the folder that is `home`; `find` answers questions, `audit`
//! compares with truth. The loops over posting lists are the package `memoria-kernel`.

mod audit;
mod columns;
mod dictionary;
mod entry;
mod file;
mod find;
mod home;
mod keys;
mod pieces;
mod runs;
mod segment;
mod tail;
mod terms;
mod upkeep;
mod vocabulary;
mod writing;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use memoria_kernel::postings::Members;
use roaring::RoaringBitmap;

use super::vectors::Asking;
use crate::error::Result;
use crate::model::{Filter, Kind, MemoryId, Query, Time, VersionId};

pub use crate::engine::history::rows::text_key;
pub use audit::Audit;
pub use entry::{Entry, Words};
pub use find::{Found, HEARD_AROUND, Matches};
use home::Home;
use pieces::Pieces;

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
/// Answers that may fail fail with `Corrupt` where a file is damaged, and with `NotFound` for a vid of which truth
/// gave nothing.
pub struct Index {
    home: Home,
    pieces: RwLock<Pieces>,
    /// Who holds it may join segments to one. It is taken before `disk`.
    merging: Mutex<()>,
    /// Who holds it may change which segments there are.
    disk: Mutex<()>,
    /// Room for postings that the next question takes, until the index rests: 8 MB for a million of them are long to
    /// get from the system.
    spare: Mutex<Members>,
}

impl Index {
    /// Opens what there is, as far as it fits `truth`; the rest is missing (`missing_from`).
    pub fn open(folder: &Path, truth: Watermark) -> Result<Self> {
        let (home, segments) = Home::open(folder, truth)?;
        let pieces = RwLock::new(Pieces::of(segments));
        let (merging, disk, spare) = Default::default();
        Ok(Self { home, pieces, merging, disk, spare })
    }

    /// The first vid that the index lacks: at open, the engine adds from here on what truth holds.
    pub fn missing_from(&self) -> u32 {
        self.read().next_vid()
    }

    /// The index's content at this moment, to be held against truth by `verify`.
    pub fn audit(&self) -> Result<Audit> {
        Audit::of(&self.read())
    }

    /// The best `query.limit` versions of the state within the filter by words, and as many by meaning where `near` is
    /// the question by meaning, and the statistics of the state, which has `live` versions of `tokens` terms in all.
    /// Expired versions are never candidates.
    pub fn candidates(
        &self,
        state: &RoaringBitmap,
        query: &Query,
        near: Option<&Asking>,
        live: u32,
        tokens: u64,
        now: Time,
    ) -> Result<Matches> {
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let mut members = std::mem::take(&mut *spare());
        let matches = find::candidates(&self.read(), state, query, near, (live, tokens), now, &mut members);
        *spare() = members;
        matches
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
        let pieces = self.read();
        let holding = find::containing(&pieces, state, terms)?;
        let all = find::filter(&pieces, &holding, filter, now)?;
        let limit = if limit == 0 { usize::MAX } else { limit as usize };
        Ok((all.iter().take(limit).collect(), all.len() as u32))
    }

    /// The versions of the state that pass the filter and have not expired.
    pub fn filter(&self, state: &RoaringBitmap, filter: &Filter, now: Time) -> Result<RoaringBitmap> {
        find::filter(&self.read(), state, filter, now)
    }

    /// Part of a state, newest first by `observed_at`, then by memory id; `limit` 0 is all.
    pub fn newest(&self, state: &RoaringBitmap, offset: u32, limit: u32) -> Result<Vec<u32>> {
        find::newest(&self.read(), state, offset, limit)
    }

    /// A version's length in terms, as the statistics count it.
    pub fn len_of(&self, vid: u32) -> Result<u32> {
        Ok(self.read().columns_of(vid)?.len_of(vid))
    }

    /// How many versions of the state there are of each kind, in the order of `Kind::ALL`, without zeros.
    pub fn by_kind(&self, state: &RoaringBitmap) -> Result<Vec<(Kind, u32)>> {
        find::by_kind(&self.read(), state)
    }

    /// Every version of a memory, rising.
    pub fn vids_of(&self, id: &MemoryId) -> Result<Vec<u32>> {
        self.read().vids_of(id)
    }

    pub fn vid_of(&self, version: &VersionId) -> Result<Option<u32>> {
        self.read().vid_of(version)
    }

    /// The versions that have this [`text_key`], rising. Erased ones have none.
    pub fn twins(&self, text: &[u8; 16]) -> Result<Vec<u32>> {
        self.read().twins(text)
    }

    /// Up to `limit` different ids of memories from `first` to `last`, rising.
    pub fn ids_between(&self, first: &MemoryId, last: &MemoryId, limit: usize) -> Result<Vec<MemoryId>> {
        self.read().ids_between(first, last, limit)
    }

    /// The nearest ids of other memories, below and above.
    pub fn neighbours(&self, id: &MemoryId) -> Result<[Option<MemoryId>; 2]> {
        self.read().neighbours(id)
    }

    /// The memories that these versions belong to, one for each. Fast where the vids rise.
    pub fn ids(&self, vids: &[u32]) -> Result<Vec<MemoryId>> {
        self.read().ids(vids)
    }

    /// The ids of all these versions, in the order of the vids.
    pub fn version_ids(&self, vids: &RoaringBitmap) -> Result<Vec<VersionId>> {
        self.read().version_ids(&vids.iter().collect::<Vec<u32>>())
    }

    /// The vid of the first version of each one's memory, in the order of the vids: array reads.
    pub fn memory_numbers(&self, vids: &RoaringBitmap) -> Result<Vec<u32>> {
        self.read().memory_numbers(&vids.iter().collect::<Vec<u32>>())
    }

    /// The lengths in terms of these versions, together: array reads.
    pub fn terms_of(&self, vids: &RoaringBitmap) -> Result<u64> {
        self.read().terms_of(&vids.iter().collect::<Vec<u32>>())
    }

    /// How many versions are in memory only.
    pub fn unflushed(&self) -> u32 {
        let pieces = self.read();
        pieces.next_vid() - pieces.unflushed_from()
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.read().segments.iter().map(|segment| segment.source.bytes).sum()
    }

    fn disk(&self) -> MutexGuard<'_, ()> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn merging(&self) -> MutexGuard<'_, ()> {
        self.merging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Pieces> {
        self.pieces.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Pieces> {
        self.pieces.write().unwrap_or_else(PoisonError::into_inner)
    }
}
