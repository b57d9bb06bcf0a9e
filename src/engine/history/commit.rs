//! The row of one commit: what it is hashed from, where it stands, and whether a keyframe is due. Making it only
//! reads; writing it is an engine's.

use super::draft::Draft;
use super::graph::place_after;
use super::rows::{Body, CommitRow, Delta, Event, KEYFRAME_CHANGES, Move, NARROW_CHANGES_MAX, Place, Standing};
use super::state::Head;
use super::{Analysed, Truth};
use crate::error::Result;
use crate::model::{Author, Commit, CommitId, NameKind, OpId, Protection, SessionId, Time, Verb, VersionId, Write};

/// A commit that is not written yet.
pub struct Next {
    pub number: u32,
    pub id: CommitId,
    pub row: CommitRow,
    /// Its state is to be stored whole.
    pub has_keyframe: bool,
}

impl Next {
    /// A branch's head there.
    pub fn head(&self, last: Move) -> Head {
        let CommitRow { place, live, tokens, since_keyframe, .. } = self.row;
        Head { number: self.number, id: self.id, place, since_keyframe, live, tokens, last }
    }
}

/// What every store begins with: the row of the empty commit number 0, and the move by which `main` stands there.
/// `store` is the store's random id.
pub fn first(store: [u8; 16], at: Time) -> Result<(CommitRow, Move)> {
    let commit = Commit {
        parents: vec![],
        added: vec![],
        removed: vec![],
        author: Author { agent: None, agent_version: None, session: SessionId::new("memoria")?, project: None },
        verb: Verb::Init,
        note: None,
        about: vec![],
        at,
        op: OpId { nonce: store, line: 0 },
    };
    let row = CommitRow {
        place: Place { depth: 0, parents: [None; 2], jump: 0 },
        live: 0,
        tokens: 0,
        since_keyframe: 0,
        body: Body::Narrow { canonical: commit.encode(), delta: Delta::default() },
    };
    let (kind, protection) = (NameKind::Branch, Protection::Open);
    let standing = Standing { number: 0, kind, protection, created_at: at, moved_at: at, note: None };
    Ok((row, Move { at, seq: 0, event: Event::Created, standing }))
}

/// What a draft on a head becomes.
pub fn make<W: Analysed>(
    truth: &impl Truth,
    number: u32,
    head: &Head,
    op: OpId,
    write: &Write,
    draft: &Draft<W>,
) -> Result<Next> {
    let commit = commit_of(truth, head, op, write, draft)?;
    let canonical = commit.encode();
    let id = Commit::id_of(&canonical);
    let changes = u32::try_from(draft.delta.len()).unwrap_or(u32::MAX);
    let since_keyframe = head.since_keyframe.saturating_add(changes);
    let body = if changes as usize > NARROW_CHANGES_MAX {
        let bare = Commit { added: vec![], removed: vec![], ..commit };
        Body::Wide { id, bare: bare.encode() }
    } else {
        Body::Narrow { canonical, delta: draft.delta.clone() }
    };
    let place = place_after(truth, head.number, head.place)?;
    let place = Place { parents: [Some(head.number), draft.second_parent], ..place };
    let has_keyframe = since_keyframe > KEYFRAME_CHANGES;
    let since_keyframe = if has_keyframe { 0 } else { since_keyframe };
    let row = CommitRow { place, live: draft.live, tokens: draft.tokens, since_keyframe, body };
    Ok(Next { number, id, row, has_keyframe })
}

fn commit_of<W: Analysed>(
    truth: &impl Truth,
    head: &Head,
    op: OpId,
    write: &Write,
    draft: &Draft<W>,
) -> Result<Commit> {
    let mut parents = vec![head.id];
    if let Some(second) = draft.second_parent {
        parents.push(truth.commit(second)?.id());
    }
    let fresh = draft.fresh.iter().map(|(_, fresh)| fresh.id);
    Ok(Commit {
        parents,
        added: sorted(draft.added.iter().copied().chain(fresh)),
        removed: sorted(draft.removed.iter().copied()),
        author: write.author.clone(),
        verb: write.verb,
        note: write.note.clone(),
        about: draft.about.clone(),
        at: write.at,
        op,
    })
}

fn sorted(ids: impl Iterator<Item = VersionId>) -> Vec<VersionId> {
    let mut ids: Vec<VersionId> = ids.collect();
    ids.sort_unstable();
    ids
}
