//! Whether what is to be merged was merged before, and whether that merge was taken back since: then merging again
//! brings nothing of it, and a person must be told why.

use std::collections::HashMap;

use super::Ground;
use crate::engine::embedded::graph::{brought_by, is_ancestor};
use crate::engine::embedded::store::commit_row;
use crate::error::Result;
use crate::model::{Commit, CommitId, Merged, Verb};

impl Ground<'_> {
    /// `None` where nothing of it was. Of several earlier merges, one that was taken back comes first.
    pub fn merged(&self, bases: &[u32], theirs: u32) -> Result<Option<Merged>> {
        let is_all = bases == [theirs];
        let mut found: Option<Merged> = None;
        for base in bases {
            let Some(merge) = brought_by(&self.commits, *base, self.head)? else { continue };
            // Where a branch began is no merge; but what is all there already was brought by its own commit.
            if (merge != *base || is_all) && found.is_none_or(|found| found.undone_by.is_none()) {
                let undone_by = self.undone(merge)?;
                if found.is_none() || undone_by.is_some() {
                    found = Some(Merged { merge: self.id(merge)?, is_all, undone_by });
                }
            }
        }
        Ok(found)
    }

    /// The commit on our line that took that one back, if it still stands. From new to old: what was taken back itself
    /// takes nothing back.
    fn undone(&self, merge: u32) -> Result<Option<CommitId>> {
        let mut taken_back = HashMap::new();
        let mut number = self.head;
        while number > merge {
            let row = commit_row(&self.commits, number)?;
            let (id, commit) = (row.id(), row.bare()?);
            let mut next = row.place.parents[0];
            if !taken_back.contains_key(&id) && takes_back(commit.verb) {
                match self.rolled_back_to(number, &commit)? {
                    Some(to) if !is_ancestor(&self.commits, merge, to)? => return Ok(Some(id)),
                    // What lies between does not stand.
                    Some(to) => next = Some(to),
                    None => taken_back.extend(commit.about.into_iter().map(|about| (about, id))),
                }
            }
            let Some(older) = next else { break };
            number = older;
        }
        Ok(taken_back.get(&self.id(merge)?).copied())
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
