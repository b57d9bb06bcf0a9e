//! Plain data: what a memory, a commit, a name and a query are, and their one canonical encoding.
//! Nothing here does IO, reads a clock or knows an engine.

pub mod canon;
pub mod change;
pub mod commit;
pub mod feedback;
pub mod id;
pub mod memory;
pub mod merge;
pub mod name;
pub mod query;
pub mod report;
pub mod text;
pub mod time;
pub mod vector;

pub use change::{
    Applied, Change, Choice, Conflict, Counts, Diff, Difference, Expect, Later, Merged, OriginFilter, Outcome, Pending,
    Plan, Planned, Progress, Resolution, Rule, Selection, Waits, Work, Write,
};
pub use commit::{Author, Commit, CommitEntry, Verb};
pub use feedback::{Feedback, Moment, Rating, Signal};
pub use id::{CommitId, MemoryId, OpId, ProjectId, Salt, SessionId, SubjectId, VersionId};
pub use memory::{Confidence, Kind, Memory, Origin, PINNED, Source, Trust, Version};
pub use name::{Name, NameChange, NameKind, Protection, Ref, Revision};
pub use query::{
    Asked, Candidate, Candidates, CommitFilter, Filter, Listing, Match, Page, Query, Scan, Scope, Term, Walk,
};
pub use report::{Check, Compacted, Erased, Masked, Parts, Relation, Spot, StoreStatus, Waiting};
pub use time::Time;
pub use vector::{Calibration, Cosines, DIMS_MAX, Embedding, Filled, ModelId, Space, Unembedded};
