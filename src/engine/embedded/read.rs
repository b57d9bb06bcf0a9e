//! The questions that an engine answers, each on one snapshot of truth. Everything here blocks.

use std::ops::Bound;

use redb::ReadableTable;
use roaring::RoaringBitmap;

use super::store::{Store, commit_row, entry_of_version, memory_of, next_number};
use super::tables::{
    self, Body, COMMIT_IDS, COMMITS, CommitRow, Delta, OLD_MEMORIES, OLD_MOVES, OLD_TOUCHES, OLD_VERSION_IDS, OPS,
    Snapshot, VERSIONS, VersionRow, WIDE, numbers_of, pair, unpair,
};
use super::writer::{replay, stood_at};
use crate::engine::At;
use crate::error::{Error, ErrorKind, Result};
use crate::model::id::hex;
use crate::model::{
    Applied, Candidate, Candidates, Commit, CommitEntry, CommitFilter, CommitId, Filter, Listing, Memory, MemoryId,
    Name, OpId, Page, Query, Revision, StoreStatus, Time, Version, VersionId,
};

/// The shortest prefix of an id that is accepted, in hex digits.
const PREFIX_DIGITS_MIN: usize = 8;

impl Store {
    pub(super) fn resolve(&self, revision: &Revision, now: Time) -> Result<At> {
        match revision {
            Revision::Name(name) => {
                let head = self.head(name)?;
                Ok(At { commit: head.id, as_of: now, live: head.live, tokens: head.tokens, state: head.state })
            }
            Revision::Commit(prefix) => {
                let truth = self.snapshot()?;
                let number = find_commit(&truth, prefix)?;
                self.at_commit(&truth, number)
            }
            Revision::At(name, time) => {
                let truth = self.snapshot()?;
                let number = stood_at(&truth.open(OLD_MOVES)?, name, *time)?.ok_or_else(|| {
                    Error::not_found(format!("`{name}` has no history at that time: it begins later"))
                })?;
                self.at_commit(&truth, number)
            }
        }
    }

    fn at_commit(&self, truth: &Snapshot, number: u32) -> Result<At> {
        let row = commit_row(&truth.open(COMMITS)?, number)?;
        let state = self.state_at(truth, number)?;
        Ok(At { commit: row.id(), as_of: row.bare()?.at, live: row.live, tokens: row.tokens, state })
    }

    pub(super) fn replayed(&self, op: OpId) -> Result<Option<Applied>> {
        replay(&self.snapshot()?.open(OPS)?, op)
    }

    pub(super) fn read(&self, at: &At, ids: &[MemoryId]) -> Result<Vec<Option<Version>>> {
        let truth = self.snapshot()?;
        let (memories, versions) = (truth.open(OLD_MEMORIES)?, truth.open(VERSIONS)?);
        let live = |id: &MemoryId| {
            let vids = numbers_of(&memories, &id.0)?;
            let Some(vid) = vids.into_iter().find(|vid| at.state.contains(*vid)) else {
                return Ok(None);
            };
            let version = version_of(&versions, vid)?;
            Ok((!version.memory.is_expired_at(at.as_of)).then_some(version))
        };
        ids.iter().map(live).collect()
    }

    pub(super) fn versions(&self, ids: &[VersionId]) -> Result<Vec<Option<Memory>>> {
        let truth = self.snapshot()?;
        let (version_ids, versions) = (truth.open(OLD_VERSION_IDS)?, truth.open(VERSIONS)?);
        let one = |id: &VersionId| match version_ids.get(&id.0)? {
            Some(vid) => memory_of(&versions, vid.value()),
            None => Ok(None),
        };
        ids.iter().map(one).collect()
    }

    pub(super) fn page(&self, at: &At, filter: &Filter, page: Page) -> Result<Listing> {
        let wanted = self.mending(|| self.index.filter(&at.state, filter, at.as_of))?;
        let versions = self.snapshot()?.open(VERSIONS)?;
        let vids = self.mending(|| self.index.newest(&wanted, page.offset, page.limit))?;
        let memories = vids.into_iter().map(|vid| version_of(&versions, vid)).collect::<Result<_>>()?;
        Ok(Listing { memories, total: wanted.len() as u32 })
    }

    pub(super) fn candidates(&self, at: &At, query: &Query) -> Result<Candidates> {
        let matches = self.mending(|| self.index.candidates(&at.state, query, at.live, at.tokens, at.as_of))?;
        let versions = self.snapshot()?.open(VERSIONS)?;
        let found = matches.found.into_iter().map(|found| {
            let version = version_of(&versions, found.vid)?;
            Ok(Candidate { version, words: found.words, around: found.around })
        });
        Ok(Candidates {
            live: at.live,
            tokens: at.tokens,
            document_frequencies: matches.document_frequencies,
            found: found.collect::<Result<_>>()?,
        })
    }

    pub(super) fn containing(
        &self,
        at: &At,
        terms: &[String],
        filter: &Filter,
        limit: u32,
    ) -> Result<(Vec<MemoryId>, u32)> {
        let (vids, total) = self.mending(|| self.index.containing(&at.state, terms, filter, at.as_of, limit))?;
        let versions = self.snapshot()?.open(VERSIONS)?;
        let ids = vids.into_iter().map(|vid| Ok(version_of(&versions, vid)?.memory.id)).collect::<Result<_>>()?;
        Ok((ids, total))
    }

    /// Derived data that proves damaged is built again from truth, once, and asked again.
    pub(super) fn mending<T>(&self, ask: impl Fn() -> Result<T>) -> Result<T> {
        match ask() {
            Err(error) if error.kind == ErrorKind::Corrupt => {
                tracing::warn!("the index is damaged, and is built again: {error}");
                self.index.rebuild(|| {
                    let versions = self.snapshot()?.open(VERSIONS)?;
                    Ok((next_number(&versions)?, move |vid| entry_of_version(&versions, vid)))
                })?;
                ask()
            }
            answer => answer,
        }
    }

    pub(super) fn history(&self, at: &At, filter: &CommitFilter, page: Page) -> Result<(Vec<CommitEntry>, u32)> {
        let truth = self.snapshot()?;
        let commits = truth.open(COMMITS)?;
        let from = number_of(&truth, at.commit)?;
        let limit = if page.limit == 0 { usize::MAX } else { page.limit as usize };
        let part = |numbers: Vec<u32>| {
            let numbers = numbers.into_iter().skip(page.offset as usize).take(limit);
            numbers.map(|number| entry_of(&truth, number)).collect::<Result<Vec<_>>>()
        };
        let is_plain =
            filter.agent.is_none() && filter.session.is_none() && filter.since.is_none() && filter.until.is_none();
        let numbers = match filter.memory {
            None if is_plain => {
                let total = tables::place_of(&commits, from)?.depth + 1;
                return Ok((plain_history(&truth, from, total, page)?, total));
            }
            None => ancestors(&commits, from)?,
            Some(memory) => touching(&truth, from, memory)?,
        };
        let mut wanted = Vec::new();
        for number in numbers {
            if is_plain || filter.wants(&commit_row(&commits, number)?.bare()?) {
                wanted.push(number);
            }
        }
        let total = wanted.len() as u32;
        Ok((part(wanted)?, total))
    }

    pub(super) fn commit(&self, id: CommitId) -> Result<Commit> {
        let truth = self.snapshot()?;
        Ok(commit_of(&truth, number_of(&truth, id)?)?.1)
    }

    pub(super) fn find(&self, prefix: &str) -> Result<MemoryId> {
        let (first, last) = prefix_range::<16>(prefix, "memory id")?;
        let memories = self.snapshot()?.open(OLD_MEMORIES)?;
        let mut ids: Vec<MemoryId> = Vec::new();
        for row in memories.range::<&[u8; 20]>(&pair(&first, 0)..=&pair(&last, u32::MAX))? {
            let id = MemoryId(unpair(row?.0.value()).0);
            if ids.last() != Some(&id) {
                ids.push(id);
            }
            if ids.len() > 3 {
                break;
            }
        }
        match ids[..] {
            [] => Err(Error::not_found(format!("no memory has an id that starts with {prefix}"))),
            [id] => Ok(id),
            _ => Err(ambiguous("memories", prefix, ids.iter().map(ToString::to_string))),
        }
    }

    pub(super) fn short_lens(&self, ids: &[MemoryId]) -> Result<Vec<u8>> {
        let memories = self.snapshot()?.open(OLD_MEMORIES)?;
        let one = |id: &MemoryId| {
            let (first, last) = (pair(&id.0, 0), pair(&id.0, u32::MAX));
            let before = memories.range::<&[u8; 20]>(..&first)?.next_back().transpose()?;
            let after = memories.range::<&[u8; 20]>((Bound::Excluded(&last), Bound::Unbounded))?.next().transpose()?;
            let shared =
                [before, after].into_iter().flatten().map(|(key, _)| shared_digits(&unpair(key.value()).0, id));
            Ok(shared.max().unwrap_or(0).saturating_add(1).clamp(PREFIX_DIGITS_MIN as u8, 32))
        };
        ids.iter().map(one).collect()
    }

    pub(super) fn status(&self) -> Result<StoreStatus> {
        let truth = self.snapshot()?;
        let head = self.head(&Name::main())?;
        Ok(StoreStatus {
            error: None,
            memories: head.live,
            by_kind: self.mending(|| self.index.by_kind(&head.state))?,
            branches: self.heads().len() as u32,
            snapshots: 0,
            unreachable: 0,
            commits: next_number(&truth.open(COMMITS)?)?,
            versions: next_number(&truth.open(VERSIONS)?)?,
            truth_bytes: self.truth_bytes()?,
            derived_bytes: self.index.bytes(),
            head: Some(head.id),
            unflushed: self.index.unflushed(),
        })
    }
}

impl CommitFilter {
    pub(super) fn wants(&self, commit: &Commit) -> bool {
        self.agent.as_ref().is_none_or(|agent| commit.author.agent.as_ref() == Some(agent))
            && self.session.as_ref().is_none_or(|session| commit.author.session == *session)
            && self.since.is_none_or(|since| commit.at >= since)
            && self.until.is_none_or(|until| commit.at < until)
    }
}

fn version_of(versions: &impl ReadableTable<u32, &'static [u8]>, vid: u32) -> Result<Version> {
    match versions.get(vid)? {
        Some(row) => {
            let row = VersionRow::decode(row.value())?;
            match row.memory()? {
                Some(memory) => Ok(Version { id: row.id(), memory }),
                None => Err(tables::damaged(&format!("version {vid} was erased, and is live"))),
            }
        }
        None => Err(tables::damaged(&format!("version {vid} is missing"))),
    }
}

pub fn number_of(truth: &Snapshot, id: CommitId) -> Result<u32> {
    let number = truth.open(COMMIT_IDS)?.get(&id.0)?.map(|number| number.value());
    number.ok_or_else(|| Error::not_found(format!("there is no commit {id}")))
}

fn find_commit(truth: &Snapshot, prefix: &str) -> Result<u32> {
    let (first, last) = prefix_range::<32>(prefix, "commit id")?;
    let rows = truth.open(COMMIT_IDS)?.range::<&[u8; 32]>(&first..=&last)?.take(4);
    let found = rows.map(|row| row.map(|(id, number)| (*id.value(), number.value()))).collect::<Result<Vec<_>, _>>()?;
    match found[..] {
        [] => Err(Error::not_found(format!("no commit has an id that starts with {prefix}"))),
        [(_, number)] => Ok(number),
        _ => Err(ambiguous("commits", prefix, found.iter().map(|(id, _)| hex(id)))),
    }
}

fn ambiguous(what: &str, prefix: &str, ids: impl Iterator<Item = String>) -> Error {
    let ids: Vec<String> = ids.map(|id| id.chars().take(12.max(prefix.len() + 4)).collect()).collect();
    Error::ambiguous(format!("{prefix} fits several {what} ({}, …): give more digits", ids.join(", ")))
}

/// The smallest and the largest id with this prefix.
fn prefix_range<const N: usize>(prefix: &str, what: &str) -> Result<([u8; N], [u8; N])> {
    let digits: Option<Vec<u8>> =
        prefix.chars().filter(|c| *c != '-').map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| (PREFIX_DIGITS_MIN..=2 * N).contains(&digits.len())).ok_or_else(|| {
        let shown: String = prefix.chars().take(80).collect();
        Error::invalid(format!(
            "`{shown}` is not the beginning of a {what}: give {PREFIX_DIGITS_MIN} to {} hex digits",
            2 * N
        ))
    })?;
    let (mut first, mut last) = ([0; N], [0xff; N]);
    for (place, digit) in digits.into_iter().enumerate() {
        let shift = if place % 2 == 0 { 4 } else { 0 };
        first[place / 2] |= digit << shift;
        last[place / 2] &= !(0xf << shift) | digit << shift;
    }
    Ok((first, last))
}

fn shared_digits(a: &[u8; 16], b: &MemoryId) -> u8 {
    match a.iter().zip(b.0).position(|(a, b)| *a != b) {
        None => 32,
        Some(at) => at as u8 * 2 + u8::from(a[at] >> 4 == b.0[at] >> 4),
    }
}

/// A commit with everything that it added and removed, and its id.
pub fn commit_of(truth: &Snapshot, number: u32) -> Result<(CommitId, Commit)> {
    let row = commit_row(&truth.open(COMMITS)?, number)?;
    let mut commit = row.bare()?;
    if let Body::Wide { .. } = row.body {
        let versions = truth.open(VERSIONS)?;
        let ids = |vids: &RoaringBitmap| {
            let mut ids = vids.iter().map(|vid| version_id(&versions, vid)).collect::<Result<Vec<_>>>()?;
            ids.sort_unstable();
            Ok::<_, Error>(ids)
        };
        let delta = delta_of(truth, number, &row)?;
        (commit.added, commit.removed) = (ids(&delta.added)?, ids(&delta.removed)?);
    }
    Ok((row.id(), commit))
}

fn entry_of(truth: &Snapshot, number: u32) -> Result<CommitEntry> {
    let (id, commit) = commit_of(truth, number)?;
    let (added, removed) = (commit.added.len() as u32, commit.removed.len() as u32);
    let bare = Commit { added: Vec::new(), removed: Vec::new(), ..commit };
    Ok(CommitEntry { id, bare, added, removed, glance: Vec::new() })
}

pub fn version_id(versions: &impl ReadableTable<u32, &'static [u8]>, vid: u32) -> Result<VersionId> {
    match versions.get(vid)? {
        Some(row) => Ok(VersionRow::decode(row.value())?.id()),
        None => Err(tables::damaged(&format!("version {vid} is missing"))),
    }
}

pub fn delta_of(truth: &Snapshot, number: u32, row: &CommitRow) -> Result<Delta> {
    match &row.body {
        Body::Narrow { delta, .. } => Ok(delta.clone()),
        Body::Wide { .. } => match truth.open(WIDE)?.get(number)? {
            Some(delta) => Delta::decode(delta.value()),
            None => Err(tables::damaged(&format!("wide commit {number} has lost its changes"))),
        },
    }
}

/// A page of everything, without looking at what lies before it.
fn plain_history(truth: &Snapshot, from: u32, total: u32, page: Page) -> Result<Vec<CommitEntry>> {
    let commits = truth.open(COMMITS)?;
    if page.offset >= total {
        return Ok(Vec::new());
    }
    let left = total - page.offset;
    let wanted = if page.limit == 0 { left } else { left.min(page.limit) };
    let mut next = ancestor_at(&commits, from, left - 1)?;
    let mut out = Vec::new();
    for _ in 0..wanted {
        let Some(number) = next else { break };
        out.push(entry_of(truth, number)?);
        next = tables::place_of(&commits, number)?.parents[0];
    }
    Ok(out)
}

/// The ancestor by first parents that has so many behind it, in O(log n) steps.
fn ancestor_at(commits: &impl ReadableTable<u32, &'static [u8]>, from: u32, depth: u32) -> Result<Option<u32>> {
    let mut number = from;
    let mut place = tables::place_of(commits, number)?;
    while place.depth > depth {
        let jumped = tables::place_of(commits, place.jump)?;
        let Some(parent) = place.parents[0] else { return Ok(None) };
        (number, place) = if jumped.depth >= depth && jumped.depth < place.depth {
            (place.jump, jumped)
        } else {
            (parent, tables::place_of(commits, parent)?)
        };
    }
    Ok((place.depth == depth).then_some(number))
}

fn ancestors(commits: &impl ReadableTable<u32, &'static [u8]>, from: u32) -> Result<Vec<u32>> {
    let mut numbers = vec![from];
    let mut at = from;
    while let Some(parent) = tables::place_of(commits, at)?.parents[0] {
        if parent >= at {
            return Err(tables::damaged(&format!("commit {at} comes before its parent")));
        }
        numbers.push(parent);
        at = parent;
    }
    Ok(numbers)
}

/// The commits on the way back from `from` that changed a memory, newest first.
fn touching(truth: &Snapshot, from: u32, memory: MemoryId) -> Result<Vec<u32>> {
    let commits = truth.open(COMMITS)?;
    let mut numbers = numbers_of(&truth.open(OLD_TOUCHES)?, &memory.0)?;
    let vids: RoaringBitmap = numbers_of(&truth.open(OLD_MEMORIES)?, &memory.0)?.into_iter().collect();
    for row in truth.open(WIDE)?.iter()? {
        let (number, delta) = row?;
        let delta = Delta::decode(delta.value())?;
        if !vids.is_disjoint(&delta.added) || !vids.is_disjoint(&delta.removed) {
            numbers.push(number.value());
        }
    }
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    let mut on_the_way = Vec::new();
    for number in numbers {
        let depth = tables::place_of(&commits, number)?.depth;
        if number <= from && ancestor_at(&commits, from, depth)? == Some(number) {
            on_the_way.push(number);
        }
    }
    Ok(on_the_way)
}
