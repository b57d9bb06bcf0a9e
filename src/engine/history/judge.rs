//! One write, judged on the head of the moment by reading alone: what it comes to, or why it may not be. So a write
//! that is refused leaves no trace in its transaction. Writing the verdict down is an engine's.

use std::collections::HashSet;
use std::sync::Arc;

use super::commit::{self, Next};
use super::draft::{Base, Draft, Settled, Step, draft, draft_plan};
use super::naming::{Named, Naming, no_branch};
use super::state::Head;
use super::{Analysed, Ground};
use crate::error::{Error, Result};
use crate::model::{
    Applied, MemoryId, OpId, Pending, Plan, Progress, Protection, Rating, Resolution, Rule, Verb, Write,
};

/// What is to be done, prepared: the `work` of a write.
pub enum Task<W> {
    Steps(Vec<Step<W>>),
    Plan(Box<Settled<W>>, Plan),
}

impl<W: Analysed> Task<W> {
    /// Changes that it comes to, about.
    pub fn len(&self) -> usize {
        match self {
            Self::Steps(steps) => steps.len(),
            Self::Plan(settled, _) => settled.worked.delta.len() as usize,
        }
    }
}

/// What becomes of a write.
pub enum Judged<W> {
    /// It was done before.
    Replay(Applied),
    /// The plan was worked out on another head, or before something was erased.
    Moved,
    New(Box<Verdict<W>>),
}

/// What a write comes to.
pub struct Verdict<W> {
    pub draft: Draft<W>,
    /// What is said of memories that are there, or come with it.
    pub ratings: Vec<Rating>,
    /// The commit to be made, and the head that it is made on.
    pub commit: Option<(Arc<Head>, Next)>,
    pub named: Named,
    /// What becomes of the branch's merge in progress, if anything does.
    pub pending: Option<Option<Pending>>,
}

impl<W> Verdict<W> {
    /// What its caller hears. It takes the outcomes and the names out.
    pub fn applied(&mut self, memo: Vec<u8>) -> Applied {
        Applied {
            commit: self.commit.as_ref().map(|(_, next)| next.id),
            outcomes: std::mem::take(&mut self.draft.outcomes),
            counts: self.draft.counts,
            merged: self.draft.merged.take(),
            names: std::mem::take(&mut self.named.refs),
            memo,
            is_replay: false,
            waits: None,
        }
    }
}

/// Judges a write, whose `work` is `task`. An error refuses this write alone, as far as the ground itself can be read.
pub fn judge<G: Ground>(ground: &G, op: OpId, write: &Write, task: Task<G::Words>) -> Result<Judged<G::Words>> {
    if let Some(applied) = ground.replayed(op)? {
        return Ok(Judged::Replay(applied));
    }
    write.ratings.iter().try_for_each(|rating| rateable(ground, rating))?;
    let head = ground.head(&write.branch)?;
    let mut plan = None;
    let drafted = match task {
        // Of names only: the branch need not be there.
        Task::Steps(steps) if steps.is_empty() => Draft::default(),
        Task::Steps(steps) => {
            let head = open_to(ground, write, head.as_deref())?;
            on_head(ground, head, write, |base| draft(base, steps))?
        }
        Task::Plan(settled, of) => {
            let head = open_to(ground, write, head.as_deref())?;
            if settled.worked.head != head.id || settled.upheavals != ground.upheavals() {
                return Ok(Judged::Moved);
            }
            plan = Some(of);
            on_head(ground, head, write, |base| draft_plan(base, *settled))?
        }
    };
    let commit = match head {
        Some(head) if drafted.makes_commit(write.verb) => {
            let next = commit::make(ground, ground.next_commit()?, &head, op, write, &drafted)?;
            Some((head, next))
        }
        _ => None,
    };
    let written: HashSet<MemoryId> = match write.brought.is_empty() {
        true => HashSet::new(),
        false => drafted.fresh.iter().map(|(_, fresh)| fresh.memory.id).collect(),
    };
    let brought = write.brought.iter().filter(|rating| written.contains(&rating.id));
    let ratings = write.ratings.iter().chain(brought).copied().collect();
    let mut naming = Naming::new(ground, write.at, commit.as_ref().map(|(_, next)| next));
    if let Some((head, next)) = &commit {
        if let Some(safety) = &write.safety {
            naming.keep_safe(safety, head.number, write.verb)?;
        }
        naming.go(&write.branch, head.number, next.number)?;
    }
    for change in &write.names {
        naming.change(change)?;
    }
    let named = naming.done();
    let pending = pending_after(ground, write, plan.as_ref(), &drafted)?;
    Ok(Judged::New(Box::new(Verdict { draft: drafted, ratings, commit, named, pending })))
}

/// Nothing is said of what is not there, and nothing of what was erased.
fn rateable(ground: &impl Ground, rating: &Rating) -> Result<()> {
    let erased = ground.erased();
    if ground.vids_of(&rating.id)?.into_iter().any(|vid| !erased.contains(vid)) {
        return Ok(());
    }
    Err(Error::not_found(format!("memory {} is not there, or was erased: nothing can be said of it", rating.id)))
}

/// A protected branch takes merges, and what takes back.
fn open_to<'a>(ground: &impl Ground, write: &Write, head: Option<&'a Head>) -> Result<&'a Head> {
    let head = head.ok_or_else(|| no_branch(ground, &write.branch))?;
    let takes_back =
        matches!(write.verb, Verb::Merge | Verb::Revert | Verb::Rollback | Verb::Undo | Verb::Redo | Verb::Erase);
    if head.last.standing.protection == Protection::MergesOnly && !takes_back {
        return Err(Error::denied(format!(
            "branch `{}` is protected and takes merges only: write to a branch of your own, then merge it",
            write.branch
        )));
    }
    Ok(head)
}

fn on_head<G: Ground>(
    ground: &G,
    head: &Head,
    write: &Write,
    draft: impl FnOnce(&Base<G>) -> Result<Draft<G::Words>>,
) -> Result<Draft<G::Words>> {
    let (raw, erased) = (ground.raw(head.number)?, ground.erased());
    draft(&Base { ground, head, raw: &raw, erased: &erased, next_vid: ground.next_vid()?, at: write.at })
}

/// What becomes of the branch's merge in progress; `None` where it stays as it is.
fn pending_after<G: Ground>(
    ground: &G,
    write: &Write,
    plan: Option<&Plan>,
    draft: &Draft<G::Words>,
) -> Result<Option<Option<Pending>>> {
    let branch = &write.branch;
    if matches!((&write.progress, plan), (Progress::Keep, None)) {
        return Ok(None);
    }
    let before = ground.pending(branch)?;
    let mut now = before.clone();
    let none = || Error::not_found(format!("no merge is in progress on branch `{branch}`: start one with `merge`"));
    match &write.progress {
        Progress::Keep => {}
        Progress::Resolve(resolutions) => settle(now.as_mut().ok_or_else(none)?, resolutions),
        Progress::Abort => now = now.ok_or_else(none).map(|_| None)?,
    }
    if let Some(Plan::Merge { theirs, rule, resolutions }) = plan {
        let is_this = now.as_ref().is_some_and(|pending| pending.theirs == *theirs);
        if !draft.is_open {
            now = now.filter(|_| !is_this);
        } else if *rule == Rule::Fail {
            if !is_this && now.is_some() {
                return Err(Error::conflict(format!(
                    "another merge is in progress on branch `{branch}`: resolve its conflicts and commit it, or abort it"
                )));
            }
            let (theirs, note, author) = (*theirs, write.note.clone(), write.author.clone());
            let new = || Pending { theirs, note, author, at: write.at, resolutions: Vec::new() };
            settle(now.get_or_insert_with(new), resolutions);
        }
    }
    Ok((now != before).then_some(now))
}

/// The last word on a memory counts.
fn settle(pending: &mut Pending, resolutions: &[Resolution]) {
    for resolution in resolutions {
        pending.resolutions.retain(|known| known.id != resolution.id);
        pending.resolutions.push(resolution.clone());
    }
}
