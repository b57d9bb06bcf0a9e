//! Plain memories and writes for laws and tests: each as ordinary as can be, to be changed where it matters.
//! Nothing here is used outside of checks.

use crate::clock;
use crate::engine::Engine;
use crate::error::Result;
use crate::model::{
    Applied, Author, Change, Confidence, Kind, Memory, MemoryId, Name, OpId, Origin, Page, Progress, SessionId, Source,
    Trust, Verb, Work, Write,
};

/// All of a listing.
pub const ALL: Page = Page { offset: 0, limit: 0 };

/// A memory with this text and nothing special.
pub fn memory(text: &str) -> Memory {
    let now = clock::now();
    Memory {
        id: MemoryId::random(),
        kind: Kind::Semantic,
        text: text.to_owned(),
        tags: Default::default(),
        trust: Trust::T3,
        confidence: Confidence(650),
        project: None,
        session: None,
        subject: None,
        origin: Origin {
            source: Source::Agent,
            agent: None,
            agent_version: None,
            session: None,
            tool: None,
            file: None,
        },
        created_at: now,
        observed_at: now,
        expires_at: None,
        pinned: false,
        metadata: String::new(),
    }
}

/// A write on `main`, made now.
pub fn write(verb: Verb, changes: Vec<Change>) -> Result<Write> {
    let author =
        Author { agent: Some("laws".into()), agent_version: None, session: SessionId::new("laws")?, project: None };
    Ok(Write {
        branch: Name::main(),
        author,
        verb,
        note: None,
        at: clock::now(),
        work: Work::Changes(changes),
        safety: None,
        names: vec![],
        progress: Progress::Keep,
        memo: b"memo".to_vec(),
        ratings: vec![],
        brought: vec![],
        acknowledged: vec![],
    })
}

/// An operation id that nobody used before.
pub fn op() -> OpId {
    OpId { nonce: OpId::nonce(), line: 1 }
}

/// Applies these changes as one operation of their own.
pub async fn apply(engine: &impl Engine, verb: Verb, changes: Vec<Change>) -> Result<Applied> {
    engine.apply(op(), write(verb, changes)?).await
}
