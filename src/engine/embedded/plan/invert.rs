//! Taking commits back, newest first: what each of the selected commits made of a memory becomes what it found, unless
//! somebody changed that memory since. Arrays of local numbers; rows are read only to see where a version came from.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use redb::ReadOnlyTable;
use roaring::RoaringBitmap;

use super::{ABOUT_MAX, Ground, Outline, TOLD_MAX};
use crate::engine::embedded::diff::Shift;
use crate::engine::embedded::graph::{Ancestry, is_on_line};
use crate::engine::embedded::read::delta_of;
use crate::engine::embedded::store::{commit_row, memory_of};
use crate::engine::embedded::tables::{CommitRow, VERSIONS};
use crate::error::{Error, Result};
use crate::model::{CommitFilter, CommitId, Later, OriginFilter, Selection};

/// What one of the selected commits did to one memory. Ordered by memory, then from new to old.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    memory: u32,
    commit: Reverse<u32>,
    before: Option<u32>,
    after: Option<u32>,
}

impl Ground<'_> {
    /// What becomes of our state without these commits.
    pub fn invert(&self, what: &Selection, later: Later) -> Result<Outline> {
        let (commits, mut steps) = match what {
            Selection::Commits(ids) => self.named(ids)?,
            Selection::By { commits, origin } => self.fitting(commits, origin.as_ref())?,
        };
        steps.sort_unstable();
        let mentioned: RoaringBitmap = steps.iter().flat_map(|step| [step.before, step.after]).flatten().collect();
        let live = self.ours & &mentioned;
        let by_memory = || steps.chunk_by(|a, b| a.memory == b.memory);
        let mentioned_in = |steps: &[Step]| {
            let mut vids = steps.iter().flat_map(|step| [step.after, step.before]).flatten();
            vids.find(|vid| live.contains(*vid))
        };
        // What is live of the others, if anything, is somebody else's work.
        let elsewhere: RoaringBitmap =
            by_memory().filter(|steps| mentioned_in(steps).is_none()).map(|steps| steps[0].memory).collect();
        let elsewhere = self.store.of_memories(&elsewhere, &(self.ours - &mentioned))?;

        let mut outline = Outline::default();
        for steps in by_memory() {
            let memory = steps[0].memory;
            let before = mentioned_in(steps).or_else(|| elsewhere.get(memory));
            let oldest = steps[steps.len() - 1].before;
            let (mut after, is_whole) = taken_back(before, steps);
            if !is_whole && later == Later::Take {
                after = oldest;
            }
            if after != before {
                outline.shifts.push(Shift { memory, before, after });
            }
            if !is_whole && after != oldest {
                outline.kept.push(Shift { memory, before: after, after: oldest });
            }
        }
        outline.commits = self.ids(&commits[..commits.len().min(TOLD_MAX)])?;
        outline.about = outline.commits.iter().take(ABOUT_MAX).copied().collect();
        Ok(outline)
    }

    /// These commits, newest first, each once, and all that each did.
    fn named(&self, ids: &[CommitId]) -> Result<(Vec<u32>, Vec<Step>)> {
        let commits: BTreeSet<u32> = ids.iter().map(|id| self.number(*id)).collect::<Result<_>>()?;
        let mut missing = BTreeSet::new();
        for commit in &commits {
            if !is_on_line(&self.commits, *commit, self.head)? {
                missing.insert(*commit);
            }
        }
        if let Some(oldest) = missing.first().copied() {
            for step in Ancestry::of(&self.commits, self.head, oldest) {
                missing.remove(&step?.0);
            }
        }
        if let Some(stranger) = missing.first() {
            let id = self.id(*stranger)?;
            return Err(Error::invalid(format!("commit {id} is not in this branch's history: see `memoria log`")));
        }
        let commits: Vec<u32> = commits.into_iter().rev().collect();
        let mut steps = Vec::new();
        for commit in &commits {
            self.steps_of(*commit, &commit_row(&self.commits, *commit)?, &mut steps)?;
        }
        Ok((commits, steps))
    }

    /// Everything in history that fits, newest first, and what each did by itself.
    fn fitting(&self, filter: &CommitFilter, origin: Option<&OriginFilter>) -> Result<(Vec<u32>, Vec<Step>)> {
        let versions = self.truth.open(VERSIONS)?;
        let memory = filter.memory.map(|id| self.versions_of(&[id])).transpose()?;
        let (mut commits, mut steps) = (Vec::new(), Vec::new());
        for found in Ancestry::of(&self.commits, self.head, 0) {
            let (commit, place) = found?;
            let row = commit_row(&self.commits, commit)?;
            if !filter.wants(&row.bare()?) {
                continue;
            }
            let first = steps.len();
            self.steps_of(commit, &row, &mut steps)?;
            if let Some(vids) = &memory {
                let is_in = |vid: Option<u32>| vid.is_some_and(|vid| vids.contains(vid));
                if !steps[first..].iter().any(|step| is_in(step.before) || is_in(step.after)) {
                    steps.truncate(first);
                }
            }
            let mut own = steps.split_off(first);
            if let Some(second) = place.parents[1] {
                self.keep_own(commit, second, &mut own)?;
            }
            for step in own {
                let fits = origin.map_or(Ok(true), |origin| comes_from(&versions, &step, origin))?;
                if fits {
                    steps.push(step);
                }
            }
            if steps.len() > first {
                commits.push(commit);
            }
        }
        Ok((commits, steps))
    }

    /// What a commit did against its first parent, but for what was erased since.
    fn steps_of(&self, commit: u32, row: &CommitRow, steps: &mut Vec<Step>) -> Result<()> {
        let delta = delta_of(self.truth, commit, row)?;
        let there = |vids: RoaringBitmap| vids - &*self.erased;
        for Shift { memory, before, after } in self.store.shifts(&there(delta.removed), &there(delta.added))? {
            steps.push(Step { memory, commit: Reverse(commit), before, after });
        }
        Ok(())
    }

    /// Of what a merge did, that which its second parent had not done.
    fn keep_own(&self, merge: u32, second: u32, steps: &mut Vec<Step>) -> Result<()> {
        let (result, theirs) = (self.state_at(merge)?, self.state_at(second)?);
        let differing = self.store.by_memory(&(&*result - &*theirs))?;
        let missing = self.store.by_memory(&(&*theirs - &*result))?;
        steps.retain(|step| differing.get(step.memory).is_some() || missing.get(step.memory).is_some());
        Ok(())
    }
}

/// What a memory becomes, and whether nobody's later work stood in the way of any step.
fn taken_back(mut now: Option<u32>, steps: &[Step]) -> (Option<u32>, bool) {
    let mut left = steps.to_vec();
    loop {
        let count = left.len();
        left.retain(|step| {
            let is_done = now == step.before;
            if now == step.after {
                now = step.before;
                return false;
            }
            !is_done
        });
        // Of branches that were merged, the newer commit may have to wait for the older one.
        if left.is_empty() || left.len() == count {
            return (now, left.is_empty());
        }
    }
}

fn comes_from(versions: &ReadOnlyTable<u32, &'static [u8]>, step: &Step, wanted: &OriginFilter) -> Result<bool> {
    for vid in [step.before, step.after].into_iter().flatten() {
        let Some(memory) = memory_of(versions, vid)? else { continue };
        let origin = memory.origin;
        let fits = match wanted {
            OriginFilter::Source(source) => origin.source == *source,
            OriginFilter::Named(name) => [origin.tool, origin.file].iter().flatten().any(|known| known == name),
        };
        if fits {
            return Ok(true);
        }
    }
    Ok(false)
}
