//! The trait that keeps commits and what they contain, and its engines. An engine never ranks, never masks
//! and never prints; `conformance.rs` is the one list of checks that each engine must pass.

pub mod any;
pub mod conformance;
pub mod copy;
pub mod embedded;
mod history;
pub mod matrixone;

use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::error::{Error, Result};
use crate::model::{
    Applied, Author, Candidates, Check, Commit, CommitEntry, CommitFilter, CommitId, Compacted, Diff, Embedding,
    Erased, Feedback, Filled, Filter, Listing, Memory, MemoryId, ModelId, Name, OpId, Page, Pending, Plan, Planned,
    Query, Ref, Revision, Scan, Space, StoreStatus, Time, Unembedded, Version, VersionId, Walk, Write,
};

/// A revision, fixed once per request: every read takes it, so that no read is torn.
#[derive(Clone, Debug)]
pub struct At {
    pub commit: CommitId,
    /// When the commit was made; expiry is judged at `as_of`.
    pub as_of: Time,
    pub live: u32,
    pub tokens: u64,
    /// The embedded engine's set of live versions, by local number.
    pub state: Arc<RoaringBitmap>,
}

/// Which names are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    Living,
    /// And those that were deleted and can be restored.
    All,
}

/// Memories to be erased, by whom and why.
#[derive(Clone, Debug)]
pub struct Erase {
    pub ids: Vec<MemoryId>,
    pub author: Author,
    pub note: Option<String>,
    pub at: Time,
}

/// Keeps commits and what they contain. Durable once `Ok`; a failed write is "unknown", never "not applied".
/// Methods return futures that are `Send`; an engine does its blocking work off the callers' threads.
pub trait Engine: Send + Sync + 'static {
    /// For `status`: "embedded" or "matrixone".
    fn kind(&self) -> &'static str;

    /// Fixes a revision. `as_of` of a branch head is `now`, of a past commit its own time.
    fn resolve(&self, revision: &Revision, now: Time) -> impl Future<Output = Result<At>> + Send;

    /// The first results of an operation that was applied before, if it was.
    /// An operation whose reply is older than 7 days is [`ErrorKind::Expired`](crate::error::ErrorKind::Expired).
    fn replayed(&self, op: OpId) -> impl Future<Output = Result<Option<Applied>>> + Send;

    /// One transaction. The same operation again returns the first results and changes nothing.
    fn apply(&self, op: OpId, write: Write) -> impl Future<Output = Result<Applied>> + Send;

    /// Keeps a write on this machine that cannot reach the store because of `why`, to be applied later under the same
    /// operation; [`Applied::waits`] says its place. What was kept is durable.
    ///
    /// # Errors
    /// `why` itself, where nothing is kept: no such queue, no write that may wait, no reason to wait.
    fn keep(&self, op: OpId, write: Write, why: Error) -> impl Future<Output = Result<Applied>> + Send;

    /// The live versions of these memories at `at`, in the order asked for; `None` where not live or expired.
    fn read(&self, at: &At, ids: &[MemoryId]) -> impl Future<Output = Result<Vec<Option<Version>>>> + Send;

    /// What was said of these memories so far, in the order asked for. It belongs to no state: whoever reads a past one
    /// does not ask.
    fn feedback(&self, ids: &[MemoryId]) -> impl Future<Output = Result<Vec<Feedback>>> + Send;

    /// Versions by id, live or not, in the order asked for; `None` where unknown or erased.
    fn versions(&self, ids: &[VersionId]) -> impl Future<Output = Result<Vec<Option<Memory>>>> + Send;

    /// Newest first by `observed_at`, then by id.
    fn page(&self, at: &At, filter: &Filter, page: Page) -> impl Future<Output = Result<Listing>> + Send;

    /// Statistics of the state and its best candidates within the filter; expired memories are never candidates.
    fn candidates(&self, at: &At, query: &Query) -> impl Future<Output = Result<Candidates>> + Send;

    /// Versions that have no vector of this space yet: those that a branch holds, then those that a snapshot or history
    /// holds, each newest first.
    fn unembedded(&self, space: &Space, limit: u32) -> impl Future<Output = Result<Vec<Unembedded>>> + Send;

    /// Keeps vectors, which are derived data: durable at leisure. What was erased meanwhile is passed over; a vector
    /// of other dimensions, or with a number that is none, is refused, and nothing of the call is kept.
    fn embed(&self, space: &Space, vectors: Vec<Embedding>) -> impl Future<Output = Result<()>> + Send;

    /// Every space that has vectors, and how far it is filled.
    fn spaces(&self) -> impl Future<Output = Result<Vec<Filled>>> + Send;

    /// Lets the vectors of a model go.
    fn forget_space(&self, model: &ModelId) -> impl Future<Output = Result<()>> + Send;

    /// Every memory that contains all of these terms, within the filter, up to `limit`, and how many there are.
    fn containing(
        &self,
        at: &At,
        terms: &[String],
        filter: &Filter,
        limit: u32,
    ) -> impl Future<Output = Result<(Vec<MemoryId>, u32)>> + Send;

    /// Commits that `at` reaches, newest first, and how many there are in all.
    fn history(
        &self,
        at: &At,
        filter: &CommitFilter,
        walk: Walk,
        page: Page,
    ) -> impl Future<Output = Result<(Vec<CommitEntry>, u32)>> + Send;

    /// Commits by id as histories list them, in the order asked for. No state is made for it.
    fn entries(&self, ids: &[CommitId]) -> impl Future<Output = Result<Vec<CommitEntry>>> + Send;

    /// A whole commit, with every version that it added and removed.
    fn commit(&self, id: CommitId) -> impl Future<Output = Result<Commit>> + Send;

    /// What is in one state and not in the other, within the filter (judged on either side's version).
    fn diff(&self, from: &At, to: &At, filter: &Filter, page: Page) -> impl Future<Output = Result<Diff>> + Send;

    /// What the plan would do to a branch whose head is `at`; nothing is written.
    fn plan(&self, at: &At, plan: &Plan, page: Page) -> impl Future<Output = Result<Planned>> + Send;

    /// The merge in progress on a branch.
    fn pending(&self, branch: &Name) -> impl Future<Output = Result<Option<Pending>>> + Send;

    /// Part of a state in the order of its versions, from `start` on (0 is the beginning); for export.
    fn scan(&self, at: &At, filter: &Filter, start: u64, limit: u32) -> impl Future<Output = Result<Scan>> + Send;

    /// The memory whose id starts with this hex prefix (at least 8 digits), live or not.
    fn find(&self, prefix: &str) -> impl Future<Output = Result<MemoryId>> + Send;

    /// For each id the length of its shortest prefix, at least 8, that no other memory of the store shares.
    fn short_lens(&self, ids: &[MemoryId]) -> impl Future<Output = Result<Vec<u8>>> + Send;

    /// Every branch and snapshot, by name.
    fn names(&self, wanted: Names) -> impl Future<Output = Result<Vec<Ref>>> + Send;

    /// Whether a database server keeps a snapshot of its own behind this one; `None` where there is no server. Nothing
    /// depends on it: it is for those who administer the server.
    fn native(&self, snapshot: &Name) -> impl Future<Output = Result<Option<bool>>> + Send;

    /// Takes memories out of every branch and their bytes out of every version and file. Durable, and the bytes gone,
    /// once `Ok`. The same operation again returns the first results.
    fn erase(&self, op: OpId, erase: Erase) -> impl Future<Output = Result<Erased>> + Send;

    /// Forgets what no name has reached since `before`, and gives the room back to the disk.
    fn compact(&self, before: Time) -> impl Future<Output = Result<Compacted>> + Send;

    /// Builds derived data anew, and writes truth afresh from what of it can be read; then verifies.
    fn repair(&self) -> impl Future<Output = Result<Vec<Check>>> + Send;

    /// Forgets stored replies of these operations; batched, best effort, never an error.
    fn acknowledge(&self, ops: Vec<OpId>);

    /// Everything that the model promises, checked against what is stored.
    fn verify(&self) -> impl Future<Output = Result<Vec<Check>>> + Send;

    fn status(&self, now: Time) -> impl Future<Output = Result<StoreStatus>> + Send;

    /// Brings derived data to disk and gives memory back; called when idle and before exit.
    fn rest(&self) -> impl Future<Output = Result<()>> + Send;
}
