//! What a write promises: durable, once, whole, and found at once.

use super::samples::{ALL, apply, memory, op, write};
use super::{head, query, store, texts, verified};
use crate::clock;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::lexical;
use crate::model::{
    Change, CommitFilter, CommitId, Confidence, Expect, Filter, Kind, Memory, MemoryId, Outcome, ProjectId, Revision,
    SessionId, SubjectId, Time, Trust, Verb, VersionId, Walk,
};

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
    let ids: Vec<CommitId> = after.iter().map(|entry| entry.id).collect();
    holds!(engine.entries(&ids).await? == after, "commits by id are not what history lists");
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
