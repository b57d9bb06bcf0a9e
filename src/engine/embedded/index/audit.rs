//! Whether the index says of each version what truth says: one pass over everything sums up what is kept of each
//! version, so that a missing, a foreign and a changed piece all show, and `verify` asks version by version.

use memoria_kernel::checksum::{checksum, mix};
use memoria_kernel::postings::Postings;

use super::Entry;
use super::columns::Columns;
use super::keys::{memory_key, session_key, text_record, version_key};
use super::pieces::Pieces;
use super::runs::{Run, vid as vid_of_record};
use super::segment::{Column, Segment};
use super::tail::NO_MEMORY;
use super::terms::TermId;
use super::vocabulary::{Numbering, Vocabulary};
use crate::error::Result;
use crate::model::canon::Writer;
use crate::model::{MemoryId, Time, VersionId};

/// The index's content at one moment, summed up.
pub struct Audit(Sums);

/// By vid. Sums wrap, and do not depend on the order.
struct Sums(Vec<u64>);

/// What one posting adds to its version's sum.
fn posting(term: TermId, frequency: u16) -> u64 {
    mix(term ^ u64::from(frequency).rotate_left(48))
}

/// What a record adds: a key of a run, or a field of a column.
fn record(kind: u64, bytes: &[u8]) -> u64 {
    mix(checksum(bytes) ^ kind)
}

/// What the row of ids adds.
fn ids(id: &MemoryId, version: &VersionId, first: u32) -> u64 {
    record(5, &id.0).wrapping_add(record(6, &version.0)).wrapping_add(record(7, &first.to_le_bytes()))
}

/// A class by its names, whatever their numbers.
fn class(all: &Vocabulary, number: u32) -> u64 {
    let (class, mut out) = (all.class(number), Writer::default());
    out.u8(class.kind as u8).u8(class.trust as u8);
    for name in [class.project, class.session, class.agent, class.subject] {
        out.text(all.name(name));
    }
    checksum(&out.0)
}

/// A set of tags by its names.
fn set(all: &Vocabulary, number: u32) -> u64 {
    let mut out = Writer::default();
    all.tags(number).iter().for_each(|tag| {
        out.text(all.name(*tag));
    });
    checksum(&out.0)
}

/// What the columns add.
fn columns_of(observed_at: Time, expires_at: Option<Time>, len: u32, class: u64, set: u64) -> u64 {
    let mut out = Writer::default();
    out.time(observed_at).optional_time(expires_at).u32(len).u64(class).u64(set);
    record(8, &out.0)
}

impl Sums {
    fn columns(&mut self, columns: &Columns) {
        let all = &columns.vocabulary;
        let classes: Vec<u64> = (0..all.classes.len() as u32).map(|number| class(all, number)).collect();
        let sets: Vec<u64> = (0..all.sets().count() as u32).map(|number| set(all, number)).collect();
        let of = |all: &[u64], number: u32| all.get(number as usize).copied().unwrap_or(0);
        for (vid, (number, tags)) in (columns.first..).zip(columns.class.iter().zip(&columns.tags)) {
            let (class, set) = (of(&classes, *number), of(&sets, *tags));
            let (observed_at, expires_at) = (columns.observed_at(vid), columns.expires_at(vid));
            self.add(vid, columns_of(observed_at, expires_at, columns.len_of(vid), class, set));
        }
    }

    fn add(&mut self, vid: u32, share: u64) {
        if let Some(sum) = self.0.get_mut(vid as usize) {
            *sum = sum.wrapping_add(share);
        }
    }

    fn list(&mut self, term: TermId, bytes: &[u8]) {
        Postings::new(bytes).for_each(|(vid, frequency)| self.add(vid, posting(term, frequency)));
    }

    fn key(&mut self, kind: u64, key: &[u8]) {
        self.add(vid_of_record(key), record(kind, key));
    }

    fn run<const N: usize>(&mut self, kind: u64, run: &Run<N>, segment: &Segment) -> Result<()> {
        run.each(&segment.source, &mut |key| {
            self.key(kind, key);
            Ok(())
        })
    }

    fn segment(&mut self, segment: &Segment) -> Result<()> {
        let head = &segment.head;
        let mut lists = head.dictionary.lists(&segment.source);
        while let Some((listed, bytes)) = lists.next()? {
            self.list(listed.term, bytes);
        }
        self.run(1, &head.memories, segment)?;
        self.run(2, &head.versions, segment)?;
        self.run(3, &head.texts, segment)?;
        self.run(4, &head.sessions, segment)?;
        let firsts = segment.firsts()?;
        let is_gap = |at: u64| firsts.get(at as usize).is_none_or(|first| *first == NO_MEMORY);
        for (kind, column) in [(5, Column::Ids), (6, Column::VersionIds), (7, Column::Firsts)] {
            segment.each(column, &mut |first, records| {
                for (at, bytes) in (first..).zip(records.chunks_exact(column.record_bytes())) {
                    if !is_gap(at) {
                        self.add(segment.first + at as u32, record(kind, bytes));
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

impl Audit {
    pub(super) fn of(pieces: &Pieces) -> Result<Self> {
        let mut sums = Sums(vec![0; pieces.next_vid() as usize]);
        pieces.segments.iter().try_for_each(|segment| sums.segment(segment))?;
        pieces.sheet()?.0.iter().for_each(|columns| sums.columns(columns));
        for tail in pieces.tails() {
            tail.terms.iter().for_each(|(term, list)| sums.list(*term, &list.bytes));
            tail.memories.iter().for_each(|key| sums.key(1, key));
            tail.versions.iter().for_each(|key| sums.key(2, key));
            tail.texts.iter().for_each(|key| sums.key(3, key));
            tail.sessions.iter().for_each(|key| sums.key(4, key));
            let rows = tail.ids.iter().zip(&tail.version_ids).zip(&tail.firsts);
            for (vid, ((id, version), first)) in
                (tail.first()..).zip(rows).filter(|(_, (_, first))| **first != NO_MEMORY)
            {
                sums.add(vid, ids(id, version, *first));
            }
        }
        Ok(Self(sums))
    }

    /// Whether keys, words, length and columns of a version are what `entry` makes them.
    pub fn agrees(&self, vid: u32, entry: &Entry) -> bool {
        let (id, version, first) = entry.place();
        let mut sum = ids(&id, &version, first);
        let mut add = |share: u64| sum = sum.wrapping_add(share);
        add(record(1, &memory_key(&id, vid)));
        add(record(2, &version_key(&version, vid)));
        let (mut numbering, mut all) = Numbering::new();
        let mut columns = columns_of(Time(0), None, 0, class(&all, 0), set(&all, 0));
        if let Entry::Whole { memory, words, text, .. } = entry {
            words.frequencies.iter().for_each(|(term, n)| add(posting(*term, *n)));
            add(record(3, &text_record(text, vid)));
            if let Some(session) = &memory.session {
                add(record(4, &session_key(session.as_str(), memory.observed_at, vid)));
            }
            let (of_class, of_set) = numbering.of(&mut all, memory);
            let (of_class, of_set) = (class(&all, of_class), set(&all, of_set));
            columns = columns_of(memory.observed_at, memory.expires_at, words.len, of_class, of_set);
        }
        add(columns);
        self.0.0.get(vid as usize) == Some(&sum)
    }
}
