//! Histories: which commits a head reaches, by first parents or by all, those of one memory among them, and what each
//! of them did at a glance.

use roaring::RoaringBitmap;

use super::diff::Numbers;
use super::graph::{Ancestry, ancestor_at, is_on_line, parents_of};
use super::rows::{Body, CommitRow, Delta};
use super::{Brief, Past, Places, number_of};
use crate::engine::At;
use crate::error::Result;
use crate::model::{Commit, CommitEntry, CommitFilter, CommitId, Difference, Page, Walk};

/// What a person is called in a filter by agent.
const YOU: &str = "you";
/// Commits whose rows are asked for at once.
const READ_AT_ONCE: usize = 64;

/// Commits that `at` reaches, newest first, and how many there are in all.
pub fn history(
    past: &impl Past,
    at: &At,
    filter: &CommitFilter,
    walk: Walk,
    page: Page,
) -> Result<(Vec<CommitEntry>, u32)> {
    let from = number_of(past, at.commit)?;
    let is_plain = CommitFilter { memory: None, ..filter.clone() } == CommitFilter::default();
    let vids = filter.memory.map(|memory| past.vids_of(&memory)).transpose()?;
    let vids: Option<RoaringBitmap> = vids.map(|vids| vids.into_iter().collect());
    let mut numbers = match (&vids, walk) {
        (None, Walk::Branch) if is_plain => {
            let total = past.place(from)?.depth + 1;
            return Ok((entries_of(past, &plain(past, from, total, page)?, None)?, total));
        }
        (None, Walk::Branch) => ancestors(past, from)?,
        (None, Walk::All) => reached(past, from, 0)?,
        (Some(vids), walk) => touching(past, from, vids, walk)?,
    };
    if !is_plain {
        let mut wanted = Vec::new();
        for some in numbers.chunks(READ_AT_ONCE) {
            past.soon_commits(some)?;
            for number in some {
                if filter.wants(&past.commit(*number)?.bare()?) {
                    wanted.push(*number);
                }
            }
        }
        numbers = wanted;
    }
    let total = numbers.len() as u32;
    let limit = if page.limit == 0 { usize::MAX } else { page.limit as usize };
    let shown: Vec<u32> = numbers.into_iter().skip(page.offset as usize).take(limit).collect();
    Ok((entries_of(past, &shown, vids.as_ref())?, total))
}

/// Commits by id, in the order asked for.
pub fn entries(past: &impl Past, ids: &[CommitId]) -> Result<Vec<CommitEntry>> {
    let numbers = ids.iter().map(|id| number_of(past, *id)).collect::<Result<Vec<_>>>()?;
    entries_of(past, &numbers, None)
}

/// A commit with everything that it added and removed, and its id.
pub fn whole(past: &impl Past, number: u32) -> Result<(CommitId, Commit)> {
    let row = past.commit(number)?;
    let mut commit = row.bare()?;
    if let Body::Wide { .. } = row.body {
        let ids = |vids: &RoaringBitmap| {
            let mut ids = past.version_ids(vids)?;
            ids.sort_unstable();
            Ok::<_, crate::error::Error>(ids)
        };
        let delta = past.wide(number)?;
        (commit.added, commit.removed) = (ids(&delta.added)?, ids(&delta.removed)?);
    }
    Ok((row.id(), commit))
}

impl CommitFilter {
    /// Whether a commit is wanted, by all but the memory that it changed.
    pub(super) fn wants(&self, commit: &Commit) -> bool {
        let author = &commit.author;
        self.agent.as_ref().is_none_or(|agent| author.agent.as_deref().unwrap_or(YOU) == agent)
            && self.session.as_ref().is_none_or(|session| author.session == *session)
            && self.project.as_ref().is_none_or(|project| author.project.as_ref() == Some(project))
            && self.since.is_none_or(|since| commit.at >= since)
            && self.until.is_none_or(|until| commit.at < until)
    }
}

/// A page of everything, without looking at what lies before it.
fn plain(past: &impl Past, from: u32, total: u32, page: Page) -> Result<Vec<u32>> {
    if page.offset >= total {
        return Ok(Vec::new());
    }
    let left = total - page.offset;
    let wanted = if page.limit == 0 { left } else { left.min(page.limit) };
    let mut next = ancestor_at(past, from, left - 1)?;
    let mut numbers = Vec::new();
    for _ in 0..wanted {
        let Some(number) = next else { break };
        numbers.push(number);
        next = past.place(number)?.parents[0];
    }
    Ok(numbers)
}

/// The commits on the way back from `from` that changed a memory with these versions, newest first.
fn touching(past: &impl Past, from: u32, vids: &RoaringBitmap, walk: Walk) -> Result<Vec<u32>> {
    let Some(memory) = vids.min() else { return Ok(Vec::new()) };
    let mut numbers = past.touches(memory)?;
    past.wides_until(from, |number, delta| {
        if !vids.is_disjoint(&delta.added) || !vids.is_disjoint(&delta.removed) {
            numbers.push(number);
        }
        Ok(())
    })?;
    numbers.retain(|number| *number <= from);
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    let Some(oldest) = numbers.last() else { return Ok(numbers) };
    if walk == Walk::All {
        let reached: RoaringBitmap = reached(past, from, *oldest)?.into_iter().collect();
        numbers.retain(|number| reached.contains(*number));
        return Ok(numbers);
    }
    let mut on_the_way = Vec::new();
    for number in numbers {
        if is_on_line(past, number, from)? {
            on_the_way.push(number);
        }
    }
    Ok(on_the_way)
}

/// Commits as histories list them; of a history of one memory, with that memory's versions at a glance.
fn entries_of(past: &impl Past, numbers: &[u32], of: Option<&RoaringBitmap>) -> Result<Vec<CommitEntry>> {
    let mut entries = Vec::with_capacity(numbers.len());
    for some in numbers.chunks(READ_AT_ONCE) {
        past.soon_commits(some)?;
        let mut commits = Vec::with_capacity(some.len());
        for number in some {
            let row = past.commit(*number)?;
            let delta = row.delta(|| past.wide(*number))?;
            commits.push((row, delta));
        }
        let glances = match of {
            Some(vids) => commits.iter().map(|(_, delta)| [&delta.added & vids, &delta.removed & vids]).collect(),
            None => glances(past, &commits)?,
        };
        let mut shown = RoaringBitmap::new();
        glances.iter().flatten().for_each(|vids| shown |= vids);
        let briefs = past.briefs(&shown)?;
        let briefs: Vec<(u32, Brief)> = shown.iter().zip(briefs).collect();
        for ((row, delta), glance) in commits.into_iter().zip(glances) {
            let bare = Commit { added: Vec::new(), removed: Vec::new(), ..row.bare()? };
            let (added, removed) = (delta.added.len() as u32, delta.removed.len() as u32);
            entries.push(CommitEntry { id: row.id(), bare, added, removed, glance: differences(&glance, &briefs) });
        }
    }
    Ok(entries)
}

/// The first few memories that each commit changed: versions that it added, and removed.
fn glances(past: &impl Past, commits: &[(CommitRow, Delta)]) -> Result<Vec<[RoaringBitmap; 2]>> {
    let few = |vids: &RoaringBitmap| vids.iter().take(CommitEntry::GLANCE_MAX).collect::<RoaringBitmap>();
    let has_both = |delta: &Delta| !delta.added.is_empty() && !delta.removed.is_empty();
    let mut asked = RoaringBitmap::new();
    for (_, delta) in commits.iter().filter(|(_, delta)| has_both(delta)) {
        asked |= few(&delta.added) | &delta.removed;
    }
    let numbers = Numbers::of(past, &asked)?;
    let one = |(_, delta): &(CommitRow, Delta)| {
        let (added, mut removed) = (few(&delta.added), few(&delta.removed));
        if has_both(delta) {
            // What was corrected is shown before what was only removed: both sides of the first few additions.
            let changed: Vec<Option<u32>> = added.iter().map(|vid| numbers.get(vid)).collect();
            removed = delta.removed.iter().filter(|vid| changed.contains(&numbers.get(*vid))).collect();
            if added.len() < CommitEntry::GLANCE_MAX as u64 {
                let room = CommitEntry::GLANCE_MAX - added.len() as usize;
                removed |= (&delta.removed - &removed).iter().take(room).collect::<RoaringBitmap>();
            }
        }
        [added, removed]
    };
    Ok(commits.iter().map(one).collect())
}

/// One line for each memory that these versions belong to, in the order of its first version.
fn differences([added, removed]: &[RoaringBitmap; 2], briefs: &[(u32, Brief)]) -> Vec<Difference> {
    let mut found: Vec<(u32, Difference)> = Vec::new();
    let sides = removed.iter().map(|vid| (vid, false)).chain(added.iter().map(|vid| (vid, true)));
    for (vid, is_added) in sides {
        let Ok(at) = briefs.binary_search_by_key(&vid, |(vid, _)| *vid) else { continue };
        let Brief { first, memory, version } = briefs[at].1;
        let at = found.iter().position(|(known, _)| *known == first).unwrap_or_else(|| {
            found.push((first, Difference { id: memory, before: None, after: None }));
            found.len() - 1
        });
        let side = if is_added { &mut found[at].1.after } else { &mut found[at].1.before };
        *side = Some(version);
    }
    found.into_iter().map(|(_, difference)| difference).collect()
}

fn ancestors(commits: &impl Places, from: u32) -> Result<Vec<u32>> {
    let mut numbers = vec![from];
    let mut at = from;
    while let Some(parent) = parents_of(commits, at)?.0.parents[0] {
        numbers.push(parent);
        at = parent;
    }
    Ok(numbers)
}

/// Every commit that `from` reaches by any parent down to `oldest`, newest first.
fn reached(commits: &impl Places, from: u32, oldest: u32) -> Result<Vec<u32>> {
    Ancestry::of(commits, from, oldest).map(|step| Ok(step?.0)).collect()
}
