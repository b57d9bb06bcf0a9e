//! Ways through history: merge bases, ancestors, everything that a commit reaches. It reads places of commits and
//! nothing else. A parent's number is smaller than its child's, so falling numbers are an order from new to old.

use std::collections::{BTreeMap, BTreeSet};

use redb::ReadableTable;

use super::tables::{self, Place, place_of};
use crate::error::Result;

/// Number of a commit -> its row.
pub trait Commits: ReadableTable<u32, &'static [u8]> {}

impl<T: ReadableTable<u32, &'static [u8]>> Commits for T {}

/// The ancestor by first parents that has so many behind it, in O(log n) steps.
pub fn ancestor_at(commits: &impl Commits, from: u32, depth: u32) -> Result<Option<u32>> {
    let mut number = from;
    let mut place = place_of(commits, number)?;
    while place.depth > depth {
        let jumped = place_of(commits, place.jump)?;
        let Some(parent) = place.parents[0] else { return Ok(None) };
        (number, place) = if jumped.depth >= depth && jumped.depth < place.depth {
            (place.jump, jumped)
        } else {
            (parent, place_of(commits, parent)?)
        };
    }
    Ok((place.depth == depth).then_some(number))
}

/// Whether `from` comes to that commit by first parents alone, or is it.
pub fn is_on_line(commits: &impl Commits, number: u32, from: u32) -> Result<bool> {
    Ok(number <= from && ancestor_at(commits, from, place_of(commits, number)?.depth)? == Some(number))
}

/// Whether `from` comes to that commit by any parents, or is it.
pub fn is_ancestor(commits: &impl Commits, number: u32, from: u32) -> Result<bool> {
    if is_on_line(commits, number, from)? {
        return Ok(true);
    }
    for step in Ancestry::of(commits, from, number) {
        if step?.0 == number {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The best common ancestors of two commits, newest first: those that no other common ancestor comes from.
pub fn merge_bases(commits: &impl Commits, ours: u32, theirs: u32) -> Result<Vec<u32>> {
    for (older, newer) in [(ours, theirs), (theirs, ours)] {
        if is_on_line(commits, older, newer)? {
            return Ok(vec![older]);
        }
    }
    const OURS: u8 = 1;
    const THEIRS: u8 = 2;
    /// An ancestor of a common ancestor: it is none of the best.
    const STALE: u8 = 4;
    let mut open = BTreeMap::from([(ours, OURS), (theirs, THEIRS)]);
    let (mut fresh, mut bases) = (2usize, Vec::new());
    while fresh > 0
        && let Some((number, mut marks)) = open.pop_last()
    {
        fresh -= usize::from(marks & STALE == 0);
        if marks == OURS | THEIRS {
            bases.push(number);
            marks |= STALE;
        }
        for parent in parents_of(commits, number)?.1 {
            let known = open.entry(parent).or_default();
            let was_fresh = *known != 0 && *known & STALE == 0;
            *known |= marks;
            fresh = fresh + usize::from(*known & STALE == 0) - usize::from(was_fresh);
        }
    }
    Ok(bases)
}

/// The first commit on the line of first parents of `head` that comes to `number`: itself, or the merge that
/// brought it. `None` where `head` does not reach it.
pub fn brought_by(commits: &impl Commits, number: u32, head: u32) -> Result<Option<u32>> {
    if is_on_line(commits, number, head)? {
        return Ok(Some(number));
    }
    let younger = Ancestry::of(commits, head, number).collect::<Result<Vec<_>>>()?;
    let mut coming = BTreeSet::from([number]);
    for (commit, place) in younger.iter().rev() {
        if place.parents.into_iter().flatten().any(|parent| coming.contains(&parent)) {
            coming.insert(*commit);
        }
    }
    let (mut at, mut found) = (head, None);
    while coming.contains(&at) {
        found = Some(at);
        match place_of(commits, at)?.parents[0] {
            Some(parent) => at = parent,
            None => break,
        }
    }
    Ok(found)
}

/// A commit and what it reaches by any parents, each once, newest first, down to a number.
pub struct Ancestry<'t, C> {
    commits: &'t C,
    open: BTreeSet<u32>,
    down_to: u32,
}

impl<'t, C: Commits> Ancestry<'t, C> {
    pub fn of(commits: &'t C, from: u32, down_to: u32) -> Self {
        Self { commits, open: BTreeSet::from([from]), down_to }
    }
}

impl<C: Commits> Iterator for Ancestry<'_, C> {
    type Item = Result<(u32, Place)>;

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.open.pop_last().filter(|number| *number >= self.down_to)?;
        let step = parents_of(self.commits, number).map(|(place, parents)| {
            self.open.extend(parents);
            (number, place)
        });
        Some(step)
    }
}

fn parents_of(commits: &impl Commits, number: u32) -> Result<(Place, impl Iterator<Item = u32>)> {
    let place = place_of(commits, number)?;
    if place.parents.iter().flatten().any(|parent| *parent >= number) {
        return Err(tables::damaged(&format!("commit {number} comes before its parent")));
    }
    Ok((place, place.parents.into_iter().flatten()))
}
