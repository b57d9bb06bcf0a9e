//! Taking commits back, newest first: what each of the selected commits made of a memory becomes what it found, unless
//! somebody changed that memory since. Arrays of local numbers; rows are read only to see where a version came from.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use roaring::RoaringBitmap;

use super::{ABOUT_MAX, Ground, Outline, TOLD_MAX};
use crate::engine::history::diff::{Numbers, Shift, Versions, by_memory, of_memories, shifts, shifts_between};
use crate::engine::history::graph::{Ancestry, is_on_line};
use crate::engine::history::rows::{Body, CommitRow};
use crate::engine::history::{Past, Truth};
use crate::error::{Error, Result};
use crate::model::{CommitFilter, CommitId, Later, OriginFilter, Selection};

/// Commits whose rows are asked for at once.
const READ_AT_ONCE: usize = 64;

/// What one of the selected commits did to one memory. Ordered by memory, then from new to old.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    memory: u32,
    commit: Reverse<u32>,
    before: Option<u32>,
    after: Option<u32>,
}

impl<P: Past> Ground<'_, P> {
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
        let elsewhere = of_memories(self.past, &elsewhere, &(self.ours - &mentioned))?;

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
            if !is_on_line(self.past, *commit, self.head)? {
                missing.insert(*commit);
            }
        }
        if let Some(oldest) = missing.first().copied() {
            for step in Ancestry::of(self.past, self.head, oldest) {
                missing.remove(&step?.0);
            }
        }
        if let Some(stranger) = missing.first() {
            let id = self.id(*stranger)?;
            return Err(Error::invalid(format!("commit {id} is not in this branch's history: see `memoria log`")));
        }
        let commits: Vec<u32> = commits.into_iter().rev().collect();
        let mut steps = Vec::new();
        for some in commits.chunks(READ_AT_ONCE) {
            self.past.soon_commits(some)?;
            let rows =
                some.iter().map(|commit| Ok((*commit, self.past.commit(*commit)?))).collect::<Result<Vec<_>>>()?;
            steps.extend(self.steps_of(&rows)?.into_iter().flatten());
        }
        Ok((commits, steps))
    }

    /// Everything in history that fits, newest first, and what each did by itself.
    fn fitting(&self, filter: &CommitFilter, origin: Option<&OriginFilter>) -> Result<(Vec<u32>, Vec<Step>)> {
        let memory = filter.memory.map(|id| self.versions_of(&[id])).transpose()?;
        let (mut commits, mut steps) = (Vec::new(), Vec::new());
        let all = Ancestry::of(self.past, self.head, 0).map(|step| Ok(step?.0)).collect::<Result<Vec<_>>>()?;
        for some in all.chunks(READ_AT_ONCE) {
            for (commit, own) in self.fitting_among(some, filter, memory.as_ref(), origin)? {
                commits.push(commit);
                steps.extend(own);
            }
        }
        Ok((commits, steps))
    }

    fn fitting_among(
        &self,
        commits: &[u32],
        filter: &CommitFilter,
        memory: Option<&RoaringBitmap>,
        origin: Option<&OriginFilter>,
    ) -> Result<Vec<(u32, Vec<Step>)>> {
        self.past.soon_commits(commits)?;
        let mut rows = Vec::new();
        for commit in commits {
            let row = self.past.commit(*commit)?;
            if filter.wants(&row.bare()?) {
                rows.push((*commit, row));
            }
        }
        let mut found = Vec::new();
        for ((commit, row), mut own) in rows.iter().zip(self.steps_of(&rows)?) {
            if let Some(vids) = memory
                && !own.iter().flat_map(Step::sides).any(|vid| vids.contains(vid))
            {
                continue;
            }
            if let Some(second) = row.place.parents[1] {
                self.keep_own(*commit, second, &mut own)?;
            }
            found.push((*commit, own));
        }
        if let Some(origin) = origin {
            self.past.soon(|| found.iter().flat_map(|(_, own)| own).flat_map(Step::sides).collect())?;
            for (_, own) in &mut found {
                let mut fitting = Vec::new();
                for step in own.drain(..) {
                    if comes_from(self.past, &step, origin)? {
                        fitting.push(step);
                    }
                }
                *own = fitting;
            }
        }
        found.retain(|(_, own)| !own.is_empty());
        Ok(found)
    }

    /// What each of these commits did against its first parent, but for what was erased since.
    fn steps_of(&self, commits: &[(u32, CommitRow)]) -> Result<Vec<Vec<Step>>> {
        let mut narrow = RoaringBitmap::new();
        for (_, row) in commits {
            if let Body::Narrow { delta, .. } = &row.body {
                narrow |= &delta.added;
                narrow |= &delta.removed;
            }
        }
        let numbers = Numbers::of(self.past, &(narrow - &*self.erased))?;
        let there = |vids: RoaringBitmap| vids - &*self.erased;
        let one = |(commit, row): &(u32, CommitRow)| {
            let delta = row.delta(|| self.past.wide(*commit))?;
            let (gone, come) = (there(delta.removed), there(delta.added));
            let shifts = match row.body {
                Body::Narrow { .. } => {
                    shifts_between(&Versions::among(&gone, &numbers), &Versions::among(&come, &numbers))
                }
                Body::Wide { .. } => shifts(self.past, &gone, &come)?,
            };
            let step = |Shift { memory, before, after }| Step { memory, commit: Reverse(*commit), before, after };
            Ok(shifts.into_iter().map(step).collect())
        };
        commits.iter().map(one).collect()
    }

    /// Of what a merge did, that which its second parent had not done.
    fn keep_own(&self, merge: u32, second: u32, steps: &mut Vec<Step>) -> Result<()> {
        let (result, theirs) = (self.state_at(merge)?, self.state_at(second)?);
        let differing = by_memory(self.past, &(&*result - &*theirs))?;
        let missing = by_memory(self.past, &(&*theirs - &*result))?;
        steps.retain(|step| differing.get(step.memory).is_some() || missing.get(step.memory).is_some());
        Ok(())
    }
}

impl Step {
    /// The versions that it speaks of.
    fn sides(&self) -> impl Iterator<Item = u32> + use<> {
        [self.before, self.after].into_iter().flatten()
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

fn comes_from(truth: &impl Truth, step: &Step, wanted: &OriginFilter) -> Result<bool> {
    for vid in step.sides() {
        let Some(memory) = truth.version(vid, |row| row.memory())? else { continue };
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
