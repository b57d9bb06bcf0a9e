//! What differs between two states: which memories come, go and change. Sets and arrays of local numbers first; ids
//! only of what is shown, texts never.

use roaring::RoaringBitmap;

use super::Past;
use crate::engine::At;
use crate::error::Result;
use crate::model::{Counts, Diff, Difference, Filter, Page, Time, VersionId};

/// One memory in two states, by local numbers: its own, and its version's on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shift {
    pub memory: u32,
    pub before: Option<u32>,
    pub after: Option<u32>,
}

/// Versions of different memories, to be looked up by memory number.
pub struct Versions(Vec<(u32, u32)>);

/// The numbers of memories, to be looked up by version.
pub struct Numbers(Vec<(u32, u32)>);

/// The ids of some versions, to be looked up by local number.
struct VersionIds(Vec<(u32, VersionId)>);

/// A difference is within the filter if either side's version is.
pub fn diff(past: &impl Past, from: &At, to: &At, filter: &Filter, page: Page) -> Result<Diff> {
    let (gone, come) = (&*from.state - &*to.state, &*to.state - &*from.state);
    let mut shifts = shifts(past, &gone, &come)?;
    if *filter != Filter::default() {
        // Whether a memory has expired since is no difference: nothing has at the beginning of time.
        let passing = past.passing(&(&gone | &come), filter, Time::MIN)?;
        let passes = |vid: Option<u32>| vid.is_some_and(|vid| passing.contains(vid));
        shifts.retain(|shift| passes(shift.before) || passes(shift.after));
    }
    Ok(Diff { counts: counts(&shifts), differences: page_of(past, &mut shifts, &[], page)? })
}

/// The versions of a set, which holds one of each memory at most.
pub fn by_memory(past: &impl Past, vids: &RoaringBitmap) -> Result<Versions> {
    let memories = past.memory_numbers(vids)?;
    let mut versions: Vec<(u32, u32)> = memories.into_iter().zip(vids).collect();
    versions.sort_unstable();
    Ok(Versions(versions))
}

/// The same of a set that may be large, for a few memories only.
pub fn of_memories(past: &impl Past, memories: &RoaringBitmap, vids: &RoaringBitmap) -> Result<Versions> {
    if memories.is_empty() {
        return Ok(Versions(Vec::new()));
    }
    let mut versions = past.versions_of(memories, vids)?;
    versions.sort_unstable();
    Ok(Versions(versions))
}

/// What goes and what comes, put together by memory.
pub fn shifts(past: &impl Past, gone: &RoaringBitmap, come: &RoaringBitmap) -> Result<Vec<Shift>> {
    Ok(shifts_between(&by_memory(past, gone)?, &by_memory(past, come)?))
}

/// The same of what was looked up before.
pub fn shifts_between(gone: &Versions, come: &Versions) -> Vec<Shift> {
    let old = gone.0.iter().map(|(memory, before)| Shift {
        memory: *memory,
        before: Some(*before),
        after: come.get(*memory),
    });
    let new = come.0.iter().filter(|(memory, _)| gone.get(*memory).is_none());
    let new = new.map(|(memory, after)| Shift { memory: *memory, before: None, after: Some(*after) });
    old.chain(new).collect()
}

/// Part of these, what was written last at the end. `unstored` are versions that are not stored yet, with the
/// numbers beyond all others that the shifts have for them, rising.
pub fn page_of(
    past: &impl Past,
    shifts: &mut [Shift],
    unstored: &[(u32, VersionId)],
    page: Page,
) -> Result<Vec<Difference>> {
    shifts.sort_unstable_by_key(|shift| shift.after.or(shift.before));
    let start = shifts.len().min(page.offset as usize);
    let len = if page.limit == 0 { shifts.len() } else { page.limit as usize };
    let end = shifts.len().min(start.saturating_add(len));
    differences(past, &shifts[start..end], unstored)
}

/// The same by ids, in the same order.
pub fn differences(past: &impl Past, shifts: &[Shift], unstored: &[(u32, VersionId)]) -> Result<Vec<Difference>> {
    let memories: Vec<u32> = shifts.iter().map(|shift| shift.memory).collect();
    let ids = past.ids(&memories)?;
    let beyond = unstored.first().map_or(u32::MAX, |(vid, _)| *vid);
    let mut vids: Vec<u32> = shifts.iter().flat_map(|shift| [shift.before, shift.after]).flatten().collect();
    vids.sort_unstable();
    let stored: RoaringBitmap = vids.iter().copied().filter(|vid| *vid < beyond).collect();
    let versions = past.version_ids(&stored)?;
    let versions = VersionIds(stored.iter().zip(versions).chain(unstored.iter().copied()).collect());
    let one = |(shift, id): (&Shift, _)| Difference {
        id,
        before: shift.before.and_then(|vid| versions.get(vid)),
        after: shift.after.and_then(|vid| versions.get(vid)),
    };
    Ok(shifts.iter().zip(ids).map(one).collect())
}
impl Numbers {
    /// Of the memories of these versions.
    pub fn of(past: &impl Past, vids: &RoaringBitmap) -> Result<Self> {
        let memories = if vids.is_empty() { Vec::new() } else { past.memory_numbers(vids)? };
        Ok(Self(vids.iter().zip(memories).collect()))
    }

    /// The number of a version's memory.
    pub fn get(&self, vid: u32) -> Option<u32> {
        let found = self.0.binary_search_by_key(&vid, |(vid, _)| *vid).ok()?;
        Some(self.0[found].1)
    }
}

impl Versions {
    /// Those of a set of which `numbers` knows all; it holds one of each memory at most.
    pub fn among(vids: &RoaringBitmap, numbers: &Numbers) -> Self {
        let mut versions: Vec<(u32, u32)> = vids.iter().filter_map(|vid| Some((numbers.get(vid)?, vid))).collect();
        versions.sort_unstable();
        Self(versions)
    }

    /// The version of that memory.
    pub fn get(&self, memory: u32) -> Option<u32> {
        let found = self.0.binary_search_by_key(&memory, |(memory, _)| *memory).ok()?;
        Some(self.0[found].1)
    }

    /// The numbers of the memories, rising.
    pub fn memories(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|(memory, _)| *memory)
    }
}

impl VersionIds {
    fn get(&self, vid: u32) -> Option<VersionId> {
        let found = self.0.binary_search_by_key(&vid, |(vid, _)| *vid).ok()?;
        Some(self.0[found].1)
    }
}

/// How many come, change and go.
pub fn counts(shifts: &[Shift]) -> Counts {
    let mut counts = Counts::default();
    for shift in shifts {
        match (shift.before, shift.after) {
            (None, Some(_)) => counts.added += 1,
            (Some(_), Some(_)) => counts.changed += 1,
            (Some(_), None) => counts.removed += 1,
            (None, None) => {}
        }
    }
    counts
}
