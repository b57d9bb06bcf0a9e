//! What picking, rolling back, reverting and undoing promise: a new commit of exactly that, others' later work kept.

use super::branch::{Branch, made, merging};
use super::samples::{memory, op, write};
use super::verified;
use crate::engine::{Engine, Erase};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Applied, Author, Change, CommitFilter, CommitId, Counts, Difference, Expect, Later, Memory, Origin, OriginFilter,
    Plan, Rule, Selection, Source, Verb, Write,
};

fn invert(commit: CommitId) -> Plan {
    Plan::Invert { what: Selection::Commits(vec![commit]), later: Later::Keep }
}

/// A write of some agent's.
async fn by<E: Engine>(branch: &Branch<'_, E>, agent: &str, verb: Verb, changes: Vec<Change>) -> Result<Applied> {
    let order = write(verb, changes)?;
    let author = Author { agent: Some(agent.to_owned()), ..order.author.clone() };
    branch.write(Write { author, ..order }).await
}

pub async fn a_picked_memory_brings_its_change_and_no_other(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let (a, b) = (main.store("a").await?, main.store("b").await?);
    let before = main.commit().await?;
    let dev = main.fork("dev").await?;
    dev.correct(&a, "a corrected").await?;
    dev.correct(&b, "b corrected").await?;
    let new = dev.store("new").await?;
    dev.store("not wanted").await?;
    let theirs = dev.commit().await?;
    let graft = |only, rule| Plan::Graft { base: None, theirs, only, rule };
    let applied = main.carry_out(Verb::Pick, graft(vec![a.id, new.id], Rule::Fail)).await?;
    let commit = engine.commit(made(&applied)?).await?;
    holds!(commit.parents.len() == 1 && commit.about == [theirs], "a pick is {commit:?}");
    let texts = main.texts().await?;
    holds!(texts == ["a corrected", "b", "new"], "two picked memories came to {texts:?}");
    let (here, there) = (main.state().await?, dev.state().await?);
    holds!(here.get(&a.id) == there.get(&a.id), "a picked memory is a version of its own");
    let again = main.carry_out(Verb::Pick, graft(vec![a.id, new.id], Rule::Fail)).await?;
    holds!(again.commit.is_none(), "what was picked was picked again");
    // Changed on both sides: nothing is done without a rule, and no merge is left in progress.
    main.correct(&b, "b otherwise").await?;
    let refused = main.carry_out(Verb::Pick, graft(vec![b.id], Rule::Fail)).await?;
    holds!(refused.commit.is_none() && refused.counts.conflicts == 1, "a pick with a conflict came to {refused:?}");
    holds!(engine.pending(&main.name).await?.is_none(), "a pick left a merge in progress");
    main.carry_out(Verb::Pick, graft(vec![b.id], Rule::Theirs)).await?;
    holds!(main.texts().await? == ["a corrected", "b corrected", "new"], "theirs was not picked");
    let unknown = main.carry_out(Verb::Pick, graft(vec![memory("never").id], Rule::Fail)).await;
    holds!(unknown.is_err_and(|error| error.kind == ErrorKind::NotFound), "a memory was picked that nobody made");
    // From the past of the branch itself, and although nobody changed it there: what is named is wanted as it was.
    main.purge(a.id).await?;
    let past = Plan::Graft { base: None, theirs: before, only: vec![a.id, b.id], rule: Rule::Fail };
    let planned = main.planned(&past).await?;
    let conflicts: Vec<_> = planned.conflicts.iter().map(|conflict| conflict.id).collect();
    holds!(conflicts == [b.id] && planned.counts.added == 1, "two memories of the past come to {planned:?}");
    let past = Plan::Graft { base: None, theirs: before, only: vec![a.id], rule: Rule::Fail };
    main.carry_out(Verb::Pick, past).await?;
    holds!(main.texts().await? == ["a", "b corrected", "new"], "from the past came {:?}", main.texts().await?);
    main.carry_out(Verb::Pick, graft(vec![a.id], Rule::Theirs)).await?;
    // A merge afterwards finds it all there.
    main.merge(&dev).await?;
    holds!(main.state().await? == dev.state().await?, "after picks a merge came to {:?}", main.texts().await?);
    verified(engine).await
}

pub async fn a_picked_commit_brings_what_it_changed(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let (a, b) = (main.store("a").await?, main.store("b").await?);
    let dev = main.fork("dev").await?;
    dev.store("before").await?;
    let change = Change::Replace { memory: Memory { text: "a corrected".into(), ..a.clone() }, expect: Expect::Live };
    let remove = Change::Remove { id: b.id, expect: Expect::Live };
    let commit = made(&dev.change(Verb::Correct, vec![change, remove]).await?)?;
    dev.store("after").await?;
    main.store("meanwhile").await?;
    let base = engine.commit(commit).await?.parents.first().copied();
    let pick = Plan::Graft { base, theirs: commit, only: vec![], rule: Rule::Fail };
    let applied = main.carry_out(Verb::Pick, pick).await?;
    let counts = Counts { changed: 1, removed: 1, ..Counts::default() };
    holds!(applied.counts == counts, "a picked commit counts {:?}", applied.counts);
    holds!(main.texts().await? == ["a corrected", "meanwhile"], "a picked commit came to {:?}", main.texts().await?);
    verified(engine).await
}

pub async fn a_reset_reaches_its_state_and_cuts_no_history(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let (a, b) = (main.store("a").await?, main.store("b").await?);
    let (to, state) = (main.commit().await?, main.state().await?);
    main.correct(&a, "a corrected").await?;
    main.purge(b.id).await?;
    main.store("c").await?;
    let (late, later) = (main.commit().await?, main.state().await?);
    let applied = main.carry_out(Verb::Rollback, Plan::Reset { to }).await?;
    let counts = Counts { added: 1, changed: 1, removed: 1, ..Counts::default() };
    holds!(applied.counts == counts, "a rollback over three changes counts {:?}", applied.counts);
    holds!(main.state().await? == state, "a rollback came to {:?}", main.texts().await?);
    let commit = engine.commit(made(&applied)?).await?;
    holds!(commit.parents == [late] && commit.about == [to], "a rollback is {commit:?}");
    main.carry_out(Verb::Rollback, Plan::Reset { to: late }).await?;
    holds!(main.state().await? == later, "a rollback of a rollback came to {:?}", main.texts().await?);
    let none = main.carry_out(Verb::Rollback, Plan::Reset { to: late }).await?;
    holds!(none.commit.is_none(), "a rollback to the present made a commit");
    verified(engine).await
}

pub async fn rolling_back_one_agent_keeps_later_work_of_others_and_lists_it(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let honest = main.store("the port is 80").await?;
    let dev = main.fork("dev").await?;
    let (lie, half) = (memory("the key is public"), memory("the key is in the vault, or so"));
    let store = |memory: &Memory| vec![Change::Store(memory.clone())];
    let spoil = Memory { text: "the port is 8".into(), ..honest.clone() };
    let correct = |memory: &Memory| vec![Change::Replace { memory: memory.clone(), expect: Expect::Live }];
    let first = made(&by(&dev, "bad", Verb::Store, store(&lie)).await?)?;
    let second = made(&by(&dev, "bad", Verb::Store, store(&half)).await?)?;
    let third = made(&by(&dev, "bad", Verb::Correct, correct(&spoil)).await?)?;
    by(&dev, "good", Verb::Store, store(&memory("the sky is blue"))).await?;
    main.merge(&dev).await?;
    main.correct(&half, "the key is in the vault").await?;
    let now = main.state().await?.get(&half.id).copied();
    let who = |agent: &str| CommitFilter { agent: Some(agent.to_owned()), ..CommitFilter::default() };
    let plan = |later| Plan::Invert { what: Selection::By { commits: who("bad"), origin: None }, later };
    let planned = main.planned(&plan(Later::Keep)).await?;
    let kept = [Difference { id: half.id, before: now, after: None }];
    holds!(planned.kept == kept, "later work of others is {:?}, not {kept:?}", planned.kept);
    holds!(planned.commits == [third, second, first], "the agent's commits are {:?}", planned.commits);
    let trial = main.fork("trial").await?;
    let applied = main.carry_out(Verb::Rollback, plan(Later::Keep)).await?;
    let counts = Counts { changed: 1, removed: 1, kept: 1, ..Counts::default() };
    holds!(applied.counts == counts, "it counts {:?}, not {counts:?}", applied.counts);
    let texts = main.texts().await?;
    let expected = ["the key is in the vault", "the port is 80", "the sky is blue"];
    holds!(texts == expected, "without one agent's writes there is {texts:?}");
    let again = main.carry_out(Verb::Rollback, plan(Later::Keep)).await?;
    holds!(again.commit.is_none() && again.counts.kept == 1, "rolled back again, it comes to {again:?}");
    let applied = trial.carry_out(Verb::Rollback, plan(Later::Take)).await?;
    let counts = Counts { changed: 1, removed: 2, ..Counts::default() };
    holds!(applied.counts == counts, "with later work it counts {:?}, not {counts:?}", applied.counts);
    let texts = trial.texts().await?;
    holds!(texts == ["the port is 80", "the sky is blue"], "with later work taken there is {texts:?}");
    let none = main.carry_out(
        Verb::Rollback,
        Plan::Invert { what: Selection::By { commits: who("nobody"), origin: None }, later: Later::Keep },
    );
    holds!(none.await?.commit.is_none(), "the writes of nobody were rolled back");
    verified(engine).await
}

pub async fn rolling_back_an_origin_takes_only_its_versions(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let typed = memory("typed");
    let of = |source, tool: Option<&str>, text: &str| {
        let sample = memory(text);
        let origin = Origin { source, tool: tool.map(str::to_owned), ..sample.origin.clone() };
        Memory { origin, ..sample }
    };
    let (crawled, grepped) = (of(Source::Tool, Some("crawl"), "crawled"), of(Source::Tool, Some("grep"), "grepped"));
    let all = [&typed, &crawled, &grepped].map(|memory| Change::Store(memory.clone()));
    main.change(Verb::Store, all.to_vec()).await?;
    let back = |origin| Plan::Invert {
        what: Selection::By { commits: CommitFilter::default(), origin: Some(origin) },
        later: Later::Keep,
    };
    let trial = main.fork("trial").await?;
    main.carry_out(Verb::Rollback, back(OriginFilter::Named("crawl".into()))).await?;
    holds!(main.texts().await? == ["grepped", "typed"], "without a tool's writes: {:?}", main.texts().await?);
    trial.carry_out(Verb::Rollback, back(OriginFilter::Source(Source::Tool))).await?;
    holds!(trial.texts().await? == ["typed"], "without the writes of tools: {:?}", trial.texts().await?);
    verified(engine).await
}

pub async fn a_reverted_merge_takes_back_all_that_it_brought(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let (a, b) = (main.store("a").await?, main.store("b").await?);
    let dev = main.fork("dev").await?;
    dev.correct(&a, "a corrected").await?;
    dev.purge(b.id).await?;
    dev.store("new").await?;
    main.store("own").await?;
    let before = main.state().await?;
    let merge = made(&main.merge(&dev).await?)?;
    let revert = made(&main.carry_out(Verb::Revert, invert(merge)).await?)?;
    holds!(main.state().await? == before, "a reverted merge left {:?}", main.texts().await?);
    let commit = engine.commit(revert).await?;
    holds!(commit.about == [merge] && commit.parents.len() == 1, "a revert is {commit:?}");
    let foreign = dev.carry_out(Verb::Revert, invert(merge)).await;
    holds!(foreign.is_err(), "a commit was reverted on a branch that never had it: {foreign:?}");
    verified(engine).await
}

pub async fn an_undone_operation_can_be_done_again(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let a = main.store("a").await?;
    let mut states = vec![main.state().await?];
    let mut commits = Vec::new();
    for text in ["a corrected", "a corrected twice"] {
        main.correct(&a, text).await?;
        commits.push(main.commit().await?);
        states.push(main.state().await?);
    }
    main.purge(a.id).await?;
    commits.push(main.commit().await?);
    states.push(main.state().await?);
    let mut undos = Vec::new();
    for (commit, state) in commits.iter().zip(&states).rev() {
        undos.push(made(&main.carry_out(Verb::Undo, invert(*commit)).await?)?);
        holds!(main.state().await? == *state, "undone, there is {:?}", main.texts().await?);
    }
    for (undo, state) in undos.into_iter().rev().zip(&states[1..]) {
        main.carry_out(Verb::Redo, invert(undo)).await?;
        holds!(main.state().await? == *state, "done again, there is {:?}", main.texts().await?);
    }
    // Several at once, in whatever order they are named.
    let what = Selection::Commits(vec![commits[0], commits[2], commits[1]]);
    main.carry_out(Verb::Undo, Plan::Invert { what, later: Later::Keep }).await?;
    holds!(main.state().await? == states[0], "three undone at once, there is {:?}", main.texts().await?);
    verified(engine).await
}

pub async fn a_plan_says_what_its_application_does(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let (a, b) = (main.store("a").await?, main.store("b").await?);
    let dev = main.fork("dev").await?;
    dev.correct(&a, "a corrected").await?;
    dev.purge(b.id).await?;
    let to = main.commit().await?;
    let last = made(&by(&main, "other", Verb::Store, vec![Change::Store(memory("c"))]).await?)?;
    let theirs = dev.commit().await?;
    let plans = [
        (Verb::Merge, merging(theirs)),
        (Verb::Pick, Plan::Graft { base: None, theirs, only: vec![b.id], rule: Rule::Fail }),
        (Verb::Rollback, Plan::Reset { to }),
        (Verb::Revert, invert(last)),
    ];
    for (n, (verb, plan)) in plans.into_iter().enumerate() {
        let trial = main.fork(&format!("trial/{n}")).await?;
        let before = trial.head().await?;
        let planned = trial.planned(&plan).await?;
        holds!(trial.commit().await? == before.commit, "a plan alone moved the branch");
        let applied = trial.carry_out(verb, plan.clone()).await?;
        let after = trial.head().await?;
        let diff = engine.diff(&before, &after, &Default::default(), super::samples::ALL).await?;
        holds!(planned.counts == applied.counts, "{plan:?} said {:?}, did {:?}", planned.counts, applied.counts);
        let is_same = planned.differences == diff.differences && planned.counts == diff.counts;
        holds!(is_same, "{plan:?} said {:?}, and differs by {:?}", planned.differences, diff.differences);
    }
    verified(engine).await
}

pub async fn a_plan_of_many_changes_is_a_plan_like_any_other(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let memories: Vec<Memory> = (0..1_500).map(|n| memory(&format!("line {n}"))).collect();
    main.change(Verb::Import, memories.iter().cloned().map(Change::Store).collect()).await?;
    let (before, to) = (main.state().await?, main.commit().await?);
    let dev = main.fork("dev").await?;
    let correct = |memory: &Memory| {
        let memory = Memory { text: format!("{} corrected", memory.text), ..memory.clone() };
        Change::Replace { memory, expect: Expect::Live }
    };
    dev.change(Verb::Correct, memories[..1_200].iter().map(correct).collect()).await?;
    main.purge(memories[1_400].id).await?;
    let applied = main.merge(&dev).await?;
    let counts = Counts { changed: 1_200, ..Counts::default() };
    holds!(applied.counts == counts, "a wide merge counts {:?}", applied.counts);
    let (here, there) = (main.state().await?, dev.state().await?);
    let is_there = here.len() == 1_499 && here.iter().all(|(id, version)| there.get(id) == Some(version));
    holds!(is_there, "a wide merge came to {} memories", here.len());
    let merge = made(&applied)?;
    let trial = main.fork("trial").await?;
    main.carry_out(Verb::Revert, invert(merge)).await?;
    let mut expected = before.clone();
    expected.remove(&memories[1_400].id);
    holds!(main.state().await? == expected, "a wide merge was not taken back");
    trial.carry_out(Verb::Rollback, Plan::Reset { to }).await?;
    holds!(trial.state().await? == before, "a wide rollback did not reach its state");
    let id = engine.commit(made(&applied)?).await?.id();
    holds!(id == merge, "a wide merge does not hash to its id");
    if main.head().await?.live != 1_499 {
        return Err(Error::internal("a wide revert counts wrong"));
    }
    verified(engine).await
}

pub async fn an_erased_memory_never_comes_back(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let (kept, secret) = (main.store("kept").await?, main.store("a secret").await?);
    let to = main.commit().await?;
    let dev = main.fork("dev").await?;
    dev.correct(&secret, "a secret, corrected").await?;
    dev.correct(&kept, "kept, corrected").await?;
    let merge = made(&main.merge(&dev).await?)?;
    let purge = made(&main.purge(secret.id).await?)?;
    let author = write(Verb::Erase, vec![])?.author;
    let erase = Erase { ids: vec![secret.id], author, note: None, at: crate::clock::now() };
    let erased = engine.erase(op(), erase).await?;
    holds!(erased.memories == 1 && erased.versions == 2, "a memory of two versions was erased: {erased:?}");
    holds!(dev.texts().await? == ["kept, corrected"], "an erased memory is live: {:?}", dev.texts().await?);
    let theirs = dev.commit().await?;
    let plans = [
        (Verb::Revert, invert(purge), vec!["kept, corrected"]),
        (Verb::Revert, invert(merge), vec!["kept"]),
        (Verb::Rollback, Plan::Reset { to }, vec!["kept"]),
        (Verb::Merge, merging(theirs), vec!["kept, corrected"]),
        (Verb::Apply, Plan::Graft { base: Some(purge), theirs: to, only: vec![], rule: Rule::Theirs }, vec!["kept"]),
        (Verb::Pick, Plan::Graft { base: None, theirs: to, only: vec![secret.id], rule: Rule::Theirs }, vec![]),
    ];
    for (n, (verb, plan, expected)) in plans.into_iter().enumerate() {
        let trial = main.fork(&format!("trial/{n}")).await?;
        let before = trial.texts().await?;
        trial.carry_out(verb, plan.clone()).await?;
        let texts = trial.texts().await?;
        let expected = if expected.is_empty() { before } else { expected.iter().map(ToString::to_string).collect() };
        holds!(texts == expected, "after an erasure {plan:?} came to {texts:?}, not {expected:?}");
    }
    let commit = engine.commit(merge).await?;
    holds!(commit.id() == merge, "a commit with an erased version does not hash to its id any more");
    let versions = engine.versions(&commit.added).await?;
    holds!(versions.iter().flatten().all(|memory| memory.id != secret.id), "an erased version is read");
    verified(engine).await
}
