//! Compaction: names that were deleted long ago are forgotten, and what only they reached goes with them: commits,
//! versions, their words in the index, and marks of operations from months ago. What a name reaches stays, and no
//! number is handed out twice. Either all of it happens or nothing: one transaction, or one new file.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use redb::{ReadableTable, ReadableTableMetadata};
use roaring::RoaringBitmap;

use super::erase;
use super::read::delta_of;
use super::rewrite::{self, LeftOut, Scrub};
use super::store::Store;
use super::tables::{
    self, COMMIT_IDS, COMMITS, CommitRow, Event, Move, NAMES, OPS, PENDING, Reply, STATES, Snapshot, TOUCHES, VERSIONS,
    WIDE, every_name,
};
use crate::clock;
use crate::error::Result;
use crate::model::{Compacted, Name, Time};

/// How long an operation whose reply is forgotten is still known not to be applied again.
const MARK_KEPT_MS: i64 = 90 * 24 * 60 * 60 * 1_000;
/// A request about names deleted so recently is a person's, who wants the room back now.
const NOW_MS: i64 = 60 * 1_000;
/// The file is written anew when this part of it, or more, would be empty.
const EMPTY_PERCENT_MAX: u64 = 25;

/// A name from when it came to be until it was deleted or renamed; a name that is created again lives again.
struct Life {
    name: Name,
    /// Key of the first and the last row of it.
    rows: (Vec<u8>, Vec<u8>),
    begun_at: Time,
    /// What it was called before.
    before: Option<Name>,
    /// How and when it ended.
    ended: Option<(End, Time)>,
    /// The commits where it stood.
    stood_at: RoaringBitmap,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Deleted,
    Renamed,
}

/// What [`compact`] would say if it found nothing to do; it costs no look at commits or versions.
pub fn nothing_to_do(store: &Store, before: Time) -> Result<Option<Compacted>> {
    let truth = store.snapshot()?;
    if is_asked(before) || !forgotten(lives(&truth)?, before).0.is_empty() || !old_marks(&truth)?.is_empty() {
        return Ok(None);
    }
    let bytes = store.truth_bytes()?;
    Ok(Some(Compacted { bytes_before: bytes, bytes_after: bytes, ..Compacted::default() }))
}

/// How many versions no living name reaches: counted anew only when a name went or came back.
#[derive(Default)]
pub struct Unreachable(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    /// The names that are deleted, and since when.
    gone: Vec<(Name, Time)>,
    count: u32,
}

impl Unreachable {
    pub fn count(&self, truth: &Snapshot) -> Result<u32> {
        let names = every_name(&truth.open(NAMES)?)?.into_iter();
        let gone: Vec<_> =
            names.filter(|(_, last)| last.event == Event::Deleted).map(|(name, last)| (name, last.at)).collect();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.gone != gone {
            let (_, kept) = forgotten(lives(truth)?, Time::MAX);
            let count = unreached(truth, roots(truth, &kept)?)?.1.len() as u32;
            *known = Counted { gone, count };
        }
        Ok(known.count)
    }
}

/// On the writer's thread, with nothing else under way.
pub fn compact(store: &Store, before: Time) -> Result<Compacted> {
    erase::finish(store)?;
    let truth = store.snapshot()?;
    let bytes_before = store.truth_bytes()?;
    let (names, kept) = forgotten(lives(&truth)?, before);
    let (commits, versions) = unreached(&truth, roots(&truth, &kept)?)?;
    let deleted = names.iter().filter(|life| life.is_deleted()).count() as u32;
    let moves = names.into_iter().map(|life| life.rows).collect();
    let gone = LeftOut { versions, commits, moves, ops: old_marks(&truth)? };
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
    let mut lives: Vec<Life> = Vec::new();
    for row in truth.open(NAMES)?.iter()? {
        let (key, row) = row?;
        let (name, Move { at, event, standing, .. }) = tables::move_of(key.value(), row.value())?;
        let goes_on = lives.last().is_some_and(|last| {
            last.name == name && (last.ended.is_none() || (event == Event::Restored && last.is_deleted()))
        });
        if !goes_on {
            let (rows, stood_at) = ((key.value().to_vec(), Vec::new()), RoaringBitmap::new());
            let before = if let Event::RenamedFrom(before) = &event { Some(before.clone()) } else { None };
            lives.push(Life { name, rows, begun_at: at, before, ended: None, stood_at });
        }
        let Some(life) = lives.last_mut() else { continue };
        life.rows.1 = key.value().to_vec();
        life.stood_at.insert(standing.number);
        life.ended = match event {
            Event::Deleted => Some((End::Deleted, at)),
            Event::RenamedAway => Some((End::Renamed, at)),
            _ => None,
        };
    }
    Ok(lives)
}

/// The lives that nothing is left of: deleted before that time, with what they were called before. And the others.
fn forgotten(lives: Vec<Life>, before: Time) -> (Vec<Life>, Vec<Life>) {
    // A renamed name's history is its successor's, and stays as long as that one.
    let mut kept: Vec<bool> = lives.iter().map(|life| life.stays(before)).collect();
    let mut next: Vec<usize> = (0..lives.len()).filter(|at| kept[*at]).collect();
    while let Some(at) = next.pop() {
        let Some(name) = &lives[at].before else { continue };
        let end = Some((End::Renamed, lives[at].begun_at));
        let before = lives.iter().position(|life| life.name == *name && life.ended == end);
        next.extend(before.filter(|before| !std::mem::replace(&mut kept[*before], true)));
    }
    let (kept, gone): (Vec<_>, Vec<_>) = lives.into_iter().zip(kept).partition(|(_, is_kept)| *is_kept);
    let bare = |lives: Vec<(Life, bool)>| lives.into_iter().map(|(life, _)| life).collect();
    (bare(gone), bare(kept))
}

impl Life {
    fn is_deleted(&self) -> bool {
        self.ended.is_some_and(|(end, _)| end == End::Deleted)
    }

    fn stays(&self, before: Time) -> bool {
        match self.ended {
            None => true,
            Some((End::Deleted, at)) => at >= before,
            Some((End::Renamed, _)) => false,
        }
    }
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
fn unreached(truth: &Snapshot, roots: RoaringBitmap) -> Result<(RoaringBitmap, RoaringBitmap)> {
    let mut reached = roots;
    let (mut commits, mut kept, mut versions) = (RoaringBitmap::new(), RoaringBitmap::new(), RoaringBitmap::new());
    // Parents have lower numbers. What a state holds was added by one of the commits behind it.
    for row in truth.open(COMMITS)?.iter()?.rev() {
        let (number, row) = row?;
        let (number, row) = (number.value(), CommitRow::decode(row.value())?);
        let added = delta_of(truth, number, &row)?.added;
        if reached.contains(number) {
            reached.extend(row.place.parents.into_iter().flatten());
            kept |= added;
        } else {
            commits.insert(number);
            versions |= added;
        }
    }
    Ok((commits, versions - kept))
}

/// Operations whose replies went so long ago that nobody will send them again.
fn old_marks(truth: &Snapshot) -> Result<HashSet<[u8; 24]>> {
    let until = clock::now().plus_ms(-MARK_KEPT_MS);
    let mut marks = HashSet::new();
    for row in truth.open(OPS)?.iter()? {
        let (op, reply) = row?;
        if Reply::marked_since(reply.value()).is_some_and(|at| at < until) {
            marks.insert(*op.value());
        }
    }
    Ok(marks)
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
