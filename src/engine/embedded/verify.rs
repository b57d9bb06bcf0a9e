//! Everything that the model promises, held against what is stored: one pass over the versions, one over the
//! commits with the state that each of them makes, then names and replies. It only reads, and remembers of a version
//! eight bytes.

use std::collections::VecDeque;

use redb::{ReadOnlyTable, ReadableTable, ReadableTableMetadata};
use roaring::RoaringBitmap;

use super::index::Entry;
use super::read::{delta_of, version_id};
use super::store::{Store, commit_row, living_id, replay};
use super::tables::{
    self, Body, COMMIT_IDS, COMMITS, CommitRow, Delta, ERASED, KEYFRAME_CHANGES, META, Meta, NAMES, OPS, PENDING,
    Reply, STATES, Snapshot, Stood, TOUCHES, VERSIONS, VersionRow, WIDE, every_name, touch,
};
use crate::engine::history::graph::place_after;
use crate::error::{Error, Result};
use crate::model::{Check, Commit, MemoryId, VersionId};

const PROBLEMS_SHOWN_MAX: usize = 20;
/// States of commits that may yet be built upon: as many branches are walked without replaying anything.
const STATES_HELD_MAX: usize = 32;

pub fn verify(store: &Store) -> Result<Vec<Check>> {
    let truth = store.snapshot()?;
    let (mut checks, census) = versions(store, &truth)?;
    checks.extend(commits(&truth, &census)?);
    checks.push(names(store, &truth)?);
    checks.push(replies(&truth)?);
    checks.push(vectors(store)?);
    Ok(checks)
}

/// What is left to say when the checking itself could not go on.
pub fn unreadable(error: &Error) -> Check {
    let why = error.message.trim_end_matches('.');
    let problems = vec![format!("{why}. Run `memoria repair`, which keeps what can still be read.")];
    Check { promise: "Every page of the store can be read.".to_owned(), checked: 1, problems }
}

/// A promise while it is being checked.
pub struct Checking {
    pub check: Check,
    more: u64,
}

impl Checking {
    pub fn of(promise: &str) -> Self {
        Self { check: Check { promise: promise.to_owned(), checked: 0, problems: Vec::new() }, more: 0 }
    }

    pub fn problem(&mut self, what: String) {
        if self.check.problems.len() < PROBLEMS_SHOWN_MAX {
            self.check.problems.push(what);
        } else {
            self.more += 1;
        }
    }

    pub fn claim(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.problem(otherwise());
        }
    }

    /// What cannot be read is a problem of what is being checked, and the rest is checked all the same.
    pub fn read<T>(&mut self, what: impl FnOnce() -> String, read: Result<T>) -> Option<T> {
        read.map_err(|error| self.problem(format!("{}: {error}", what()))).ok()
    }

    pub fn done(mut self) -> Check {
        if self.more > 0 {
            self.check.problems.push(format!("… and {} more", self.more));
        }
        self.check
    }
}

/// Facts about every version, gathered once, by vid.
#[derive(Default)]
struct Census {
    /// Length in terms.
    terms: Vec<u32>,
    /// The number of its memory.
    first: Vec<u32>,
    /// The versions that there are.
    known: RoaringBitmap,
}

impl Census {
    fn memory(&self, vid: u32) -> Option<u32> {
        self.known.contains(vid).then(|| self.first[vid as usize])
    }

    fn terms_of(&self, vids: &RoaringBitmap) -> u64 {
        vids.iter().filter_map(|vid| self.terms.get(vid as usize)).map(|terms| u64::from(*terms)).sum()
    }

    /// The memories of these versions, each once.
    fn memories(&self, vids: &RoaringBitmap) -> RoaringBitmap {
        vids.iter().filter_map(|vid| self.memory(vid)).collect()
    }
}

fn versions(store: &Store, truth: &Snapshot) -> Result<(Vec<Check>, Census)> {
    let mut rows = Checking::of("Every version can be read, and belongs to the memory that its number says.");
    let mut gone = Checking::of("Exactly the versions that were erased have no bytes, and none is left half erased.");
    let mut derived = Checking::of("Look-ups, words and columns are those of the stored versions.");
    let meta = truth.open(META)?.get(())?.map(|meta| Meta::decode(meta.value())).transpose()?;
    let audit = derived.read(|| "the index".to_owned(), store.index.audit());
    let table = truth.open(VERSIONS)?;
    let (mut census, mut erased) = (Census::default(), RoaringBitmap::new());
    for row in table.iter()? {
        let (vid, bytes) = row?;
        let vid = vid.value();
        rows.check.checked += 1;
        let what = || format!("version {vid}");
        let Some(row) = rows.read(what, VersionRow::decode(bytes.value())) else { continue };
        let Some(entry) = rows.read(what, entry_of(&row)) else { continue };
        if let Entry::Erased { .. } = entry {
            erased.insert(vid);
        }
        let (id, _, first) = entry.place();
        let belongs = first == vid || (first < vid && is_first_of(&table, first, id)?);
        rows.claim(belongs, || format!("version {vid} is not of the memory that begins at version {first}"));
        census.terms.resize(vid as usize, 0);
        census.first.resize(vid as usize, 0);
        census.terms.push(row.terms());
        census.first.push(row.first());
        census.known.insert(vid);
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

/// A commit's state, and the memories in it.
#[derive(Clone, Default)]
struct State {
    vids: RoaringBitmap,
    memories: RoaringBitmap,
}

/// The checks of one commit after another, with the state that each makes.
struct Walk<'a> {
    truth: &'a Snapshot,
    census: &'a Census,
    commits: ReadOnlyTable<u32, &'static [u8]>,
    versions: ReadOnlyTable<u32, &'static [u8]>,
    commit_ids: ReadOnlyTable<&'static [u8; 32], u32>,
    stored: ReadOnlyTable<u32, &'static [u8]>,
    touched: ReadOnlyTable<u64, ()>,
    hashes: Checking,
    states: Checking,
    keyframes: Checking,
    touches: Checking,
    /// Of the commits walked last, newest last.
    held: VecDeque<(u32, State)>,
    /// Every version that some commit adds.
    added: RoaringBitmap,
    rows: Rows,
}

/// How many rows the commits call for, to find rows that none of them calls for.
#[derive(Default)]
struct Rows {
    commits: u64,
    touches: u64,
    wide: u64,
    keyframes: u64,
}

fn commits(truth: &Snapshot, census: &Census) -> Result<Vec<Check>> {
    let mut walk = Walk {
        truth,
        census,
        commits: truth.open(COMMITS)?,
        versions: truth.open(VERSIONS)?,
        commit_ids: truth.open(COMMIT_IDS)?,
        stored: truth.open(STATES)?,
        touched: truth.open(TOUCHES)?,
        hashes: Checking::of("Every commit and every version hashes to its id, and parents come before children."),
        states: Checking::of("Every state has at most one version of a memory, and its counts are right."),
        keyframes: Checking::of("Every stored state equals the one that the commits make."),
        touches: Checking::of("The history of every memory names the commits that changed it."),
        held: VecDeque::new(),
        added: RoaringBitmap::new(),
        rows: Rows::default(),
    };
    for entry in truth.open(COMMITS)?.iter()? {
        let (number, bytes) = entry?;
        let number = number.value();
        walk.rows.commits += 1;
        walk.hashes.check.checked += 1;
        let row = walk.hashes.read(|| format!("commit {number}"), CommitRow::decode(bytes.value()));
        if let Some(row) = row
            && let Err(error) = walk.commit(number, &row)
        {
            walk.hashes.problem(format!("commit {number}: {error}"));
        }
    }
    walk.strays(truth)?;
    Ok([walk.hashes, walk.states, walk.keyframes, walk.touches].map(Checking::done).into())
}

impl Walk<'_> {
    fn commit(&mut self, number: u32, row: &CommitRow) -> Result<()> {
        let commit = row.bare()?;
        let delta = delta_of(self.truth, number, row)?;
        self.hash(number, row, &commit, &delta)?;
        let parent = match row.place.parents[0] {
            Some(parent) => Some((parent, commit_row(&self.commits, parent)?)),
            None => None,
        };
        self.history(number, row, &delta)?;
        self.state(number, row, &delta, parent)
    }

    fn hash(&mut self, number: u32, row: &CommitRow, commit: &Commit, delta: &Delta) -> Result<()> {
        let ids = |vids: &RoaringBitmap| -> Result<Vec<VersionId>> {
            let mut ids = vids.iter().map(|vid| version_id(&self.versions, vid)).collect::<Result<Vec<_>>>()?;
            ids.sort_unstable();
            Ok(ids)
        };
        let (added, removed) = (ids(&delta.added)?, ids(&delta.removed)?);
        let is_wide = matches!(row.body, Body::Wide { .. });
        self.rows.wide += u64::from(is_wide);
        self.added |= &delta.added;
        let whole = Commit { added, removed, ..commit.clone() };
        let is_same = is_wide || (whole.added == commit.added && whole.removed == commit.removed);
        self.hashes.claim(is_same, || format!("commit {number} names other versions than it changed"));
        let id = whole.id();
        self.hashes.claim(id == row.id(), || format!("commit {number} hashes to {id}, which is not its id"));
        let is_known = self.commit_ids.get(&id.0)?.map(|known| known.value()) == Some(number);
        self.hashes.claim(is_known, || format!("commit {id} is not found by its id"));
        let parents: Vec<u32> = row.place.parents.into_iter().flatten().collect();
        let named = commit.parents.iter().map(|parent| Ok(self.commit_ids.get(&parent.0)?.map(|known| known.value())));
        let named = named.collect::<Result<Vec<_>>>()?;
        let is_same = named == parents.iter().copied().map(Some).collect::<Vec<_>>();
        let is_older = parents.iter().all(|parent| *parent < number);
        self.hashes.claim(is_same && is_older, || format!("commit {number} has parents that do not exist before it"));
        Ok(())
    }

    /// Nobody else builds on a parent's state most of the time: then it is changed in place.
    fn state_of(&mut self, parent: Option<u32>) -> Result<State> {
        let Some(parent) = parent else { return Ok(State::default()) };
        if let Some(at) = self.held.iter().position(|(number, _)| *number == parent)
            && let Some((_, state)) = self.held.remove(at)
        {
            return Ok(state);
        }
        let vids = replay(&self.commits, &self.stored, parent)?;
        Ok(State { memories: self.census.memories(&vids), vids })
    }

    fn state(&mut self, number: u32, row: &CommitRow, delta: &Delta, parent: Option<(u32, CommitRow)>) -> Result<()> {
        let mut state = self.state_of(parent.as_ref().map(|(parent, _)| *parent))?;
        self.states.check.checked += 1;
        self.states
            .claim(delta.removed.is_subset(&state.vids), || format!("commit {number} removes what was not there"));
        self.states.claim(delta.added.is_disjoint(&state.vids), || format!("commit {number} adds what was there"));
        delta.apply_to(&mut state.vids);
        state.memories -= self.census.memories(&delta.removed);
        for memory in delta.added.iter().filter_map(|vid| self.census.memory(vid)) {
            let is_one = state.memories.insert(memory);
            self.states.claim(is_one, || format!("commit {number} leaves several versions of memory {memory} live"));
        }
        let before = parent.as_ref().map_or(0, |(_, row)| row.tokens);
        let tokens = (before + self.census.terms_of(&delta.added)).checked_sub(self.census.terms_of(&delta.removed));
        let is_right = u64::from(row.live) == state.vids.len() && Some(row.tokens) == tokens;
        self.states.claim(is_right, || {
            format!("commit {number} counts {} memories of {}, or miscounts their words", row.live, state.vids.len())
        });
        if let Some((parent, parent_row)) = &parent {
            let place = place_after(&Stood(&self.commits), *parent, parent_row.place)?;
            let is_placed = (place.depth, place.jump) == (row.place.depth, row.place.jump);
            self.states.claim(is_placed, || format!("commit {number} is misplaced in its history"));
        }
        self.keyframe(number, row, delta, parent.map_or(0, |(_, row)| row.since_keyframe), &state.vids)?;
        self.held.push_back((number, state));
        if self.held.len() > STATES_HELD_MAX {
            self.held.pop_front();
        }
        Ok(())
    }

    fn keyframe(
        &mut self,
        number: u32,
        row: &CommitRow,
        delta: &Delta,
        since: u32,
        state: &RoaringBitmap,
    ) -> Result<()> {
        let since = u64::from(since) + delta.len();
        let is_due = number == 0 || since > u64::from(KEYFRAME_CHANGES);
        let expected = if is_due { 0 } else { since };
        let is_counted = u64::from(row.since_keyframe) == expected;
        self.keyframes.claim(is_counted, || format!("commit {number} miscounts the changes since a stored state"));
        self.rows.keyframes += u64::from(is_due);
        let stored = self.stored.get(number)?.map(|row| tables::bitmap(row.value())).transpose();
        let Some(stored) = self.keyframes.read(|| format!("the stored state of commit {number}"), stored) else {
            return Ok(());
        };
        self.keyframes.check.checked += u64::from(stored.is_some());
        self.keyframes.claim(stored.is_some() == is_due, || format!("a state is stored in the wrong place: {number}"));
        let is_equal = stored.is_none_or(|stored| stored == *state);
        self.keyframes.claim(is_equal, || format!("the stored state of commit {number} is another"));
        Ok(())
    }

    fn history(&mut self, number: u32, row: &CommitRow, delta: &Delta) -> Result<()> {
        if matches!(row.body, Body::Wide { .. }) {
            return Ok(());
        }
        for memory in self.census.memories(&(&delta.added | &delta.removed)) {
            self.rows.touches += 1;
            self.touches.check.checked += 1;
            let is_there = self.touched.get(touch(memory, number))?.is_some();
            self.touches.claim(is_there, || format!("the history of memory {memory} misses commit {number}"));
        }
        Ok(())
    }

    /// Rows that no commit calls for.
    fn strays(&mut self, truth: &Snapshot) -> Result<()> {
        let Rows { commits, touches, wide, keyframes } = self.rows;
        let ids = self.commit_ids.len()?;
        self.hashes.claim(ids == commits, || format!("{ids} commit ids are known for {commits} commits"));
        let stored = truth.open(WIDE)?.len()?;
        self.hashes.claim(stored == wide, || format!("{stored} wide changes are stored for {wide} commits"));
        let stray = &self.census.known - &self.added;
        self.hashes
            .claim(stray.is_empty(), || format!("{} versions are in no commit, first {:?}", stray.len(), stray.min()));
        let stray = self.stored.len()?.abs_diff(keyframes);
        self.keyframes.claim(stray == 0, || format!("{stray} stored states belong to no commit, or are missing"));
        let stray = self.touched.len()?.abs_diff(touches);
        self.touches.claim(stray == 0, || format!("{stray} rows name a commit that did not change the memory"));
        Ok(())
    }
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
