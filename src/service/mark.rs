//! `mark`: whether memories are pinned, and when they end. What they say, and since when, stays as it is.

use super::memo::Memo;
use super::{Caller, Service};
use crate::clock;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Applied, Change, Expect, Kind, Memory, Outcome, Time, Verb, Version, VersionId, Work};
use crate::wire::message::{Expiry, Mark, Marked, Marks};

/// A `working` memory whose session never says that it is over ends by itself: a week later.
pub(super) const WORKING_KEPT_MS: i64 = 7 * 24 * 60 * 60 * 1_000;
/// How often it is tried again when somebody else changed one of the memories between the read and the write.
const ATTEMPTS_MAX: u32 = 4;

impl<E: Engine> Service<E> {
    /// Durable once it returns `Ok`; one commit, whatever the number.
    pub async fn mark(&self, caller: &Caller, ask: Mark) -> Result<Marked> {
        if let Some(applied) = self.engine.replayed(caller.op).await? {
            return self.marked(applied).await;
        }
        let branch = self.branch(caller, ask.branch);
        let mut memo = Memo { branch: branch.to_string(), ..Memo::default() };
        let ids = self.named(ask.ids, &mut memo.missing).await?;
        let now = clock::now();
        let mut attempt = 1;
        loop {
            let at = self.head(&branch).await?;
            let (mut changes, mut missing) = (Vec::new(), memo.missing.clone());
            for (id, version) in ids.iter().zip(self.engine.read(&at, &ids).await?) {
                match version {
                    None => missing.push(id.to_string()),
                    Some(Version { id, mut memory }) => {
                        marked(&mut memory, &ask.marks, now)?;
                        changes.push(Change::Replace { memory, expect: Expect::Version(id) });
                    }
                }
            }
            let mut write = self.write(caller, branch.clone(), Verb::Correct, now);
            write.note = Some(said(&ask.marks));
            write.work = Work::Changes(changes);
            write.memo = Memo { branch: memo.branch.clone(), missing, ..Memo::default() }.encode();
            match self.engine.apply(caller.op, write).await {
                Err(error) if error.kind == ErrorKind::Conflict && attempt < ATTEMPTS_MAX => attempt += 1,
                applied => return self.marked(applied?).await,
            }
        }
    }

    async fn marked(&self, applied: Applied) -> Result<Marked> {
        let memo = Memo::decode(&applied.memo)?;
        let (mut versions, mut unchanged): (Vec<VersionId>, u32) = (Vec::new(), 0);
        for outcome in &applied.outcomes {
            match outcome {
                Outcome::Replaced { after, .. } => versions.push(*after),
                Outcome::Unchanged { version, .. } => {
                    unchanged += 1;
                    versions.push(*version);
                }
                _ => return Err(Error::conflict("this operation id belongs to another kind of request")),
            }
        }
        let memories = self.engine.versions(&versions).await?;
        let known = versions.iter().zip(memories).filter_map(|(id, memory)| Some(Version { id: *id, memory: memory? }));
        Ok(Marked {
            branch: memo.branch.parse()?,
            memories: self.shape(known.collect()).await?,
            unchanged,
            missing: memo.missing,
            commit: applied.commit,
        })
    }
}

/// Puts marks on a memory. An end that is past is refused.
pub(super) fn marked(memory: &mut Memory, marks: &Marks, now: Time) -> Result<()> {
    memory.pinned = marks.pinned.unwrap_or(memory.pinned);
    memory.expires_at = match marks.expiry {
        Expiry::Never => None,
        Expiry::At(at) if at <= now => {
            return Err(Error::invalid(format!(
                "{} is past: name a time to come, or purge the memory",
                clock::rfc3339(at)
            )));
        }
        Expiry::At(at) => Some(at),
        Expiry::Keep if memory.kind != Kind::Working => memory.expires_at,
        Expiry::Keep if memory.pinned => None,
        Expiry::Keep => Some(memory.expires_at.unwrap_or(now.plus_ms(WORKING_KEPT_MS))),
    };
    Ok(())
}

/// The note of the commit.
fn said(marks: &Marks) -> String {
    let pinned = marks.pinned.map(|pinned| if pinned { "pinned" } else { "unpinned" }.to_owned());
    let expiry = match marks.expiry {
        Expiry::Keep => None,
        Expiry::Never => Some("never expires".to_owned()),
        Expiry::At(at) => Some(format!("expires {}", clock::rfc3339(at))),
    };
    [pinned, expiry].into_iter().flatten().collect::<Vec<_>>().join(", ")
}
