//! Histories: which commits a head reaches, by first parents or by all, those of one memory among them, and what each
//! of them did at a glance.

use redb::ReadOnlyTable;
use roaring::RoaringBitmap;

use super::graph::{Ancestry, Commits, ancestor_at, is_on_line, parents_of};
use super::read::{delta_of, number_of};
use super::store::{Store, commit_row};
use super::tables::{self, COMMITS, Delta, Snapshot, TOUCHES, VERSIONS, VersionRow, WIDE, place_of, touches_of};
use crate::engine::At;
use crate::error::Result;
use crate::model::{Commit, CommitEntry, CommitFilter, CommitId, Difference, MemoryId, Page, Walk};

/// What a person is called in a filter by agent.
const YOU: &str = "you";

impl Store {
    pub(super) fn history(
        &self,
        at: &At,
        filter: &CommitFilter,
        walk: Walk,
        page: Page,
    ) -> Result<(Vec<CommitEntry>, u32)> {
        let truth = self.snapshot()?;
        let past = Past::of(self, &truth)?;
        let from = number_of(&truth, at.commit)?;
        let is_plain = CommitFilter { memory: None, ..filter.clone() } == CommitFilter::default();
        let vids = filter.memory.map(|memory| past.vids_of(memory)).transpose()?;
        let numbers = match (&vids, walk) {
            (None, Walk::Branch) if is_plain => {
                let total = place_of(&past.commits, from)?.depth + 1;
                return Ok((past.plain(from, total, page)?, total));
            }
            (None, Walk::Branch) => ancestors(&past.commits, from)?,
            (None, Walk::All) => reached(&past.commits, from, 0)?,
            (Some(vids), walk) => past.touching(from, vids, walk)?,
        };
        let mut wanted = Vec::new();
        for number in numbers {
            if is_plain || filter.wants(&commit_row(&past.commits, number)?.bare()?) {
                wanted.push(number);
            }
        }
        let total = wanted.len() as u32;
        let limit = if page.limit == 0 { usize::MAX } else { page.limit as usize };
        let shown = wanted.into_iter().skip(page.offset as usize).take(limit);
        let entries = shown.map(|number| past.entry(number, vids.as_ref())).collect::<Result<_>>()?;
        Ok((entries, total))
    }

    pub(super) fn entries(&self, ids: &[CommitId]) -> Result<Vec<CommitEntry>> {
        let truth = self.snapshot()?;
        let past = Past::of(self, &truth)?;
        ids.iter().map(|id| past.entry(number_of(&truth, *id)?, None)).collect()
    }
}

impl CommitFilter {
    pub(super) fn wants(&self, commit: &Commit) -> bool {
        let author = &commit.author;
        self.agent.as_ref().is_none_or(|agent| author.agent.as_deref().unwrap_or(YOU) == agent)
            && self.session.as_ref().is_none_or(|session| author.session == *session)
            && self.project.as_ref().is_none_or(|project| author.project.as_ref() == Some(project))
            && self.since.is_none_or(|since| commit.at >= since)
            && self.until.is_none_or(|until| commit.at < until)
    }
}

/// History, open for reading.
struct Past<'a> {
    store: &'a Store,
    truth: &'a Snapshot,
    commits: ReadOnlyTable<u32, &'static [u8]>,
    versions: ReadOnlyTable<u32, &'static [u8]>,
}

impl<'a> Past<'a> {
    fn of(store: &'a Store, truth: &'a Snapshot) -> Result<Self> {
        Ok(Self { store, truth, commits: truth.open(COMMITS)?, versions: truth.open(VERSIONS)? })
    }

    fn vids_of(&self, memory: MemoryId) -> Result<RoaringBitmap> {
        let vids = self.store.mending(|| self.store.index.vids_of(&memory))?;
        Ok(vids.into_iter().collect())
    }

    /// A page of everything, without looking at what lies before it.
    fn plain(&self, from: u32, total: u32, page: Page) -> Result<Vec<CommitEntry>> {
        if page.offset >= total {
            return Ok(Vec::new());
        }
        let left = total - page.offset;
        let wanted = if page.limit == 0 { left } else { left.min(page.limit) };
        let mut next = ancestor_at(&self.commits, from, left - 1)?;
        let mut out = Vec::new();
        for _ in 0..wanted {
            let Some(number) = next else { break };
            out.push(self.entry(number, None)?);
            next = place_of(&self.commits, number)?.parents[0];
        }
        Ok(out)
    }

    /// The commits on the way back from `from` that changed a memory with these versions, newest first.
    fn touching(&self, from: u32, vids: &RoaringBitmap, walk: Walk) -> Result<Vec<u32>> {
        let Some(memory) = vids.min() else { return Ok(Vec::new()) };
        let mut numbers = touches_of(&self.truth.open(TOUCHES)?, memory)?;
        for row in self.truth.open(WIDE)?.range(..=from)? {
            let (number, delta) = row?;
            let delta = Delta::decode(delta.value())?;
            if !vids.is_disjoint(&delta.added) || !vids.is_disjoint(&delta.removed) {
                numbers.push(number.value());
            }
        }
        numbers.retain(|number| *number <= from);
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        let Some(oldest) = numbers.last() else { return Ok(numbers) };
        if walk == Walk::All {
            let reached: RoaringBitmap = reached(&self.commits, from, *oldest)?.into_iter().collect();
            numbers.retain(|number| reached.contains(*number));
            return Ok(numbers);
        }
        let mut on_the_way = Vec::new();
        for number in numbers {
            if is_on_line(&self.commits, number, from)? {
                on_the_way.push(number);
            }
        }
        Ok(on_the_way)
    }

    /// A commit as histories list it; of a history of one memory, with that memory's versions at a glance.
    fn entry(&self, number: u32, of: Option<&RoaringBitmap>) -> Result<CommitEntry> {
        let row = commit_row(&self.commits, number)?;
        let delta = delta_of(self.truth, number, &row)?;
        let glance = match of {
            Some(vids) => self.differences(&(&delta.added & vids), &(&delta.removed & vids))?,
            None => self.glance(&delta)?,
        };
        let bare = Commit { added: Vec::new(), removed: Vec::new(), ..row.bare()? };
        let (added, removed) = (delta.added.len() as u32, delta.removed.len() as u32);
        Ok(CommitEntry { id: row.id(), bare, added, removed, glance })
    }

    /// The first few memories that a commit changed.
    fn glance(&self, delta: &Delta) -> Result<Vec<Difference>> {
        let few = |vids: &RoaringBitmap| vids.iter().take(CommitEntry::GLANCE_MAX).collect::<RoaringBitmap>();
        let (added, mut removed) = (few(&delta.added), few(&delta.removed));
        if !added.is_empty() && !removed.is_empty() {
            // What was corrected is shown before what was only removed: both sides of the first few additions.
            let index = &self.store.index;
            let numbers = self.store.mending(|| index.memory_numbers(&added))?;
            let befores = self.store.mending(|| index.memory_numbers(&delta.removed))?;
            removed =
                delta.removed.iter().zip(befores).filter(|(_, of)| numbers.contains(of)).map(|(vid, _)| vid).collect();
            if added.len() < CommitEntry::GLANCE_MAX as u64 {
                let room = CommitEntry::GLANCE_MAX - added.len() as usize;
                removed |= (&delta.removed - &removed).iter().take(room).collect::<RoaringBitmap>();
            }
        }
        self.differences(&added, &removed)
    }

    /// One line for each memory that these versions belong to, in the order of its first version.
    fn differences(&self, added: &RoaringBitmap, removed: &RoaringBitmap) -> Result<Vec<Difference>> {
        let mut found: Vec<(u32, Difference)> = Vec::new();
        let sides = removed.iter().map(|vid| (vid, false)).chain(added.iter().map(|vid| (vid, true)));
        for (vid, is_added) in sides {
            let row = self.versions.get(vid)?.ok_or_else(|| tables::damaged(&format!("version {vid} is missing")))?;
            let row = VersionRow::decode(row.value())?;
            let at = found.iter().position(|(first, _)| *first == row.first());
            let at = match at {
                Some(at) => at,
                None => {
                    found.push((row.first(), Difference { id: row.memory_id()?, before: None, after: None }));
                    found.len() - 1
                }
            };
            let side = if is_added { &mut found[at].1.after } else { &mut found[at].1.before };
            *side = Some(row.id());
        }
        Ok(found.into_iter().map(|(_, difference)| difference).collect())
    }
}

fn ancestors(commits: &impl Commits, from: u32) -> Result<Vec<u32>> {
    let mut numbers = vec![from];
    let mut at = from;
    while let Some(parent) = parents_of(commits, at)?.0.parents[0] {
        numbers.push(parent);
        at = parent;
    }
    Ok(numbers)
}

/// Every commit that `from` reaches by any parent down to `oldest`, newest first.
fn reached(commits: &impl Commits, from: u32, oldest: u32) -> Result<Vec<u32>> {
    Ancestry::of(commits, from, oldest).map(|step| Ok(step?.0)).collect()
}
