//! What names promise: branches and snapshots share one set of them, cost nothing, keep apart, and come back.

use super::branch::{Branch, made, merging, state};
use super::samples::{ALL, memory, op, write};
use super::{query, verified};
use crate::clock;
use crate::engine::{At, Engine, Names};
use crate::error::{Error, ErrorKind, Result};
use crate::lexical;
use crate::model::{
    Change, CommitFilter, Filter, Later, Name, NameChange, NameKind, Plan, Protection, Ref, Revision, Selection, Verb,
    Walk, Write,
};

async fn name_of(engine: &impl Engine, name: &str, wanted: Names) -> Result<Option<Ref>> {
    Ok(engine.names(wanted).await?.into_iter().find(|one| one.name.as_str() == name))
}

pub async fn a_branch_begins_where_it_is_made_and_costs_no_commit(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    main.store("one").await?;
    let early = main.commit().await?;
    main.store("two").await?;
    let commits = engine.status(clock::now()).await?.commits;
    let dev = main.fork("dev").await?;
    main.named(NameKind::Branch, &"old".parse()?, early).await?;
    main.named(NameKind::Snapshot, &"nightly".parse()?, early).await?;
    holds!(engine.status(clock::now()).await?.commits == commits, "a name cost a commit");
    holds!(dev.commit().await? == main.commit().await?, "a branch does not begin where it was made");
    let old = Branch { engine, name: "old".parse()? };
    holds!(old.texts().await? == ["one"], "a branch from the past holds {:?}", old.texts().await?);
    let names: Vec<String> = engine.names(Names::Living).await?.iter().map(|one| one.name.to_string()).collect();
    holds!(names == ["dev", "main", "nightly", "old"], "the names are {names:?}");
    let dev = name_of(engine, "dev", Names::Living).await?;
    let is_right = dev.as_ref().is_some_and(|dev| dev.kind == NameKind::Branch && dev.live == 2 && !dev.is_deleted);
    holds!(is_right, "a new branch is said to be {dev:?}");
    for (taken, kind) in [("dev", NameKind::Snapshot), ("nightly", NameKind::Branch), ("main", NameKind::Branch)] {
        let again = main.named(kind, &taken.parse()?, early).await;
        holds!(again.is_err_and(|error| error.kind == ErrorKind::Conflict), "the name `{taken}` was given twice");
    }
    verified(engine).await
}

pub async fn a_snapshot_never_moves(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    main.store("one").await?;
    let commit = main.commit().await?;
    let snapshot = main.snapshot("nightly").await?;
    main.store("two").await?;
    let at = engine.resolve(&Revision::Name(snapshot.clone()), clock::now()).await?;
    holds!(at.commit == commit && at.live == 1, "a snapshot moved to {}", at.commit);
    let order = Write { branch: snapshot, ..write(Verb::Store, vec![Change::Store(memory("three"))])? };
    holds!(engine.apply(op(), order).await.is_err(), "a write went to a snapshot");
    let kind = name_of(engine, "nightly", Names::Living).await?.map(|one| (one.kind, one.commit));
    holds!(kind == Some((NameKind::Snapshot, commit)), "the snapshot is said to be {kind:?}");
    verified(engine).await
}

pub async fn a_name_can_be_renamed_deleted_and_restored(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let dev = main.fork("dev").await?;
    dev.store("one").await?;
    let commit = dev.commit().await?;
    let resolve = async |name: &Name| engine.resolve(&Revision::Name(name.clone()), clock::now()).await;
    let (old, new): (Name, Name) = ("dev".parse()?, "trial".parse()?);
    main.rename(NameChange::Rename { name: old.clone(), new: new.clone() }).await?;
    holds!(resolve(&new).await?.commit == commit, "a renamed branch stands elsewhere");
    holds!(resolve(&old).await.is_err_and(|error| error.kind == ErrorKind::NotFound), "an old name still stands");
    main.rename(NameChange::Delete { name: new.clone() }).await?;
    holds!(resolve(&new).await.is_err_and(|error| error.kind == ErrorKind::NotFound), "a deleted branch stands");
    holds!(name_of(engine, "trial", Names::Living).await?.is_none(), "a deleted branch is listed among the living");
    let deleted = name_of(engine, "trial", Names::All).await?;
    let is_kept = deleted.as_ref().is_some_and(|one| one.is_deleted && one.commit == commit);
    holds!(is_kept, "a deleted branch is said to be {deleted:?}");
    main.rename(NameChange::Restore { name: new.clone() }).await?;
    holds!(resolve(&new).await?.commit == commit, "a restored branch stands elsewhere");
    let (name, main_name) = (new.clone(), Name::main());
    let refused = [
        (NameChange::Rename { name: new.clone(), new: main_name.clone() }, ErrorKind::Conflict),
        (NameChange::Rename { name: main_name.clone(), new: old.clone() }, ErrorKind::Denied),
        (NameChange::Delete { name: main_name }, ErrorKind::Denied),
        (NameChange::Delete { name: old.clone() }, ErrorKind::NotFound),
        (NameChange::Restore { name: "never".parse()? }, ErrorKind::NotFound),
        (NameChange::Create { name, kind: NameKind::Branch, commit, note: None }, ErrorKind::Conflict),
    ];
    for (change, kind) in refused {
        let answer = main.rename(change.clone()).await;
        holds!(answer.as_ref().is_err_and(|error| error.kind == kind), "{change:?} came to {answer:?}, not {kind:?}");
    }
    verified(engine).await
}

pub async fn a_protected_branch_takes_merges_only(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let first = main.store("one").await?;
    let dev = main.fork("dev").await?;
    dev.store("two").await?;
    let protect = |protection| NameChange::Protect { name: Name::main(), protection };
    dev.rename(protect(Protection::MergesOnly)).await?;
    let stored = main.store("three").await;
    holds!(stored.is_err_and(|error| error.kind == ErrorKind::Denied), "a protected branch took a store");
    let purged = main.purge(first.id).await;
    holds!(purged.is_err_and(|error| error.kind == ErrorKind::Denied), "a protected branch took a purge");
    let graft = Plan::Graft { base: None, theirs: dev.commit().await?, only: vec![], rule: Default::default() };
    let picked = main.carry_out(Verb::Pick, graft).await;
    holds!(picked.is_err_and(|error| error.kind == ErrorKind::Denied), "a protected branch took a pick");
    let merge = made(&main.merge(&dev).await?)?;
    holds!(main.texts().await? == ["one", "two"], "a protected branch did not take a merge");
    let back = Plan::Invert { what: Selection::Commits(vec![merge]), later: Later::Keep };
    main.carry_out(Verb::Revert, back).await?;
    holds!(main.texts().await? == ["one"], "a protected branch did not take a revert");
    dev.rename(protect(Protection::Open)).await?;
    main.store("three").await?;
    dev.rename(NameChange::Protect { name: dev.name.clone(), protection: Protection::MergesOnly }).await?;
    let gone = main.rename(NameChange::Delete { name: dev.name.clone() }).await;
    holds!(gone.is_err_and(|error| error.kind == ErrorKind::Denied), "a protected branch was deleted");
    verified(engine).await
}

pub async fn a_safety_snapshot_stands_where_the_branch_stood(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let first = main.store("one").await?;
    let second = main.store("two").await?;
    let safety: Name = "before/purge".parse()?;
    for (id, expected) in [(first.id, "before/purge"), (second.id, "before/purge-2")] {
        let before = main.commit().await?;
        let changes = vec![Change::Remove { id, expect: crate::model::Expect::Live }];
        let order = || Ok::<_, Error>(Write { safety: Some(safety.clone()), ..write(Verb::Purge, changes.clone())? });
        let applied = main.write(order()?).await?;
        let [made] = &applied.names[..] else {
            return Err(Error::internal(format!("a purge with a safety snapshot made the names {:?}", applied.names)));
        };
        let is_right = made.name.as_str() == expected && made.commit == before && made.kind == NameKind::Snapshot;
        holds!(is_right, "the safety snapshot is {made:?}, not `{expected}` at {before}");
        let again = main.write(order()?).await?;
        holds!(again.commit.is_none() && again.names.is_empty(), "nothing was changed, and {:?} made", again.names);
    }
    verified(engine).await
}

pub async fn a_refused_name_takes_its_whole_write_with_it(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let commit = main.commit().await?;
    let create = |name: &str| -> Result<NameChange> {
        Ok(NameChange::Create { name: name.parse()?, kind: NameKind::Branch, commit, note: Some("a trial".into()) })
    };
    let order = write(Verb::Store, vec![Change::Store(memory("lost"))])?;
    let refused = main.write(Write { names: vec![create("a")?, create("main")?], ..order.clone() }).await;
    holds!(refused.is_err_and(|error| error.kind == ErrorKind::Conflict), "a taken name was given again");
    holds!(main.commit().await? == commit, "half of a refused write was done: its commit");
    holds!(name_of(engine, "a", Names::All).await?.is_none(), "half of a refused write was done: its first name");
    let names = vec![create("a")?, NameChange::Rename { name: "a".parse()?, new: "b".parse()? }];
    let applied = main.write(Write { names, ..order }).await?;
    let b = name_of(engine, "b", Names::Living).await?;
    let is_right = b.as_ref().is_some_and(|b| b.commit == commit && b.note.as_deref() == Some("a trial"));
    holds!(applied.commit.is_some() && is_right, "made and renamed in one write, a name is {b:?}");
    verified(engine).await
}

/// Everything that a reader sees of a state.
async fn view(engine: &impl Engine, at: &At) -> Result<String> {
    let mut out = format!("{} {} {:?}\n", at.live, at.tokens, state(engine, at).await?);
    for question in ["build cache", "deploy key", "nothing of the kind"] {
        out += &format!("{:?}\n", engine.candidates(at, &query(question)).await?);
        let terms = lexical::terms(question);
        out += &format!("{:?}\n", engine.containing(at, &terms, &Filter::default(), 0).await?);
    }
    let (history, total) = engine.history(at, &CommitFilter::default(), Walk::All, ALL).await?;
    Ok(out + &format!("{total} {history:?} {:?}", engine.page(at, &Filter::default(), ALL).await?))
}

pub async fn a_write_on_a_branch_is_invisible_on_every_other(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let cache = main.store("the build cache is at /tmp").await?;
    let key = main.store("the deploy key is in the vault").await?;
    let dev = main.fork("dev").await?;
    let at = main.head().await?;
    let before = view(engine, &at).await?;
    dev.store("the build cache moved").await?;
    let fresh = dev.store("a deploy key for the build").await?;
    dev.correct(&cache, "the build cache is nowhere").await?;
    dev.purge(key.id).await?;
    let now = engine.resolve(&Revision::Name(Name::main()), at.as_of).await?;
    let after = view(engine, &now).await?;
    holds!(after == before, "a write on a branch shows on main: {after} is not {before}");
    let ids = [cache.id, key.id, fresh.id];
    let there = engine.read(&dev.head().await?, &ids).await?;
    let texts: Vec<_> = there.iter().map(|one| one.as_ref().map(|one| one.memory.text.as_str())).collect();
    let expected = [Some("the build cache is nowhere"), None, Some("a deploy key for the build")];
    holds!(texts == expected, "a branch does not see its own writes: {texts:?}");
    let here = engine.read(&now, &ids).await?;
    holds!(here[2].is_none() && here[1].is_some(), "main reads what a branch wrote");
    verified(engine).await
}

pub async fn a_snapshot_reads_the_same_after_any_later_operation(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let cache = main.store("the build cache is at /tmp").await?;
    let key = main.store("the deploy key is in the vault").await?;
    let name = main.snapshot("nightly").await?;
    let now = clock::now();
    let look = async || view(engine, &engine.resolve(&Revision::Name(name.clone()), now).await?).await;
    let before = look().await?;
    let dev = main.fork("dev").await?;
    dev.correct(&cache, "the build cache is on the big disk").await?;
    main.store("another deploy key").await?;
    main.purge(key.id).await?;
    let merge = made(&main.merge(&dev).await?)?;
    main.carry_out(Verb::Revert, Plan::Invert { what: Selection::Commits(vec![merge]), later: Later::Keep }).await?;
    let to = engine.resolve(&Revision::Name(name.clone()), now).await?.commit;
    main.carry_out(Verb::Rollback, Plan::Reset { to }).await?;
    dev.carry_out(Verb::Merge, merging(main.commit().await?)).await?;
    main.rename(NameChange::Delete { name: dev.name.clone() }).await?;
    engine.rest().await?;
    let after = look().await?;
    holds!(after == before, "a snapshot changed: {after} is not {before}");
    verified(engine).await
}
