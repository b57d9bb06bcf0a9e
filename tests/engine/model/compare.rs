//! What the engine says, held against the model: states, pages, differences, statistics, histories, names, plans.

use std::collections::{BTreeMap, BTreeSet};

use memoria::engine::any::Any;
use memoria::engine::conformance::samples::ALL;
use memoria::engine::{At, Engine, Names};
use memoria::lexical;
use memoria::model::{
    CommitFilter, Difference, Filter, MemoryId, Name, NameKind, Outcome, Page, Plan, Query, Revision, Time, Version,
    VersionId, Walk,
};
use proptest::prelude::*;

use super::bench::{Bench, fault};
use super::plans::Forecast;
use super::world::{State, World, differences};
use super::{Checked, action};
use crate::Rng;

/// Words that the texts are made of.
pub const WORDS: [&str; 6] = ["cache", "deploy", "port", "queue", "token", "retry"];

pub fn shape(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Stored { .. } => "stored",
        Outcome::Existing { .. } => "existing",
        Outcome::Replaced { .. } => "replaced",
        Outcome::Unchanged { .. } => "unchanged",
        Outcome::Removed { .. } => "removed",
        Outcome::Missing { .. } => "missing",
    }
}

/// The whole of a state, after a check that its pages come newest first.
pub async fn state(engine: &Any, revision: &Revision, now: Time) -> Checked<State> {
    let at = engine.resolve(revision, now).await.map_err(fault)?;
    let listing = engine.page(&at, &Filter::default(), ALL).await.map_err(fault)?;
    let order = |version: &Version| (std::cmp::Reverse(version.memory.observed_at), version.memory.id);
    prop_assert!(listing.memories.iter().is_sorted_by_key(order), "a page is not newest first");
    prop_assert_eq!((listing.total, at.live), (listing.memories.len() as u32, listing.memories.len() as u32));
    Ok(listing.memories.into_iter().map(|version| (version.memory.id, version)).collect())
}

/// Which heads are read as a whole.
#[derive(Clone, Copy, PartialEq)]
pub enum Heads {
    All,
    /// This session's, and one other name.
    Of(usize),
}

/// What there is, after each turn: heads, and one each of what there is too much of.
pub async fn everything(bench: &mut Bench, heads: Heads) -> Checked {
    let (world, engine, mut rng) = (&bench.world, bench.engine(), Rng(bench.made));
    names(engine, world).await?;
    let mut read = world.living(None);
    if let Heads::Of(session) = heads {
        let other = read.swap_remove(rng.below(read.len() as u64) as usize);
        read = vec![bench.sessions[session].branch.clone(), other];
        read.retain(|name| world.is_living(name));
    }
    for name in read {
        at(engine, world, &Revision::Name(name.clone()), world.head(&name)).await?;
    }
    let reachable: Vec<usize> = (0..world.commits.len()).filter(|n| !world.forgotten.contains(n)).collect();
    let mut one_of = |list: &[usize]| list[rng.below(list.len() as u64) as usize];
    let (one, other) = (one_of(&reachable), one_of(&reachable));
    let (before, after) = (past(engine, world, one).await?, past(engine, world, other).await?);
    diff(engine, world, (&before, one), (&after, other)).await?;
    diff(engine, world, (&after, other), (&before, one)).await?;
    statistics(engine, world, &before, one).await?;
    history(engine, world, &before, one).await?;
    for name in world.living(Some(NameKind::Branch)) {
        let pending = engine.pending(&name).await.map_err(fault)?;
        let waiting = world.names[&name].waiting.as_ref();
        let theirs = waiting.map(|merge| world.commits[merge.theirs].id);
        prop_assert_eq!(pending.as_ref().map(|pending| pending.theirs), theirs, "a merge in progress on {}", name);
        let last = |list: &[memoria::model::Resolution]| -> BTreeMap<_, _> {
            list.iter().map(|settled| (settled.id, settled.clone())).collect()
        };
        let settled = waiting.map(|merge| last(&merge.resolutions));
        prop_assert_eq!(pending.map(|pending| last(&pending.resolutions)), settled);
    }
    Ok(())
}

/// A state by every way to read it.
async fn at(engine: &Any, world: &World, revision: &Revision, number: usize) -> Checked<At> {
    let at = engine.resolve(revision, world.now).await.map_err(fault)?;
    prop_assert_eq!(at.commit, world.commits[number].id, "{:?}", revision);
    let expected = world.state(number);
    prop_assert_eq!(&state(engine, revision, world.now).await?, expected, "at {:?}", revision);
    let read = engine.read(&at, &world.known).await.map_err(fault)?;
    let expected: Vec<Option<Version>> = world.known.iter().map(|id| expected.get(id).cloned()).collect();
    prop_assert_eq!(read, expected, "at {:?}", revision);
    Ok(at)
}

async fn past(engine: &Any, world: &World, number: usize) -> Checked<At> {
    at(engine, world, &Revision::Commit(world.commits[number].id.to_string()), number).await
}

async fn names(engine: &Any, world: &World) -> Checked {
    let found = engine.names(Names::All).await.map_err(fault)?;
    prop_assert!(found.is_sorted_by_key(|name| name.name.clone()), "names come out of order");
    let found: Vec<_> = found
        .into_iter()
        .map(|name| (name.name, name.kind, name.commit, name.protection, name.is_deleted, name.live))
        .collect();
    let expected: Vec<_> = world
        .names
        .iter()
        .map(|(name, standing)| {
            let commit = &world.commits[standing.head()];
            let live = commit.state.len() as u32;
            (name.clone(), standing.kind, commit.id, standing.protection, standing.is_deleted, live)
        })
        .collect();
    prop_assert_eq!(found, expected);
    let living: BTreeSet<Name> =
        engine.names(Names::Living).await.map_err(fault)?.into_iter().map(|n| n.name).collect();
    prop_assert_eq!(living, world.living(None).into_iter().collect());
    Ok(())
}

async fn diff(engine: &Any, world: &World, from: (&At, usize), to: (&At, usize)) -> Checked {
    let expected = differences(world.state(from.1), world.state(to.1));
    let diff = engine.diff(from.0, to.0, &Filter::default(), ALL).await.map_err(fault)?;
    prop_assert_eq!(by_id(&diff.differences), expected_by_id(&expected));
    let is = |before: bool, after: bool| {
        let fits = |(b, a): &&(Option<Version>, Option<Version>)| (b.is_some(), a.is_some()) == (before, after);
        expected.values().filter(fits).count() as u32
    };
    let counts = (diff.counts.added, diff.counts.changed, diff.counts.removed);
    prop_assert_eq!(counts, (is(false, true), is(true, true), is(true, false)));
    let mut pages = Vec::new();
    for offset in (0..expected.len() as u32).step_by(2) {
        let page = engine.diff(from.0, to.0, &Filter::default(), Page { offset, limit: 2 }).await.map_err(fault)?;
        prop_assert_eq!(page.counts, diff.counts);
        pages.extend(page.differences);
    }
    prop_assert_eq!(&pages, &diff.differences, "the pages of a difference do not make up the whole");
    // Only what is tagged `b` on either side.
    let filter = Filter { tags: vec!["b".into()], ..Filter::default() };
    let tagged = engine.diff(from.0, to.0, &filter, ALL).await.map_err(fault)?;
    let has_tag = |version: &Option<Version>| version.as_ref().is_some_and(|v| v.memory.tags.contains("b"));
    let expected: BTreeMap<_, _> = expected.into_iter().filter(|(_, (b, a))| has_tag(b) || has_tag(a)).collect();
    prop_assert_eq!(by_id(&tagged.differences), expected_by_id(&expected));
    Ok(())
}

type Sides = BTreeMap<MemoryId, (Option<VersionId>, Option<VersionId>)>;

fn by_id(differences: &[Difference]) -> Sides {
    differences.iter().map(|difference| (difference.id, (difference.before, difference.after))).collect()
}

fn expected_by_id(differences: &BTreeMap<MemoryId, (Option<Version>, Option<Version>)>) -> Sides {
    let id = |version: &Option<Version>| version.as_ref().map(|version| version.id);
    differences.iter().map(|(memory, (before, after))| (*memory, (id(before), id(after)))).collect()
}

/// What ranking is given is that of this state alone.
async fn statistics(engine: &Any, world: &World, at: &At, number: usize) -> Checked {
    let terms = lexical::terms_of_question("cache deploy number 3");
    let query = Query { terms: terms.clone(), vector: None, filter: Filter::default(), limit: 1_000, around: 0 };
    let found = engine.candidates(at, &query).await.map_err(fault)?;
    let words: BTreeMap<MemoryId, lexical::Words> =
        world.state(number).iter().map(|(id, version)| (*id, lexical::analyse(&version.memory.text))).collect();
    let tokens: u64 = words.values().map(|words| u64::from(words.len)).sum();
    prop_assert_eq!((found.live, found.tokens, at.tokens), (words.len() as u32, tokens, tokens));
    let holders = |term: &String| words.values().filter(|words| words.terms.contains(term)).count() as u32;
    let frequencies: Vec<u32> = terms.iter().map(|term| holders(&term.text)).collect();
    prop_assert_eq!(found.document_frequencies, frequencies);
    let has_any = |words: &lexical::Words| terms.iter().any(|term| words.terms.contains(&term.text));
    let expected: BTreeSet<MemoryId> = words.iter().filter(|(_, words)| has_any(words)).map(|(id, _)| *id).collect();
    let candidates: BTreeSet<MemoryId> = found.found.iter().map(|candidate| candidate.version.memory.id).collect();
    prop_assert_eq!(candidates, expected);
    for candidate in &found.found {
        prop_assert_eq!(Some(&candidate.version), world.state(number).get(&candidate.version.memory.id));
    }
    Ok(())
}

async fn history(engine: &Any, world: &World, at: &At, number: usize) -> Checked {
    let filter = CommitFilter::default();
    let (branch, total) = engine.history(at, &filter, Walk::Branch, ALL).await.map_err(fault)?;
    let line = world.line(number);
    let ids = |numbers: &[usize]| -> Vec<_> { numbers.iter().map(|number| world.commits[*number].id).collect() };
    prop_assert_eq!(branch.iter().map(|entry| entry.id).collect::<Vec<_>>(), ids(&line));
    prop_assert_eq!(total as usize, line.len());
    for (entry, number) in branch.iter().zip(&line) {
        let past = &world.commits[*number];
        prop_assert_eq!((entry.added, entry.removed), past.width, "of {:?}", past.verb);
        prop_assert_eq!(&entry.bare.parents, &ids(&past.parents));
        prop_assert!(*number == 0 || (entry.bare.verb, &entry.bare.author) == (past.verb, &past.author));
    }
    let (all, total) = engine.history(at, &filter, Walk::All, ALL).await.map_err(fault)?;
    let ancestors: Vec<usize> = world.ancestors(number).into_iter().collect();
    let found: BTreeSet<_> = all.iter().map(|entry| entry.id).collect();
    prop_assert_eq!((found, total as usize), (ids(&ancestors).into_iter().collect(), ancestors.len()));
    for (place, entry) in all.iter().enumerate() {
        let later = &all[place + 1..];
        let is_before_its_parents = entry.bare.parents.iter().all(|id| later.iter().any(|entry| entry.id == *id));
        prop_assert!(is_before_its_parents, "a parent is listed before its child");
    }
    Ok(())
}

/// What the engine says a plan would do.
pub async fn plan(bench: &Bench, branch: &Name, plan: &Plan, forecast: &Forecast) -> Checked {
    let (world, engine) = (&bench.world, bench.engine());
    let at = engine.resolve(&Revision::Name(branch.clone()), world.now).await.map_err(fault)?;
    let planned = engine.plan(&at, plan, ALL).await.map_err(fault)?;
    let head = world.state(world.head(branch));
    prop_assert_eq!(planned.counts, forecast.counts(head), "{:?}", plan);
    let mut moved: BTreeMap<MemoryId, (Option<VersionId>, Option<VersionId>)> = BTreeMap::new();
    for (id, want) in &forecast.state {
        if let super::world::Want::Is(version) = want
            && head.get(id).is_none_or(|before| before.id != version.id)
        {
            moved.insert(*id, (head.get(id).map(|before| before.id), Some(version.id)));
        }
    }
    let removed = head.iter().filter(|(id, _)| !forecast.state.contains_key(*id));
    moved.extend(removed.map(|(id, version)| (*id, (Some(version.id), None))));
    let is_fresh = |difference: &&Difference| !planned.fresh.iter().any(|fresh| Some(fresh.id) == difference.after);
    let found: Vec<Difference> = planned.differences.iter().filter(is_fresh).copied().collect();
    prop_assert_eq!(by_id(&found), moved, "{:?}", plan);
    let clashes: Vec<_> =
        forecast.conflicts.iter().map(|clash| (clash.id, version(&clash.ours), version(&clash.theirs))).collect();
    let mut conflicts: Vec<_> = planned.conflicts.iter().map(|found| (found.id, found.ours, found.theirs)).collect();
    conflicts.sort_unstable();
    prop_assert_eq!(conflicts, clashes, "{:?}", plan);
    for conflict in &planned.conflicts {
        let clash = forecast.conflicts.iter().find(|clash| clash.id == conflict.id).unwrap();
        let is_one = clash.bases.iter().any(|base| version(base) == conflict.base);
        prop_assert!(is_one || conflict.base.is_none(), "{:?} has not this base: {:?}", clash, conflict);
    }
    let kept: Sides = by_id(&planned.kept);
    prop_assert_eq!(&kept, &forecast.kept, "{:?}", plan);
    let bases: BTreeSet<_> = forecast.bases.iter().map(|base| world.commits[*base].id).collect();
    if !forecast.is_merged {
        prop_assert_eq!(planned.bases.iter().copied().collect::<BTreeSet<_>>(), bases, "{:?}", plan);
    }
    if let Plan::Merge { .. } = plan {
        prop_assert_eq!(planned.merged.is_some_and(|merged| merged.is_all), forecast.is_merged, "{:?}", planned.merged);
    }
    if let Plan::Invert { .. } = plan {
        let expected: Vec<_> = forecast.selected.iter().map(|number| world.commits[*number].id).collect();
        prop_assert_eq!(&planned.commits, &expected[..expected.len().min(200)], "{:?}", plan);
    }
    Ok(())
}

fn version(version: &Option<Version>) -> Option<VersionId> {
    version.as_ref().map(|version| version.id)
}

/// Where a revision is in the model, after the engine has said the same.
pub async fn locate(bench: &Bench, place: action::Where) -> Checked<usize> {
    let world = &bench.world;
    let of = |list: &[Name], n: usize| list[n % list.len()].clone();
    let (revision, number) = match place {
        action::Where::Branch(n) | action::Where::Name(n) => {
            let is_branch = matches!(place, action::Where::Branch(_));
            let name = of(&world.living(is_branch.then_some(NameKind::Branch)), n);
            (Revision::Name(name.clone()), Some(world.head(&name)))
        }
        action::Where::Commit(n) => {
            let reachable: Vec<usize> = (0..world.commits.len()).filter(|n| !world.forgotten.contains(n)).collect();
            let number = reachable[n % reachable.len()];
            (Revision::Commit(world.commits[number].id.to_string()), Some(number))
        }
        action::Where::At(n, moment) => {
            let name = of(&world.living(Some(NameKind::Branch)), n);
            let when = world.commits[1..].get(moment % world.commits.len()).map_or(world.now, |past| past.at);
            let when = when.plus_ms((moment / 7 % 3) as i64 - 1);
            (Revision::At(name.clone(), when), world.at(&name, when))
        }
    };
    let found = bench.engine().resolve(&revision, world.now).await;
    match number {
        Some(number) => {
            prop_assert_eq!(found.map_err(fault)?.commit, world.commits[number].id, "{:?}", revision);
            if let Revision::At(..) = revision {
                super::met("time resolved");
            }
            Ok(number)
        }
        None => {
            prop_assert!(found.is_err(), "{revision:?} was before the branch, and came to {found:?}");
            Ok(world.head(&Name::main()))
        }
    }
}
