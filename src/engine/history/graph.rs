//! Ways through history: merge bases, ancestors, everything that a commit reaches. It reads places of commits and
//! nothing else. A parent's number is smaller than its child's, so falling numbers are an order from new to old.

use std::collections::{BTreeMap, BTreeSet};

use super::Places;
use super::rows::{Place, damaged};
use crate::error::{Error, Result};

/// The ancestor by first parents that has so many behind it, in O(log n) steps.
pub fn ancestor_at(commits: &impl Places, from: u32, depth: u32) -> Result<Option<u32>> {
    let mut number = from;
    let mut place = commits.place(number)?;
    while place.depth > depth {
        let jumped = commits.place(place.jump)?;
        let Some(parent) = place.parents[0] else { return Ok(None) };
        (number, place) = if jumped.depth >= depth && jumped.depth < place.depth {
            (place.jump, jumped)
        } else {
            (parent, commits.place(parent)?)
        };
    }
    Ok((place.depth == depth).then_some(number))
}

/// Whether `from` comes to that commit by first parents alone, or is it.
pub fn is_on_line(commits: &impl Places, number: u32, from: u32) -> Result<bool> {
    Ok(number <= from && ancestor_at(commits, from, commits.place(number)?.depth)? == Some(number))
}

/// Whether `from` comes to that commit by any parents, or is it.
pub fn is_ancestor(commits: &impl Places, number: u32, from: u32) -> Result<bool> {
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
pub fn merge_bases(commits: &impl Places, ours: u32, theirs: u32) -> Result<Vec<u32>> {
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

/// The commits on the line of first parents of `head` that brought something of what `theirs` comes to, newest first,
/// since the newest one that `theirs` comes to itself: merges, or `theirs` where it stands on that line.
pub fn brought(commits: &impl Places, theirs: u32, head: u32) -> Result<Vec<u32>> {
    let mut line = head;
    for step in Ancestry::of(commits, theirs, 0) {
        let (number, _) = step?;
        while line > number
            && let Some(parent) = commits.place(line)?.parents[0]
        {
            line = parent;
        }
        if line == number {
            break;
        }
    }
    if line == theirs {
        return Ok(vec![theirs]);
    }
    let common: BTreeSet<u32> = beyond(commits, theirs, line)?.into_iter().map(|(number, _)| number).collect();
    // For each commit since, the first one on the line that comes to it.
    let (mut first, mut on_line, mut found) = (BTreeMap::new(), head, BTreeSet::new());
    for (number, place) in beyond(commits, head, line)? {
        let mut by = first.remove(&number).unwrap_or(number);
        if number == on_line {
            (by, on_line) = (number, place.parents[0].unwrap_or(number));
        }
        for parent in place.parents.into_iter().flatten() {
            let known = first.entry(parent).or_insert(by);
            *known = by.min(*known);
        }
        if common.contains(&number) {
            found.insert(by);
        }
    }
    Ok(found.into_iter().rev().collect())
}

/// What one commit comes to and the other does not, newest first.
fn beyond(commits: &impl Places, from: u32, without: u32) -> Result<Vec<(u32, Place)>> {
    let mut open = BTreeMap::from([(from, true), (without, false)]);
    let (mut wanted, mut found) = (usize::from(from != without), Vec::new());
    while wanted > 0
        && let Some((number, is_wanted)) = open.pop_last()
    {
        let (place, parents) = parents_of(commits, number)?;
        if is_wanted {
            wanted -= 1;
            found.push((number, place));
        }
        for parent in parents {
            let known = open.get(&parent).copied();
            let becomes = is_wanted && known != Some(false);
            wanted = wanted + usize::from(becomes) - usize::from(known == Some(true));
            open.insert(parent, becomes);
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

impl<'t, C: Places> Ancestry<'t, C> {
    pub fn of(commits: &'t C, from: u32, down_to: u32) -> Self {
        Self { commits, open: BTreeSet::from([from]), down_to }
    }
}

impl<C: Places> Iterator for Ancestry<'_, C> {
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

/// Where a commit stands, and its parents.
pub fn parents_of(commits: &impl Places, number: u32) -> Result<(Place, impl Iterator<Item = u32>)> {
    let place = commits.place(number)?;
    if place.parents.iter().flatten().any(|parent| *parent >= number) {
        return Err(damaged(&format!("commit {number} comes before its parent")));
    }
    Ok((place, place.parents.into_iter().flatten()))
}

/// The place of a first child. Its jump goes as far as its parent's jump's jump when those two are equally long,
/// else to the parent.
pub fn place_after(commits: &impl Places, number: u32, parent: Place) -> Result<Place> {
    let near = commits.place(parent.jump)?;
    let far = commits.place(near.jump)?;
    let is_even = parent.depth.abs_diff(near.depth) == near.depth.abs_diff(far.depth);
    let jump = if is_even { near.jump } else { number };
    let depth = parent.depth.checked_add(1).ok_or_else(|| Error::too_large("the history is as long as it can be"))?;
    Ok(Place { depth, parents: [Some(number), None], jump })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The parents of each commit but the first, drawn from those before it.
    fn histories() -> impl Strategy<Value = Vec<(usize, Option<usize>)>> {
        let near = |at: usize, back: u8| at - 1 - usize::from(back) % at.min(6);
        let parents = (any::<u8>(), proptest::option::weighted(0.3, any::<u8>()));
        proptest::collection::vec(parents, 1..60).prop_map(move |drawn| {
            let parents_of = |(at, (first, second)): (usize, &(u8, Option<u8>))| {
                let first = near(at + 1, *first);
                (first, second.map(|second| near(at + 1, second)).filter(|second| *second != first))
            };
            drawn.iter().enumerate().map(parents_of).collect()
        })
    }

    impl Places for Vec<Place> {
        fn place(&self, number: u32) -> Result<Place> {
            self.get(number as usize).copied().ok_or_else(|| damaged("it is missing"))
        }
    }

    fn places(history: &[(usize, Option<usize>)]) -> Vec<Place> {
        let mut places = vec![Place { depth: 0, parents: [None; 2], jump: 0 }];
        for (first, second) in history {
            let mut place = place_after(&places, *first as u32, places[*first]).unwrap();
            place.parents[1] = second.map(|second| second as u32);
            places.push(place);
        }
        places
    }

    /// What each commit reaches, itself included.
    fn reached(history: &[(usize, Option<usize>)]) -> Vec<BTreeSet<u32>> {
        let mut reached = vec![BTreeSet::from([0])];
        for (number, (first, second)) in (1..).zip(history) {
            let mut all = &reached[*first] | &second.map_or_else(BTreeSet::new, |second| reached[second].clone());
            all.insert(number);
            reached.push(all);
        }
        reached
    }

    proptest! {
        #[test]
        fn ways_through_history_are_what_sets_of_ancestors_say(history in histories(), a: u8, b: u8) {
            let (commits, reached) = (places(&history), reached(&history));
            let (a, b) = (usize::from(a) % reached.len(), usize::from(b) % reached.len());
            let common = &reached[a] & &reached[b];
            let is_behind = |one: &u32, other: &u32| other != one && reached[*other as usize].contains(one);
            let is_best = |one: &u32| !common.iter().any(|other| is_behind(one, other));
            let best: Vec<u32> = common.iter().copied().filter(is_best).rev().collect();
            prop_assert_eq!(merge_bases(&commits, a as u32, b as u32).unwrap(), best);

            prop_assert_eq!(is_ancestor(&commits, a as u32, b as u32).unwrap(), reached[b].contains(&(a as u32)));
            let all: Vec<u32> = Ancestry::of(&commits, a as u32, 0).map(|step| step.unwrap().0).collect();
            prop_assert_eq!(all, reached[a].iter().rev().copied().collect::<Vec<_>>());

            let mut line = vec![b];
            while let Some(number) = line.last().filter(|number| **number > 0) {
                line.push(history[number - 1].0);
            }
            let theirs = &reached[a];
            let since = line.iter().copied().find(|number| theirs.contains(&(*number as u32))).unwrap();
            let brings = |pair: &&[usize]| {
                pair[0] > since && !(&reached[pair[0]] - &reached[pair[1]]).is_disjoint(theirs)
            };
            let bringing = line.windows(2).filter(brings).map(|pair| pair[0] as u32);
            let bringing = if since == a { vec![a as u32] } else { bringing.collect() };
            prop_assert_eq!(brought(&commits, a as u32, b as u32).unwrap(), bringing);
            prop_assert_eq!(is_on_line(&commits, a as u32, b as u32).unwrap(), line.contains(&a));
        }
    }
}
