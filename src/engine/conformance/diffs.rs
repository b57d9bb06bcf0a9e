//! What a diff promises: everything that differs, nothing else, and that applying it leads from one state to the other.

use super::branch::{Branch, State, state};
use super::samples::{ALL, memory};
use super::verified;
use crate::engine::{At, Engine};
use crate::error::{Error, Result};
use crate::model::{Counts, Diff, Difference, Filter, Kind, Memory, Page, Plan, Rule, Verb};

/// What differs by a plain look at both states.
fn expected(from: &State, to: &State) -> Vec<Difference> {
    let ids = from.keys().chain(to.keys().filter(|id| !from.contains_key(*id)));
    let one = |id| Difference { id, before: from.get(&id).copied(), after: to.get(&id).copied() };
    let mut all: Vec<_> = ids.copied().map(one).filter(|one| one.before != one.after).collect();
    all.sort_unstable_by_key(|one| one.id);
    all
}

async fn checked(engine: &impl Engine, from: &At, to: &At) -> Result<Diff> {
    let diff = engine.diff(from, to, &Filter::default(), ALL).await?;
    let mut found = diff.differences.clone();
    found.sort_unstable_by_key(|one| one.id);
    let expected = expected(&state(engine, from).await?, &state(engine, to).await?);
    holds!(found == expected, "a diff says {found:?}, but {expected:?} differs");
    let count = |fits: fn(&Difference) -> bool| expected.iter().filter(|one| fits(one)).count() as u32;
    let counts = Counts {
        added: count(|one| one.before.is_none()),
        changed: count(|one| one.before.is_some() && one.after.is_some()),
        removed: count(|one| one.after.is_none()),
        ..Counts::default()
    };
    holds!(diff.counts == counts, "a diff counts {:?}, not {counts:?}", diff.counts);
    Ok(diff)
}

pub async fn a_diff_counts_everything_and_shows_a_page(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let mut memories = Vec::new();
    for n in 0..8 {
        memories.push(main.store(&format!("note {n}")).await?);
    }
    let from = main.head().await?;
    let dev = main.fork("dev").await?;
    for memory in &memories[..3] {
        dev.correct(memory, &format!("{} corrected", memory.text)).await?;
    }
    dev.purge(memories[3].id).await?;
    dev.purge(memories[4].id).await?;
    let skill = Memory { kind: Kind::Procedural, ..memory("how to deploy") };
    dev.add(&skill).await?;
    let to = dev.head().await?;
    let there = checked(engine, &from, &to).await?;
    checked(engine, &to, &from).await?;
    let none = engine.diff(&to, &to, &Filter::default(), ALL).await?;
    holds!(none == Diff::default(), "a state differs from itself by {none:?}");
    let mut pages = Vec::new();
    for offset in [0, 2, 4, 6] {
        let page = engine.diff(&from, &to, &Filter::default(), Page { offset, limit: 2 }).await?;
        holds!(page.counts == there.counts, "a page counts {:?}, the whole {:?}", page.counts, there.counts);
        pages.extend(page.differences);
    }
    holds!(pages == there.differences, "the pages do not make up the whole");
    let newest = there.differences.last().map(|one| one.id);
    holds!(newest == Some(skill.id), "what was written last does not come last");
    let kinds = Filter { kinds: vec![Kind::Procedural], ..Filter::default() };
    let skills = engine.diff(&from, &to, &kinds, ALL).await?;
    let ids: Vec<_> = skills.differences.iter().map(|one| one.id).collect();
    holds!(ids == [skill.id] && skills.counts.moved() == 1, "one skill was added, a filtered diff says {skills:?}");
    // A memory that leaves the filter shows too.
    let retold = Memory { kind: Kind::Semantic, ..skill.clone() };
    dev.replace(&retold).await?;
    let left = engine.diff(&to, &dev.head().await?, &kinds, ALL).await?;
    holds!(left.counts.changed == 1, "a memory that left the filter is not in {left:?}");
    verified(engine).await
}

pub async fn an_applied_diff_reaches_its_target_and_its_inverse_undoes_it(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let (kept, changed) = (main.store("kept").await?, main.store("changed").await?);
    let gone = main.store("gone").await?;
    let (from, before) = (main.commit().await?, main.state().await?);
    let (dev, trial) = (main.fork("dev").await?, main.fork("trial").await?);
    dev.store("new").await?;
    dev.correct(&changed, "changed twice").await?;
    dev.purge(gone.id).await?;
    let (to, after) = (dev.commit().await?, dev.state().await?);
    let apply = |base, theirs, only| Plan::Graft { base: Some(base), theirs, only, rule: Rule::Fail };
    trial.carry_out(Verb::Apply, apply(from, to, vec![])).await?;
    holds!(trial.state().await? == after, "an applied diff came to {:?}", trial.texts().await?);
    trial.carry_out(Verb::Apply, apply(to, from, vec![])).await?;
    holds!(trial.state().await? == before, "its inverse came to {:?}", trial.texts().await?);
    // Part of a diff: what was not asked for stays.
    let applied = trial.carry_out(Verb::Apply, apply(from, to, vec![gone.id, kept.id])).await?;
    let counts = Counts { removed: 1, ..Counts::default() };
    holds!(applied.counts == counts, "one of three differences was applied, the counts are {:?}", applied.counts);
    holds!(trial.texts().await? == ["changed", "kept"], "part of a diff came to {:?}", trial.texts().await?);
    // On other work than it was made on.
    main.store("meanwhile").await?;
    main.carry_out(Verb::Apply, apply(from, to, vec![])).await?;
    let texts = main.texts().await?;
    holds!(texts == ["changed twice", "kept", "meanwhile", "new"], "a diff on other work came to {texts:?}");
    verified(engine).await
}
