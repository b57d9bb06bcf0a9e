//! The engine that serves, whichever was chosen: each method is handed on as it is, without a box. It decides nothing.

use super::copy::{Cut, Giver, Portion, Standing, Table, Taker};
use super::embedded::{self, Embedded};
use super::matrixone::{self, MatrixOne};
use super::{At, Engine, Erase, Names};
use crate::error::{Error, Result};
use crate::model::{
    Applied, Candidates, Check, Commit, CommitEntry, CommitFilter, CommitId, Compacted, Diff, Embedding, Erased,
    Feedback, Filled, Filter, Listing, Memory, MemoryId, ModelId, Name, OpId, Page, Pending, Plan, Planned, Query, Ref,
    Revision, Scan, Space, StoreStatus, Time, Unembedded, Version, VersionId, Walk, Write,
};

/// One of the engines that there are.
pub enum Any {
    /// In this process, in files of this machine.
    Embedded(Embedded),
    /// In a database, with whoever else uses it.
    MatrixOne(MatrixOne),
}

/// A store of either engine that comes to be from another's rows.
pub enum Incoming {
    /// In a file of this machine.
    Embedded(embedded::Incoming),
    /// In a database.
    MatrixOne(matrixone::Incoming),
}

macro_rules! handed_on {
    ($(fn $method:ident(&self $(, $argument:ident: $type:ty)* $(,)?) -> $answer:ty;)*) => {
        $(async fn $method(&self $(, $argument: $type)*) -> $answer {
            match self {
                Self::Embedded(one) => one.$method($($argument),*).await,
                Self::MatrixOne(one) => one.$method($($argument),*).await,
            }
        })*
    };
}

impl Engine for Any {
    fn kind(&self) -> &'static str {
        match self {
            Self::Embedded(engine) => engine.kind(),
            Self::MatrixOne(engine) => engine.kind(),
        }
    }

    fn acknowledge(&self, ops: Vec<OpId>) {
        match self {
            Self::Embedded(engine) => engine.acknowledge(ops),
            Self::MatrixOne(engine) => engine.acknowledge(ops),
        }
    }

    handed_on! {
        fn resolve(&self, revision: &Revision, now: Time) -> Result<At>;
        fn replayed(&self, op: OpId) -> Result<Option<Applied>>;
        fn apply(&self, op: OpId, write: Write) -> Result<Applied>;
        fn keep(&self, op: OpId, write: Write, why: Error) -> Result<Applied>;
        fn read(&self, at: &At, ids: &[MemoryId]) -> Result<Vec<Option<Version>>>;
        fn feedback(&self, ids: &[MemoryId]) -> Result<Vec<Feedback>>;
        fn versions(&self, ids: &[VersionId]) -> Result<Vec<Option<Memory>>>;
        fn page(&self, at: &At, filter: &Filter, page: Page) -> Result<Listing>;
        fn candidates(&self, at: &At, query: &Query) -> Result<Candidates>;
        fn unembedded(&self, space: &Space, limit: u32) -> Result<Vec<Unembedded>>;
        fn embed(&self, space: &Space, vectors: Vec<Embedding>) -> Result<()>;
        fn spaces(&self) -> Result<Vec<Filled>>;
        fn forget_space(&self, model: &ModelId) -> Result<()>;
        fn containing(&self, at: &At, terms: &[String], filter: &Filter, limit: u32) -> Result<(Vec<MemoryId>, u32)>;
        fn history(
            &self,
            at: &At,
            filter: &CommitFilter,
            walk: Walk,
            page: Page,
        ) -> Result<(Vec<CommitEntry>, u32)>;
        fn entries(&self, ids: &[CommitId]) -> Result<Vec<CommitEntry>>;
        fn commit(&self, id: CommitId) -> Result<Commit>;
        fn diff(&self, from: &At, to: &At, filter: &Filter, page: Page) -> Result<Diff>;
        fn plan(&self, at: &At, plan: &Plan, page: Page) -> Result<Planned>;
        fn pending(&self, branch: &Name) -> Result<Option<Pending>>;
        fn scan(&self, at: &At, filter: &Filter, start: u64, limit: u32) -> Result<Scan>;
        fn find(&self, prefix: &str) -> Result<MemoryId>;
        fn short_lens(&self, ids: &[MemoryId]) -> Result<Vec<u8>>;
        fn native(&self, snapshot: &Name) -> Result<Option<bool>>;
        fn names(&self, wanted: Names) -> Result<Vec<Ref>>;
        fn erase(&self, op: OpId, erase: Erase) -> Result<Erased>;
        fn compact(&self, before: Time) -> Result<Compacted>;
        fn repair(&self) -> Result<Vec<Check>>;
        fn verify(&self) -> Result<Vec<Check>>;
        fn status(&self, now: Time) -> Result<StoreStatus>;
        fn rest(&self) -> Result<()>;
    }
}

impl Giver for Any {
    handed_on! {
        fn cut(&self) -> Result<Cut>;
        fn give(&self, cut: &Cut, table: Table, after: &[u8]) -> Result<Portion>;
    }
}

impl Giver for Incoming {
    handed_on! {
        fn cut(&self) -> Result<Cut>;
        fn give(&self, cut: &Cut, table: Table, after: &[u8]) -> Result<Portion>;
    }
}

impl Taker for Incoming {
    handed_on! {
        fn standing(&self) -> Result<Option<Standing>>;
        fn begin(&self, standing: &Standing) -> Result<()>;
        fn take(&self, portion: Portion, from_scratch: bool, then: &Standing) -> Result<()>;
        fn seal(&self, standing: &Standing) -> Result<()>;
        fn abandon(&self) -> Result<()>;
    }
}
