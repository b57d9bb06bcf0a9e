//! What a read promises: the same again at the same commit, whole, and never what is expired or was not asked for.

use super::samples::{ALL, apply, memory, op, write};
use super::{head, query, store, verified};
use crate::clock;
use crate::engine::{Engine, Names};
use crate::error::{Error, ErrorKind, Result};
use crate::lexical;
use crate::model::{
    Change, CommitFilter, Expect, Filter, Memory, MemoryId, Name, NameChange, NameKind, Outcome, PINNED, Page,
    ProjectId, Revision, Scope, SessionId, SubjectId, Time, Verb, VersionId, Walk, Write,
};

pub async fn a_read_at_a_commit_is_repeatable(engine: &impl Engine) -> Result<()> {
    let now = clock::now();
    let changing = memory("the deploy key lives in vault");
    let expiring = Memory { expires_at: Some(now.plus_ms(60_000)), ..memory("the deploy freeze ends soon") };
    store(engine, &changing).await?;
    store(engine, &expiring).await?;
    let commit = head(engine).await?.commit.to_string();
    let look = || async {
        // Long after: what was live at the commit's time is read as it was.
        let at = engine.resolve(&Revision::Commit(commit.clone()), now.plus_ms(1_000_000_000)).await?;
        let read = engine.read(&at, &[changing.id, expiring.id]).await?;
        let candidates = engine.candidates(&at, &query("deploy key")).await?;
        let page = engine.page(&at, &Filter::default(), ALL).await?;
        Ok::<_, Error>((read, candidates, page, at.live, at.tokens, at.as_of))
    };
    let before = look().await?;
    holds!(before.0.iter().all(Option::is_some), "a past state lacks a memory that was live then");
    holds!(before.1.found.len() == 2 && before.2.total == 2, "a past state is not searched as it was");
    let other = Memory { text: "the deploy key moved".into(), ..changing.clone() };
    apply(engine, Verb::Correct, vec![Change::Replace { memory: other, expect: Expect::Live }]).await?;
    store(engine, &memory("another deploy key")).await?;
    apply(engine, Verb::Purge, vec![Change::Remove { id: expiring.id, expect: Expect::Live }]).await?;
    engine.rest().await?;
    let after = look().await?;
    holds!(before == after, "a read at a commit changed: {before:?} became {after:?}");
    let short = engine.resolve(&Revision::Commit(commit[..8].to_owned()), now).await?;
    holds!(short.commit.to_string() == commit, "a commit is not found by its prefix");
    verified(engine).await
}

pub async fn a_time_is_resolved_through_the_history_of_names(engine: &impl Engine) -> Result<()> {
    let start = clock::now().plus_ms(1_000);
    let mut commits = Vec::new();
    // The clock steps back before the third: history goes on all the same.
    for (text, at) in [("one", start), ("two", start.plus_ms(10)), ("three", start.plus_ms(5))] {
        let order = Write { at, ..write(Verb::Store, vec![Change::Store(memory(text))])? };
        commits.push(engine.apply(op(), order).await?.commit);
    }
    let asked = [(start, 0), (start.plus_ms(9), 0), (start.plus_ms(10), 2), (start.plus_ms(1_000), 2)];
    for (time, expected) in asked {
        let at = engine.resolve(&Revision::At(Name::main(), time), start).await?;
        holds!(Some(at.commit) == commits[expected], "{} ms in, not commit {expected} was found", time.since(start));
    }
    let too_early = engine.resolve(&Revision::At(Name::main(), Time(0)), start).await;
    holds!(too_early.is_err_and(|error| error.kind == ErrorKind::NotFound), "1970 has a state");
    verified(engine).await
}

pub async fn nothing_is_dropped_silently(engine: &impl Engine) -> Result<()> {
    let memories: Vec<Memory> = (0..7).map(|n| memory(&format!("note number {n}"))).collect();
    let changes: Vec<Change> = memories.iter().cloned().map(Change::Store).collect();
    let applied = apply(engine, Verb::Store, changes).await?;
    holds!(applied.outcomes.len() == 7, "7 changes have {} outcomes", applied.outcomes.len());
    for memory in &memories[..2] {
        apply(engine, Verb::Purge, vec![Change::Remove { id: memory.id, expect: Expect::Live }]).await?;
    }
    let at = head(engine).await?;
    let mut seen = Vec::new();
    for offset in [0, 2, 4, 6] {
        let listing = engine.page(&at, &Filter::default(), Page { offset, limit: 2 }).await?;
        holds!(listing.total == 5, "a page says that there are {} memories, not 5", listing.total);
        seen.extend(listing.memories);
    }
    let all = engine.page(&at, &Filter::default(), ALL).await?;
    holds!(all.memories == seen && seen.len() == 5, "the pages do not make up the whole");
    let (some, total) = engine.containing(&at, &lexical::terms("note"), &Filter::default(), 3).await?;
    holds!(some.len() == 3 && total == 5, "3 of 5 memories are given as {} of {total}", some.len());
    let everything = engine.history(&at, &CommitFilter::default(), Walk::Branch, ALL).await?;
    for offset in 0..5 {
        let part = engine.history(&at, &CommitFilter::default(), Walk::Branch, Page { offset, limit: 2 }).await?;
        let expected: Vec<_> = everything.0.iter().skip(offset as usize).take(2).cloned().collect();
        holds!(part == (expected, 4), "the page of history from {offset} on is wrong");
    }
    verified(engine).await
}

pub async fn an_expired_memory_is_in_no_answer(engine: &impl Engine) -> Result<()> {
    let now = clock::now();
    let expiring = Memory { expires_at: Some(now.plus_ms(60_000)), ..memory("the office is closed") };
    store(engine, &expiring).await?;
    let later = engine.resolve(&Revision::Name(Name::main()), now.plus_ms(60_000)).await?;
    holds!(engine.read(&later, &[expiring.id]).await? == [None], "an expired memory is read");
    let page = engine.page(&later, &Filter::default(), ALL).await?;
    holds!(page.total == 0 && page.memories.is_empty(), "an expired memory is listed");
    let candidates = engine.candidates(&later, &query("office")).await?;
    holds!(candidates.found.is_empty(), "an expired memory is a candidate");
    let (containing, total) = engine.containing(&later, &lexical::terms("office"), &Filter::default(), 10).await?;
    holds!(containing.is_empty() && total == 0, "an expired memory is found by its words");
    let again = Memory { expires_at: None, ..memory("the office is closed") };
    let order = write(Verb::Store, vec![Change::Store(again.clone())])?;
    let applied = engine.apply(op(), Write { at: now.plus_ms(60_000), ..order }).await?;
    let is_stored = matches!(applied.outcomes[..], [Outcome::Stored { id, .. }] if id == again.id);
    holds!(is_stored, "an expired memory stands in for a new one");
    verified(engine).await
}

pub async fn a_pinned_memory_is_found_by_its_pin(engine: &impl Engine) -> Result<()> {
    let pinned = Memory { pinned: true, ..memory("the gate code changes every Monday") };
    let tagged = Memory { tags: ["pinned".to_owned()].into(), ..memory("a note about pins") };
    for memory in [&pinned, &tagged] {
        store(engine, memory).await?;
    }
    let filter = Filter { tags: vec![PINNED.to_owned()], ..Filter::default() };
    let page = engine.page(&head(engine).await?, &filter, ALL).await?;
    let ids: Vec<MemoryId> = page.memories.iter().map(|version| version.memory.id).collect();
    holds!(page.total == 1 && ids == [pinned.id], "{ids:?} are pinned, not {}", pinned.id);
    let loose = Memory { pinned: false, ..pinned };
    apply(engine, Verb::Correct, vec![Change::Replace { memory: loose, expect: Expect::Live }]).await?;
    let page = engine.page(&head(engine).await?, &filter, ALL).await?;
    holds!(page.total == 0, "what was unpinned is found by its pin");
    verified(engine).await
}

pub async fn a_memory_keeps_its_id_and_history_through_corrections(engine: &impl Engine) -> Result<()> {
    let first = memory("port 8080");
    let before = store(engine, &first).await?;
    store(engine, &memory("something else")).await?;
    let second = Memory { text: "port 9090".into(), ..first.clone() };
    let changes = vec![Change::Replace { memory: second.clone(), expect: Expect::Version(before) }];
    let [Outcome::Replaced { id, before: replaced, after }] = apply(engine, Verb::Correct, changes).await?.outcomes[..]
    else {
        return Err(Error::internal("a correction did not replace"));
    };
    holds!(id == first.id && replaced == before && after != before, "the versions are not told apart");
    let purge = apply(engine, Verb::Purge, vec![Change::Remove { id, expect: Expect::Live }]).await?;
    holds!(purge.outcomes == [Outcome::Removed { id, version: after }], "a purge came to {:?}", purge.outcomes);
    let at = head(engine).await?;
    holds!(engine.read(&at, &[id]).await? == [None], "a purged memory is read");
    let known = engine.versions(&[before, after]).await?;
    holds!(known == [Some(first), Some(second)], "old versions are lost");
    let filter = CommitFilter { memory: Some(id), ..CommitFilter::default() };
    let (history, total) = engine.history(&at, &filter, Walk::Branch, ALL).await?;
    let verbs: Vec<Verb> = history.iter().map(|entry| entry.bare.verb).collect();
    holds!(verbs == [Verb::Purge, Verb::Correct, Verb::Store] && total == 3, "its history is {verbs:?}");
    let gone = apply(engine, Verb::Purge, vec![Change::Remove { id, expect: Expect::Live }]).await?;
    holds!(gone.outcomes == [Outcome::Missing { id }], "a second purge came to {:?}", gone.outcomes);
    verified(engine).await
}

pub async fn ids_are_found_by_unique_prefixes(engine: &impl Engine) -> Result<()> {
    let with_id = |bytes: [u8; 4], text: &str| {
        let mut id = [0x11; 16];
        id[..4].copy_from_slice(&bytes);
        Memory { id: MemoryId(id), ..memory(text) }
    };
    let (a, b) = (with_id([0xab, 0xcd, 0xef, 0x01], "a"), with_id([0xab, 0xcd, 0xef, 0x02], "b"));
    let mut near = a.id;
    near.0[4] = 0x12;
    let near = Memory { id: near, ..memory("near a") };
    for memory in [&a, &b, &near] {
        store(engine, memory).await?;
    }
    let lens = engine.short_lens(&[a.id, b.id, near.id]).await?;
    holds!(lens == [10, 8, 10], "the shortest prefixes have {lens:?} digits, not 10, 8 and 10");
    for (memory, len) in [&a, &b, &near].into_iter().zip(lens) {
        let prefix = memory.id.to_string()[..usize::from(len)].to_owned();
        holds!(engine.find(&prefix).await? == memory.id, "{prefix} does not find its memory");
        holds!(engine.find(&prefix.to_uppercase()).await? == memory.id, "capitals are other digits");
    }
    holds!(engine.find(&b.id.to_string()).await? == b.id, "a whole id is not found");
    let kinds = [("abcdef01", ErrorKind::Ambiguous), ("0123456789", ErrorKind::NotFound)];
    for (prefix, kind) in kinds.into_iter().chain([("abcdef0", ErrorKind::Invalid), ("zzzzzzzz", ErrorKind::Invalid)]) {
        let found = engine.find(prefix).await;
        holds!(found.as_ref().is_err_and(|error| error.kind == kind), "{prefix} came to {found:?}");
    }
    apply(engine, Verb::Purge, vec![Change::Remove { id: b.id, expect: Expect::Live }]).await?;
    holds!(engine.find("abcdef02").await? == b.id, "a purged memory is not found by its id");
    Ok(())
}

/// A server may take `1e400000` for a number with four hundred thousand digits.
pub async fn a_text_that_reads_like_a_number_is_a_text(engine: &impl Engine) -> Result<()> {
    const NUMBER: &str = "1e400000";
    let mut id = [0; 16];
    id[..4].copy_from_slice(&[0x09, 0x91, 0x6e, 0x35]);
    let mut known = Memory { id: MemoryId(id), session: Some(SessionId::new(NUMBER)?), ..memory("a number by name") };
    known.project = Some(ProjectId::new(NUMBER)?);
    known.subject = Some(SubjectId::new(NUMBER)?);
    known.tags.insert(NUMBER.to_owned());
    known.origin.agent = Some(NUMBER.to_owned());
    let mut store = write(Verb::Store, vec![Change::Store(known.clone())])?;
    let branch: Name = NUMBER.parse()?;
    let commit = head(engine).await?.commit;
    store.names = vec![NameChange::Create { name: branch.clone(), kind: NameKind::Branch, commit, note: None }];
    engine.apply(op(), store).await?;
    let filter = Filter {
        scope: Scope::Project(ProjectId::new(NUMBER)?),
        session: known.session.clone(),
        subject: known.subject.clone(),
        agent: known.origin.agent.clone(),
        tags: vec![NUMBER.to_owned()],
        ..Filter::default()
    };
    let found = engine.page(&head(engine).await?, &filter, ALL).await?;
    holds!(found.total == 1, "{} memories are found by names like a number", found.total);
    holds!(engine.find("09916e35").await? == known.id, "the beginning of an id is taken for a number");
    let there = engine.resolve(&Revision::Name(branch), clock::now()).await?;
    holds!(there.live == 0, "the branch was made of the head before");
    verified(engine).await
}

pub async fn what_does_not_exist_is_said_to_be_missing(engine: &impl Engine) -> Result<()> {
    let nowhere: Name = "nowhere".parse()?;
    let unknown = engine.resolve(&Revision::Name(nowhere.clone()), clock::now()).await;
    holds!(unknown.is_err_and(|error| error.kind == ErrorKind::NotFound), "a branch exists that nobody made");
    let order = Write { branch: nowhere, ..write(Verb::Store, vec![Change::Store(memory("lost"))])? };
    let refused = engine.apply(op(), order).await;
    holds!(refused.is_err_and(|error| error.kind == ErrorKind::NotFound), "a write went to a branch nobody made");
    let unknown = engine.resolve(&Revision::Commit("0123456789ab".into()), clock::now()).await;
    holds!(unknown.is_err_and(|error| error.kind == ErrorKind::NotFound), "a commit exists that nobody made");
    holds!(engine.versions(&[VersionId([1; 32])]).await? == [None], "a version exists that nobody made");
    let branches = engine.names(Names::Living).await?;
    let is_main = branches.len() == 1 && branches[0].name == Name::main();
    holds!(is_main && branches[0].commit == head(engine).await?.commit, "a new store has the branches {branches:?}");
    let status = engine.status(clock::now()).await?;
    holds!(status.memories == 0 && status.commits == 1 && status.branches == 1, "a new store is said to be {status:?}");
    verified(engine).await
}
