//! Whether what is to be merged was merged before, and whether that merge was taken back since: then merging again
//! brings nothing of it, and a person must be told why.

use std::collections::HashMap;

use super::Ground;
use crate::engine::history::Past;
use crate::engine::history::graph::{brought, is_ancestor};
use crate::error::Result;
use crate::model::{Commit, CommitId, Merged, Verb};

impl<P: Past> Ground<'_, P> {
    /// `None` where nothing of it was. Of several earlier merges the newest that was taken back, else the newest.
    pub fn merged(&self, bases: &[u32], theirs: u32) -> Result<Option<Merged>> {
        let merges = brought(self.past, theirs, self.head)?;
        let Some(newest) = merges.first() else { return Ok(None) };
        let undone = self.undone(&merges)?;
        let (merge, undone_by) = undone.map_or((*newest, None), |(merge, by)| (merge, Some(by)));
        Ok(Some(Merged { merge: self.id(merge)?, is_all: bases == [theirs], undone_by }))
    }

    /// The first of these that was taken back by a commit that still stands. From new to old along our line: what was
    /// taken back itself takes nothing back.
    fn undone(&self, merges: &[u32]) -> Result<Option<(u32, CommitId)>> {
        let mut rolled_back = HashMap::new();
        let mut taken_back = HashMap::new();
        let oldest = merges.last().copied().unwrap_or(self.head);
        let mut number = self.head;
        while number > oldest {
            let row = self.past.commit(number)?;
            let (id, commit) = (row.id(), row.bare()?);
            let mut next = row.place.parents[0];
            if !taken_back.contains_key(&id) && takes_back(commit.verb) {
                if let Some(to) = self.rolled_back_to(number, &commit)? {
                    for merge in merges.iter().filter(|merge| **merge < number) {
                        if !rolled_back.contains_key(merge) && !is_ancestor(self.past, *merge, to)? {
                            rolled_back.insert(*merge, id);
                        }
                    }
                    // What lies between does not stand.
                    next = Some(to);
                } else {
                    taken_back.extend(commit.about.into_iter().map(|about| (about, id)));
                }
            }
            let Some(older) = next else { break };
            number = older;
        }
        for merge in merges {
            let by = rolled_back.get(merge).or(taken_back.get(&self.id(*merge)?));
            if let Some(by) = by {
                return Ok(Some((*merge, *by)));
            }
        }
        Ok(None)
    }

    /// Of a rollback of everything: where to. One of somebody's commits leaves another state than theirs.
    fn rolled_back_to(&self, number: u32, commit: &Commit) -> Result<Option<u32>> {
        let ([about], Verb::Rollback) = (&commit.about[..], commit.verb) else { return Ok(None) };
        let to = self.number(*about)?;
        Ok((self.state_at(to)? == self.state_at(number)?).then_some(to))
    }
}

fn takes_back(verb: Verb) -> bool {
    matches!(verb, Verb::Revert | Verb::Rollback | Verb::Undo | Verb::Redo)
}
