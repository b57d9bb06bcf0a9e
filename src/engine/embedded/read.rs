//! The questions that an engine answers about states and versions, each on one snapshot of truth. Everything here
//! blocks.

use redb::{ReadableTable, ReadableTableMetadata};
use roaring::RoaringBitmap;

use super::index::Found;
use super::names::stood_at;
use super::store::{Store, commit_row};
use super::tables::{
    self, Body, COMMIT_IDS, COMMITS, CommitRow, Delta, NAMES, OPS, PENDING, Snapshot, VERSIONS, VersionRow, WIDE,
};
use super::writer::replayed;
use crate::engine::At;
use crate::error::{Error, Result};
use crate::model::id::hex;
use crate::model::{
    Applied, Candidate, Candidates, Commit, CommitId, Filter, Listing, Match, Memory, MemoryId, Name, NameKind, OpId,
    Page, Pending, Query, Revision, Scan, StoreStatus, Time, Version, VersionId,
};

/// The shortest prefix of an id that is accepted, in hex digits.
const PREFIX_DIGITS_MIN: usize = 8;
/// Of how many versions at a time a scan asks whether they are wanted.
const SCANNED_AT_ONCE: usize = 4_096;

impl Store {
    pub(super) fn resolve(&self, revision: &Revision, now: Time) -> Result<At> {
        // Before truth is fixed, which is then sure to hold the head's commit.
        let head = match revision {
            Revision::Name(name) => self.heads().get(name).cloned(),
            Revision::Commit(_) | Revision::At(..) => None,
        };
        let truth = self.snapshot()?;
        match revision {
            Revision::Name(name) => match head {
                Some(head) => self.at_head(&truth, &head, now),
                None => self.at_commit(&truth, self.standing(&truth, name)?.standing.number),
            },
            Revision::Commit(prefix) => self.at_commit(&truth, find_commit(&truth, prefix)?),
            Revision::At(name, time) => {
                let number = stood_at(&truth.open(NAMES)?, name, *time)?.ok_or_else(|| {
                    Error::not_found(format!("`{name}` did not stand at that time: it begins later, or was deleted"))
                })?;
                self.at_commit(&truth, number)
            }
        }
    }

    /// A past commit is read as of its own time.
    pub(super) fn at_commit(&self, truth: &Snapshot, number: u32) -> Result<At> {
        let row = commit_row(&truth.open(COMMITS)?, number)?;
        let state = self.state(truth, number)?;
        let (live, tokens) = (state.live, state.tokens);
        Ok(At { commit: row.id(), as_of: row.bare()?.at, live, tokens, state: state.served.clone() })
    }

    pub(super) fn replayed(&self, op: OpId) -> Result<Option<Applied>> {
        replayed(&self.snapshot()?.open(OPS)?, op)
    }

    pub(super) fn pending(&self, branch: &Name) -> Result<Option<Pending>> {
        let row = self.snapshot()?.open(PENDING)?.get(branch.as_str())?;
        row.map(|row| tables::pending(row.value())).transpose()
    }

    pub(super) fn read(&self, at: &At, ids: &[MemoryId]) -> Result<Vec<Option<Version>>> {
        let versions = self.snapshot()?.open(VERSIONS)?;
        let live = |id: &MemoryId| {
            let vids = self.mending(|| self.index.vids_of(id))?;
            let Some(vid) = vids.into_iter().find(|vid| at.state.contains(*vid)) else {
                return Ok(None);
            };
            Ok(version_of(&versions, vid)?.filter(|version| !version.memory.is_expired_at(at.as_of)))
        };
        ids.iter().map(live).collect()
    }

    pub(super) fn versions(&self, ids: &[VersionId]) -> Result<Vec<Option<Memory>>> {
        let versions = self.snapshot()?.open(VERSIONS)?;
        let one = |id: &VersionId| {
            let vid = self.mending(|| self.index.vid_of(id))?;
            let version = vid.map(|vid| version_of(&versions, vid)).transpose()?.flatten();
            Ok(version.filter(|version| version.id == *id).map(|version| version.memory))
        };
        ids.iter().map(one).collect()
    }

    /// Part of a state by the age of its versions (`limit` 0 is all); the total is counted for the first part only.
    pub(super) fn scan(&self, at: &At, filter: &Filter, start: u64, limit: u32) -> Result<Scan> {
        let versions = self.snapshot()?.open(VERSIONS)?;
        let wanted = |vids: &RoaringBitmap| self.mending(|| self.index.filter(vids, filter, at.as_of));
        let mut scan = Scan::default();
        if start == 0 {
            scan.total = wanted(&at.state)?.len() as u32;
        }
        let Ok(start) = u32::try_from(start) else { return Ok(scan) };
        let limit = if limit == 0 { usize::MAX } else { limit as usize };
        let mut vids = at.state.range(start..);
        loop {
            let some: RoaringBitmap = vids.by_ref().take(SCANNED_AT_ONCE).collect();
            if some.is_empty() {
                return Ok(scan);
            }
            for vid in wanted(&some)? {
                if scan.versions.len() == limit {
                    scan.next = Some(u64::from(vid));
                    return Ok(scan);
                }
                scan.versions.extend(version_of(&versions, vid)?);
            }
        }
    }

    pub(super) fn page(&self, at: &At, filter: &Filter, page: Page) -> Result<Listing> {
        let wanted = self.mending(|| self.index.filter(&at.state, filter, at.as_of))?;
        let versions = self.snapshot()?.open(VERSIONS)?;
        let vids = self.mending(|| self.index.newest(&wanted, page.offset, page.limit))?;
        let memories =
            vids.into_iter().filter_map(|vid| version_of(&versions, vid).transpose()).collect::<Result<_>>()?;
        Ok(Listing { memories, total: wanted.len() as u32 })
    }

    pub(super) fn candidates(&self, at: &At, query: &Query) -> Result<Candidates> {
        let asking = query.vector.as_ref().map(|asked| self.vectors.ask(&at.state, asked)).transpose()?;
        let near = asking.as_ref().and_then(Option::as_ref);
        let matches = self.mending(|| self.index.candidates(&at.state, query, near, at.live, at.tokens, at.as_of))?;
        let versions = self.snapshot()?.open(VERSIONS)?;
        let candidate = |found: Found| {
            // What was erased since the state was fixed is left out.
            let Some(version) = version_of(&versions, found.vid)? else { return Ok(None) };
            let vector = near.map_or_else(Vec::new, |near| near.vector(found.vid, &version.id));
            let cosine = found.words.cosine.filter(|_| !vector.is_empty());
            let words = Match { cosine, ..found.words };
            Ok(Some(Candidate { version, words, vector, around: found.around }))
        };
        let found: Result<Vec<Candidate>> =
            matches.found.into_iter().filter_map(|it| candidate(it).transpose()).collect();
        Ok(Candidates {
            live: at.live,
            tokens: at.tokens,
            document_frequencies: matches.document_frequencies,
            // In a space without vectors none is compared.
            cosines: asking.is_some().then(|| matches.cosines.unwrap_or_default()),
            found: found?,
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
        Ok((self.mending(|| self.index.ids(&vids))?, total))
    }

    pub(super) fn commit(&self, id: CommitId) -> Result<Commit> {
        let truth = self.snapshot()?;
        Ok(commit_of(self, &truth, number_of(&truth, id)?)?.1)
    }

    pub(super) fn find(&self, prefix: &str) -> Result<MemoryId> {
        let (first, last) = prefix_range::<16>(prefix, "memory id")?;
        let ids = self.mending(|| self.index.ids_between(&MemoryId(first), &MemoryId(last), 4))?;
        match ids[..] {
            [] => Err(Error::not_found(format!("no memory has an id that starts with {prefix}"))),
            [id] => Ok(id),
            _ => Err(ambiguous("memories", prefix, ids.iter().map(ToString::to_string))),
        }
    }

    pub(super) fn short_lens(&self, ids: &[MemoryId]) -> Result<Vec<u8>> {
        let one = |id: &MemoryId| {
            let neighbours = self.mending(|| self.index.neighbours(id))?;
            let shared = neighbours.into_iter().flatten().map(|other| shared_digits(&other.0, id)).max();
            Ok(shared.unwrap_or(0).saturating_add(1).clamp(PREFIX_DIGITS_MIN as u8, 32))
        };
        ids.iter().map(one).collect()
    }

    pub(super) fn status(&self) -> Result<StoreStatus> {
        let head = self.head(&Name::main())?;
        let truth = self.snapshot()?;
        let state = self.state(&truth, head.number)?;
        let names = tables::every_name(&truth.open(NAMES)?)?;
        let count = |kind| names.iter().filter(|(_, last)| last.is_living() && last.standing.kind == kind).count();
        Ok(StoreStatus {
            error: None,
            memories: state.live,
            by_kind: self.mending(|| self.index.by_kind(&state.served))?,
            branches: count(NameKind::Branch) as u32,
            snapshots: count(NameKind::Snapshot) as u32,
            unreachable: self.unreachable.count(&truth)?,
            commits: truth.open(COMMITS)?.len()? as u32,
            versions: truth.open(VERSIONS)?.len()? as u32,
            truth_bytes: self.truth_bytes()?,
            derived_bytes: self.index.bytes() + self.vectors.bytes(),
            head: Some(head.id),
            unflushed: self.index.unflushed(),
        })
    }
}

/// A version; `None` where its bytes are gone.
pub fn version_of(versions: &impl ReadableTable<u32, &'static [u8]>, vid: u32) -> Result<Option<Version>> {
    match versions.get(vid)? {
        Some(row) => {
            let row = VersionRow::decode(row.value())?;
            Ok(row.memory()?.map(|memory| Version { id: row.id(), memory }))
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
pub fn commit_of(store: &Store, truth: &Snapshot, number: u32) -> Result<(CommitId, Commit)> {
    let row = commit_row(&truth.open(COMMITS)?, number)?;
    let mut commit = row.bare()?;
    if let Body::Wide { .. } = row.body {
        let ids = |vids: &RoaringBitmap| {
            let mut ids = store.mending(|| store.index.version_ids(vids))?;
            ids.sort_unstable();
            Ok::<_, Error>(ids)
        };
        let delta = delta_of(truth, number, &row)?;
        (commit.added, commit.removed) = (ids(&delta.added)?, ids(&delta.removed)?);
    }
    Ok((row.id(), commit))
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
