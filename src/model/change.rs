//! What a caller asks an engine to write, and what the engine says it did.

use serde::{Deserialize, Serialize};

use super::commit::{Author, Verb};
use super::feedback::Rating;
use super::id::{CommitId, MemoryId, OpId, VersionId};
use super::memory::{Memory, Source, Version};
use super::name::{Name, NameChange, Ref};
use super::query::CommitFilter;
use super::time::Time;

/// One transaction and at most one commit: all of it or none. A write that changes nothing (everything equal,
/// everything missing) makes no commit, and is still remembered by its operation id. A merge and an undo are remembered
/// in history too, even where nothing was left for them to change.
#[derive(Clone, Debug)]
pub struct Write {
    pub branch: Name,
    pub author: Author,
    pub verb: Verb,
    pub note: Option<String>,
    pub at: Time,
    pub work: Work,
    /// Becomes a snapshot of the head before, if the write makes a commit; with `-2`, `-3` … behind it where taken.
    pub safety: Option<Name>,
    /// Applied in order, after the commit.
    pub names: Vec<NameChange>,
    /// Words on memories, which belong to their ids and to no branch. For one that is not there, or was erased, the
    /// whole write is `NotFound`.
    pub ratings: Vec<Rating>,
    /// What was said of memories before they come with this write. It counts where the memory is written; of one whose
    /// equal is there already nothing is taken, so that what comes twice counts once.
    pub brought: Vec<Rating>,
    /// What becomes of the branch's merge in progress. A commit of that merge ends it by itself.
    pub progress: Progress,
    /// Opaque to the engine: stored with the reply and given back when the operation comes again, so that
    /// the second answer says what the first one said (what was masked, what is similar).
    pub memo: Vec<u8>,
    /// Operations whose replies have arrived: their stored replies can go.
    pub acknowledged: Vec<OpId>,
}

#[derive(Clone, Debug)]
pub enum Work {
    /// Memories, each with its precondition, on the head of the moment.
    Changes(Vec<Change>),
    /// The state as a whole, worked out on one head and applied only if that is still the head (else worked out anew).
    Plan(Plan),
}

#[derive(Clone, Debug)]
pub enum Change {
    /// A new memory; where the same state holds one of equal text, project, kind and subject, that one stands.
    Store(Memory),
    /// A new version of an existing memory.
    Replace { memory: Memory, expect: Expect },
    /// The memory leaves the state; its history stays.
    Remove { id: MemoryId, expect: Expect },
}

/// A precondition on one memory, judged on the head of the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Whatever version is live; a memory that is not live is reported as [`Outcome::Missing`].
    Live,
    /// That version is the live one, else the whole write fails with `Conflict`.
    Version(VersionId),
}

/// A change of a state that is worked out from history. Erased memories never come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// The state becomes that commit's. The new commit is about it.
    Reset { to: CommitId },
    /// Three-way merge (`merge.rs`) of that commit, which becomes the second parent. Under [`Rule::Fail`] a conflict
    /// without resolution makes no commit and leaves a merge in progress on the branch ([`Pending`]).
    Merge { theirs: CommitId, rule: Rule, resolutions: Vec<Resolution> },
    /// The change from `base` (the merge bases where `None`) to `theirs`, of the memories `only` (of all where
    /// empty), by the same three-way function; no second parent, about `theirs`. Under [`Rule::Fail`] a conflict makes
    /// no commit. Memories named in `only` without a `base` are wanted as they are there, although nobody changed them
    /// there: what is missing here comes, and what says something else here is a conflict.
    Graft { base: Option<CommitId>, theirs: CommitId, only: Vec<MemoryId>, rule: Rule },
    /// What these commits changed is taken back, newest first; the new commit is about them (the first 64). A merge
    /// among [`Selection::Commits`] means all that it brought (against its first parent); under [`Selection::By`] it
    /// means only what it brought that neither parent had.
    Invert { what: Selection, later: Later },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Ancestors of the head, in any order.
    Commits(Vec<CommitId>),
    /// Of all commits that the head reaches, by any parent, those that fit, and of them only changes to or from a
    /// version of this origin.
    By { commits: CommitFilter, origin: Option<OriginFilter> },
}

/// Where a version came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OriginFilter {
    Source(Source),
    /// A tool's or a file's name, as the origin has it.
    Named(String),
}

/// Of a memory whose value is not what the commit made of it, but later work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Later {
    /// It stays, and is listed.
    #[default]
    Keep,
    /// It goes too: the memory becomes what it was before the oldest of the commits that changed it.
    Take,
}

/// Of a conflict that has no resolution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rule {
    #[default]
    Fail,
    Ours,
    Theirs,
}

/// How one conflict is settled, as long as both sides are what they were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    pub id: MemoryId,
    pub ours: Option<VersionId>,
    pub theirs: Option<VersionId>,
    pub choice: Choice,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Choice {
    Base,
    Ours,
    Theirs,
    /// Neither: this.
    Memory(Box<Memory>),
}

/// A merge that waits for its conflicts to be settled; at most one a branch. Other writes go on meanwhile: the merge
/// is worked out anew on the head of the moment whenever it is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    pub theirs: CommitId,
    /// What the merge will say of itself: the note of its commit.
    pub note: Option<String>,
    pub author: Author,
    pub at: Time,
    pub resolutions: Vec<Resolution>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    #[default]
    Keep,
    /// These are added; the last word on a memory counts. `NotFound` without a merge in progress.
    Resolve(Vec<Resolution>),
    /// It ends without a commit. `NotFound` without a merge in progress.
    Abort,
}

/// What came of one change, in the order of the changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Stored {
        id: MemoryId,
        version: VersionId,
    },
    /// Equal text was there already: nothing was written for this change.
    Existing {
        id: MemoryId,
        version: VersionId,
    },
    Replaced {
        id: MemoryId,
        before: VersionId,
        after: VersionId,
    },
    /// The new version equals the live one: nothing was written for this change.
    Unchanged {
        id: MemoryId,
        version: VersionId,
    },
    Removed {
        id: MemoryId,
        version: VersionId,
    },
    Missing {
        id: MemoryId,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// `None` when nothing changed.
    pub commit: Option<CommitId>,
    /// Of [`Work::Changes`]; empty for a plan, and in the replay of a wide write (more than 1,000 changes).
    pub outcomes: Vec<Outcome>,
    /// What it did; of a plan with open conflicts under [`Rule::Fail`], what it would do but for these.
    pub counts: Counts,
    /// Of a merge: what of it had been merged before.
    pub merged: Option<Merged>,
    /// What the write's name changes came to, in their order; the safety snapshot, if one was made, first.
    pub names: Vec<Ref>,
    pub memo: Vec<u8>,
    /// The operation had been applied before: these are the first results.
    pub is_replay: bool,
    /// Nothing was applied yet: the write waits on this machine for a server that is away.
    pub waits: Option<Box<Waits>>,
}

/// A new memory that waits on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    /// Its place in the row, from 1.
    pub number: u32,
    pub memory: Memory,
}

/// Memories, by what happens to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub added: u32,
    pub changed: u32,
    pub removed: u32,
    pub conflicts: u32,
    /// Left as they are, being somebody's later work.
    pub kept: u32,
}

impl Counts {
    /// Memories that become something else.
    pub fn moved(&self) -> u32 {
        self.added + self.changed + self.removed
    }
}

/// One memory in two states; not live where `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    pub id: MemoryId,
    pub before: Option<VersionId>,
    pub after: Option<VersionId>,
}

/// What differs between two states: counts of all, references of a page. Ordered by the local age of the versions:
/// what was changed last comes last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    pub counts: Counts,
    pub differences: Vec<Difference>,
}

/// What a plan would do on a head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    pub counts: Counts,
    /// A page of what would change, as in [`Diff`].
    pub differences: Vec<Difference>,
    /// Versions that do not exist yet, among the page's differences.
    pub fresh: Vec<Version>,
    /// Every conflict that no rule and no resolution settles.
    pub conflicts: Vec<Conflict>,
    /// Every memory that is kept: what it is now, and what the oldest selected commit found.
    pub kept: Vec<Difference>,
    /// Of a merge or a graft without a base of its own.
    pub bases: Vec<CommitId>,
    /// The commits that are taken back, newest first, and at most 200 of them.
    pub commits: Vec<CommitId>,
    pub merged: Option<Merged>,
}

/// All three sides of a memory that two branches changed differently; not live where `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    pub id: MemoryId,
    pub base: Option<VersionId>,
    pub ours: Option<VersionId>,
    pub theirs: Option<VersionId>,
}

/// Some or all of what is to be merged was merged before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    pub merge: CommitId,
    /// Nothing is left to merge.
    pub is_all: bool,
    /// The commit that took that merge back (a revert, an undo, a rollback behind it), if that still stands: reverting
    /// it brings back what the merge had brought.
    pub undone_by: Option<CommitId>,
}
