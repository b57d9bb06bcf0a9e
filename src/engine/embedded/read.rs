//! The questions that an engine answers about states and versions, each on one snapshot of truth. Everything here
//! blocks.

use redb::{ReadableTable, ReadableTableMetadata};
use roaring::RoaringBitmap;

use super::compact::count_unreached;
use super::index::Found;
use super::store::Store;
use super::tables::{
    self, COMMIT_IDS, COMMITS, CommitRow, Delta, FEEDBACK, NAMES, OPS, PENDING, Snapshot, VERSIONS, VersionRow, WIDE,
};
use super::writer::replayed;
use crate::engine::At;
use crate::engine::history::Past;
use crate::engine::history::naming::{standing, stood_at};
use crate::engine::history::prefix::{ambiguous, prefix_range, short_len};
use crate::engine::history::state::{at_commit, at_head};
use crate::error::{Error, Result};
use crate::model::id::hex;
use crate::model::{
    Applied, Candidate, Candidates, Feedback, Filter, Listing, Match, Memory, MemoryId, Name, NameKind, OpId, Page,
    Pending, Query, Revision, Scan, StoreStatus, Time, Version, VersionId,
};

/// Of how many versions at a time a scan asks whether they are wanted.
const SCANNED_AT_ONCE: usize = 4_096;

impl Store {
    pub(super) fn resolve(&self, revision: &Revision, now: Time) -> Result<At> {
        // Before truth is fixed, which is then sure to hold the head's commit.
        let head = match revision {
            Revision::Name(name) => self.heads().get(name).cloned(),
            Revision::Commit(_) | Revision::At(..) => None,
        };
        let view = self.view()?;
        match revision {
            Revision::Name(name) => match head {
                Some(head) => Ok(at_head(&head, &*view.state(head.number)?, now)),
                None => at_commit(&view, standing(&view, name)?.standing.number),
            },
            Revision::Commit(prefix) => at_commit(&view, find_commit(&view.truth, prefix)?),
            Revision::At(name, time) => {
                let number = stood_at(&view, name, *time)?.ok_or_else(|| {
                    Error::not_found(format!("`{name}` did not stand at that time: it begins later, or was deleted"))
                })?;
                at_commit(&view, number)
            }
        }
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

    pub(super) fn feedback(&self, ids: &[MemoryId]) -> Result<Vec<Feedback>> {
        let Some(rows) = self.snapshot()?.open_if_there(FEEDBACK)? else {
            return Ok(vec![Feedback::default(); ids.len()]);
        };
        let said = |id: &MemoryId| rows.get(&id.0)?.map(|row| tables::feedback(row.value())).transpose();
        ids.iter().map(|id| said(id).map(Option::unwrap_or_default)).collect()
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
            let feedback = Feedback::default();
            Ok(Some(Candidate { version, words, feedback, vector, around: found.around }))
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
            Ok(short_len(id, neighbours.into_iter().flatten()))
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
            unreachable: self.unreachable.count(names, || count_unreached(&truth))?,
            commits: truth.open(COMMITS)?.len()? as u32,
            versions: truth.open(VERSIONS)?.len()? as u32,
            truth_bytes: self.truth_bytes()?,
            derived_bytes: self.index.bytes() + self.vectors.bytes(),
            head: Some(head.id),
            unflushed: self.index.unflushed(),
            waiting: None,
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

/// What a commit changed, given its row.
pub fn delta_of(truth: &Snapshot, number: u32, row: &CommitRow) -> Result<Delta> {
    row.delta(|| wide(truth, number))
}

/// What a wide commit changed.
pub fn wide(truth: &Snapshot, number: u32) -> Result<Delta> {
    match truth.open(WIDE)?.get(number)? {
        Some(delta) => Delta::decode(delta.value()),
        None => Err(tables::damaged(&format!("wide commit {number} has lost its changes"))),
    }
}
