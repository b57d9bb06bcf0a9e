//! Everything that the model promises, held against what is stored: one pass over the versions, one over the commits
//! (`history::audit`), then names and replies. It only reads.

use redb::{ReadOnlyTable, ReadableTable, ReadableTableMetadata};
use roaring::RoaringBitmap;

use super::index::Entry;
use super::store::{Store, commit_row, living_id, replay};
use super::tables::{
    self, COMMIT_IDS, COMMITS, CommitRow, ERASED, FEEDBACK, META, Meta, NAMES, OPS, PENDING, Reply, STATES, Snapshot,
    TOUCHES, VERSIONS, VersionRow, WIDE, every_name,
};
use super::view::View;
use crate::engine::history::audit::{self, Census, Checking, Rows, Stored};
use crate::error::{Error, Result};
use crate::model::{Check, MemoryId};

pub fn verify(store: &Store) -> Result<Vec<Check>> {
    let view = store.view()?;
    let truth = &view.truth;
    let (mut checks, census) = versions(store, truth)?;
    checks.extend(audit::commits(&view, &census)?.0);
    checks.push(names(store, truth)?);
    checks.push(replies(truth)?);
    checks.push(feedback(store, truth)?);
    checks.push(vectors(store)?);
    Ok(checks)
}

/// What is left to say when the checking itself could not go on.
pub fn unreadable(error: &Error) -> Check {
    let why = error.message.trim_end_matches('.');
    let problems = vec![format!("{why}. Run `memoria repair`, which keeps what can still be read.")];
    Check { promise: "Every page of the store can be read.".to_owned(), checked: 1, problems }
}

fn versions(store: &Store, truth: &Snapshot) -> Result<(Vec<Check>, Census)> {
    let mut rows = Checking::of("Every version can be read, and belongs to the memory that its number says.");
    let mut gone = Checking::of("Exactly the versions that were erased have no bytes, and none is left half erased.");
    let mut derived = Checking::of("Look-ups, words and columns are those of the stored versions.");
    let meta = truth.open(META)?.get(())?.map(|meta| Meta::decode(meta.value())).transpose()?;
    let audit = derived.read(|| "the index".to_owned(), store.index.audit());
    let table = truth.open(VERSIONS)?;
    let (mut census, mut erased) = (Census::default(), RoaringBitmap::new());
    let (mut next, end) = (0, store.next_vid(&table)?);
    for row in table.iter()? {
        let (vid, bytes) = row?;
        let vid = vid.value();
        rows.check.checked += 1;
        if !(next..end).contains(&vid) {
            rows.problem(format!("version {vid} stands where no version of that number can be"));
            continue;
        }
        next = vid + 1;
        let what = || format!("version {vid}");
        let Some(row) = rows.read(what, VersionRow::decode(bytes.value())) else { continue };
        let Some(entry) = rows.read(what, entry_of(&row)) else { continue };
        if let Entry::Erased { .. } = entry {
            erased.insert(vid);
        }
        let (id, _, first) = entry.place();
        let belongs = first == vid || (first < vid && is_first_of(&table, first, id)?);
        rows.claim(belongs, || format!("version {vid} is not of the memory that begins at version {first}"));
        census.add(vid, row.terms(), row.first());
        if let Some(audit) = &audit {
            derived.check.checked += 1;
            derived.claim(audit.agrees(vid, &entry), || format!("version {vid} is indexed otherwise than it reads"));
        }
    }
    let stored = truth.open(ERASED)?.get(())?.map(|row| tables::bitmap(row.value())).transpose()?.unwrap_or_default();
    gone.check.checked += 1 + stored.len();
    let stray = stored ^ &erased;
    gone.claim(stray.is_empty(), || format!("{} versions are erased in part, first {:?}", stray.len(), stray.min()));
    let is_scrubbed = meta.is_some_and(|meta| !meta.scrub);
    gone.claim(is_scrubbed, || "an erasure is not finished: its bytes may still be in the file".to_owned());
    Ok((vec![rows.done(), gone.done(), derived.done()], census))
}

fn entry_of(row: &VersionRow) -> Result<Entry> {
    Ok(match row.memory()? {
        Some(memory) => Entry::whole(memory, row.id(), row.first()),
        None => Entry::Erased { id: row.memory_id()?, version: row.id(), first: row.first() },
    })
}

/// A first version may have been forgotten by compaction; its number stays the memory's.
fn is_first_of(table: &ReadOnlyTable<u32, &'static [u8]>, first: u32, id: MemoryId) -> Result<bool> {
    let Some(row) = table.get(first)? else { return Ok(true) };
    let row = VersionRow::decode(row.value());
    Ok(row.is_ok_and(|row| row.first() == first && row.memory_id().is_ok_and(|known| known == id)))
}

fn names(store: &Store, truth: &Snapshot) -> Result<Check> {
    let mut names = Checking::of("Every name, every move of it and every merge in progress leads to a commit.");
    let (commits, states, moves) = (truth.open(COMMITS)?, truth.open(STATES)?, truth.open(NAMES)?);
    let heads = store.heads().clone();
    for entry in moves.iter()? {
        let (key, row) = entry?;
        names.check.checked += 1;
        let decoded = tables::move_of(key.value(), row.value());
        let Some((name, step)) = names.read(|| "a move of a name".to_owned(), decoded) else { continue };
        let number = step.standing.number;
        let is_there = commits.get(number)?.is_some();
        names.claim(is_there, || format!("a move of `{name}` leads to commit {number}, which is missing"));
    }
    let every = every_name(&moves);
    for (name, last) in names.read(|| "the names".to_owned(), every).unwrap_or_default() {
        if !last.is_living() {
            continue;
        }
        let (what, number) = (|| format!("`{name}`"), last.standing.number);
        let Some(row) = names.read(what, commit_row(&commits, number)) else { continue };
        let Some(state) = names.read(what, replay(&commits, &states, number)) else { continue };
        // A head that has moved on since the snapshot was taken is another one's to compare.
        if let Some(head) = heads.get(&name).filter(|head| head.number == number) {
            let is_same = head.id == row.id() && *store.state(truth, number)?.raw == state;
            names.claim(is_same, || format!("`{name}` is served otherwise than it is stored"));
        }
    }
    let commit_ids = truth.open(COMMIT_IDS)?;
    for entry in truth.open(PENDING)?.iter()? {
        let (branch, row) = entry?;
        names.check.checked += 1;
        let what = || format!("the merge in progress on `{}`", branch.value());
        let Some(pending) = names.read(what, tables::pending(row.value())) else { continue };
        let is_there = commit_ids.get(&pending.theirs.0)?.is_some();
        names.claim(is_there, || format!("{} is of commit {}, which is missing", what(), pending.theirs));
    }
    Ok(names.done())
}

/// Of versions that came meanwhile too, which is why truth is looked at anew.
fn vectors(store: &Store) -> Result<Check> {
    let mut vectors = Checking::of("Every vector is whole, and of the version where it stands.");
    let mut problems = Vec::new();
    let versions = store.snapshot()?.open(VERSIONS)?;
    let living = |vid: u32| match living_id(&versions, vid)? {
        Some(id) => Ok(Some(id)),
        None => living_id(&store.snapshot()?.open(VERSIONS)?, vid),
    };
    let checked = store.vectors.audit(&living, |what| problems.push(what))?;
    vectors.check.checked = checked;
    problems.into_iter().for_each(|what| vectors.problem(what));
    Ok(vectors.done())
}

/// What a reply speaks of may have been compacted away since; it is still the answer that was given.
fn replies(truth: &Snapshot) -> Result<Check> {
    let mut replies = Checking::of("Every remembered operation can be answered again.");
    for entry in truth.open(OPS)?.iter()? {
        replies.check.checked += 1;
        replies.read(|| "a stored reply".to_owned(), Reply::decode(entry?.1.value()));
    }
    Ok(replies.done())
}

fn feedback(store: &Store, truth: &Snapshot) -> Result<Check> {
    let mut feedback = Checking::of(audit::FEEDBACK);
    let Some(rows) = truth.open_if_there(FEEDBACK)? else { return Ok(feedback.done()) };
    for entry in rows.iter()? {
        let (memory, row) = entry?;
        let memory = MemoryId(*memory.value());
        feedback.check.checked += 1;
        let what = || format!("what was said of memory {memory}");
        feedback.read(what, tables::feedback(row.value()));
        let is_there = store.index.vids_of(&memory).is_ok_and(|vids| !vids.is_empty());
        feedback.claim(is_there, || format!("memory {memory} was rated, and is not there"));
    }
    Ok(feedback.done())
}

impl Stored for View<'_> {
    fn keyframe(&self, number: u32) -> Result<Option<RoaringBitmap>> {
        self.truth.open(STATES)?.get(number)?.map(|row| tables::bitmap(row.value())).transpose()
    }

    fn every_commit(&self, mut see: impl FnMut(u32, Result<CommitRow>) -> Result<()>) -> Result<()> {
        for entry in self.truth.open(COMMITS)?.iter()? {
            let (number, row) = entry?;
            see(number.value(), CommitRow::decode(row.value()))?;
        }
        Ok(())
    }

    fn every_touch(&self, mut see: impl FnMut(u32, u32)) -> Result<()> {
        for entry in self.truth.open(TOUCHES)?.iter()? {
            let touch = entry?.0.value();
            see((touch >> 32) as u32, touch as u32);
        }
        Ok(())
    }

    fn counts(&self) -> Result<Rows> {
        let (ids, wide) = (self.truth.open(COMMIT_IDS)?.len()?, self.truth.open(WIDE)?.len()?);
        Ok(Rows { ids, wide, keyframes: self.truth.open(STATES)?.len()? })
    }
}
