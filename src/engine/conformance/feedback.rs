//! What feedback promises: counted once, whatever the branch, known to no commit, gone with its memory.

use super::samples::{memory, op, write};
use super::{head, store, verified};
use crate::engine::{Engine, Erase};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Applied, Change, Feedback, MemoryId, OpId, Rating, Signal, Time, Verb, Write};

async fn rate(engine: &impl Engine, op: OpId, at: i64, ratings: &[(MemoryId, Signal)]) -> Result<Applied> {
    let ratings =
        ratings.iter().map(|(id, signal)| Rating { id: *id, said: Feedback::word(*signal, Time(at)) }).collect();
    engine.apply(op, Write { ratings, at: Time(at), ..write(Verb::Store, vec![])? }).await
}

pub async fn feedback_is_counted_once_and_makes_no_commit(engine: &impl Engine) -> Result<()> {
    let (one, other) = (memory("one"), memory("other"));
    store(engine, &one).await?;
    store(engine, &other).await?;
    let before = head(engine).await?;
    let none = engine.feedback(&[one.id, MemoryId::random()]).await?;
    holds!(none == [Feedback::default(); 2], "before anybody said anything there was {none:?}");
    let twice = op();
    let ratings = [(one.id, Signal::Useful), (one.id, Signal::Wrong), (other.id, Signal::Outdated)];
    let first = rate(engine, twice, 5_000, &ratings).await?;
    let again = rate(engine, twice, 6_000, &ratings).await?;
    holds!(first.commit.is_none() && !first.is_replay && again.is_replay, "rating came to {first:?}, then {again:?}");
    rate(engine, op(), 4_000, &[(one.id, Signal::Useful), (one.id, Signal::Irrelevant)]).await?;
    let said = engine.feedback(&[other.id, MemoryId::random(), one.id]).await?;
    let expected = [
        Feedback { outdated: 1, doubted_at: Some(Time(5_000)), ..Feedback::default() },
        Feedback::default(),
        Feedback {
            useful: 2,
            irrelevant: 1,
            outdated: 0,
            wrong: 1,
            useful_at: Some(Time(5_000)),
            doubted_at: Some(Time(5_000)),
        },
    ];
    holds!(said == expected, "what was said is {said:?}");
    let after = head(engine).await?;
    holds!(after.commit == before.commit && after.state == before.state, "what was said moved the branch");
    verified(engine).await
}

pub async fn feedback_on_what_is_not_there_takes_its_whole_write_with_it(engine: &impl Engine) -> Result<()> {
    let (kept, fresh) = (memory("kept"), memory("fresh"));
    store(engine, &kept).await?;
    let before = head(engine).await?;
    let strange = Rating { id: MemoryId::random(), said: Feedback::word(Signal::Useful, Time(1)) };
    let ratings = vec![Rating { id: kept.id, ..strange }, strange];
    let order = Write { ratings, ..write(Verb::Store, vec![Change::Store(fresh)])? };
    let failed = engine.apply(op(), order).await;
    holds!(failed.as_ref().is_err_and(|error| error.kind == ErrorKind::NotFound), "it came to {failed:?}");
    holds!(engine.feedback(&[kept.id]).await? == [Feedback::default()], "half of a refused write was kept");
    holds!(head(engine).await?.commit == before.commit, "a refused write moved the branch");
    verified(engine).await
}

pub async fn what_was_said_of_a_memory_comes_with_it_and_counts_where_it_is_written(
    engine: &impl Engine,
) -> Result<()> {
    let (known, twin, one, other) = (memory("known"), memory("known"), memory("one"), memory("other"));
    store(engine, &known).await?;
    let said =
        Feedback { useful: 4, wrong: 1, useful_at: Some(Time(7)), doubted_at: Some(Time(8)), ..Feedback::default() };
    let ids = [twin.id, one.id, other.id];
    let brought = ids.map(|id| Rating { id, said }).to_vec();
    let changes = [twin, one, other].map(Change::Store).to_vec();
    let (twice, order) = (op(), Write { brought, ..write(Verb::Import, changes)? });
    engine.apply(twice, order.clone()).await?;
    engine.apply(twice, order).await?;
    let rated = engine.feedback(&[known.id, ids[0], ids[1], ids[2]]).await?;
    let none = Feedback::default();
    holds!(rated == [none, none, said, said], "what came along is {rated:?}");
    verified(engine).await
}

pub async fn feedback_outlives_a_purge_and_goes_with_an_erasure(engine: &impl Engine) -> Result<()> {
    let (purged, erased) = (memory("purged"), memory("erased"));
    store(engine, &purged).await?;
    store(engine, &erased).await?;
    rate(engine, op(), 1, &[(purged.id, Signal::Useful), (erased.id, Signal::Useful)]).await?;
    let gone = |id| Change::Remove { id, expect: crate::model::Expect::Live };
    super::samples::apply(engine, Verb::Purge, vec![gone(purged.id), gone(erased.id)]).await?;
    rate(engine, op(), 2, &[(purged.id, Signal::Useful)]).await?;
    let author = write(Verb::Erase, vec![])?.author;
    engine.erase(op(), Erase { ids: vec![erased.id], author, note: None, at: Time(3) }).await?;
    let said = engine.feedback(&[purged.id, erased.id]).await?;
    holds!(said[0].useful == 2, "what was said of a purged memory is {:?}", said[0]);
    holds!(said[1].is_none(), "something is still said of an erased memory: {:?}", said[1]);
    let late = rate(engine, op(), 4, &[(erased.id, Signal::Wrong)]).await;
    holds!(late.is_err_and(|error| error.kind == ErrorKind::NotFound), "an erased memory was rated");
    verified(engine).await
}
