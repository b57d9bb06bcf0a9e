//! The index as a row of pieces: segments on disk, then what is in memory. Look-ups by key ask each piece.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

use super::columns::{Columns, Wanted};
use super::find::List;
use super::keys::{SESSION_BYTES, is_one_session, memory_key, memory_of, session_key, text_record, version_key};
use super::runs::vid as vid_of_record;
use super::segment::Segment;
use super::tail::{NO_MEMORY, Tail};
use super::terms::TermId;
use crate::error::{Error, Result};
use crate::model::{Filter, MemoryId, Time, VersionId};

/// In rising order of vid, without gaps between them.
pub struct Pieces {
    pub segments: Vec<Arc<Segment>>,
    /// What is being brought to disk.
    pub frozen: Vec<Arc<Tail>>,
    pub tail: Tail,
}

/// One of the pieces.
enum Piece<'a> {
    Segment(&'a Segment),
    Tail(&'a Tail),
}

/// The columns of one piece.
pub enum Loaded<'a> {
    Segment(Arc<Columns>),
    Tail(&'a Columns),
}

impl Deref for Loaded<'_> {
    type Target = Columns;
    fn deref(&self) -> &Columns {
        match self {
            Self::Segment(columns) => columns,
            Self::Tail(columns) => columns,
        }
    }
}

/// The columns of all pieces.
pub struct Sheet<'a>(pub Vec<Loaded<'a>>);

impl Sheet<'_> {
    /// The piece that a vid is in; of one that is in none, any.
    pub fn of(&self, vid: u32) -> &Columns {
        let at = self.0.partition_point(|columns| columns.first <= vid).saturating_sub(1);
        &self.0[at]
    }

    /// A filter, piece by piece.
    pub fn wanted(&self, filter: &Filter, now: Time) -> Vec<Wanted<'_>> {
        self.0.iter().map(|columns| columns.wanted(filter, now)).collect()
    }
}

/// Whether a version passes a filter.
pub fn is_wanted(wanted: &[Wanted], vid: u32) -> bool {
    let at = wanted.partition_point(|wanted| wanted.columns.first <= vid).saturating_sub(1);
    wanted.get(at).is_some_and(|wanted| wanted.has(vid))
}

/// A version that truth could not give, or has not given out.
fn unknown(vid: u32) -> Error {
    Error::not_found(format!("version {vid} cannot be read in the store: run `memoria verify`"))
}

impl Pieces {
    pub fn of(segments: Vec<Arc<Segment>>) -> Self {
        let next = segments.last().map_or(0, |segment| segment.next);
        Self { segments, frozen: Vec::new(), tail: Tail::new(next) }
    }

    pub fn next_vid(&self) -> u32 {
        self.tail.next()
    }

    /// The first vid that is in memory only.
    pub fn unflushed_from(&self) -> u32 {
        self.frozen.first().map_or(self.tail.first(), |frozen| frozen.first())
    }

    pub fn tails(&self) -> impl DoubleEndedIterator<Item = &Tail> {
        self.frozen.iter().map(|frozen| &**frozen).chain([&self.tail])
    }

    pub fn sheet(&self) -> Result<Sheet<'_>> {
        let segments = self.segments.iter().map(|segment| Ok(Loaded::Segment(segment.columns()?)));
        let tails = self.tails().map(|tail| Ok(Loaded::Tail(&tail.columns)));
        Ok(Sheet(segments.chain(tails).collect::<Result<_>>()?))
    }

    /// The columns of the piece that a vid is in; of one that is in none, any.
    pub fn columns_of(&self, vid: u32) -> Result<Loaded<'_>> {
        match self.segments.iter().find(|segment| vid < segment.next) {
            Some(segment) => Ok(Loaded::Segment(segment.columns()?)),
            None => {
                let tail = self.tails().find(|tail| vid < tail.next()).unwrap_or(&self.tail);
                Ok(Loaded::Tail(&tail.columns))
            }
        }
    }

    /// A term's lists, in rising order of vid.
    pub fn lists(&self, term: TermId) -> Result<Vec<List<'_>>> {
        let mut lists = Vec::new();
        for segment in &self.segments {
            if let Some((bytes, count)) = segment.head.dictionary.list(&segment.source, term)? {
                lists.push(List { bytes: Cow::Owned(bytes), count, first: segment.first, next: segment.next });
            }
        }
        for tail in self.tails() {
            if let Some(list) = tail.terms.get(&term) {
                let bytes = Cow::Borrowed(list.bytes.as_slice());
                lists.push(List { bytes, count: list.count, first: tail.first(), next: tail.next() });
            }
        }
        Ok(lists)
    }

    pub fn vids_of(&self, id: &MemoryId) -> Result<Vec<u32>> {
        let mut vids = Vec::new();
        for segment in &self.segments {
            vids.extend(segment.head.memories.vids(&segment.source, &id.0)?);
        }
        for tail in self.tails() {
            vids.extend(
                tail.memories.range(memory_key(id, 0)..=memory_key(id, u32::MAX)).map(|key| vid_of_record(key)),
            );
        }
        Ok(vids)
    }

    pub fn vid_of(&self, version: &VersionId) -> Result<Option<u32>> {
        for tail in self.tails().rev() {
            let keys = tail.versions.range(version_key(version, 0)..=version_key(version, u32::MAX));
            let is_it = |vid: &u32| tail.version_ids.get((*vid - tail.first()) as usize) == Some(version);
            if let Some(vid) = keys.map(|key| vid_of_record(key)).find(is_it) {
                return Ok(Some(vid));
            }
        }
        for segment in self.segments.iter().rev() {
            let vids = segment.head.versions.vids(&segment.source, &version.0[..8])?;
            let mut ids = Vec::new();
            segment.version_ids(&vids, &mut ids)?;
            if let Some(at) = ids.iter().position(|id| id == version) {
                return Ok(vids.get(at).copied());
            }
        }
        Ok(None)
    }

    pub fn twins(&self, text: &[u8; 16]) -> Result<Vec<u32>> {
        let mut vids = Vec::new();
        for segment in &self.segments {
            vids.extend(segment.head.texts.vids(&segment.source, text)?);
        }
        for tail in self.tails() {
            let keys = tail.texts.range(text_record(text, 0)..=text_record(text, u32::MAX));
            vids.extend(keys.map(|key| vid_of_record(key)));
        }
        Ok(vids)
    }

    pub fn ids_between(&self, first: &MemoryId, last: &MemoryId, limit: usize) -> Result<Vec<MemoryId>> {
        let mut all: Vec<MemoryId> = Vec::new();
        // Each piece gives its first ones: the first of all are among them.
        let start = memory_key(first, 0);
        for segment in &self.segments {
            let (mut place, mut ids) = (segment.head.memories.seek(&segment.source, &start)?, Vec::new());
            while let Some(id) = place.next()?.map(|key| memory_of(&key)).filter(|id| id <= last) {
                if ids.last() != Some(&id) {
                    if ids.len() == limit {
                        break;
                    }
                    ids.push(id);
                }
            }
            all.extend(ids);
        }
        for tail in self.tails() {
            let mut ids: Vec<MemoryId> = Vec::new();
            for id in tail.memories.range(start..=memory_key(last, u32::MAX)).map(memory_of) {
                if ids.last() != Some(&id) {
                    if ids.len() == limit {
                        break;
                    }
                    ids.push(id);
                }
            }
            all.extend(ids);
        }
        all.sort_unstable();
        all.dedup();
        all.truncate(limit);
        Ok(all)
    }

    pub fn neighbours(&self, id: &MemoryId) -> Result<[Option<MemoryId>; 2]> {
        let (mut below, mut above): (Option<MemoryId>, Option<MemoryId>) = (None, None);
        let mut meet = |before: Option<MemoryId>, after: Option<MemoryId>| {
            below = below.max(before);
            above = [above, after].into_iter().flatten().min();
        };
        let (first, last) = (memory_key(id, 0), memory_key(id, u32::MAX));
        for segment in &self.segments {
            let mut place = segment.head.memories.seek(&segment.source, &first)?;
            let before = place.previous()?;
            if before.is_some() {
                place.next()?;
            }
            let mut after = place.next()?;
            if after.is_some_and(|key| memory_of(&key) == *id) {
                after = segment.head.memories.seek(&segment.source, &last)?.next()?;
            }
            meet(before.map(|key| memory_of(&key)), after.map(|key| memory_of(&key)));
        }
        for tail in self.tails() {
            let before = tail.memories.range(..first).next_back();
            let after = tail.memories.range(last..).next();
            meet(before.map(memory_of), after.map(memory_of));
        }
        Ok([below, above])
    }

    /// Calls `visit` with each piece's part of `vids`, which rise.
    fn by_piece(&self, vids: &[u32], mut visit: impl FnMut(Piece, &[u32]) -> Result<()>) -> Result<()> {
        let mut rest = vids;
        let mut before = |next: u32| {
            let (part, after) = rest.split_at(rest.partition_point(|vid| *vid < next));
            rest = after;
            part
        };
        for segment in &self.segments {
            let part = before(segment.next);
            if !part.is_empty() {
                visit(Piece::Segment(segment), part)?;
            }
        }
        for tail in self.tails() {
            visit(Piece::Tail(tail), before(tail.next()))?;
        }
        rest.first().map_or(Ok(()), |vid| Err(unknown(*vid)))
    }

    pub fn ids(&self, vids: &[u32]) -> Result<Vec<MemoryId>> {
        let ids = self.ids_or_zeros(vids)?;
        // An id of zeros is odd, but only a gap has a version id of zeros.
        let zeros = vids.iter().zip(&ids).filter(|(_, id)| id.0 == [0; 16]);
        zeros.map(|(vid, _)| self.version_ids(&[*vid])).try_for_each(|known| known.map(drop))?;
        Ok(ids)
    }

    /// Of vids in any order, fast where they rise; zeros for gaps.
    pub fn ids_or_zeros(&self, vids: &[u32]) -> Result<Vec<MemoryId>> {
        let mut ids = Vec::with_capacity(vids.len());
        for rising in vids.chunk_by(|a, b| a <= b) {
            self.by_piece(rising, |piece, vids| match piece {
                Piece::Segment(segment) => segment.ids(vids, &mut ids),
                Piece::Tail(tail) => tail.some(&tail.ids, vids, &mut ids),
            })?;
        }
        Ok(ids)
    }

    /// Of vids that rise.
    pub fn version_ids(&self, vids: &[u32]) -> Result<Vec<VersionId>> {
        let mut ids = Vec::with_capacity(vids.len());
        self.by_piece(vids, |piece, vids| match piece {
            Piece::Segment(segment) => segment.version_ids(vids, &mut ids),
            Piece::Tail(tail) => tail.some(&tail.version_ids, vids, &mut ids),
        })?;
        let gap = ids.iter().position(|id: &VersionId| id.0 == [0; 32]).and_then(|at| vids.get(at));
        gap.map_or(Ok(ids), |vid| Err(unknown(*vid)))
    }

    /// Of vids that rise.
    pub fn memory_numbers(&self, vids: &[u32]) -> Result<Vec<u32>> {
        let mut numbers = Vec::with_capacity(vids.len());
        self.by_piece(vids, |piece, vids| match piece {
            Piece::Segment(segment) => segment.firsts_of(vids, &mut numbers),
            Piece::Tail(tail) => tail.some(&tail.firsts, vids, &mut numbers),
        })?;
        let gap = numbers.iter().position(|number| *number == NO_MEMORY).and_then(|at| vids.get(at));
        gap.map_or(Ok(numbers), |vid| Err(unknown(*vid)))
    }

    /// The lengths in terms of versions that rise, together.
    pub fn terms_of(&self, vids: &[u32]) -> Result<u64> {
        let mut terms = 0;
        self.by_piece(vids, |_, vids| {
            let Some(first) = vids.first() else { return Ok(()) };
            let columns = self.columns_of(*first)?;
            terms += vids.iter().map(|vid| u64::from(columns.len_of(*vid))).sum::<u64>();
            Ok(())
        })?;
        Ok(terms)
    }

    /// Who stands within `around` positions of a version in its session, by `observed_at` and vid, counting
    /// only those that `is_there` accepts.
    pub fn around(
        &self,
        sheet: &Sheet,
        vid: u32,
        around: u8,
        is_there: impl Fn(u32) -> bool,
    ) -> Result<Vec<(i8, u32)>> {
        let columns = sheet.of(vid);
        let session = columns.class_of(vid).session;
        if session == 0 || around == 0 {
            return Ok(Vec::new());
        }
        let around = around.min(i8::MAX as u8);
        let here = session_key(columns.vocabulary.name(session), columns.observed_at(vid), vid);
        let (mut before, mut after): (Vec<[u8; SESSION_BYTES]>, Vec<[u8; SESSION_BYTES]>) = Default::default();
        for segment in &self.segments {
            let sessions = &segment.head.sessions;
            if !sessions.may_have(&here) {
                continue;
            }
            let mut place = sessions.seek(&segment.source, &here)?;
            look_past(&mut before, &here, around, &is_there, || place.previous())?;
            let mut place = sessions.seek(&segment.source, &here)?;
            look_past(&mut after, &here, around, &is_there, || place.next())?;
        }
        for tail in self.tails() {
            let mut older = tail.sessions.range(..here).rev();
            look_past(&mut before, &here, around, &is_there, || Ok(older.next().copied()))?;
            let mut newer = tail.sessions.range(here..);
            look_past(&mut after, &here, around, &is_there, || Ok(newer.next().copied()))?;
        }
        before.sort_unstable_by(|a, b| b.cmp(a));
        after.sort_unstable();
        after.retain(|key| *key != here);
        let there = |keys: Vec<[u8; SESSION_BYTES]>| {
            let vids = keys.into_iter().take(LOOK_PAST_MAX).map(|key| vid_of_record(&key));
            vids.filter(|vid| is_there(*vid)).take(usize::from(around)).collect::<Vec<u32>>()
        };
        let (before, after) = (there(before).into_iter(), there(after).into_iter());
        Ok(before.zip((1..).map(|at: i8| -at)).chain(after.zip(1..)).map(|(vid, at)| (at, vid)).collect())
    }
}

/// Versions that were corrected away stand in the order of a session, too: so many are looked past.
const LOOK_PAST_MAX: usize = 64;

/// Takes keys of one piece and of one session until as many are there as can be wanted, and the version itself.
fn look_past(
    keys: &mut Vec<[u8; SESSION_BYTES]>,
    here: &[u8; SESSION_BYTES],
    around: u8,
    is_there: impl Fn(u32) -> bool,
    mut next: impl FnMut() -> Result<Option<[u8; SESSION_BYTES]>>,
) -> Result<()> {
    let mut there = 0;
    for _ in 0..=LOOK_PAST_MAX {
        let Some(key) = next()?.filter(|key| is_one_session(key, here)) else { break };
        there += usize::from(is_there(vid_of_record(&key)));
        keys.push(key);
        if there > usize::from(around) {
            break;
        }
    }
    Ok(())
}
