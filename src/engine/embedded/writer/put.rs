//! Writing down: what was judged becomes rows. An error here fails the transaction as a whole.

use std::sync::Arc;

use redb::ReadableTable;

use super::super::index::{Entry, Words};
use super::super::store::Head;
use super::super::tables::{self, Body, FEEDBACK, Move, Reply, VersionRow, bitmap_bytes, move_key, touch};
use super::{Answer, Batch, Footing, Order, Tables};
use crate::engine::history::commit::Next;
use crate::engine::history::draft::Draft;
use crate::engine::history::judge::{Judged, Verdict, judge};
use crate::error::Result;
use crate::model::{Applied, Name, OpId, Rating, Write};

/// One write, judged and written down. The outer error fails the transaction, the inner one only this write.
pub fn one(tables: &mut Tables, batch: &mut Batch, order: Order) -> Result<Result<Answer>> {
    let Order { op, write, task } = order;
    match judge(&Footing { tables, batch }, op, &write, task) {
        Err(error) => Ok(Err(error)),
        Ok(Judged::Replay(applied)) => Ok(Ok(Answer::Applied(applied))),
        Ok(Judged::Moved) => Ok(Ok(Answer::Moved)),
        Ok(Judged::New(verdict)) => Ok(Ok(Answer::Applied(put(tables, batch, op, write, *verdict)?))),
    }
}

fn put(tables: &mut Tables, batch: &mut Batch, op: OpId, write: Write, mut verdict: Verdict<Words>) -> Result<Applied> {
    for acknowledged in &write.acknowledged {
        tables.ops.remove(&acknowledged.to_bytes())?;
    }
    let applied = verdict.applied(write.memo);
    let Verdict { draft, ratings, commit, named, pending } = verdict;
    if let Some((head, next)) = commit {
        put_commit(tables, batch, &head, &next, draft)?;
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
    for (name, step) in &named.rows {
        put_move(tables, name, step)?;
    }
    put_ratings(tables, &ratings)?;
    batch.heads.extend(named.heads);
    tables.ops.insert(&op.to_bytes(), Reply::encode(write.at, &applied).as_slice())?;
    batch.is_changed = true;
    Ok(applied)
}

fn put_ratings(tables: &Tables, ratings: &[Rating]) -> Result<()> {
    if ratings.is_empty() {
        return Ok(());
    }
    let mut rows = tables.transaction.open_table(FEEDBACK)?;
    for rating in ratings {
        let known = rows.get(&rating.id.0)?.map(|row| tables::feedback(row.value())).transpose()?;
        let mut feedback = known.unwrap_or_default();
        feedback.add(&rating.said);
        rows.insert(&rating.id.0, tables::feedback_bytes(&feedback).as_slice())?;
    }
    Ok(())
}

/// Writes the rows of a commit and of its new versions.
pub fn put_commit(tables: &mut Tables, batch: &mut Batch, head: &Head, next: &Next, draft: Draft<Words>) -> Result<()> {
    let number = next.number;
    for (vid, (first, fresh)) in (draft.first_vid..).zip(draft.fresh) {
        let terms = fresh.words.len;
        let row = VersionRow::Whole { terms, first, salt: fresh.salt, canonical: &fresh.canonical };
        tables.versions.insert(vid, row.encode().as_slice())?;
        let (memory, version, words, text) = (Box::new(fresh.memory), fresh.id, fresh.words, fresh.text);
        batch.recent.push(vid, Entry::Whole { memory, version, first, words, text });
    }
    let mut state = batch.take_state(tables, head.number)?;
    draft.delta.apply_to(Arc::make_mut(&mut state));
    if next.has_keyframe {
        tables.states.insert(number, bitmap_bytes(&state)?.as_slice())?;
    }
    batch.keep_state(number, state);
    if let Body::Wide { .. } = next.row.body {
        tables.wide.insert(number, draft.delta.encode()?.as_slice())?;
    } else {
        for memory in draft.touched {
            tables.touches.insert(touch(memory, number), ())?;
        }
    }
    tables.commits.insert(number, next.row.encode().as_slice())?;
    tables.commit_ids.insert(&next.id.0, number)?;
    Ok(())
}

/// One move of a name.
pub fn put_move(tables: &mut Tables, name: &Name, step: &Move) -> Result<()> {
    let key = move_key(name, step.at, step.seq);
    tables.names.insert(key.as_slice(), step.encode().as_slice())?;
    Ok(())
}
