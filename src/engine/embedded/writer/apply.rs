//! One write: judged on the head of the moment by reading alone, then written down. So a write that is refused leaves
//! no trace in the transaction, and an error while writing down fails the transaction as a whole.

use std::sync::Arc;

use redb::ReadableTable;

use super::super::draft::{Draft, Ground, draft, draft_plan};
use super::super::names::{Named, Naming};
use super::super::store::{Head, no_branch};
use super::super::tables::{self, Reply};
use super::commit::{self, Next};
use super::{Answer, Batch, Order, Tables, Task, replayed};
use crate::error::{Error, Result};
use crate::model::{Applied, OpId, Pending, Plan, Progress, Protection, Resolution, Rule, Verb, Write};

/// The outer error fails the transaction, the inner one only this write.
pub fn one(tables: &mut Tables, batch: &mut Batch, order: Order) -> Result<Result<Answer>> {
    let Order { op, write, task } = order;
    match judge(tables, batch, op, &write, task) {
        Err(error) => Ok(Err(error)),
        Ok(Judged::Replay(applied)) => Ok(Ok(Answer::Applied(applied))),
        Ok(Judged::Moved) => Ok(Ok(Answer::Moved)),
        Ok(Judged::New(verdict)) => Ok(Ok(Answer::Applied(put(tables, batch, op, write, *verdict)?))),
    }
}

enum Judged {
    Replay(Applied),
    /// The plan was worked out on another head, or before something was erased.
    Moved,
    New(Box<Verdict>),
}

/// What a write comes to.
struct Verdict {
    draft: Draft,
    commit: Option<(Arc<Head>, Next)>,
    named: Named,
    /// What becomes of the merge in progress, if anything does.
    pending: Option<Option<Pending>>,
}

fn judge(tables: &Tables, batch: &mut Batch, op: OpId, write: &Write, task: Task) -> Result<Judged> {
    if let Some(applied) = replayed(&tables.ops, op)? {
        return Ok(Judged::Replay(applied));
    }
    let head = batch.head(&write.branch).ok_or_else(|| no_branch(&write.branch, &batch.store.heads()));
    let mut plan = None;
    let drafted = match task {
        // Of names only: the branch need not be there.
        Task::Steps(steps) if steps.is_empty() => Draft::default(),
        Task::Steps(steps) => {
            let head = open_to(write, head.as_deref())?;
            on_ground(tables, batch, head, write, |ground| draft(ground, steps))?
        }
        Task::Plan(settled, of) => {
            let head = open_to(write, head.as_deref())?;
            if settled.worked.head != head.id || settled.upheavals != batch.store.upheavals() {
                return Ok(Judged::Moved);
            }
            plan = Some(of);
            on_ground(tables, batch, head, write, |ground| draft_plan(ground, *settled))?
        }
    };
    let commit = match head {
        Ok(head) if drafted.makes_commit(write.verb) => {
            let number = batch.store.next_commit(&tables.commits)?;
            let next = commit::make(tables, number, &head, op, write, &drafted)?;
            Some((head, next))
        }
        _ => None,
    };
    let mut naming = Naming::new(tables, batch.store, write.at, commit.as_ref().map(|(_, next)| next));
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
    let pending = pending_after(tables, write, plan.as_ref(), &drafted)?;
    Ok(Judged::New(Box::new(Verdict { draft: drafted, commit, named, pending })))
}

/// A protected branch takes merges, and what takes back.
fn open_to<'a>(write: &Write, head: Result<&'a Head, &Error>) -> Result<&'a Head> {
    let head = head.map_err(Error::clone)?;
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

fn on_ground(
    tables: &Tables,
    batch: &mut Batch,
    head: &Head,
    write: &Write,
    draft: impl FnOnce(&Ground) -> Result<Draft>,
) -> Result<Draft> {
    let raw = batch.state(tables, head.number)?;
    draft(&Ground {
        store: batch.store,
        tables,
        recent: &batch.recent,
        raw: &raw,
        erased: &batch.erased,
        live: head.live,
        tokens: head.tokens,
        next_vid: batch.store.next_vid(&tables.versions)?,
        at: write.at,
    })
}

/// What becomes of the branch's merge in progress; `None` where it stays as it is.
fn pending_after(
    tables: &Tables,
    write: &Write,
    plan: Option<&Plan>,
    draft: &Draft,
) -> Result<Option<Option<Pending>>> {
    let branch = write.branch.as_str();
    let mut now = tables.pending.get(branch)?.map(|row| tables::pending(row.value())).transpose()?;
    let before = now.clone();
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

fn put(tables: &mut Tables, batch: &mut Batch, op: OpId, write: Write, verdict: Verdict) -> Result<Applied> {
    let Verdict { mut draft, commit, named, pending } = verdict;
    for acknowledged in &write.acknowledged {
        tables.ops.remove(&acknowledged.to_bytes())?;
    }
    let applied = Applied {
        commit: commit.as_ref().map(|(_, next)| next.id),
        outcomes: std::mem::take(&mut draft.outcomes),
        counts: draft.counts,
        merged: draft.merged,
        names: named.refs,
        memo: write.memo,
        is_replay: false,
    };
    if let Some((head, next)) = commit {
        commit::put(tables, batch, &head, &next, draft)?;
    }
    match pending {
        None => {}
        Some(None) => drop(tables.pending.remove(write.branch.as_str())?),
        Some(Some(pending)) => {
            tables.pending.insert(write.branch.as_str(), tables::pending_bytes(&pending).as_slice())?;
        }
    }
    for (name, new) in named.went {
        let pending = tables.pending.remove(name.as_str())?.map(|row| row.value().to_vec());
        if let (Some(new), Some(pending)) = (new, pending) {
            tables.pending.insert(new.as_str(), pending.as_slice())?;
        }
    }
    for (key, row) in named.rows {
        tables.names.insert(key.as_slice(), row.as_slice())?;
    }
    batch.heads.extend(named.heads);
    tables.ops.insert(&op.to_bytes(), Reply::encode(write.at, &applied).as_slice())?;
    batch.is_changed = true;
    Ok(applied)
}
