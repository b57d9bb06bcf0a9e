//! Which versions have no vector yet, and what becomes of those that were made: those on a branch first, newest first.
//! Texts are read of no more versions than are asked for.

use std::sync::{Arc, Mutex, PoisonError};

use redb::ReadableTable;
use roaring::RoaringBitmap;

use super::read::version_of;
use super::store::{Store, living_id};
use super::tables::{Snapshot, VERSIONS};
use crate::error::{ErrorKind, Result};
use crate::model::{Embedding, Filled, Space, Unembedded, Version};

/// What the branches hold together, and at which commits: it is asked for after every write.
#[derive(Default)]
pub struct OnBranches(Mutex<Option<Known>>);

struct Known {
    upheavals: u64,
    heads: Vec<u32>,
    vids: Arc<RoaringBitmap>,
}

impl Store {
    pub(super) fn unembedded(&self, space: &Space, limit: u32) -> Result<Vec<Unembedded>> {
        // Before truth is fixed, which is then sure to have all of them.
        let next_vid = self.index.missing_from();
        let mut missing = RoaringBitmap::new();
        missing.insert_range(0..next_vid);
        missing -= self.vectors.filled(space);
        missing -= &*self.without_text();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let truth = self.snapshot()?;
        let on_branches = &*self.on_branches(&truth)? & &missing;
        let others = missing - &on_branches;
        let versions = truth.open(VERSIONS)?;
        let (mut found, mut blank) = (Vec::new(), Vec::new());
        for vid in on_branches.iter().rev().chain(others.iter().rev()) {
            if found.len() == limit as usize {
                break;
            }
            match text_of(&versions, vid)? {
                Some(unembedded) => found.push(unembedded),
                None => blank.push(vid),
            }
        }
        self.blank.lock().unwrap_or_else(PoisonError::into_inner).extend(blank);
        Ok(found)
    }

    pub(super) fn embed(&self, space: &Space, vectors: &[Embedding]) -> Result<()> {
        self.vectors.add(space, vectors, || {
            let versions = self.snapshot()?.open(VERSIONS)?;
            Ok(move |vid| living_id(&versions, vid))
        })
    }

    pub(super) fn spaces(&self) -> Result<Vec<Filled>> {
        let on_branches = &*self.on_branches(&self.snapshot()?)? - &*self.without_text();
        let filled = self.vectors.spaces().into_iter().map(|(space, have, bytes)| Filled {
            space,
            vectors: have.len() as u32,
            pending: on_branches.difference_len(&have) as u32,
            bytes,
        });
        Ok(filled.collect())
    }

    /// Vids that will never have a vector, as far as it is known.
    fn without_text(&self) -> Arc<RoaringBitmap> {
        let blank = self.blank.lock().unwrap_or_else(PoisonError::into_inner);
        let erased = self.erased();
        if blank.is_empty() { erased } else { Arc::new(&*blank | &*erased) }
    }

    /// Every version that some branch holds.
    fn on_branches(&self, truth: &Snapshot) -> Result<Arc<RoaringBitmap>> {
        let mut known = self.on_branches.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut heads: Vec<u32> = self.heads().values().map(|head| head.number).collect();
        heads.sort_unstable();
        heads.dedup();
        let upheavals = self.upheavals();
        if let Some(known) = known.as_ref().filter(|known| known.upheavals == upheavals && known.heads == heads) {
            return Ok(Arc::clone(&known.vids));
        }
        let mut all = RoaringBitmap::new();
        for number in &heads {
            all |= &*self.state(truth, *number)?.served;
        }
        let vids = Arc::new(all);
        *known = Some(Known { upheavals, heads, vids: Arc::clone(&vids) });
        Ok(vids)
    }
}

/// What a model is to read of a version; `None` where nothing can be read.
fn text_of(versions: &impl ReadableTable<u32, &'static [u8]>, vid: u32) -> Result<Option<Unembedded>> {
    if versions.get(vid)?.is_none() {
        return Ok(None);
    }
    match version_of(versions, vid) {
        Ok(version) => {
            Ok(version.map(|Version { id, memory }| Unembedded { slot: vid.into(), version: id, text: memory.text }))
        }
        Err(error) if error.kind == ErrorKind::Corrupt => {
            tracing::error!("version {vid} gets no vector: {error}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
