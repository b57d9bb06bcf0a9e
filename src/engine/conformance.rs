//! The one list of laws that every engine must keep, as checks over any [`Engine`]: each wants a store of its own,
//! empty, and says in its error what did not hold. `engine_laws!` makes a test of each, by its name.

pub mod samples;

use self::samples::{ALL, apply, memory, op, write};
use crate::clock;
use crate::engine::{At, Engine, Names};
use crate::error::{Error, ErrorKind, Result};
use crate::lexical;
use crate::model::{
    Change, CommitFilter, Confidence, Expect, Filter, Kind, Memory, MemoryId, Name, Outcome, Page, ProjectId, Query,
    Revision, SessionId, SubjectId, Time, Trust, Verb, VersionId, Walk, Write,
};

/// Every law by name, handed to a macro that takes the names.
#[macro_export]
macro_rules! engine_laws {
    ($each:ident) => {
        $each! {
            an_acknowledged_write_is_read_at_once_with_every_field,
            the_same_operation_id_applies_at_most_once,
            a_write_that_changes_nothing_is_remembered_too,
            a_failed_write_leaves_no_trace,
            a_commit_never_changes,
            a_branch_moves_only_by_compare_and_swap,
            concurrent_writers_make_one_linear_history,
            a_read_at_a_commit_is_repeatable,
            a_time_is_resolved_through_the_history_of_names,
            equal_text_in_one_place_is_one_memory,
            nothing_is_dropped_silently,
            an_expired_memory_is_in_no_answer,
            a_memory_keeps_its_id_and_history_through_corrections,
            ids_are_found_by_unique_prefixes,
            a_commit_of_many_changes_is_a_commit_like_any_other,
            what_does_not_exist_is_said_to_be_missing,
        }
    };
}

macro_rules! holds {
    ($law:expr, $($otherwise:tt)+) => {
        if !$law {
            return Err(Error::internal(format!($($otherwise)+)));
        }
    };
}

async fn store(engine: &impl Engine, memory: &Memory) -> Result<VersionId> {
    match apply(engine, Verb::Store, vec![Change::Store(memory.clone())]).await?.outcomes[..] {
        [Outcome::Stored { id, version }] if id == memory.id => Ok(version),
        ref other => Err(Error::internal(format!("storing `{}` came to {other:?}", memory.text))),
    }
}

async fn head(engine: &impl Engine) -> Result<At> {
    engine.resolve(&Revision::Name(Name::main()), clock::now()).await
}

async fn texts(engine: &impl Engine, at: &At) -> Result<Vec<String>> {
    let listing = engine.page(at, &Filter::default(), ALL).await?;
    let mut texts: Vec<String> = listing.memories.into_iter().map(|version| version.memory.text).collect();
    texts.sort_unstable();
    Ok(texts)
}

fn query(question: &str) -> Query {
    Query { terms: lexical::terms_of_question(question), filter: Filter::default(), limit: 10, around: 0 }
}

async fn verified(engine: &impl Engine) -> Result<()> {
    for check in engine.verify().await? {
        holds!(check.problems.is_empty(), "{} But: {}", check.promise, check.problems.join("; "));
    }
    Ok(())
}

pub async fn an_acknowledged_write_is_read_at_once_with_every_field(engine: &impl Engine) -> Result<()> {
    let memory = Memory {
        kind: Kind::Procedural,
        tags: ["ci", "build"].map(String::from).into(),
        trust: Trust::T1,
        confidence: Confidence(950),
        project: ProjectId::new("github.com/a/b").ok(),
        session: SessionId::new("s").ok(),
        subject: SubjectId::new("alice").ok(),
        expires_at: Some(Time(i64::MAX)),
        pinned: true,
        metadata: "{\"a\":1}".into(),
        ..memory("Run `cargo test --locked` before pushing 测试")
    };
    let version = store(engine, &memory).await?;
    let at = head(engine).await?;
    holds!(at.live == 1 && at.tokens > 0, "one memory is stored, the head counts {}", at.live);
    let read = engine.read(&at, &[MemoryId::random(), memory.id]).await?;
    let [None, Some(found)] = &read[..] else {
        return Err(Error::internal(format!("reading an unknown id and a stored one gave {read:?}")));
    };
    holds!(found.memory == memory && found.id == version, "{:?} was read for {memory:?}", found.memory);
    holds!(engine.versions(&[version]).await? == [Some(memory.clone())], "the version is not found by its id");
    let candidates = engine.candidates(&at, &query("what about cargo?")).await?;
    let found: Vec<MemoryId> = candidates.found.iter().map(|found| found.version.memory.id).collect();
    holds!(found == [memory.id], "a fresh write is not a candidate: {found:?}");
    let (containing, total) = engine.containing(&at, &lexical::terms("cargo"), &Filter::default(), 10).await?;
    holds!(containing == [memory.id] && total == 1, "a fresh write is not found by its words");
    verified(engine).await
}

pub async fn the_same_operation_id_applies_at_most_once(engine: &impl Engine) -> Result<()> {
    let (op, order) = (op(), write(Verb::Store, vec![Change::Store(memory("once"))])?);
    let again = write(Verb::Store, vec![Change::Store(memory("twice"))])?;
    holds!(engine.replayed(op).await?.is_none(), "an operation is known before it was sent");
    // At once, so that both may meet in one transaction, and later.
    let (one, other) = tokio::join!(engine.apply(op, order.clone()), engine.apply(op, again.clone()));
    let later = engine.apply(op, again).await?;
    let (one, other) = (one?, other?);
    holds!(one.is_replay != other.is_replay && later.is_replay, "not exactly one of three was the first");
    let known = engine.replayed(op).await?;
    for reply in [&one, &other, &later].into_iter().chain(&known) {
        let is_same = (reply.commit, &reply.outcomes, &reply.memo) == (one.commit, &one.outcomes, &one.memo);
        holds!(is_same, "{reply:?} is not the first answer, {one:?}");
    }
    holds!(known.is_some(), "the operation is not remembered");
    let at = head(engine).await?;
    holds!(at.live == 1 && Some(at.commit) == one.commit, "an operation sent thrice made {} memories", at.live);
    engine.acknowledge(vec![op]);
    engine.rest().await?;
    holds!(engine.replayed(op).await?.is_none(), "a reply is kept although it was acknowledged");
    holds!(head(engine).await?.commit == at.commit, "forgetting a reply made a commit");
    verified(engine).await
}

pub async fn a_write_that_changes_nothing_is_remembered_too(engine: &impl Engine) -> Result<()> {
    let kept = memory("kept");
    let version = store(engine, &kept).await?;
    let before = head(engine).await?;
    let same = Memory { observed_at: Time(5), ..kept.clone() };
    let twin = Memory { id: MemoryId::random(), ..kept.clone() };
    let missing = MemoryId::random();
    let changes = vec![
        Change::Store(twin),
        Change::Replace { memory: same, expect: Expect::Version(version) },
        Change::Remove { id: missing, expect: Expect::Live },
    ];
    let op = op();
    let applied = engine.apply(op, write(Verb::Store, changes)?).await?;
    let (id, expected) = (kept.id, applied.outcomes.clone());
    let outcomes =
        [Outcome::Existing { id, version }, Outcome::Unchanged { id, version }, Outcome::Missing { id: missing }];
    holds!(expected == outcomes && applied.commit.is_none(), "nothing new came to {applied:?}");
    holds!(head(engine).await?.commit == before.commit, "a write without changes moved the branch");
    let again = engine.replayed(op).await?;
    holds!(again.is_some_and(|again| again.outcomes == expected), "it is not remembered");
    verified(engine).await
}

pub async fn a_failed_write_leaves_no_trace(engine: &impl Engine) -> Result<()> {
    let (kept, fresh) = (memory("kept"), memory("fresh"));
    let version = store(engine, &kept).await?;
    let before = head(engine).await?;
    let op = op();
    let stale = Expect::Version(VersionId([7; 32]));
    let changes = vec![
        Change::Store(fresh.clone()),
        Change::Replace { memory: Memory { text: "other".into(), ..kept.clone() }, expect: Expect::Live },
        Change::Remove { id: MemoryId::random(), expect: stale },
    ];
    let failed = engine.apply(op, write(Verb::Purge, changes)?).await;
    holds!(failed.as_ref().is_err_and(|error| error.kind == ErrorKind::Conflict), "a conflict came to {failed:?}");
    let twice = vec![Change::Store(kept.clone())];
    let failed = apply(engine, Verb::Store, twice).await;
    holds!(failed.is_err_and(|error| error.kind == ErrorKind::Conflict), "a memory id was taken twice");
    let at = head(engine).await?;
    holds!(at.commit == before.commit, "a failed write moved the branch");
    holds!(engine.replayed(op).await?.is_none(), "a failed write is remembered as done");
    let read = engine.read(&at, &[kept.id, fresh.id]).await?;
    holds!(read[0].as_ref().is_some_and(|read| read.id == version), "a failed write changed a memory");
    holds!(read[1].is_none(), "a failed write stored a memory");
    // The same operation may be sent again in a form that can be done.
    let done = engine.apply(op, write(Verb::Store, vec![Change::Store(fresh)])?).await?;
    holds!(!done.is_replay, "a failed write counts as done");
    verified(engine).await
}

pub async fn a_commit_never_changes(engine: &impl Engine) -> Result<()> {
    let first = memory("first");
    store(engine, &first).await?;
    store(engine, &memory("second")).await?;
    let at = head(engine).await?;
    let (before, total) = engine.history(&at, &CommitFilter::default(), Walk::Branch, ALL).await?;
    holds!(total == 3 && before.len() == 3, "two stores and the beginning are {total} commits");
    let other = Memory { text: "other".into(), ..first.clone() };
    apply(engine, Verb::Correct, vec![Change::Replace { memory: other, expect: Expect::Live }]).await?;
    apply(engine, Verb::Purge, vec![Change::Remove { id: first.id, expect: Expect::Live }]).await?;
    engine.rest().await?;
    let (after, _) = engine.history(&at, &CommitFilter::default(), Walk::Branch, ALL).await?;
    holds!(before == after, "history was rewritten: {before:?} became {after:?}");
    for entry in &after {
        let commit = engine.commit(entry.id).await?;
        holds!(commit.id() == entry.id, "commit {} does not hash to its id", entry.id);
    }
    let (whole, total) = engine.history(&head(engine).await?, &CommitFilter::default(), Walk::Branch, ALL).await?;
    holds!(total == 5 && whole[2..] == after[..], "the longer history does not continue the shorter one");
    verified(engine).await
}

pub async fn a_branch_moves_only_by_compare_and_swap(engine: &impl Engine) -> Result<()> {
    let memory = memory("0");
    let seen = store(engine, &memory).await?;
    let rival = |text: &str| {
        let memory = Memory { text: text.into(), ..memory.clone() };
        vec![Change::Replace { memory, expect: Expect::Version(seen) }]
    };
    let (one, other) = tokio::join!(apply(engine, Verb::Correct, rival("1")), apply(engine, Verb::Correct, rival("2")));
    let lost = match (&one, &other) {
        (Ok(_), Err(lost)) | (Err(lost), Ok(_)) => lost,
        _ => return Err(Error::internal(format!("of two rivals not exactly one won: {one:?}, {other:?}"))),
    };
    holds!(lost.kind == ErrorKind::Conflict, "the loser was told {lost}");
    let winner = if one.is_ok() { "1" } else { "2" };
    let at = head(engine).await?;
    holds!(texts(engine, &at).await? == [winner], "the winner's text is not the live one");
    verified(engine).await
}

pub async fn concurrent_writers_make_one_linear_history(engine: &impl Engine) -> Result<()> {
    const WRITERS: usize = 8;
    const WRITES: usize = 5;
    let writer = |writer: usize| async move {
        let mut commits = Vec::new();
        for write in 0..WRITES {
            let change = Change::Store(memory(&format!("writer {writer} write {write}")));
            let applied = apply(engine, Verb::Store, vec![change]).await?;
            commits.push(applied.commit.ok_or_else(|| Error::internal("a store made no commit"))?);
        }
        Ok::<_, Error>(commits)
    };
    let (a, b, c, d, e, f, g, h) =
        tokio::join!(writer(0), writer(1), writer(2), writer(3), writer(4), writer(5), writer(6), writer(7));
    let mut acknowledged = [a?, b?, c?, d?, e?, f?, g?, h?].concat();
    let at = head(engine).await?;
    let (history, total) = engine.history(&at, &CommitFilter::default(), Walk::Branch, ALL).await?;
    holds!(total as usize == WRITERS * WRITES + 1, "{} writes made {total} commits", WRITERS * WRITES);
    for pair in history.windows(2) {
        holds!(pair[0].bare.parents == [pair[1].id], "commit {} does not follow {}", pair[0].id, pair[1].id);
        holds!(pair[0].added == 1, "one write made a commit of {} changes", pair[0].added);
    }
    let mut found: Vec<_> = history.iter().map(|entry| entry.id).take(WRITERS * WRITES).collect();
    acknowledged.sort_unstable();
    found.sort_unstable();
    holds!(acknowledged == found, "the history is not made of the acknowledged commits");
    holds!(at.live as usize == WRITERS * WRITES, "{} memories are live", at.live);
    verified(engine).await
}

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

pub async fn equal_text_in_one_place_is_one_memory(engine: &impl Engine) -> Result<()> {
    let first = memory("tabs, not spaces");
    let version = store(engine, &first).await?;
    let twin = || Memory { id: MemoryId::random(), trust: Trust::T1, ..first.clone() };
    let applied = apply(engine, Verb::Store, vec![Change::Store(twin())]).await?;
    holds!(applied.outcomes == [Outcome::Existing { id: first.id, version }], "an equal text was stored twice");
    let elsewhere = [
        Memory { project: ProjectId::new("p").ok(), ..twin() },
        Memory { kind: Kind::Profile, ..twin() },
        Memory { subject: SubjectId::new("bob").ok(), ..twin() },
        Memory { text: "Tabs, not spaces".into(), ..twin() },
    ];
    for memory in &elsewhere {
        store(engine, memory).await?;
    }
    // Two of one text in one write are one memory too.
    let (a, b) = (memory("new"), memory("new"));
    let id = a.id;
    let applied = apply(engine, Verb::Store, vec![Change::Store(a), Change::Store(b)]).await?;
    let is_one =
        matches!(applied.outcomes[..], [Outcome::Stored { .. }, Outcome::Existing { id: twin, .. }] if twin == id);
    holds!(is_one, "one write stored an equal text twice: {:?}", applied.outcomes);
    // What has left the state is no twin any more.
    apply(engine, Verb::Purge, vec![Change::Remove { id: first.id, expect: Expect::Live }]).await?;
    store(engine, &twin()).await?;
    holds!(head(engine).await?.live == 6, "{} memories are live, not 6", head(engine).await?.live);
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

pub async fn a_commit_of_many_changes_is_a_commit_like_any_other(engine: &impl Engine) -> Result<()> {
    let memories: Vec<Memory> = (0..1_500).map(|n| memory(&format!("imported line {n}"))).collect();
    let before = head(engine).await?;
    let changes: Vec<Change> = memories.iter().cloned().map(Change::Store).collect();
    let stored = apply(engine, Verb::Store, changes).await?;
    let middle = head(engine).await?;
    let other = Memory { text: "corrected".into(), ..memories[3].clone() };
    apply(engine, Verb::Correct, vec![Change::Replace { memory: other, expect: Expect::Live }]).await?;
    let remove = |memory: &Memory| Change::Remove { id: memory.id, expect: Expect::Live };
    apply(engine, Verb::Purge, memories[..1_200].iter().map(remove).collect()).await?;
    let at = head(engine).await?;
    holds!((before.live, middle.live, at.live) == (0, 1_500, 300), "{} memories are left, not 300", at.live);
    let filter = CommitFilter { memory: Some(memories[3].id), ..CommitFilter::default() };
    let (history, _) = engine.history(&at, &filter, Walk::Branch, ALL).await?;
    let verbs: Vec<Verb> = history.iter().map(|entry| entry.bare.verb).collect();
    holds!(verbs == [Verb::Purge, Verb::Correct, Verb::Store], "the history of one of them is {verbs:?}");
    for entry in &history {
        holds!(engine.commit(entry.id).await?.id() == entry.id, "a wide commit does not hash to its id");
    }
    holds!(history[2].added == 1_500, "a wide commit names {} versions", history[2].added);
    let id = stored.commit.ok_or_else(|| Error::internal("an import made no commit"))?.to_string();
    let past = engine.resolve(&Revision::Commit(id), clock::now()).await?;
    holds!((past.live, past.tokens) == (middle.live, middle.tokens), "a wide commit's counts are not kept");
    holds!(past.state == middle.state, "the state at a wide commit is not what it was");
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
