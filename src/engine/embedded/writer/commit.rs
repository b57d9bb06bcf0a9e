//! The rows of one commit: what it is hashed from, where it stands, and the keyframe that is due. Making it only
//! reads; writing it moves nothing but the tables.

use std::sync::Arc;

use redb::ReadableTable;
use roaring::RoaringBitmap;

use super::super::draft::Draft;
use super::super::index::Entry;
use super::super::store::{Head, commit_row};
use super::super::tables::{
    self, Body, CommitRow, KEYFRAME_CHANGES, Move, NARROW_CHANGES_MAX, Place, VersionRow, bitmap_bytes, touch,
};
use super::{Batch, Tables};
use crate::error::{Error, Result};
use crate::model::{Commit, CommitId, OpId, VersionId, Write};

/// A commit that is not written yet.
pub struct Next {
    pub number: u32,
    pub id: CommitId,
    pub row: CommitRow,
    has_keyframe: bool,
}

impl Next {
    /// A branch's head there.
    pub fn head(&self, last: Move) -> Head {
        let CommitRow { place, live, tokens, since_keyframe, .. } = self.row;
        Head { number: self.number, id: self.id, place, since_keyframe, live, tokens, last }
    }
}

/// What a draft on a head becomes.
pub fn make(tables: &Tables, number: u32, head: &Head, op: OpId, write: &Write, draft: &Draft) -> Result<Next> {
    let commit = commit_of(tables, head, op, write, draft)?;
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
    let place = place_after(&tables.commits, head.number, head.place)?;
    let place = Place { parents: [Some(head.number), draft.second_parent], ..place };
    let has_keyframe = since_keyframe > KEYFRAME_CHANGES;
    let since_keyframe = if has_keyframe { 0 } else { since_keyframe };
    let row = CommitRow { place, live: draft.live, tokens: draft.tokens, since_keyframe, body };
    Ok(Next { number, id, row, has_keyframe })
}

fn commit_of(tables: &Tables, head: &Head, op: OpId, write: &Write, draft: &Draft) -> Result<Commit> {
    let mut parents = vec![head.id];
    if let Some(second) = draft.second_parent {
        parents.push(commit_row(&tables.commits, second)?.id());
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

/// Writes the rows of a commit and of its new versions.
pub fn put(tables: &mut Tables, batch: &mut Batch, head: &Head, next: &Next, draft: Draft) -> Result<()> {
    let number = next.number;
    for (vid, (first, fresh)) in (draft.first_vid..).zip(draft.fresh) {
        let terms = fresh.words.len;
        let row = VersionRow::Whole { terms, first, salt: fresh.salt, canonical: &fresh.canonical };
        tables.versions.insert(vid, row.encode().as_slice())?;
        let (memory, version, words, text) = (Box::new(fresh.memory), fresh.id, fresh.words, fresh.text);
        batch.recent.push(vid, Entry::Whole { memory, version, first, words, text });
    }
    let mut state = batch.take_state(tables, head.number)?;
    draft.delta.apply_to(Arc::make_mut(&mut state));
    if next.has_keyframe {
        tables.states.insert(number, bitmap_bytes(&state)?.as_slice())?;
    }
    batch.states.insert(number, state);
    if let Body::Wide { .. } = next.row.body {
        tables.wide.insert(number, draft.delta.encode()?.as_slice())?;
    } else {
        for memory in draft.touched {
            tables.touches.insert(touch(memory, number), ())?;
        }
    }
    tables.commits.insert(number, next.row.encode().as_slice())?;
    tables.commit_ids.insert(&next.id.0, number)?;
    Ok(())
}

impl Batch<'_> {
    /// A state to be changed. Another branch that stands there too reads it again.
    fn take_state(&mut self, tables: &Tables, number: u32) -> Result<Arc<RoaringBitmap>> {
        let state = self.state(tables, number)?;
        self.states.remove(&number);
        Ok(state)
    }
}

/// The place of a first child. Its jump goes as far as its parent's jump's jump when those two are equally long,
/// else to the parent.
pub fn place_after(commits: &impl ReadableTable<u32, &'static [u8]>, number: u32, parent: Place) -> Result<Place> {
    let near = tables::place_of(commits, parent.jump)?;
    let far = tables::place_of(commits, near.jump)?;
    let is_even = parent.depth.abs_diff(near.depth) == near.depth.abs_diff(far.depth);
    let jump = if is_even { near.jump } else { number };
    let depth = parent.depth.checked_add(1).ok_or_else(|| Error::too_large("the history is as long as it can be"))?;
    Ok(Place { depth, parents: [Some(number), None], jump })
}
