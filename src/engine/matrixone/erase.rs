//! Erasure: one transaction takes memories out of every branch and the bytes of all their versions out of every row;
//! history keeps the hashes. Snapshots of the server's own that hold them go too.
//!
//! What is beyond reach: the server keeps deleted rows until its garbage collection runs (by default within hours), and
//! what a branch was copied from as long as that branch lives; of that no text is part, since branches' tables hold
//! none. An administrator's own backups and snapshots are theirs to delete.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use roaring::RoaringBitmap;

use super::store::Store;
use super::truth::Reader;
use super::write::{Left, put_commit, put_name};
use super::{feedback, live, postings, put, row, sql, vectors};
use crate::engine::Erase;
use crate::engine::history::commit::{Next, make};
use crate::engine::history::erasure::{self, Losing};
use crate::engine::history::naming::Naming;
use crate::engine::history::rows::{Delta, Event, Reply, bitmap_bytes, damaged, pending, pending_bytes};
use crate::engine::history::{Brief, Ground, Past, Truth};
use crate::error::{Error, Result};
use crate::model::{CommitId, Erased, MemoryId, Name, NameKind, OpId};

/// Memories in one question.
const ASKED_AT_ONCE: usize = 500;

/// What an erasure leaves to be done once it is durable.
#[derive(Default)]
struct Leftover {
    /// Snapshots of the server's own that hold what was erased.
    natives: Vec<String>,
    /// Tables that no branch has.
    tables: Vec<u32>,
}

impl Store {
    /// Takes memories out of every branch, and their bytes out of every row.
    pub fn erase(&self, op: OpId, ask: &Erase) -> Result<Erased> {
        let (erased, leftover) = self.alone(&self.patient()?, |ground| {
            if let Some(erased) = replayed(ground, op)? {
                return Ok((Erased { is_replay: true, ..erased }, Leftover::default()));
            }
            take_out(ground, op, ask)
        })?;
        let cleared = if erased.is_replay { self.drop_orphans(0) } else { self.clear(&leftover) };
        cleared.map_err(|error| Error {
            message: format!(
                "the memories are erased from every branch and version, but a snapshot or a table of the server's may \
                 still hold them ({}). Repeat this under the same operation id.",
                error.message.trim_end_matches('.')
            ),
            ..error
        })?;
        Ok(erased)
    }

    fn clear(&self, leftover: &Leftover) -> Result<()> {
        for ident in &leftover.natives {
            self.pool.read(|session| session.text(&sql::drop_native(ident)))?;
        }
        self.drop_tables(&leftover.tables)
    }

    /// Tables that no branch has.
    pub(super) fn drop_tables(&self, tables: &[u32]) -> Result<()> {
        tables.iter().try_for_each(|table| self.pool.read(|session| session.text(&sql::drop_live(*table))))
    }
}

fn replayed(ground: &Reader, op: OpId) -> Result<Option<Erased>> {
    let found = ground.first(sql::REPLY, vec![put::op_hex(op).into()])?;
    found.map(|found| Reply::decode(&row::<(Vec<u8>,)>(found)?.0)?.erasure()).transpose()
}

/// Out of every branch, and out of every row.
fn take_out(ground: &Reader, op: OpId, ask: &Erase) -> Result<(Erased, Leftover)> {
    let (losing, memories, missing) = find(ground, &ask.ids)?;
    let vids: RoaringBitmap = losing.keys().copied().collect();
    let erased = Erased {
        memories: memories.len() as u32,
        versions: losing.len() as u32,
        commits: leave_branches(ground, op, ask, &losing, &vids)?,
        missing,
        is_replay: false,
    };
    let mut leftover = Leftover::default();
    if !losing.is_empty() {
        leftover = Leftover { natives: leave_natives(ground, &vids)?, tables: stray_tables(ground)? };
        empty(ground, &vids)?;
        let all = bitmap_bytes(&(&*ground.erased() | vids))?;
        ground.run(sql::PUT_ERASED, vec![all.into()])?;
        ground.run(sql::RAISE, vec![])?;
    }
    forget_resolutions(ground, &memories)?;
    feedback::forget(ground, &memories)?;
    let reply = Reply::encode_erased(ask.at, &erased);
    ground.run(sql::INSERT_OP, vec![put::op_hex(op).into(), ask.at.0.into(), reply.into()])?;
    Ok((erased, leftover))
}

/// Every version of these memories that has bytes; which memories there are, and which not.
fn find(ground: &Reader, ids: &[MemoryId]) -> Result<(Losing, Vec<MemoryId>, Vec<MemoryId>)> {
    let mut seen = HashSet::new();
    let wanted: Vec<MemoryId> = ids.iter().copied().filter(|id| seen.insert(*id)).collect();
    let mut losing = Losing::new();
    for some in wanted.chunks(ASKED_AT_ONCE) {
        let which = sql::whole_of(&sql::hexes(some.iter().map(ToString::to_string)));
        for found in ground.with(|session| session.text_rows(&sql::versions_of(sql::PLACED, &which)))? {
            let (vid, first, memory, version, len): (u32, u32, String, String, u32) = row(found)?;
            losing.insert(vid, (Brief { first, memory: memory.parse()?, version: version.parse()? }, len));
        }
    }
    let there: HashSet<MemoryId> = losing.values().map(|(brief, _)| brief.memory).collect();
    let (memories, missing) = wanted.into_iter().partition(|id| there.contains(id));
    Ok((losing, memories, missing))
}

/// A commit on each living branch where one of them is live. Branches that stand at one commit move to one commit.
fn leave_branches(
    ground: &Reader,
    op: OpId,
    ask: &Erase,
    losing: &Losing,
    vids: &RoaringBitmap,
) -> Result<Vec<(Name, CommitId)>> {
    let mut commits = Vec::new();
    let mut made: HashMap<u32, Next> = HashMap::new();
    for (branch, last) in ground.every_name()? {
        if !last.is_living() || last.standing.kind != NameKind::Branch {
            continue;
        }
        let head = ground.head(&branch)?.ok_or_else(|| damaged("a branch has no table"))?;
        let gone = &*ground.raw(head.number)? & vids;
        if gone.is_empty() {
            continue;
        }
        let delta = Delta { added: RoaringBitmap::new(), removed: gone.clone() };
        let next = match made.entry(head.number) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(place) => {
                let draft = erasure::draft::<crate::lexical::Words>(&head, gone, losing);
                let next = make(ground, ground.next_commit()?, &head, op, &erasure::write(&branch, ask), &draft)?;
                let raw = put_commit(ground, head.number, &next, &delta, &draft.touched)?;
                ground.made(next.number, next.row.clone(), 0, &raw);
                place.insert(next)
            }
        };
        let table = ground.live(&branch)?.ok_or_else(|| damaged("a branch has no table"))?;
        ground.with(|session| live::change(session, table, &delta))?;
        let mut naming = Naming::new(ground, ask.at, Some(next));
        naming.go(&branch, head.number, next.number)?;
        for (name, after) in naming.done().rows {
            put_name(ground, &name, &after, &mut Left::default())?;
        }
        commits.push((branch, next.id));
    }
    Ok(commits)
}

/// Snapshots of the server's own that hold one of these versions: ours go on without them.
fn leave_natives(ground: &Reader, vids: &RoaringBitmap) -> Result<Vec<String>> {
    let mut leaving = Vec::new();
    for found in ground.rows(sql::NAMED_NATIVES, vec![])? {
        let (name, ident): (String, String) = row(found)?;
        let name: Name = name.parse()?;
        let (last, _) = ground.name(&name)?;
        let stands = last.filter(|last| last.event != Event::RenamedAway);
        let holds = stands.map(|last| ground.raw(last.standing.number)).transpose()?;
        if holds.is_none_or(|held| !held.is_disjoint(vids)) {
            ground.run(sql::DELETE_NATIVE, vec![name.as_str().into()])?;
            leaving.push(ident);
        }
    }
    Ok(leaving)
}

/// Tables of branches that are gone, which an error left. Their numbers are never given to others.
pub fn stray_tables(ground: &Reader) -> Result<Vec<u32>> {
    let known: Vec<u32> = ground.with(live::all)?.into_iter().map(|live| live.table).collect();
    let mut stray = Vec::new();
    for found in ground.rows(sql::LIVE_TABLES, vec![])? {
        let (table,): (String,) = row(found)?;
        let number = table.strip_prefix("live_").and_then(|number| number.parse().ok());
        stray.extend(number.filter(|number: &u32| !known.contains(number)));
    }
    if let Some(last) = stray.iter().max() {
        ground.pass_table(*last);
    }
    Ok(stray)
}

/// Takes what these versions say out of their rows.
fn empty(ground: &Reader, vids: &RoaringBitmap) -> Result<()> {
    for part in live::parts(vids) {
        ground.with(|session| session.text(&sql::empty_versions(&part)))?;
    }
    ground.with(|session| postings::silence(session, vids))?;
    ground.with(|session| vectors::forget(session, vids))
}

fn forget_resolutions(ground: &Reader, memories: &[MemoryId]) -> Result<()> {
    for found in ground.rows(sql::EVERY_PENDING, vec![])? {
        let (branch, record): (String, Vec<u8>) = row(found)?;
        let mut pending = pending(&record)?;
        if erasure::forget_resolutions(&mut pending, memories) {
            ground.run(sql::PUT_PENDING, vec![branch.into(), pending_bytes(&pending).into()])?;
        }
    }
    Ok(())
}
