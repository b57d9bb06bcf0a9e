//! Makes segments: of a tail, or of adjacent segments, as one and without what is to be forgotten. Everything is
//! streamed: no part of a segment is in memory as a whole but its vocabulary and what stays there anyway.

use std::sync::Arc;

use memoria_kernel::postings::{Growing, Postings};
use roaring::RoaringBitmap;

use super::dictionary::{Dictionary, Listed, Lists, Writing};
use super::file::{PageWriter, Pages, Sink, Source};
use super::home::Home;
use super::runs::{self, Run};
use super::segment::{Column, Head, Segment, expiry_record, number as number_of};
use super::tail::Tail;
use super::terms::TermId;
use super::vocabulary::{Numbering, Vocabulary};
use crate::error::Result;

/// Writes a tail, which reaches to before `next`.
pub fn write(home: &Home, tail: &Tail) -> Result<Segment> {
    Segment::write(&home.folder, &home.truth, (tail.first(), tail.next()), |sink| {
        let mut terms: Vec<(&TermId, &Growing)> = tail.terms.iter().collect();
        terms.sort_unstable_by_key(|(term, _)| **term);
        let mut dictionary = Writing::default();
        terms.iter().try_for_each(|(term, list)| dictionary.push(sink, **term, list))?;
        let columns = &tail.columns;
        Ok(Head {
            dictionary: dictionary.end(sink)?,
            memories: run(sink, tail.memories.iter())?,
            versions: run(sink, tail.versions.iter())?,
            texts: run(sink, tail.texts.iter())?,
            sessions: run(sink, tail.sessions.iter())?,
            columns: [
                column(sink, Column::Ids, tail.ids.iter().map(|id| id.0))?,
                column(sink, Column::VersionIds, tail.version_ids.iter().map(|id| id.0))?,
                column(sink, Column::Firsts, tail.firsts.iter().map(|first| first.to_le_bytes()))?,
                column(sink, Column::Class, columns.class.iter().map(|class| class.to_le_bytes()))?,
                column(sink, Column::Tags, columns.tags.iter().map(|tags| tags.to_le_bytes()))?,
                column(sink, Column::ObservedAt, columns.observed_at.iter().map(|at| at.to_le_bytes()))?,
                column(sink, Column::Lens, columns.lens.iter().map(|len| len.to_le_bytes()))?,
                column(sink, Column::ExpiresAt, columns.expires_at.iter().map(|(vid, at)| expiry_record(*vid, *at)))?,
            ],
            vocabulary: put_vocabulary(sink, &columns.vocabulary)?,
            erased: tail.erased.clone(),
        })
    })
}

fn run<'a, const N: usize>(sink: &mut Sink, records: impl ExactSizeIterator<Item = &'a [u8; N]>) -> Result<Run<N>> {
    let (room, mut records) = (records.len() as u64, records);
    Run::write(sink, room, &mut |emit| records.try_for_each(&mut *emit))
}

fn column<const N: usize>(sink: &mut Sink, column: Column, records: impl Iterator<Item = [u8; N]>) -> Result<Pages> {
    let mut pages = PageWriter::new(sink, column.record_bytes());
    for record in records {
        pages.push(&record)?;
    }
    pages.end()
}

fn put_vocabulary(sink: &mut Sink, vocabulary: &Vocabulary) -> Result<(u64, u64)> {
    let (at, bytes) = (sink.at, vocabulary.encode());
    sink.write_checked(&bytes)?;
    Ok((at, bytes.len() as u64))
}

/// Writes adjacent segments as one, and of the versions in `gone` no more than ids and places.
pub fn merge(home: &Home, parts: &[Arc<Segment>], gone: &RoaringBitmap) -> Result<Segment> {
    let range = (parts.first().map_or(0, |part| part.first), parts.last().map_or(0, |part| part.next));
    let mut erased: RoaringBitmap =
        parts.iter().map(|part| &part.head.erased).fold(gone.clone(), |all, part| all | part);
    erased.remove_range(..range.0);
    erased.remove_range(range.1..);
    let merging = Merging { parts, erased };
    Segment::write(&home.folder, &home.truth, range, |sink| {
        let all = |_| true;
        let dictionary = merging.dictionary(sink)?;
        let memories = merging.runs(sink, |head| &head.memories, &all)?;
        let versions = merging.runs(sink, |head| &head.versions, &all)?;
        let is_kept = |vid| !merging.erased.contains(vid);
        let texts = merging.runs(sink, |head| &head.texts, &is_kept)?;
        let sessions = merging.runs(sink, |head| &head.sessions, &is_kept)?;
        let (ids, version_ids) = (merging.copy(sink, Column::Ids)?, merging.copy(sink, Column::VersionIds)?);
        let firsts = merging.copy(sink, Column::Firsts)?;
        let vocabularies = parts.iter().map(|part| part.vocabulary()).collect::<Result<Vec<_>>>()?;
        let (mut numbering, mut vocabulary) = Numbering::new();
        let class = merging.renumber(sink, Column::Class, &mut |part, class| {
            numbering.class_from(&mut vocabulary, &vocabularies[part], class)
        })?;
        let tags = merging.renumber(sink, Column::Tags, &mut |part, set| {
            numbering.set_from(&mut vocabulary, &vocabularies[part], set)
        })?;
        let (observed_at, lens) = (merging.keep(sink, Column::ObservedAt)?, merging.keep(sink, Column::Lens)?);
        let expires_at = merging.expiries(sink)?;
        let columns = [ids, version_ids, firsts, class, tags, observed_at, lens, expires_at];
        let vocabulary = put_vocabulary(sink, &vocabulary)?;
        let erased = merging.erased.clone();
        Ok(Head { dictionary, memories, versions, texts, sessions, columns, vocabulary, erased })
    })
}

struct Merging<'a> {
    parts: &'a [Arc<Segment>],
    erased: RoaringBitmap,
}

impl Merging<'_> {
    fn dictionary(&self, sink: &mut Sink) -> Result<Dictionary> {
        let pull = |lists: &mut Lists| Ok(lists.next()?.map(|(listed, bytes)| (listed, bytes.to_vec())));
        let mut sources: Vec<Lists> = self.parts.iter().map(|part| part.head.dictionary.lists(&part.source)).collect();
        let mut heads = sources.iter_mut().map(pull).collect::<Result<Vec<Option<(Listed, Vec<u8>)>>>>()?;
        let mut writing = Writing::default();
        while let Some(term) = heads.iter().flatten().map(|(listed, _)| listed.term).min() {
            let mut joined = Growing::default();
            for ((head, source), part) in heads.iter_mut().zip(&mut sources).zip(self.parts) {
                if let Some((listed, bytes)) = head.take_if(|(listed, _)| listed.term == term) {
                    if self.erased.range_cardinality(part.first..part.next) == 0 {
                        joined.append(&bytes, listed.count, listed.last);
                    } else {
                        let left = Postings::new(&bytes).filter(|(vid, _)| !self.erased.contains(*vid));
                        left.for_each(|(vid, frequency)| joined.push(vid, frequency));
                    }
                    *head = pull(source)?;
                }
            }
            if joined.count > 0 {
                writing.push(sink, term, &joined)?;
            }
        }
        writing.end(sink)
    }

    fn runs<const N: usize>(
        &self,
        sink: &mut Sink,
        run: impl Fn(&Head) -> &Run<N>,
        is_kept: &dyn Fn(u32) -> bool,
    ) -> Result<Run<N>> {
        let runs: Vec<(&Run<N>, &Source)> = self.parts.iter().map(|part| (run(&part.head), &part.source)).collect();
        runs::merge(sink, &runs, is_kept)
    }

    /// A column as it is, of erased versions too.
    fn copy(&self, sink: &mut Sink, column: Column) -> Result<Pages> {
        let mut pages = PageWriter::new(sink, column.record_bytes());
        for part in self.parts {
            part.each(column, &mut |_, records| {
                records.chunks_exact(column.record_bytes()).try_for_each(|record| pages.push(record).map(drop))
            })?;
        }
        pages.end()
    }

    /// A column with zeros for erased versions.
    fn keep(&self, sink: &mut Sink, column: Column) -> Result<Pages> {
        let bytes = column.record_bytes();
        let zeros = vec![0; bytes];
        let mut pages = PageWriter::new(sink, bytes);
        for part in self.parts {
            part.each(column, &mut |first, records| {
                let mut vids = (part.first + first as u32)..;
                let mut push = |record| {
                    let is_erased = vids.next().is_some_and(|vid| self.erased.contains(vid));
                    pages.push(if is_erased { &zeros } else { record }).map(drop)
                };
                records.chunks_exact(bytes).try_for_each(&mut push)
            })?;
        }
        pages.end()
    }

    /// A column of numbers of vocabularies, in numbers of the new one: what only erased versions named is not in it.
    fn renumber(&self, sink: &mut Sink, column: Column, number: &mut dyn FnMut(usize, u32) -> u32) -> Result<Pages> {
        let mut pages = PageWriter::new(sink, column.record_bytes());
        for (at, part) in self.parts.iter().enumerate() {
            let mut known: Vec<Option<u32>> = Vec::new();
            part.each(column, &mut |first, records| {
                for (vid, record) in (part.first + first as u32..).zip(records.chunks_exact(4)) {
                    let old = number_of(record);
                    if old == 0 || self.erased.contains(vid) {
                        pages.push(&[0; 4])?;
                        continue;
                    }
                    if known.len() <= old as usize {
                        known.resize(old as usize + 1, None);
                    }
                    let new = *known[old as usize].get_or_insert_with(|| number(at, old));
                    pages.push(&new.to_le_bytes())?;
                }
                Ok(())
            })?;
        }
        pages.end()
    }

    fn expiries(&self, sink: &mut Sink) -> Result<Pages> {
        let mut pages = PageWriter::new(sink, Column::ExpiresAt.record_bytes());
        for part in self.parts {
            part.each(Column::ExpiresAt, &mut |_, records| {
                let records = records.chunks_exact(Column::ExpiresAt.record_bytes());
                let mut left = records.filter(|record| !self.erased.contains(number_of(&record[..4])));
                left.try_for_each(|record| pages.push(record).map(drop))
            })?;
        }
        pages.end()
    }
}
