//! The versions that are in memory only, until they are written as a segment.

use std::collections::BTreeSet;

use memoria_kernel::postings::Growing;
use roaring::RoaringBitmap;

use super::columns::Columns;
use super::entry::Entry;
use super::keys::{
    MEMORY_BYTES, SESSION_BYTES, TEXT_BYTES, VERSION_BYTES, memory_key, session_key, text_record, version_key,
};
use super::terms::ByTerm;
use super::vocabulary::Numbering;
use crate::error::Result;
use crate::model::{MemoryId, VersionId};

/// The number that stands for no memory in the column of first versions.
pub const NO_MEMORY: u32 = u32::MAX;

/// The versions from `columns.first` on.
pub struct Tail {
    pub terms: ByTerm<Growing>,
    pub columns: Columns,
    numbering: Numbering,
    /// By vid; zeros for gaps.
    pub ids: Vec<MemoryId>,
    pub version_ids: Vec<VersionId>,
    /// By vid: the first version of the same memory; [`NO_MEMORY`] for gaps.
    pub firsts: Vec<u32>,
    pub memories: BTreeSet<[u8; MEMORY_BYTES]>,
    pub versions: BTreeSet<[u8; VERSION_BYTES]>,
    pub texts: BTreeSet<[u8; TEXT_BYTES]>,
    pub sessions: BTreeSet<[u8; SESSION_BYTES]>,
    pub erased: RoaringBitmap,
}

impl Tail {
    pub fn new(first: u32) -> Self {
        let (numbering, vocabulary) = Numbering::new();
        let columns = Columns::new(first, vocabulary);
        let (terms, ids, version_ids, firsts, memories) = Default::default();
        let (versions, texts, sessions) = Default::default();
        let erased = RoaringBitmap::new();
        Self { terms, columns, numbering, ids, version_ids, firsts, memories, versions, texts, sessions, erased }
    }

    pub fn first(&self) -> u32 {
        self.columns.first
    }

    /// The vid after the last.
    pub fn next(&self) -> u32 {
        self.columns.next()
    }

    /// Appends a version; vids between the last one and this one become gaps.
    pub fn add(&mut self, vid: u32, entry: &Entry) {
        if vid < self.next() {
            return;
        }
        while self.next() < vid {
            self.push(MemoryId([0; 16]), VersionId([0; 32]), NO_MEMORY);
        }
        let (id, version, first) = entry.place();
        self.memories.insert(memory_key(&id, vid));
        self.versions.insert(version_key(&version, vid));
        self.push(id, version, first);
        let Entry::Whole { memory, words, text, .. } = entry else {
            self.erased.insert(vid);
            return;
        };
        self.texts.insert(text_record(text, vid));
        if let Some(session) = &memory.session {
            self.sessions.insert(session_key(session.as_str(), memory.observed_at, vid));
        }
        let columns = &mut self.columns;
        let at = (vid - columns.first) as usize;
        (columns.class[at], columns.tags[at]) = self.numbering.of(&mut columns.vocabulary, memory);
        (columns.observed_at[at], columns.lens[at]) = (memory.observed_at.0, words.len);
        if let Some(expires_at) = memory.expires_at {
            columns.expires_at.push((vid, expires_at));
        }
        for (term, frequency) in &words.frequencies {
            self.terms.entry(*term).or_default().push(vid, *frequency);
        }
    }

    fn push(&mut self, id: MemoryId, version: VersionId, first: u32) {
        self.ids.push(id);
        self.version_ids.push(version);
        self.firsts.push(first);
        self.columns.class.push(0);
        self.columns.tags.push(0);
        self.columns.observed_at.push(0);
        self.columns.lens.push(0);
    }

    /// What a column says of these vids, which rise.
    pub fn some<T: Copy>(&self, column: &[T], vids: &[u32], out: &mut Vec<T>) -> Result<()> {
        out.extend(vids.iter().filter_map(|vid| column.get((*vid - self.first()) as usize)));
        Ok(())
    }
}
