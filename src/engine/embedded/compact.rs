//! Compaction: names that were deleted long ago are forgotten, and what only they reached goes with them: commits,
//! versions, their words in the index, and marks of operations from months ago. What a name reaches stays, and no
//! number is handed out twice. Either all of it happens or nothing: one transaction, or one new file.

use std::collections::HashSet;

use redb::{ReadableTable, ReadableTableMetadata};
use roaring::RoaringBitmap;

use super::erase;
use super::read::delta_of;
use super::rewrite::{self, LeftOut, Scrub};
use super::store::Store;
use super::tables::{
    self, COMMIT_IDS, COMMITS, CommitRow, FEEDBACK, NAMES, OPS, PENDING, Reply, STATES, Snapshot, TOUCHES, VERSIONS,
    WIDE,
};
use crate::clock;
use crate::engine::history::lives::{self as history, Life, Reaching, Unreached, forgotten};
use crate::error::Result;
use crate::model::{Compacted, MemoryId, Name, Time};

/// A request about names deleted so recently is a person's, who wants the room back now.
const NOW_MS: i64 = 60 * 1_000;
/// The file is written anew when this part of it, or more, would be empty.
const EMPTY_PERCENT_MAX: u64 = 25;

/// What [`compact`] would say if it found nothing to do; it costs no look at commits or versions.
pub fn nothing_to_do(store: &Store, before: Time) -> Result<Option<Compacted>> {
    let truth = store.snapshot()?;
    if is_asked(before) || !forgotten(lives(&truth)?, before).0.is_empty() || !old_marks(&truth)?.is_empty() {
        return Ok(None);
    }
    let bytes = store.truth_bytes()?;
    Ok(Some(Compacted { bytes_before: bytes, bytes_after: bytes, ..Compacted::default() }))
}

/// How many versions no name reaches: by going through history.
pub fn count_unreached(truth: &Snapshot) -> Result<u32> {
    let (_, kept) = forgotten(lives(truth)?, Time::MAX);
    Ok(unreached(truth, roots(truth, &kept)?)?.versions.len() as u32)
}

/// On the writer's thread, with nothing else under way.
pub fn compact(store: &Store, before: Time) -> Result<Compacted> {
    erase::finish(store)?;
    let truth = store.snapshot()?;
    let bytes_before = store.truth_bytes()?;
    let (names, kept) = forgotten(lives(&truth)?, before);
    let Unreached { commits, versions } = unreached(&truth, roots(&truth, &kept)?)?;
    let deleted = names.iter().filter(|life| life.is_deleted()).count() as u32;
    let key = |name: &Name, (at, seq): (Time, u32)| tables::move_key(name, at, seq);
    let moves = names.iter().map(|life| (key(&life.name, life.moves[0]), key(&life.name, life.moves[1]))).collect();
    let feedback = unsaid(store, &truth, &versions)?;
    let gone = LeftOut { versions, commits, moves, ops: old_marks(&truth)?, feedback };
    let pays = is_asked(before) || empty_percent(&truth, &gone.versions, bytes_before)? > EMPTY_PERCENT_MAX;
    drop(truth);
    // Until the index has forgotten these versions too, the next opening has to make it.
    let scrub = if gone.versions.is_empty() { Scrub::Done } else { Scrub::Due };
    if pays {
        rewrite::rewrite(store, &gone, scrub)?
    } else {
        rewrite::remove(store, &gone, scrub)?
    }
    if scrub == Scrub::Due {
        store.index.forget(&gone.versions)?;
        store.vectors.forget(&gone.versions)?;
        rewrite::scrubbed(store)?;
    }
    Ok(Compacted {
        versions: gone.versions.len() as u32,
        commits: gone.commits.len() as u32,
        names: deleted,
        marks: gone.ops.len() as u32,
        bytes_before,
        bytes_after: store.truth_bytes()?,
    })
}

fn is_asked(before: Time) -> bool {
    before.plus_ms(NOW_MS) >= clock::now()
}

/// Every life of every name.
fn lives(truth: &Snapshot) -> Result<Vec<Life>> {
    let names = truth.open(NAMES)?;
    history::lives(names.iter()?.map(|row| {
        let (key, row) = row?;
        tables::move_of(key.value(), row.value())
    }))
}

/// The commits that are held by a name, or by a merge in progress.
fn roots(truth: &Snapshot, kept: &[Life]) -> Result<RoaringBitmap> {
    let mut roots = RoaringBitmap::new();
    kept.iter().for_each(|life| roots |= &life.stood_at);
    let commit_ids = truth.open(COMMIT_IDS)?;
    for row in truth.open(PENDING)?.iter()? {
        let pending = tables::pending(row?.1.value())?;
        roots.extend(commit_ids.get(&pending.theirs.0)?.map(|number| number.value()));
    }
    Ok(roots)
}

/// The commits that are no ancestors of these, and the versions that only such commits know.
fn unreached(truth: &Snapshot, roots: RoaringBitmap) -> Result<Unreached> {
    let mut reaching = Reaching::from(roots);
    for row in truth.open(COMMITS)?.iter()?.rev() {
        let (number, row) = row?;
        let (number, row) = (number.value(), CommitRow::decode(row.value())?);
        reaching.commit(number, row.place.parents, delta_of(truth, number, &row)?.added);
    }
    Ok(reaching.done())
}

/// Operations whose replies went so long ago that nobody will send them again.
fn old_marks(truth: &Snapshot) -> Result<HashSet<[u8; 24]>> {
    let until = clock::now().plus_ms(-Reply::MARK_KEPT_MS);
    let mut marks = HashSet::new();
    for row in truth.open(OPS)?.iter()? {
        let (op, reply) = row?;
        if Reply::marked_since(reply.value()).is_some_and(|at| at < until) {
            marks.insert(*op.value());
        }
    }
    Ok(marks)
}

/// Memories that something was said of, and that have no version beside these.
fn unsaid(store: &Store, truth: &Snapshot, gone: &RoaringBitmap) -> Result<HashSet<[u8; 16]>> {
    let mut unsaid = HashSet::new();
    let Some(rows) = truth.open_if_there(FEEDBACK)?.filter(|_| !gone.is_empty()) else { return Ok(unsaid) };
    for row in rows.iter()? {
        let memory = *row?.0.value();
        let vids = store.mending(|| store.index.vids_of(&MemoryId(memory)))?;
        if vids.into_iter().all(|vid| gone.contains(vid)) {
            unsaid.insert(memory);
        }
    }
    Ok(unsaid)
}

/// How much of the file would be empty without these versions.
fn empty_percent(truth: &Snapshot, gone: &RoaringBitmap, bytes: u64) -> Result<u64> {
    let versions = truth.open(VERSIONS)?;
    let all = versions.len()?.max(1);
    let used = bytes_of(&versions)? * all.saturating_sub(gone.len()) / all
        + bytes_of(&truth.open(COMMITS)?)?
        + bytes_of(&truth.open(COMMIT_IDS)?)?
        + bytes_of(&truth.open(WIDE)?)?
        + bytes_of(&truth.open(STATES)?)?
        + bytes_of(&truth.open(NAMES)?)?
        + bytes_of(&truth.open(OPS)?)?
        + bytes_of(&truth.open(TOUCHES)?)?;
    Ok(bytes.saturating_sub(used) * 100 / bytes.max(1))
}

fn bytes_of(table: &impl ReadableTableMetadata) -> Result<u64> {
    let stats = table.stats()?;
    Ok(stats.stored_bytes() + stats.metadata_bytes())
}
