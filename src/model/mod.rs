//! Plain data: what a memory, a commit, a name and a query are, and their one canonical encoding.
//! Nothing here does IO, reads a clock or knows an engine.

pub mod canon;
pub mod change;
pub mod commit;
pub mod id;
pub mod memory;
pub mod name;
pub mod query;
pub mod report;
pub mod text;
pub mod time;

pub use change::{Applied, Change, Expect, Outcome, Write};
pub use commit::{Author, Commit, Verb};
pub use id::{CommitId, MemoryId, OpId, ProjectId, Salt, SessionId, SubjectId, VersionId};
pub use memory::{Confidence, Kind, Memory, Origin, Source, Trust, Version};
pub use name::{Name, Revision};
pub use query::{Candidate, Candidates, Filter, Listing, Match, Page, Query, Scope, Term};
pub use report::{Check, Masked, Parts, StoreStatus};
pub use time::Time;
