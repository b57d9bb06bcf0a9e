//! Writing: every write of one daemon that waits goes into one transaction, each judged on what those before it left.
//! The row of `meta` is taken first, so of all daemons one writes at a time, and heads never move under a writer.

use std::mem;
use std::sync::{Arc, PoisonError};

use roaring::RoaringBitmap;

use super::natives::{self, Native};
use super::store::Store;
use super::truth::Reader;
use super::{feedback, live, put, sql, store};
use crate::engine::history::commit::Next;
use crate::engine::history::draft::{Step, settle};
use crate::engine::history::judge::{Judged, Task, Verdict, judge};
use crate::engine::history::naming::no_branch;
use crate::engine::history::rows::{Body, CommitRow, Delta, Event, Move, Reply, bitmap_bytes, damaged, pending_bytes};
use crate::engine::history::state::State;
use crate::engine::history::{Ground, Past, Truth};
use crate::error::{Error, ErrorKind, Result};
use crate::lexical::Words;
use crate::model::{Applied, Name, NameKind, OpId, Time, Work, Write};

/// A write of so many changes is over within the usual deadline.
pub const SHORT_CHANGES_MAX: usize = 200;

/// A write that waits.
pub struct Order {
    pub op: OpId,
    pub write: Write,
}

impl Order {
    /// Whether it may take longer than a request has: a plan of a whole branch, an import. (A new branch's table may,
    /// too, and mostly does not: see `live::make`.)
    pub fn is_long(&self) -> bool {
        match &self.write.work {
            Work::Plan(_) => true,
            Work::Changes(changes) => changes.len() > SHORT_CHANGES_MAX,
        }
    }
}

/// What a transaction leaves to be done once it is durable.
#[derive(Default)]
pub struct Left {
    commits: Vec<(u32, CommitRow)>,
    states: Vec<(u32, Arc<RoaringBitmap>)>,
    /// Tables of branches that are gone, and native snapshots of names that are.
    dropped: Vec<u32>,
    pub(super) unnamed: Vec<String>,
    /// Snapshots that have a native one behind them now.
    pub(super) natives: Vec<Name>,
}

impl Store {
    /// One answer for each order, in order. All that are kept are kept by one COMMIT.
    pub fn serve(&self, orders: &[Order]) -> Vec<Result<Applied>> {
        self.together(orders).unwrap_or_else(|error| orders.iter().map(|_| Err(error.clone())).collect())
    }

    /// The same; the outer error is the transaction's, an inner one the judgement on that order.
    pub fn together(&self, orders: &[Order]) -> Result<Vec<Result<Applied>>> {
        let acknowledged = mem::take(&mut *self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner));
        let natives: Vec<Native> = orders.iter().flat_map(|order| self.natives_for(order.op, &order.write)).collect();
        let is_long = orders.iter().any(Order::is_long);
        let pool = if is_long { self.patient() } else { self.ready().map(|()| self.pool.clone()) };
        let served = pool.and_then(|pool| {
            self.alone(&pool, |ground| {
                put::forget(ground, &acknowledged)?;
                ground.look_ahead(orders)?;
                let mut left = Left::default();
                let one = |order| one(ground, order, &natives, &mut left);
                let answers = orders.iter().map(one).collect::<Result<Vec<_>>>()?;
                Ok((answers, left, ground.upheavals()))
            })
        });
        match served {
            Ok((answers, left, upheavals)) => {
                let unused = natives.iter().filter(|native| !left.natives.contains(&native.name));
                unused.for_each(|native| self.drop_native(native.ident()));
                self.publish(left, upheavals);
                Ok(answers)
            }
            Err(error) => {
                // What was kept after all, whatever the error says, is found by its operation and asks for none.
                if error.kind != ErrorKind::Unknown {
                    natives.iter().for_each(|native| self.drop_native(native.ident()));
                }
                self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).extend(acknowledged);
                Err(error)
            }
        }
    }

    /// What is durable is remembered; tables that nobody needs go. One that stays because of an error goes with the
    /// next compaction.
    fn publish(&self, left: Left, upheavals: u64) {
        let erased = self.states.erased();
        for (number, row) in left.commits {
            let state = left.states.iter().find(|(of, _)| *of == number).map(|(_, raw)| Arc::clone(raw));
            if let Some(raw) = state.filter(|raw| raw.is_disjoint(&erased)) {
                let state = State { served: Arc::clone(&raw), raw, live: row.live, tokens: row.tokens };
                self.states.keep(number, &Arc::new(state), &erased);
            }
            self.commits.keep(upheavals, number, row);
        }
        left.unnamed.iter().for_each(|ident| self.drop_native(ident));
        for table in left.dropped {
            if let Err(error) = self.pool.read(|session| session.text(&sql::drop_live(table))) {
                tracing::warn!("the table of a branch that is gone stays for now: {error}");
            }
        }
    }
}

/// The outer error fails the transaction, the inner one only this write.
fn one(ground: &Reader, Order { op, write }: &Order, natives: &[Native], left: &mut Left) -> Result<Result<Applied>> {
    let judged = task(ground, *op, write).and_then(|task| match task {
        Ok(task) => judge(ground, *op, write, task),
        Err(replay) => Ok(Judged::Replay(replay)),
    });
    match judged {
        Err(error) => Ok(Err(error)),
        Ok(Judged::Replay(applied)) => Ok(Ok(Applied { is_replay: true, ..applied })),
        Ok(Judged::Moved) => Err(Error::internal("a branch was moved behind the writer's back")),
        Ok(Judged::New(verdict)) => put_down(ground, *op, write, *verdict, natives, left).map(Ok),
    }
}

/// What is to be done, prepared; or what was done before. A plan is worked out here, where nobody can move the head.
fn task(ground: &Reader, op: OpId, write: &Write) -> Result<Result<Task<Words>, Applied>> {
    match &write.work {
        Work::Changes(changes) => Ok(Ok(Task::Steps(changes.iter().cloned().map(Step::from).collect()))),
        Work::Plan(plan) => {
            if let Some(applied) = ground.replayed(op)? {
                return Ok(Err(applied));
            }
            let head = ground.head(&write.branch)?;
            let head = head.ok_or_else(|| no_branch(ground, &write.branch))?;
            let at = store::at(ground, head.number, Some(write.at))?;
            let settled = settle(ground, ground.upheavals(), &at, plan)?;
            Ok(Ok(Task::Plan(Box::new(settled), plan.clone())))
        }
    }
}

fn put_down(
    ground: &Reader,
    op: OpId,
    write: &Write,
    mut verdict: Verdict<Words>,
    natives: &[Native],
    left: &mut Left,
) -> Result<Applied> {
    put::forget(ground, &write.acknowledged)?;
    let applied = verdict.applied(write.memo.clone());
    let Verdict { draft, ratings, commit, named, pending } = verdict;
    if let Some((head, next)) = commit {
        let first_vid = draft.first_vid;
        ground.with(|session| put::versions(session, first_vid, &draft.fresh))?;
        let table = ground.live(&write.branch)?.ok_or_else(|| damaged("a branch has no table"))?;
        ground.with(|session| live::change(session, table, &draft.delta))?;
        let raw = put_commit(ground, head.number, &next, &draft.delta, &draft.touched)?;
        ground.made(next.number, next.row.clone(), draft.fresh.len(), &raw);
        left.states.push((next.number, raw));
        left.commits.push((next.number, next.row));
    }
    for (name, after) in named.rows {
        put_name(ground, &name, &after, left)?;
        let native = natives.iter().find(|native| native.op == op && native.name == name);
        natives::follow(ground, &name, &after, native, left)?;
    }
    match pending {
        None => {}
        Some(None) => drop(ground.run(sql::DELETE_PENDING, vec![write.branch.as_str().into()])?),
        Some(Some(pending)) => {
            ground.run(sql::PUT_PENDING, vec![write.branch.as_str().into(), pending_bytes(&pending).into()])?;
        }
    }
    for (name, new) in named.went {
        let pending = ground.pending(&name)?;
        ground.run(sql::DELETE_PENDING, vec![name.as_str().into()])?;
        if let (Some(new), Some(pending)) = (new, pending) {
            ground.run(sql::PUT_PENDING, vec![new.as_str().into(), pending_bytes(&pending).into()])?;
        }
    }
    feedback::put(ground, &ratings)?;
    let reply = Reply::encode(write.at, &applied);
    ground.run(sql::INSERT_OP, vec![put::op_hex(op).into(), write.at.0.into(), reply.clone().into()])?;
    ground.own.know_reply(op, Some(reply));
    Ok(applied)
}

/// The rows of a commit, but for its versions; what is live there.
pub fn put_commit(
    ground: &Reader,
    head: u32,
    next: &Next,
    delta: &Delta,
    touched: &[u32],
) -> Result<Arc<RoaringBitmap>> {
    let mut raw = RoaringBitmap::clone(&*ground.raw(head)?);
    delta.apply_to(&mut raw);
    let raw = Arc::new(raw);
    ground.with(|session| put::commit(session, next.number, &next.row))?;
    if next.has_keyframe {
        ground.run(sql::INSERT_STATE, vec![next.number.into(), bitmap_bytes(&raw)?.into()])?;
    }
    if let Body::Wide { .. } = next.row.body {
        ground.run(sql::INSERT_WIDE, vec![next.number.into(), delta.encode()?.into()])?;
    } else {
        ground.with(|session| put::touches(session, next.number, touched))?;
    }
    Ok(raw)
}

/// One move of a name, and the table that a branch gets, takes with it or leaves.
pub fn put_name(ground: &Reader, name: &Name, after: &Move, left: &mut Left) -> Result<()> {
    let before = ground.last_move(name, Time::MAX)?;
    let table = match &after.event {
        _ if after.standing.kind == NameKind::Snapshot => None,
        Event::Created | Event::Restored => Some(live::make(ground, &ground.state(after.standing.number)?.served)?),
        Event::Moved | Event::Protected => ground.live(name)?,
        Event::RenamedFrom(before) => ground.carried(before),
        Event::RenamedAway => {
            ground.carry(name)?;
            None
        }
        Event::Deleted => {
            left.dropped.extend(ground.live(name)?);
            None
        }
    };
    ground.with(|session| put::named(session, name, before.as_ref(), after, table))?;
    ground.own.move_name(name, after.clone(), table);
    Ok(())
}
