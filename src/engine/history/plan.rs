//! What a plan comes to on a head: reset, merge, graft and invert, worked out on sets of versions. It only reads;
//! whether the head is still the head when the result is applied is the writer's to see.
//!
//! `three_way` is merging and grafting, `merged` tells what was merged before, `invert` takes commits back.

mod invert;
mod merged;
mod three_way;

use std::collections::HashSet;
use std::sync::Arc;

use roaring::RoaringBitmap;

use self::three_way::{Sides, Verdict};
use super::diff::{self, Shift, counts};
use super::rows::Delta;
use super::{Past, graph, number_of};
use crate::engine::At;
use crate::error::{Error, Result};
use crate::model::{
    CommitId, Conflict, Counts, Memory, MemoryId, Merged, Page, Plan, Planned, Rule, Salt, Version, VersionId,
};

/// Of the commits that a plan takes back: how many are named in the new commit, and how many are told.
const ABOUT_MAX: usize = 64;
const TOLD_MAX: usize = 200;

/// A plan, worked out. With `planned.conflicts` it may not be applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Worked {
    /// It holds for this head and no other.
    pub head: CommitId,
    /// Versions that exist, by local number: what leaves the state and what enters it.
    pub delta: Delta,
    /// Versions to be made. The live version of the same memory, if there is one, is in `delta.removed`.
    pub fresh: Vec<Memory>,
    /// Of a merge: a commit is to be made even where nothing else changes, so that it is not merged twice.
    pub second_parent: Option<u32>,
    pub about: Vec<CommitId>,
    pub planned: Planned,
}

/// What a plan does, before it is counted and told.
#[derive(Default)]
struct Outline {
    shifts: Vec<Shift>,
    /// Versions to be made; `after` of the shift is nothing yet.
    fresh: Vec<(Shift, Memory)>,
    conflicts: Vec<Conflict>,
    kept: Vec<Shift>,
    second_parent: Option<u32>,
    about: Vec<CommitId>,
    bases: Vec<CommitId>,
    commits: Vec<CommitId>,
    merged: Option<Merged>,
}

/// Truth as a plan sees it.
struct Ground<'a, P> {
    past: &'a P,
    /// Versions that never come back.
    erased: Arc<RoaringBitmap>,
    head: u32,
    ours: &'a RoaringBitmap,
}

/// Works a plan out on a head. `page` is of the differences.
pub fn work_out(past: &impl Past, at: &At, plan: &Plan, page: Page) -> Result<Worked> {
    let ground = Ground { past, erased: past.erased(), head: number_of(past, at.commit)?, ours: &at.state };
    let outline = match plan {
        Plan::Reset { to } => ground.reset(*to)?,
        Plan::Merge { theirs, rule, resolutions } => ground.merge(*theirs, &Verdict { rule: *rule, resolutions })?,
        Plan::Graft { base, theirs, only, rule } => ground.graft(*base, *theirs, only, *rule)?,
        Plan::Invert { what, later } => ground.invert(what, *later)?,
    };
    told(past, at.commit, outline, page)
}

/// Counts an outline, and puts ids to what is shown of it.
fn told(past: &impl Past, head: CommitId, outline: Outline, page: Page) -> Result<Worked> {
    let Outline { mut shifts, fresh, conflicts, kept, second_parent, about, bases, commits, merged } = outline;
    let set = |vids: &mut dyn Iterator<Item = u32>| {
        let mut vids: Vec<u32> = vids.collect();
        vids.sort_unstable();
        vids.into_iter().collect::<RoaringBitmap>()
    };
    let replaced = fresh.iter().filter_map(|(shift, _)| shift.before);
    let delta = Delta {
        added: set(&mut shifts.iter().filter_map(|shift| shift.after)),
        removed: set(&mut shifts.iter().filter_map(|shift| shift.before).chain(replaced)),
    };
    // Numbers that no version has stand for those that are not stored yet.
    let beyond = (u32::MAX - fresh.len() as u32..u32::MAX).zip(&fresh);
    let unstored: Vec<(u32, VersionId)> =
        beyond.map(|(vid, (_, memory))| (vid, Memory::version_id(&Salt::random(), &memory.encode()))).collect();
    let made = unstored.iter().zip(&fresh);
    shifts.extend(made.map(|((vid, _), (shift, _))| Shift { after: Some(*vid), ..*shift }));
    let counts = Counts { conflicts: conflicts.len() as u32, kept: kept.len() as u32, ..counts(&shifts) };
    let differences = diff::page_of(past, &mut shifts, &unstored, page)?;
    let fresh: Vec<Memory> = fresh.into_iter().map(|(_, memory)| memory).collect();
    let after: HashSet<VersionId> = differences.iter().filter_map(|difference| difference.after).collect();
    let shown = unstored.iter().zip(&fresh).filter(|((_, id), _)| after.contains(id));
    let planned = Planned {
        counts,
        fresh: shown.map(|((_, id), memory)| Version { id: *id, memory: memory.clone() }).collect(),
        differences,
        conflicts,
        kept: diff::differences(past, &kept, &[])?,
        bases,
        commits,
        merged,
    };
    Ok(Worked { head, delta, fresh, second_parent, about, planned })
}
impl<P: Past> Ground<'_, P> {
    fn reset(&self, to: CommitId) -> Result<Outline> {
        let target = self.state_at(self.number(to)?)?;
        let shifts = diff::shifts(self.past, &(self.ours - &*target), &(&*target - self.ours))?;
        Ok(Outline { shifts, about: vec![to], ..Outline::default() })
    }

    fn merge(&self, theirs: CommitId, verdict: &Verdict) -> Result<Outline> {
        let number = self.number(theirs)?;
        let bases = graph::merge_bases(self.past, self.head, number)?;
        let merged = self.merged(&bases, number)?;
        if bases == [number] {
            return Ok(Outline { bases: vec![theirs], merged, ..Outline::default() });
        }
        let outline = self.three_way(&self.sides(&bases, number)?, verdict)?;
        Ok(Outline { second_parent: Some(number), bases: self.ids(&bases)?, merged, ..outline })
    }

    fn graft(&self, base: Option<CommitId>, theirs: CommitId, only: &[MemoryId], rule: Rule) -> Result<Outline> {
        let number = self.number(theirs)?;
        let bases = match base {
            Some(base) => vec![self.number(base)?],
            None => graph::merge_bases(self.past, self.head, number)?,
        };
        let mut sides = self.sides(&bases, number)?;
        let mut told = Outline { about: vec![theirs], ..Outline::default() };
        if base.is_none() {
            told.bases = self.ids(&bases)?;
            if only.is_empty() {
                told.merged = self.merged(&bases, number)?;
            } else {
                sides.forget_what_theirs_kept();
            }
        }
        if !only.is_empty() {
            sides.restrict(&self.versions_of(only)?);
        }
        let Outline { about, bases, merged, .. } = told;
        Ok(Outline { about, bases, merged, ..self.three_way(&sides, &Verdict { rule, resolutions: &[] })? })
    }

    fn sides(&self, bases: &[u32], theirs: u32) -> Result<Sides> {
        let bases = bases.iter().map(|base| self.state_at(*base)).collect::<Result<_>>()?;
        Ok(Sides { bases, theirs: self.state_at(theirs)? })
    }

    /// Every version of these memories.
    fn versions_of(&self, ids: &[MemoryId]) -> Result<RoaringBitmap> {
        let mut all = RoaringBitmap::new();
        for id in ids {
            let vids = self.past.vids_of(id)?;
            if vids.is_empty() {
                return Err(Error::not_found(format!("there is no memory {id}")));
            }
            all.extend(vids);
        }
        Ok(all)
    }

    fn state_at(&self, number: u32) -> Result<Arc<RoaringBitmap>> {
        Ok(Arc::clone(&self.past.state(number)?.served))
    }

    fn number(&self, id: CommitId) -> Result<u32> {
        number_of(self.past, id)
    }

    fn id(&self, number: u32) -> Result<CommitId> {
        Ok(self.past.commit(number)?.id())
    }

    fn ids(&self, numbers: &[u32]) -> Result<Vec<CommitId>> {
        numbers.iter().map(|number| self.id(*number)).collect()
    }
}
