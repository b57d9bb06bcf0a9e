//! What is asked of branches, snapshots, diffs and merges, and of the ways back; and what is answered.
//! Fields are in their order on the wire: only append.

use serde::{Deserialize, Serialize};

use super::memories::{LogEntry, Past, Place, Point, Shaped, Similar, View};
use crate::model::{
    CommitId, Counts, Filter, Later, Masked, MemoryId, Merged, Name, OriginFilter, Page, ProjectId, Protection, Ref,
    Rule, SessionId, Time,
};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Branch {
    List {
        names: WhichNames,
    },
    Create {
        name: Name,
        /// As in [`View::at`]; the session's branch where `None`.
        from: Option<String>,
        note: Option<String>,
    },
    Rename {
        name: Name,
        new: Name,
    },
    Delete {
        name: Name,
    },
    Restore {
        name: Name,
    },
    Protect {
        name: Name,
        protection: Protection,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WhichNames {
    #[default]
    Living,
    /// And deleted ones that can be restored.
    All,
}

/// The session goes to a branch, and with it whoever begins to work in its project later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    pub name: Name,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Snapshot {
    /// With what changed since on the view's branch.
    List {
        branch: Option<Name>,
        page: Page,
    },
    Create {
        name: Name,
        at: View,
        note: Option<String>,
    },
    /// What cannot be found is an error only among `Names`.
    Delete(Doomed),
    /// A deleted one stands again.
    Restore {
        name: Name,
    },
}

/// Which snapshots go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Doomed {
    Names(Vec<Name>),
    Prefix(String),
    /// Made before.
    Older(Time),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// As in [`View::at`]; the session's branch where `None`, as it is now.
    pub from: Option<String>,
    /// The session's branch where `None`.
    pub to: Option<String>,
    /// The branch that times mean; the session's where `None`.
    pub branch: Option<Name>,
    pub place: Place,
    pub filter: Filter,
    pub page: Page,
    pub alike: Lookalikes,
}

/// Whether near-duplicates between the two sides are looked for: a search for each added memory of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lookalikes {
    #[default]
    Find,
    Skip,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    #[default]
    Do,
    /// Say what would be done.
    DryRun,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merge {
    /// As in [`View::at`].
    pub source: String,
    /// The session's where `None`.
    pub into: Option<Name>,
    pub rule: Rule,
    pub note: Option<String>,
    pub mode: Mode,
    pub page: Page,
}

/// What to do about the merge in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolve {
    /// The branch that is merged into; the session's where `None`.
    pub into: Option<Name>,
    pub what: Settle,
    pub page: Page,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settle {
    /// Lists what is open and what is settled.
    Look,
    /// These conflicts (ids or prefixes; every open one where empty) by taking one side.
    Take { ids: Vec<String>, side: Side },
    /// This one, by a text of its own.
    Text { id: String, text: String },
    /// Ends the merge without a commit.
    Abort,
    /// Makes the commit, if nothing is open.
    Commit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    Base,
    Ours,
    Theirs,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pick {
    /// Memories (ids or prefixes, as they are at `from`) or commits.
    pub what: Vec<String>,
    pub from: String,
    /// The session's where `None`.
    pub into: Option<Name>,
    pub rule: Rule,
    pub mode: Mode,
    pub page: Page,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Apply {
    /// As in [`View::at`]; where `None`, the branch that is applied to, as it is now.
    pub from: Option<String>,
    pub to: String,
    /// Ids or prefixes; all that differs where empty.
    pub ids: Vec<String>,
    /// The session's where `None`.
    pub into: Option<Name>,
    pub rule: Rule,
    pub mode: Mode,
    pub page: Page,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// The session's where `None`.
    pub branch: Option<Name>,
    pub what: Back,
    pub mode: Mode,
    pub page: Page,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Back {
    /// The whole branch to this revision.
    To(String),
    /// Only what fits all of these; at least one is given.
    Of {
        /// "you" is what was typed by people.
        agent: Option<String>,
        session: Option<SessionId>,
        project: Option<ProjectId>,
        origin: Option<OriginFilter>,
        since: Option<Time>,
        until: Option<Time>,
        later: Later,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revert {
    /// Ids or prefixes.
    pub commits: Vec<String>,
    /// The session's where `None`.
    pub branch: Option<Name>,
    pub later: Later,
    pub mode: Mode,
    pub page: Page,
}

/// The session's own last operations on the branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    pub way: Way,
    /// How many; 0 is 1.
    pub count: u32,
    /// The session's where `None`.
    pub branch: Option<Name>,
    pub mode: Mode,
    pub page: Page,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    Undo,
    Redo,
}

/// Who taught us this: the history of one memory through merges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blame {
    pub view: View,
    pub id: String,
}

/// The branches, or those that were acted on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Branches {
    pub branches: Vec<Ref>,
    /// The session's branch, after what was asked.
    pub current: Name,
    /// Branches with a merge in progress.
    pub merging: Vec<Name>,
    /// Of a description.
    pub masked: Vec<Masked>,
    /// Those whose description has flags, with them (as [`Shaped::flags`]).
    pub flagged: Vec<(Name, Vec<String>)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshots {
    /// Newest first: listed, created, restored or deleted ones.
    pub snapshots: Vec<SnapshotEntry>,
    pub total: u32,
    /// The branch that `since` compares with.
    pub branch: Name,
    /// Of a description.
    pub masked: Vec<Masked>,
    /// Those whose description has flags, with them (as [`Shaped::flags`]).
    pub flagged: Vec<(Name, Vec<String>)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotEntry {
    pub snapshot: Ref,
    /// From the snapshot to the branch; of a list only.
    pub since: Counts,
    /// Whether the database server keeps a snapshot of its own behind it; of one that was just made, where there is a
    /// server.
    pub native: Option<bool>,
}

/// A memory in two states; not live where `None`, or erased since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    pub id: MemoryId,
    pub short_len: u8,
    pub before: Option<Shaped>,
    pub after: Option<Shaped>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diffed {
    pub from: Point,
    pub to: Point,
    pub counts: Counts,
    /// As many of the page as fit an answer.
    pub changes: Vec<Changed>,
    /// Among the page's added memories, those that a memory of the other side, under another id, says almost in the
    /// same words.
    pub alike: Vec<Alike>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alike {
    /// Of a memory that only the later state has.
    pub added: MemoryId,
    /// In the earlier state.
    pub like: Similar,
}

/// What became of a branch, or would.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// Merge, pick …
    pub verb: String,
    pub branch: Name,
    pub mode: Mode,
    /// `None` where nothing was written.
    pub commit: Option<CommitId>,
    pub counts: Counts,
    /// As many of the page as fit an answer.
    pub changes: Vec<Changed>,
    /// Open ones, as many as fit; `counts.conflicts` has their number.
    pub conflicts: Vec<Conflicted>,
    /// Memories left as they are, being somebody's later work, as many as fit: `before` is what going back would have
    /// made of them, `after` what they are.
    pub kept: Vec<Changed>,
    /// The commits that were taken back or done again, newest first, as many as fit.
    pub commits: Vec<LogEntry>,
    pub merged: Option<Merged>,
    /// The branch as it was before, to go back to.
    pub safety: Option<Name>,
    /// A merge is in progress on the branch: `memoria resolve`.
    pub is_pending: bool,
    pub masked: Vec<Masked>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conflicted {
    pub id: MemoryId,
    pub short_len: u8,
    pub base: Option<Shaped>,
    pub ours: Option<Shaped>,
    pub theirs: Option<Shaped>,
    /// How it is settled, if it is: a side's name, or `text`.
    pub settled: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Blamed {
    pub memory: Shaped,
    pub is_live: bool,
    /// Every change of it that the revision reaches, by any parent, newest first, as many as fit.
    pub history: Vec<Past>,
    pub history_total: u32,
}
