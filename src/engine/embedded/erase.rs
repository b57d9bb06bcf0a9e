//! Erasure: every version of a memory loses its bytes, in every file, and history keeps the hashes. First one durable
//! transaction takes the memory out of every branch and its bytes out of every row; then the index forgets its words,
//! and truth is written afresh, since redb's free pages keep what they held. Only then the caller is answered.
//!
//! What is cut short in between is finished by [`finish`], the first thing that the writer does after an opening:
//! reads go on meanwhile, and show nothing of it, because the transaction came first.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use redb::ReadableTable;
use roaring::RoaringBitmap;

use super::rewrite::{self, LeftOut, Scrub, erased_of, meta_of};
use super::store::Store;
use super::tables::{self, ERASED, FEEDBACK, META, Meta, OPS, Reply, Snapshot, VERSIONS, VersionRow};
use super::writer::{Batch, Footing, Tables, put_commit, put_move};
use crate::engine::Erase;
use crate::engine::history::Brief;
use crate::engine::history::commit::{Next, make};
use crate::engine::history::erasure::{self, Losing};
use crate::engine::history::naming::Naming;
use crate::error::{Error, Result};
use crate::model::{CommitId, Erased, MemoryId, Name, OpId};

/// On the writer's thread, with nothing else under way.
pub fn erase(store: &Store, op: OpId, ask: &Erase) -> Result<Erased> {
    if let Some(erased) = replayed(store, op)? {
        finish(store)?;
        return Ok(Erased { is_replay: true, ..erased });
    }
    let found = find(store, &ask.ids)?;
    let openings = store.openings();
    let erased = take_out(store, op, ask, &found).map_err(|error| {
        let _ = store.reopen(openings);
        let why = error.message.trim_end_matches('.');
        Error::unknown(format!(
            "it is not known whether this was erased: {why}. Repeat it under the same operation id."
        ))
    })?;
    if !found.rows.is_empty() {
        scrub(store, &found.vids()).map_err(|error| Error {
            message: format!(
                "the memories are erased from every branch and version, but their bytes may still be in free parts of \
                 the files ({}). Repeat this under the same operation id, or start the daemon again.",
                error.message.trim_end_matches('.')
            ),
            ..error
        })?;
    }
    Ok(erased)
}

/// Finishes an erasure or a compaction that was cut short, if there is one.
pub fn finish(store: &Store) -> Result<()> {
    let truth = store.snapshot()?;
    let meta = meta_of(&truth)?;
    if !meta.scrub {
        return Ok(());
    }
    let mut gone = RoaringBitmap::new();
    gone.insert_range(0..meta.next_vid);
    for row in truth.open(VERSIONS)?.iter()? {
        let (vid, row) = row?;
        if let VersionRow::Whole { .. } = VersionRow::decode(row.value())? {
            gone.remove(vid.value());
        }
    }
    drop(truth);
    tracing::info!("an erasure or a compaction was cut short, and is finished now");
    scrub(store, &gone)
}

/// Takes what is left of these versions out of the files.
fn scrub(store: &Store, gone: &RoaringBitmap) -> Result<()> {
    store.index.forget(gone)?;
    store.vectors.forget(gone)?;
    rewrite::rewrite(store, &LeftOut::default(), Scrub::Done)
}

/// One transaction: out of every branch, and out of every row.
fn take_out(store: &Store, op: OpId, ask: &Erase, found: &Found) -> Result<Erased> {
    let truth = store.snapshot()?;
    let transaction = store.begin_write()?;
    let mut tables = Tables::open(&transaction)?;
    let erased = Erased {
        memories: found.memories.len() as u32,
        versions: found.rows.len() as u32,
        commits: leave_branches(store, &truth, &mut tables, op, ask, found)?,
        missing: found.missing.clone(),
        is_replay: false,
    };
    for (vid, row) in &found.rows {
        let (Brief { first, memory, version }, terms) = *row;
        let row = VersionRow::Erased { terms, first, version, memory };
        tables.versions.insert(vid, row.encode().as_slice())?;
    }
    forget_resolutions(&mut tables, &found.memories)?;
    if truth.open_if_there(FEEDBACK)?.is_some() {
        let mut feedback = transaction.open_table(FEEDBACK)?;
        for memory in &found.memories {
            feedback.remove(&memory.0)?;
        }
    }
    tables.ops.insert(&op.to_bytes(), Reply::encode_erased(ask.at, &erased).as_slice())?;
    drop(tables);
    if !found.rows.is_empty() {
        let all = tables::bitmap_bytes(&(erased_of(&truth)? | found.vids()))?;
        transaction.open_table(ERASED)?.insert((), all.as_slice())?;
        let meta = Meta { scrub: true, ..meta_of(&truth)? };
        transaction.open_table(META)?.insert((), meta.encode().as_slice())?;
    }
    drop(truth);
    transaction.commit()?;
    store.reload()?;
    Ok(erased)
}

/// A commit on each living branch where one of them is live. Branches that stand at one commit move to one commit.
fn leave_branches(
    store: &Store,
    truth: &Snapshot,
    tables: &mut Tables,
    op: OpId,
    ask: &Erase,
    found: &Found,
) -> Result<Vec<(Name, CommitId)>> {
    let (heads, vids) = (store.heads().clone(), found.vids());
    let (mut batch, mut commits) = (Batch::new(store), Vec::new());
    let mut made: HashMap<u32, Next> = HashMap::new();
    for (branch, head) in heads {
        let gone = &*store.state(truth, head.number)?.raw & &vids;
        if gone.is_empty() {
            continue;
        }
        let next = match made.entry(head.number) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(place) => {
                let number = store.next_commit(&tables.commits)?;
                let draft = erasure::draft(&head, gone, &found.rows);
                let footing = Footing { tables, batch: &batch };
                let next = make(&footing, number, &head, op, &erasure::write(&branch, ask), &draft)?;
                put_commit(tables, &mut batch, &head, &next, draft)?;
                place.insert(next)
            }
        };
        let footing = Footing { tables, batch: &batch };
        let mut naming = Naming::new(&footing, ask.at, Some(next));
        naming.go(&branch, head.number, next.number)?;
        for (name, step) in &naming.done().rows {
            put_move(tables, name, step)?;
        }
        commits.push((branch, next.id));
    }
    Ok(commits)
}

fn forget_resolutions(tables: &mut Tables, memories: &[MemoryId]) -> Result<()> {
    let mut changed = Vec::new();
    for row in tables.pending.iter()? {
        let (branch, row) = row?;
        let mut pending = tables::pending(row.value())?;
        if erasure::forget_resolutions(&mut pending, memories) {
            changed.push((branch.value().to_owned(), tables::pending_bytes(&pending)));
        }
    }
    for (branch, row) in changed {
        tables.pending.insert(branch.as_str(), row.as_slice())?;
    }
    Ok(())
}

fn replayed(store: &Store, op: OpId) -> Result<Option<Erased>> {
    let row = store.snapshot()?.open(OPS)?.get(&op.to_bytes())?.map(|row| Reply::decode(row.value())).transpose()?;
    row.map(Reply::erasure).transpose()
}

/// What there is to erase.
struct Found {
    memories: Vec<MemoryId>,
    rows: Losing,
    missing: Vec<MemoryId>,
}

impl Found {
    fn vids(&self) -> RoaringBitmap {
        self.rows.keys().copied().collect()
    }
}

/// By truth itself, row by row: what derived data might miss must go as well.
fn find(store: &Store, ids: &[MemoryId]) -> Result<Found> {
    let mut wanted: HashMap<MemoryId, bool> = ids.iter().map(|id| (*id, false)).collect();
    let mut rows = Losing::new();
    for row in store.snapshot()?.open(VERSIONS)?.iter()? {
        let (vid, row) = row?;
        let row = VersionRow::decode(row.value())?;
        let memory = row.memory_id()?;
        if let (VersionRow::Whole { terms, first, .. }, Some(is_found)) = (row, wanted.get_mut(&memory)) {
            *is_found = true;
            rows.insert(vid.value(), (Brief { first, memory, version: row.id() }, terms));
        }
    }
    let mut seen = HashSet::new();
    let each = ids.iter().copied().filter(|id| seen.insert(*id));
    let (memories, missing) = each.partition(|id| wanted.get(id) == Some(&true));
    Ok(Found { memories, rows, missing })
}
