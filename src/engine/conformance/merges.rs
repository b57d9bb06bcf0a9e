//! What a merge promises: what one side changed comes, what both changed equally agrees, fields merge apart, and the
//! rest waits for a word, with nothing silent about what was merged before.

use super::branch::{Branch, made, merging};
use super::verified;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Choice, Conflict, Counts, Later, Memory, Merged, Plan, Progress, Resolution, Rule, Selection, Verb,
};

pub async fn one_sided_changes_merge_to_the_same_state_in_either_order(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let (a, b) = (main.store("a").await?, main.store("b").await?);
    let (c, both) = (main.store("c").await?, main.store("both").await?);
    let (one, other) = (main.fork("one").await?, main.fork("other").await?);
    one.correct(&a, "a corrected").await?;
    one.store("one's own").await?;
    one.purge(both.id).await?;
    other.correct(&b, "b corrected").await?;
    other.purge(c.id).await?;
    other.store("other's own").await?;
    other.purge(both.id).await?;
    let (left, right) = (one.fork("left").await?, other.fork("right").await?);
    let applied = left.merge(&other).await?;
    let counts = Counts { added: 1, changed: 1, removed: 1, ..Counts::default() };
    holds!(applied.counts == counts, "a merge of one addition, change and removal counts {:?}", applied.counts);
    right.merge(&one).await?;
    let (there, back) = (left.state().await?, right.state().await?);
    holds!(there == back, "merged in the other order: {:?}, not {:?}", right.texts().await?, left.texts().await?);
    let texts = left.texts().await?;
    holds!(texts == ["a corrected", "b corrected", "one's own", "other's own"], "a merge came to {texts:?}");
    let commit = engine.commit(made(&applied)?).await?;
    let parents = [one.commit().await?, other.commit().await?];
    holds!(commit.parents == parents && commit.verb == Verb::Merge, "a merge has the parents {:?}", commit.parents);
    verified(engine).await
}

pub async fn a_branch_merged_with_itself_is_itself(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    main.store("one").await?;
    let twin = main.fork("twin").await?;
    let (commit, early) = (main.commit().await?, main.state().await?);
    for other in [&main, &twin] {
        let applied = main.merge(other).await?;
        holds!(applied.commit.is_none() && main.commit().await? == commit, "a merge with itself made a commit");
        let is_said = applied.merged.is_some_and(|merged| merged.is_all);
        holds!(is_said, "that nothing was left to merge is not said: {:?}", applied.merged);
    }
    // Newer work goes to the branch behind with all of it, and an older state changes nothing.
    main.store("two").await?;
    let applied = main.merge(&twin).await?;
    holds!(applied.commit.is_none(), "a merge of an older state made a commit");
    twin.merge(&main).await?;
    holds!(twin.state().await? == main.state().await? && main.state().await? != early, "a branch did not catch up");
    verified(engine).await
}

pub async fn merging_twice_is_merging_once(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let fact = main.store("fact").await?;
    let dev = main.fork("dev").await?;
    dev.correct(&fact, "fact corrected").await?;
    main.store("meanwhile").await?;
    let merge = made(&main.merge(&dev).await?)?;
    let state = main.state().await?;
    let again = main.merge(&dev).await?;
    let expected = Some(Merged { merge, is_all: true, undone_by: None });
    holds!(again.commit.is_none() && main.state().await? == state, "merging twice changed something");
    holds!(again.merged == expected, "merged twice, it says {:?}, not {expected:?}", again.merged);
    // Corrected here since: the branch's old word does not come back.
    main.correct(&fact, "fact settled").await?;
    dev.store("more").await?;
    let applied = main.merge(&dev).await?;
    let texts = main.texts().await?;
    holds!(texts == ["fact settled", "meanwhile", "more"], "what came after a merge came to {texts:?}");
    let expected = Some(Merged { merge, is_all: false, undone_by: None });
    holds!(applied.merged == expected, "merged in part before, it says {:?}", applied.merged);
    verified(engine).await
}

pub async fn fields_of_one_memory_merge_apart(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect();
    let first = super::samples::memory("port 80");
    let first = Memory { tags: tags(&["net", "old"]), metadata: r#"{"a":1,"b":1}"#.into(), ..first };
    main.add(&first).await?;
    let dev = main.fork("dev").await?;
    dev.replace(&Memory { tags: tags(&["net", "web"]), metadata: r#"{"a":1,"b":2}"#.into(), ..first.clone() }).await?;
    let ours = Memory { text: "port 8080".into(), tags: tags(&["net", "old", "tcp"]), ..first.clone() };
    main.replace(&Memory { metadata: r#"{"a":3,"b":1}"#.into(), ..ours.clone() }).await?;
    let planned = main.planned(&merging(dev.commit().await?)).await?;
    holds!(planned.conflicts.is_empty(), "fields that only one side changed are in conflict: {planned:?}");
    let is_shown = planned.fresh.len() == 1 && planned.differences[0].after == Some(planned.fresh[0].id);
    holds!(is_shown, "a version that is to be made is not shown: {planned:?}");
    let applied = main.merge(&dev).await?;
    holds!(applied.counts == Counts { changed: 1, ..Counts::default() }, "it counts {:?}", applied.counts);
    let read = engine.read(&main.head().await?, &[first.id]).await?;
    let expected = Memory { tags: tags(&["net", "tcp", "web"]), metadata: r#"{"a":3,"b":2}"#.into(), ..ours };
    let memory = read.into_iter().next().flatten().map(|version| version.memory);
    holds!(memory.as_ref() == Some(&expected), "fields merged to {memory:?}, not {expected:?}");
    // Back to what the other branch says as a whole: its version, not a third one.
    dev.merge(&main).await?;
    holds!(dev.state().await? == main.state().await?, "two branches that say the same hold different versions");
    verified(engine).await
}

pub async fn criss_cross_merges_settle_what_all_bases_share(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let shared = main.store("shared").await?;
    let dev = main.fork("dev").await?;
    let (ours, theirs) = (main.store("from main").await?, dev.store("from dev").await?);
    let (a, b) = (main.commit().await?, dev.commit().await?);
    main.carry_out(Verb::Merge, merging(b)).await?;
    dev.carry_out(Verb::Merge, merging(a)).await?;
    dev.correct(&shared, "shared, corrected").await?;
    let planned = main.planned(&merging(dev.commit().await?)).await?;
    let mut bases = planned.bases;
    bases.sort_unstable();
    let mut expected = [a, b];
    expected.sort_unstable();
    holds!(bases == expected, "after crossing merges the bases are {bases:?}, not {expected:?}");
    main.merge(&dev).await?;
    let texts = main.texts().await?;
    holds!(texts == ["from dev", "from main", "shared, corrected"], "a criss-cross merge came to {texts:?}");

    // A memory that one base has and the other has not, and the sides say different things of: nobody can know.
    let (left, right) = (main.fork("left").await?, main.fork("right").await?);
    let (c, d) = (left.correct(&ours, "left's word").await?, right.correct(&theirs, "right's word").await?);
    let (left_commit, right_commit) = (left.commit().await?, right.commit().await?);
    left.carry_out(Verb::Merge, merging(right_commit)).await?;
    right.carry_out(Verb::Merge, merging(left_commit)).await?;
    holds!(left.state().await? == right.state().await?, "crossing merges differ");
    left.correct(&c, "left's last word").await?;
    let planned = left.planned(&merging(right.commit().await?)).await?;
    let ids: Vec<_> = planned.conflicts.iter().map(|conflict| conflict.id).collect();
    holds!(ids == [c.id], "bases that differ on {} and not on {}: the conflicts are {ids:?}", c.id, d.id);
    verified(engine).await
}

pub async fn merging_again_after_a_reverted_merge_says_so(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    main.store("ground").await?;
    let dev = main.fork("dev").await?;
    dev.store("feature").await?;
    let merge = made(&main.merge(&dev).await?)?;
    let invert = |commit| Plan::Invert { what: Selection::Commits(vec![commit]), later: Later::Keep };
    let revert = made(&main.carry_out(Verb::Revert, invert(merge)).await?)?;
    holds!(main.texts().await? == ["ground"], "a reverted merge left {:?}", main.texts().await?);
    let applied = main.merge(&dev).await?;
    let expected = Some(Merged { merge, is_all: true, undone_by: Some(revert) });
    holds!(applied.commit.is_none() && applied.merged == expected, "merged again, it says {:?}", applied.merged);
    dev.store("more").await?;
    let applied = main.merge(&dev).await?;
    let expected = Some(Merged { merge, is_all: false, undone_by: Some(revert) });
    holds!(applied.merged == expected, "merged again in part, it says {:?}", applied.merged);
    holds!(main.texts().await? == ["ground", "more"], "merged again in part: {:?}", main.texts().await?);
    let back = made(&main.carry_out(Verb::Revert, invert(revert)).await?)?;
    let texts = main.texts().await?;
    holds!(texts == ["feature", "ground", "more"], "reverting the revert brought back {texts:?}");
    let undone = async || -> Result<_> {
        let planned = main.planned(&merging(dev.commit().await?)).await?;
        Ok(planned.merged.and_then(|merged| merged.undone_by))
    };
    holds!(undone().await?.is_none(), "a revert that was reverted still counts: {:?}", undone().await?);
    // A rollback to before it takes a merge back as well; undoing the rollback brings it again.
    let parent = engine.commit(merge).await?.parents[0];
    let rollback = made(&main.carry_out(Verb::Rollback, Plan::Reset { to: parent }).await?)?;
    holds!(undone().await? == Some(rollback), "a rollback behind it is not said to have taken the merge back");
    main.carry_out(Verb::Undo, invert(rollback)).await?;
    holds!(undone().await?.is_none(), "a rollback that was undone still counts");
    main.carry_out(Verb::Undo, invert(back)).await?;
    holds!(undone().await? == Some(revert), "a revert stands again, and is not said to have taken the merge back");
    verified(engine).await
}

/// `main` and `dev` that differ in one memory, and what they make of it.
async fn disputed<'e, E: Engine>(main: &Branch<'e, E>) -> Result<(Branch<'e, E>, Memory, Conflict)> {
    let fact = main.store("tabs or spaces").await?;
    let base = main.state().await?.get(&fact.id).copied();
    let dev = main.fork("dev").await?;
    dev.correct(&fact, "tabs").await?;
    dev.store("from dev").await?;
    main.correct(&fact, "spaces").await?;
    let side = async |branch: &Branch<'e, E>| Ok::<_, Error>(branch.state().await?.get(&fact.id).copied());
    let (ours, theirs) = (side(main).await?, side(&dev).await?);
    let id = fact.id;
    Ok((dev, fact, Conflict { id, base, ours, theirs }))
}

fn resolution(conflict: &Conflict, choice: Choice) -> Resolution {
    Resolution { id: conflict.id, ours: conflict.ours, theirs: conflict.theirs, choice }
}

fn resolved(theirs: crate::model::CommitId, resolutions: Vec<Resolution>) -> Plan {
    Plan::Merge { theirs, rule: Rule::Fail, resolutions }
}

pub async fn a_conflict_carries_all_three_sides_and_waits(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let (dev, fact, conflict) = disputed(&main).await?;
    let (before, theirs) = (main.commit().await?, dev.commit().await?);
    let planned = main.planned(&merging(theirs)).await?;
    holds!(planned.conflicts == [conflict], "the conflict is {:?}, not {conflict:?}", planned.conflicts);
    holds!(engine.pending(&main.name).await?.is_none(), "a plan alone leaves a merge in progress");
    let applied = main.merge(&dev).await?;
    let counts = Counts { added: 1, conflicts: 1, ..Counts::default() };
    holds!(applied.commit.is_none() && applied.counts == counts, "a conflict came to {applied:?}");
    holds!(main.commit().await? == before, "a merge with a conflict moved the branch");
    let pending = engine.pending(&main.name).await?;
    let is_open = pending.as_ref().is_some_and(|open| open.theirs == theirs && open.resolutions.is_empty());
    holds!(is_open, "the merge in progress is {pending:?}");
    holds!(engine.pending(&dev.name).await?.is_none(), "the merge is in progress on the other branch too");
    // Others work on meanwhile, and the merge is of the head of the moment.
    main.store("meanwhile").await?;
    let own = Memory { text: "tabs, then spaces".into(), ..fact.clone() };
    for choice in [Choice::Theirs, Choice::Memory(Box::new(own.clone()))] {
        main.progress(Progress::Resolve(vec![resolution(&conflict, choice)])).await?;
    }
    let pending = engine.pending(&main.name).await?.ok_or_else(|| Error::internal("the merge is not in progress"))?;
    let expected = [resolution(&conflict, Choice::Memory(Box::new(own)))];
    holds!(pending.resolutions == expected, "the last word on a memory is {:?}", pending.resolutions);
    let merge = made(&main.carry_out(Verb::Merge, resolved(pending.theirs, pending.resolutions)).await?)?;
    let texts = main.texts().await?;
    holds!(texts == ["from dev", "meanwhile", "tabs, then spaces"], "a resolved merge came to {texts:?}");
    holds!(engine.commit(merge).await?.parents.get(1) == Some(&theirs), "a resolved merge is no merge");
    holds!(engine.pending(&main.name).await?.is_none(), "a merge that is done is still in progress");
    let none = main.progress(Progress::Resolve(vec![resolution(&conflict, Choice::Ours)])).await;
    holds!(none.is_err_and(|error| error.kind == ErrorKind::NotFound), "a merge that is done was resolved");
    verified(engine).await
}

pub async fn a_resolution_holds_as_long_as_both_sides_do(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let (dev, fact, conflict) = disputed(&main).await?;
    let theirs = dev.commit().await?;
    for (choice, text) in [(Choice::Base, "tabs or spaces"), (Choice::Ours, "spaces"), (Choice::Theirs, "tabs")] {
        let trial = main.fork(&format!("trial/{}", text.replace(' ', "-"))).await?;
        trial.carry_out(Verb::Merge, resolved(theirs, vec![resolution(&conflict, choice.clone())])).await?;
        let texts = trial.texts().await?;
        holds!(texts == ["from dev", text], "{choice:?} came to {texts:?}");
    }
    let settled = vec![resolution(&conflict, Choice::Theirs)];
    // What one of the two sides says word for word is that side, not a third version.
    let as_theirs = Memory { text: "tabs".into(), ..fact.clone() };
    let typed = resolution(&conflict, Choice::Memory(Box::new(as_theirs)));
    let planned = main.planned(&resolved(theirs, vec![typed])).await?;
    let is_theirs = planned.fresh.is_empty() && planned.differences.iter().any(|one| one.after == conflict.theirs);
    holds!(is_theirs, "theirs, typed again, is a new version: {planned:?}");
    main.correct(&fact, "two spaces").await?;
    let planned = main.planned(&resolved(theirs, settled)).await?;
    let ours = main.state().await?.get(&fact.id).copied();
    let open = [Conflict { ours, ..conflict }];
    holds!(planned.conflicts == open, "our side has changed, and the conflicts are {:?}", planned.conflicts);
    verified(engine).await
}

pub async fn an_aborted_merge_leaves_no_trace(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let (dev, ..) = disputed(&main).await?;
    let none = main.progress(Progress::Abort).await;
    holds!(none.is_err_and(|error| error.kind == ErrorKind::NotFound), "no merge in progress was aborted");
    let commit = main.commit().await?;
    main.merge(&dev).await?;
    main.progress(Progress::Abort).await?;
    holds!(engine.pending(&main.name).await?.is_none(), "an aborted merge is in progress");
    holds!(main.commit().await? == commit, "an aborted merge moved the branch");
    verified(engine).await
}

pub async fn a_rule_settles_every_conflict(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let (dev, fact, _) = disputed(&main).await?;
    let removed = dev.store("kept by one").await?;
    main.merge(&dev).await?;
    main.progress(Progress::Abort).await?;
    let theirs = dev.commit().await?;
    for (rule, text) in [(Rule::Ours, "spaces"), (Rule::Theirs, "tabs")] {
        let trial = main.fork(&format!("trial/{text}")).await?;
        let applied = trial.carry_out(Verb::Merge, Plan::Merge { theirs, rule, resolutions: vec![] }).await?;
        let texts = trial.texts().await?;
        holds!(applied.commit.is_some() && texts == ["from dev", "kept by one", text], "{rule:?} came to {texts:?}");
        // A deletion against a change is a conflict like any other, and so it is settled.
        let other = trial.fork(&format!("other/{text}")).await?;
        trial.purge(removed.id).await?;
        other.correct(&removed, "changed by one").await?;
        let planned = trial.planned(&merging(other.commit().await?)).await?;
        let sides = planned.conflicts.first().map(|conflict| (conflict.id, conflict.ours, planned.conflicts.len()));
        holds!(sides == Some((removed.id, None, 1)), "a deletion against a change: {:?}", planned.conflicts);
        let theirs = other.commit().await?;
        trial.carry_out(Verb::Merge, Plan::Merge { theirs, rule, resolutions: vec![] }).await?;
        let is_there = trial.state().await?.contains_key(&removed.id);
        holds!(is_there == (rule == Rule::Theirs), "{rule:?} on a deletion came to {:?}", trial.texts().await?);
        holds!(trial.state().await?.contains_key(&fact.id), "{rule:?} lost a memory that nobody removed");
    }
    verified(engine).await
}
