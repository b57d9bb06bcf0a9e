//! Which versions a memory has, which vid a version id and a text have, and the ids of a vid. It knows ids and
//! numbers, and nothing of what memories say.

use std::collections::{BTreeSet, HashMap};

use super::entry::Entry;
use crate::error::Result;
use crate::model::canon::{Reader, Writer};
use crate::model::{MemoryId, VersionId};

/// Where a version belongs.
#[derive(Clone, Copy)]
struct Place {
    id: MemoryId,
    version: VersionId,
    first: u32,
    /// `None` of an erased one.
    text: Option<[u8; 16]>,
}

/// The keys of all vids. `None` for vids that were never added.
#[derive(Default)]
pub struct Keys {
    places: Vec<Option<Place>>,
    memories: BTreeSet<(MemoryId, u32)>,
    versions: HashMap<VersionId, u32>,
    texts: BTreeSet<([u8; 16], u32)>,
}

impl Keys {
    pub fn add(&mut self, vid: u32, entry: &Entry) {
        let (id, version, first) = entry.place();
        let text = if let Entry::Whole { text, .. } = entry { Some(*text) } else { None };
        self.push(vid, Place { id, version, first, text });
    }

    fn push(&mut self, vid: u32, place: Place) {
        self.places.resize(vid as usize, None);
        self.places.push(Some(place));
        self.memories.insert((place.id, vid));
        self.versions.insert(place.version, vid);
        if let Some(text) = place.text {
            self.texts.insert((text, vid));
        }
    }

    fn get(&self, vid: u32) -> Option<Place> {
        self.places.get(vid as usize).copied().flatten()
    }

    pub fn vids_of(&self, id: &MemoryId) -> Vec<u32> {
        self.memories.range((*id, 0)..=(*id, u32::MAX)).map(|(_, vid)| *vid).collect()
    }

    pub fn vid_of(&self, version: &VersionId) -> Option<u32> {
        self.versions.get(version).copied()
    }

    pub fn twins(&self, text: &[u8; 16]) -> Vec<u32> {
        self.texts.range((*text, 0)..=(*text, u32::MAX)).map(|(_, vid)| *vid).collect()
    }

    pub fn ids_between(&self, first: &MemoryId, last: &MemoryId, limit: usize) -> Vec<MemoryId> {
        let mut ids: Vec<MemoryId> = self.memories.range((*first, 0)..=(*last, u32::MAX)).map(|(id, _)| *id).collect();
        ids.dedup();
        ids.truncate(limit);
        ids
    }

    pub fn neighbours(&self, id: &MemoryId) -> [Option<MemoryId>; 2] {
        let below = self.memories.range(..(*id, 0)).next_back().map(|(id, _)| *id);
        let above = self.memories.range((*id, u32::MAX)..).find(|(other, _)| other != id).map(|(id, _)| *id);
        [below, above]
    }

    pub fn id(&self, vid: u32) -> Option<MemoryId> {
        self.get(vid).map(|place| place.id)
    }

    pub fn version_id(&self, vid: u32) -> Option<VersionId> {
        self.get(vid).map(|place| place.version)
    }

    pub fn memory_number(&self, vid: u32) -> Option<u32> {
        self.get(vid).map(|place| place.first)
    }

    /// Whether a version's keys are those of this entry.
    pub fn describe(&self, vid: u32, entry: &Entry) -> bool {
        let Some(place) = self.get(vid) else { return false };
        let text = if let Entry::Whole { text, .. } = entry { Some(*text) } else { None };
        (place.id, place.version, place.first) == entry.place() && place.text == text
    }

    /// Takes from a version what its memory said.
    pub fn forget(&mut self, vid: u32) {
        if let Some(Some(place)) = self.places.get_mut(vid as usize)
            && let Some(text) = place.text.take()
        {
            self.texts.remove(&(text, vid));
        }
    }

    pub fn encode(&self, first: u32, next: u32) -> Vec<u8> {
        let mut out = Writer::default();
        for vid in first..next {
            match self.get(vid) {
                None => {
                    out.u8(0);
                }
                Some(place) => {
                    out.u8(1).fixed(&place.id.0).fixed(&place.version.0).u32(place.first);
                    out.u8(u8::from(place.text.is_some())).fixed(&place.text.unwrap_or_default());
                }
            }
        }
        out.0
    }

    pub fn decode(&mut self, first: u32, next: u32, bytes: &[u8]) -> Result<()> {
        let mut from = Reader(bytes);
        for vid in first..next {
            if from.u8()? == 0 {
                continue;
            }
            let (id, version) = (MemoryId(from.array()?), VersionId(from.array()?));
            let (first, has_text, text) = (from.u32()?, from.u8()? == 1, from.array()?);
            self.push(vid, Place { id, version, first, text: has_text.then_some(text) });
        }
        from.end()
    }
}
