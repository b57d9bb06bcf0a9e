//! The trait that keeps commits and what they contain, and its engines. An engine never ranks, never masks
//! and never prints; `conformance.rs` is the one list of checks that each engine must pass.

pub mod conformance;
pub mod embedded;

use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::error::Result;
use crate::model::{
    Applied, Candidates, Check, Commit, CommitId, Filter, Listing, Memory, MemoryId, Name, OpId, Page, Query, Revision,
    SessionId, StoreStatus, Time, Version, VersionId, Write,
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

/// Which part of the history is wanted.
#[derive(Clone, Debug, Default)]
pub struct HistoryFilter {
    pub memory: Option<MemoryId>,
    pub agent: Option<String>,
    pub session: Option<SessionId>,
    pub since: Option<Time>,
    pub until: Option<Time>,
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

    /// The live versions of these memories at `at`, in the order asked for; `None` where not live or expired.
    fn read(&self, at: &At, ids: &[MemoryId]) -> impl Future<Output = Result<Vec<Option<Version>>>> + Send;

    /// Versions by id, live or not, in the order asked for; `None` where unknown or erased.
    fn versions(&self, ids: &[VersionId]) -> impl Future<Output = Result<Vec<Option<Memory>>>> + Send;

    /// Newest first by `observed_at`, then by id.
    fn page(&self, at: &At, filter: &Filter, page: Page) -> impl Future<Output = Result<Listing>> + Send;

    /// Statistics of the state and its best candidates within the filter; expired memories are never candidates.
    fn candidates(&self, at: &At, query: &Query) -> impl Future<Output = Result<Candidates>> + Send;

    /// Every memory that contains all of these terms, within the filter, up to `limit`, and how many there are.
    fn containing(
        &self,
        at: &At,
        terms: &[String],
        filter: &Filter,
        limit: u32,
    ) -> impl Future<Output = Result<(Vec<MemoryId>, u32)>> + Send;

    /// Commits that `at` reaches by first parents, newest first, and how many there are in all.
    fn history(
        &self,
        at: &At,
        filter: &HistoryFilter,
        page: Page,
    ) -> impl Future<Output = Result<(Vec<(CommitId, Commit)>, u32)>> + Send;

    /// The memory whose id starts with this hex prefix (at least 8 digits), live or not.
    fn find(&self, prefix: &str) -> impl Future<Output = Result<MemoryId>> + Send;

    /// For each id the length of its shortest prefix, at least 8, that no other memory of the store shares.
    fn short_lens(&self, ids: &[MemoryId]) -> impl Future<Output = Result<Vec<u8>>> + Send;

    fn branches(&self) -> impl Future<Output = Result<Vec<(Name, CommitId)>>> + Send;

    /// Forgets stored replies of these operations; batched, best effort, never an error.
    fn acknowledge(&self, ops: Vec<OpId>);

    /// Everything that the model promises, checked against what is stored.
    fn verify(&self) -> impl Future<Output = Result<Vec<Check>>> + Send;

    fn status(&self, now: Time) -> impl Future<Output = Result<StoreStatus>> + Send;

    /// Brings derived data to disk and gives memory back; called when idle and before exit.
    fn rest(&self) -> impl Future<Output = Result<()>> + Send;
}
