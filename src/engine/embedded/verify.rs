//! Everything that the model promises, held against what is stored: one pass over the versions, one over the
//! commits with the state that each of them makes, then names and replies. It only reads.

use redb::{ReadOnlyTable, ReadableTable, ReadableTableMetadata};
use roaring::RoaringBitmap;

use super::index::{Entry, text_key};
use super::read::{delta_of, version_id};
use super::store::{Store, commit_row, replay};
use super::tables::{
    self, Body, COMMIT_IDS, COMMITS, CommitRow, Delta, KEYFRAME_CHANGES, OLD_MEMORIES, OLD_MOVES, OLD_NAMES, OLD_TEXTS,
    OLD_TOUCHES, OLD_VERSION_IDS, OPS, Reply, STATES, Snapshot, VERSIONS, VersionRow, WIDE, pair, unpair,
};
use super::writer::{place_after, stood_at};
use crate::error::{Error, Result};
use crate::model::{Check, Commit, Memory, MemoryId, Name, Time, VersionId};

const PROBLEMS_SHOWN_MAX: usize = 20;

pub fn verify(store: &Store) -> Result<Vec<Check>> {
    let truth = store.snapshot()?;
    let (mut checks, census) = versions(store, &truth)?;
    checks.extend(commits(&truth, &census)?);
    checks.push(names(store, &truth)?);
    checks.push(replies(&truth)?);
    Ok(checks)
}

/// What is left to say when the checking itself could not go on.
pub fn unreadable(error: &Error) -> Check {
    let why = error.message.trim_end_matches('.');
    let problems = vec![format!("{why}. Restore the store from a backup; what can still be read, `list` shows.")];
    Check { promise: "Every page of the store can be read.".to_owned(), checked: 1, problems }
}

/// A promise while it is being checked.
struct Checking {
    check: Check,
    more: u64,
}

impl Checking {
    fn of(promise: &str) -> Self {
        Self { check: Check { promise: promise.to_owned(), checked: 0, problems: Vec::new() }, more: 0 }
    }

    fn problem(&mut self, what: String) {
        if self.check.problems.len() < PROBLEMS_SHOWN_MAX {
            self.check.problems.push(what);
        } else {
            self.more += 1;
        }
    }

    fn claim(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.problem(otherwise());
        }
    }

    /// What cannot be read is a problem of what is being checked, and the rest is checked all the same.
    fn read<T>(&mut self, what: impl FnOnce() -> String, read: Result<T>) -> Option<T> {
        read.map_err(|error| self.problem(format!("{}: {error}", what()))).ok()
    }

    fn done(mut self) -> Check {
        if self.more > 0 {
            self.check.problems.push(format!("… and {} more", self.more));
        }
        self.check
    }
}

/// Facts about every version, gathered once.
struct Census {
    /// Length in terms, by vid.
    terms: Vec<u32>,
    /// Which memory each vid belongs to, as a place in `memories`.
    memory_of: Vec<u32>,
    memories: Vec<MemoryId>,
    /// The vids of memory `n` are `vids[first[n]..first[n + 1]]`.
    vids: Vec<u32>,
    first: Vec<u32>,
}

impl Census {
    fn memory(&self, vid: u32) -> Option<MemoryId> {
        self.memories.get(*self.memory_of.get(vid as usize)? as usize).copied()
    }

    /// All versions of the memory that this version belongs to.
    fn siblings(&self, vid: u32) -> &[u32] {
        let Some(memory) = self.memory_of.get(vid as usize).map(|memory| *memory as usize) else { return &[] };
        let range = |from: usize, to: usize| Some(*self.first.get(from)? as usize..*self.first.get(to)? as usize);
        range(memory, memory + 1).and_then(|range| self.vids.get(range)).unwrap_or_default()
    }

    fn terms_of(&self, vids: &RoaringBitmap) -> u64 {
        vids.iter().filter_map(|vid| self.terms.get(vid as usize)).map(|terms| u64::from(*terms)).sum()
    }
}

fn versions(store: &Store, truth: &Snapshot) -> Result<(Vec<Check>, Census)> {
    let mut hashes = Checking::of("Every version's bytes hash to its id, and version numbers have no gaps.");
    let mut lookups = Checking::of("Look-ups by version id, memory and text agree with the versions.");
    let mut derived = Checking::of("Words and columns for search are those of the stored texts.");
    let (version_ids, memories, texts) =
        (truth.open(OLD_VERSION_IDS)?, truth.open(OLD_MEMORIES)?, truth.open(OLD_TEXTS)?);
    let audit = derived.read(|| "the index".to_owned(), store.index.audit());
    let mut terms = Vec::new();
    for row in truth.open(VERSIONS)?.iter()? {
        let (vid, bytes) = row?;
        let vid = vid.value();
        hashes.check.checked += 1;
        hashes.claim(vid as usize == terms.len(), || format!("version {vid} follows version {}", terms.len()));
        terms.resize(vid as usize, 0);
        let Some((row, memory)) = hashes.read(|| format!("version {vid}"), whole(bytes.value())) else {
            terms.push(0);
            continue;
        };
        terms.push(row.terms());
        let is_found = version_ids.get(&row.id().0)?.map(|found| found.value()) == Some(vid);
        hashes.claim(is_found, || format!("version {vid} hashes to {}, which is not its id", row.id()));
        lookups.check.checked += 3;
        let by_memory = memories.get(&pair(&memory.id.0, vid))?.is_some();
        lookups.claim(by_memory, || format!("memory {} does not list version {vid}", memory.id));
        let by_text = texts.get(&pair(&text_key(&memory), vid))?.is_some();
        lookups.claim(by_text, || format!("the text of version {vid} is not found for deduplication"));
        if let Some(audit) = &audit {
            let first = super::tables::numbers_of(&memories, &memory.id.0)?.first().copied().unwrap_or(vid);
            let entry = Entry::whole(memory, row.id(), first);
            derived.check.checked += 1;
            derived.claim(audit.agrees(vid, &entry), || format!("version {vid} is indexed otherwise than it reads"));
        }
    }
    for (name, len) in [("version_ids", version_ids.len()?), ("memories", memories.len()?), ("texts", texts.len()?)] {
        let count = terms.len() as u64;
        lookups.claim(len == count, || format!("table {name} has {len} rows for {count} versions"));
    }
    let census = census(&memories, terms)?;
    Ok((vec![hashes.done(), lookups.done(), derived.done()], census))
}

fn whole(bytes: &[u8]) -> Result<(VersionRow<'_>, Memory)> {
    let row = VersionRow::decode(bytes)?;
    let memory = row.memory()?.ok_or_else(|| tables::damaged("a version was erased"))?;
    Ok((row, memory))
}

fn census(table: &ReadOnlyTable<&'static [u8; 20], ()>, terms: Vec<u32>) -> Result<Census> {
    let memory_of = vec![u32::MAX; terms.len()];
    let mut census = Census { terms, memory_of, memories: Vec::new(), vids: Vec::new(), first: vec![] };
    for row in table.iter()? {
        let (memory, vid) = unpair(row?.0.value());
        if census.memories.last() != Some(&MemoryId(memory)) {
            census.memories.push(MemoryId(memory));
            census.first.push(census.vids.len() as u32);
        }
        if let Some(slot) = census.memory_of.get_mut(vid as usize) {
            *slot = census.memories.len() as u32 - 1;
        }
        census.vids.push(vid);
    }
    census.first.push(census.vids.len() as u32);
    Ok(census)
}

/// The checks of one commit after another, with the state that each makes.
struct Walk<'a> {
    truth: &'a Snapshot,
    census: &'a Census,
    commits: ReadOnlyTable<u32, &'static [u8]>,
    hashes: Checking,
    states: Checking,
    keyframes: Checking,
    touches: Checking,
    /// The state of the commit before, and its number.
    running: (u32, RoaringBitmap),
    rows: Rows,
}

/// How many rows the commits call for, to find rows that none of them calls for.
#[derive(Default)]
struct Rows {
    touches: u64,
    wide: u64,
    keyframes: u64,
}

fn commits(truth: &Snapshot, census: &Census) -> Result<Vec<Check>> {
    let mut walk = Walk {
        truth,
        census,
        commits: truth.open(COMMITS)?,
        hashes: Checking::of("Every commit hashes to its id, and its parents exist."),
        states: Checking::of("Every state has at most one version of a memory, and its counts are right."),
        keyframes: Checking::of("Every stored state equals the one that the commits make."),
        touches: Checking::of("The history of every memory names the commits that changed it."),
        running: (u32::MAX, RoaringBitmap::new()),
        rows: Rows::default(),
    };
    let mut count = 0u64;
    for entry in truth.open(COMMITS)?.iter()? {
        let (number, bytes) = entry?;
        let number = number.value();
        walk.hashes.check.checked += 1;
        walk.hashes.claim(u64::from(number) == count, || format!("commit {number} follows commit {count}"));
        count = u64::from(number) + 1;
        let row = walk.hashes.read(|| format!("commit {number}"), CommitRow::decode(bytes.value()));
        if let Some(row) = row
            && let Err(error) = walk.commit(number, &row)
        {
            walk.hashes.problem(format!("commit {number}: {error}"));
        }
    }
    let (ids, touches) = (truth.open(COMMIT_IDS)?.len()?, truth.open(OLD_TOUCHES)?.len()?);
    let (wide, keyframes, rows) = (truth.open(WIDE)?.len()?, truth.open(STATES)?.len()?, walk.rows);
    walk.hashes.claim(ids == count, || format!("{ids} commit ids are known for {count} commits"));
    walk.hashes.claim(wide == rows.wide, || format!("{wide} wide changes are stored for {} commits", rows.wide));
    let stray = keyframes.abs_diff(rows.keyframes);
    walk.keyframes.claim(stray == 0, || format!("{stray} stored states belong to no commit, or are missing"));
    let stray = touches.abs_diff(rows.touches);
    walk.touches.claim(stray == 0, || format!("{stray} rows name a commit that did not change the memory"));
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
        self.state(number, row, &delta, parent)?;
        self.history(number, row, &delta)
    }

    fn hash(&mut self, number: u32, row: &CommitRow, commit: &Commit, delta: &Delta) -> Result<()> {
        let versions = self.truth.open(VERSIONS)?;
        let ids = |vids: &RoaringBitmap| -> Result<Vec<VersionId>> {
            let mut ids = vids.iter().map(|vid| version_id(&versions, vid)).collect::<Result<Vec<_>>>()?;
            ids.sort_unstable();
            Ok(ids)
        };
        let (added, removed) = (ids(&delta.added)?, ids(&delta.removed)?);
        let is_wide = matches!(row.body, Body::Wide { .. });
        self.rows.wide += u64::from(is_wide);
        let whole = Commit { added, removed, ..commit.clone() };
        let is_same = is_wide || (whole.added == commit.added && whole.removed == commit.removed);
        self.hashes.claim(is_same, || format!("commit {number} names other versions than it changed"));
        let id = whole.id();
        self.hashes.claim(id == row.id(), || format!("commit {number} hashes to {id}, which is not its id"));
        let commit_ids = self.truth.open(COMMIT_IDS)?;
        let is_known = commit_ids.get(&id.0)?.map(|known| known.value()) == Some(number);
        self.hashes.claim(is_known, || format!("commit {id} is not found by its id"));
        let parents: Vec<u32> = row.place.parents.into_iter().flatten().collect();
        let named = commit.parents.iter().map(|parent| Ok(commit_ids.get(&parent.0)?.map(|number| number.value())));
        let named = named.collect::<Result<Vec<_>>>()?;
        let is_same = named == parents.iter().copied().map(Some).collect::<Vec<_>>();
        let is_older = parents.iter().all(|parent| *parent < number);
        self.hashes.claim(is_same && is_older, || format!("commit {number} has parents that do not exist before it"));
        Ok(())
    }

    fn state(&mut self, number: u32, row: &CommitRow, delta: &Delta, parent: Option<(u32, CommitRow)>) -> Result<()> {
        let mut state = match &parent {
            None => RoaringBitmap::new(),
            Some((parent, _)) if *parent == self.running.0 => std::mem::take(&mut self.running.1),
            Some((parent, _)) => replay(self.truth, *parent)?,
        };
        self.states.check.checked += 1;
        self.states.claim(delta.removed.is_subset(&state), || format!("commit {number} removes what was not there"));
        self.states.claim(delta.added.is_disjoint(&state), || format!("commit {number} adds what was there"));
        delta.apply_to(&mut state);
        for vid in &delta.added {
            let live = self.census.siblings(vid).iter().filter(|sibling| state.contains(**sibling)).count();
            self.states.claim(live == 1, || format!("commit {number} leaves {live} versions of one memory live"));
        }
        let before = parent.as_ref().map_or(0, |(_, row)| row.tokens);
        let tokens = (before + self.census.terms_of(&delta.added)).checked_sub(self.census.terms_of(&delta.removed));
        let is_right = u64::from(row.live) == state.len() && Some(row.tokens) == tokens;
        self.states.claim(is_right, || format!("commit {number} counts {} memories of {}", row.live, state.len()));
        if let Some((parent, parent_row)) = &parent {
            let is_placed =
                place_after(&self.commits, *parent, parent_row.place)? == row.place || row.place.parents[1].is_some();
            self.states.claim(is_placed, || format!("commit {number} is misplaced in its history"));
        }
        self.keyframe(number, row, delta, parent.map_or(0, |(_, row)| row.since_keyframe), &state)?;
        self.running = (number, state);
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
        let stored = self.truth.open(STATES)?.get(number)?.map(|row| tables::bitmap(row.value())).transpose()?;
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
        let changed = (&delta.added | &delta.removed).into_iter().map(|vid| self.census.memory(vid));
        let mut changed: Vec<Option<MemoryId>> = changed.collect();
        changed.sort_unstable();
        changed.dedup();
        let table = self.truth.open(OLD_TOUCHES)?;
        for memory in changed {
            let Some(memory) = memory else {
                self.touches.problem(format!("commit {number} changes a version of no memory"));
                continue;
            };
            self.rows.touches += 1;
            self.touches.check.checked += 1;
            let is_there = table.get(&pair(&memory.0, number))?.is_some();
            self.touches.claim(is_there, || format!("the history of memory {memory} misses commit {number}"));
        }
        Ok(())
    }
}

fn names(store: &Store, truth: &Snapshot) -> Result<Check> {
    let mut names = Checking::of("Every name, and every move of its history, leads to a commit; heads are as stored.");
    let (commits, moves, heads) = (truth.open(COMMITS)?, truth.open(OLD_MOVES)?, store.heads());
    for entry in truth.open(OLD_NAMES)?.iter()? {
        let (name, number) = entry?;
        let number = number.value();
        names.check.checked += 1;
        let Some(name) = names.read(|| "a name".to_owned(), name.value().parse::<Name>()) else { continue };
        let what = || format!("branch `{name}`");
        let Some(row) = names.read(what, commit_row(&commits, number)) else { continue };
        let last = stood_at(&moves, &name, Time::MAX)?;
        names.claim(last == Some(number), || format!("branch `{name}` is not where its last move went"));
        let Some(state) = names.read(what, replay(truth, number)) else { continue };
        // A head that has moved on since the snapshot was taken is another one's to compare.
        if let Some(head) = heads.get(&name).filter(|head| head.number == number) {
            let is_same = head.id == row.id() && head.tokens == row.tokens && *head.state == state;
            names.claim(is_same, || format!("branch `{name}` is served otherwise than it is stored"));
        }
    }
    for entry in moves.iter()? {
        let (key, number) = entry?;
        names.check.checked += 1;
        names.read(|| "a move".to_owned(), tables::old_move_time(key.value()));
        let number = number.value();
        names.claim(commits.get(number)?.is_some(), || format!("a move leads to commit {number}, which is missing"));
    }
    Ok(names.done())
}

fn replies(truth: &Snapshot) -> Result<Check> {
    let mut replies = Checking::of("Every remembered operation can be answered again.");
    let commit_ids = truth.open(COMMIT_IDS)?;
    for entry in truth.open(OPS)?.iter()? {
        replies.check.checked += 1;
        let reply = Reply::decode(entry?.1.value());
        if let Some(Reply::Kept { applied, .. }) = replies.read(|| "a stored reply".to_owned(), reply)
            && let Some(commit) = applied.commit
        {
            let is_there = commit_ids.get(&commit.0)?.is_some();
            replies.claim(is_there, || format!("an operation's commit {commit} is missing"));
        }
    }
    Ok(replies.done())
}
