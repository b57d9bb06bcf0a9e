//! What an engine promises of vectors: they follow their versions through branches and time, are counted and let go,
//! and never answer for a version that is not theirs.

use super::branch::Branch;
use super::samples::{memory, op};
use super::{head, query, store, verified};
use crate::clock;
use crate::engine::{At, Engine, Erase};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Asked, Author, Candidates, Embedding, Filled, Filter, Memory, NameKind, Query, SessionId, Space};

/// Numbers in a vector of the toy model.
const DIMS: u16 = 32;

fn space() -> Result<Space> {
    Ok(Space { model: "toy-1".parse()?, dims: DIMS })
}

/// Texts that share letters in pairs are near to each other.
fn vector_of(text: &str) -> Vec<f32> {
    let mut vector = vec![0f32; usize::from(DIMS)];
    for pair in text.as_bytes().windows(2) {
        let mixed = (usize::from(pair[0]) * 31 + usize::from(pair[1])) * 0x9e37;
        vector[mixed / 16 % usize::from(DIMS)] += if mixed % 3 == 0 { -1.0 } else { 1.0 };
    }
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt().max(1e-9);
    vector.iter().map(|number| number / length).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Makes what is pending, a few at a time, and says how many that were.
async fn embed_all(engine: &impl Engine) -> Result<usize> {
    let (space, mut made) = (space()?, 0);
    loop {
        let pending = engine.unembedded(&space, 3).await?;
        if pending.is_empty() {
            return Ok(made);
        }
        made += pending.len();
        holds!(made < 1_000, "what was embedded is pending again and again");
        let embedding = |unembedded: crate::model::Unembedded| {
            let vector = vector_of(&unembedded.text);
            Embedding { slot: unembedded.slot, version: unembedded.version, vector }
        };
        engine.embed(&space, pending.into_iter().map(embedding).collect()).await?;
    }
}

fn meaning(text: &str) -> Result<Query> {
    let asked = Asked { space: space()?, vector: vector_of(text) };
    Ok(Query { terms: Vec::new(), vector: Some(asked), ..query("") })
}

async fn ask(engine: &impl Engine, at: &At, text: &str) -> Result<Candidates> {
    engine.candidates(at, &meaning(text)?).await
}

/// The texts that were found, and how near they are.
fn found(candidates: &Candidates) -> Vec<(&str, Option<f32>)> {
    candidates.found.iter().map(|found| (found.version.memory.text.as_str(), found.words.cosine)).collect()
}

async fn filled(engine: &impl Engine) -> Result<Filled> {
    let space = space()?;
    let filled = engine.spaces().await?.into_iter().find(|filled| filled.space == space);
    filled.ok_or_else(|| Error::internal("a space that has vectors is not listed"))
}

async fn erase(engine: &impl Engine, memory: &Memory) -> Result<()> {
    let author = Author { agent: None, agent_version: None, session: SessionId::new("eraser")?, project: None };
    let erase = Erase { ids: vec![memory.id], author, note: None, at: clock::now() };
    holds!(engine.erase(op(), erase).await?.memories == 1, "nothing was erased");
    Ok(())
}

pub async fn a_vector_is_found_on_every_branch_that_holds_its_version(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    main.store("the parser reads tokens").await?;
    let shared = main.store("caching layers are slow").await?;
    let other = main.fork("other").await?;
    let theirs = other.store("caching layers are written anew").await?;
    let ours = main.correct(&shared, "caching layers are fast").await?;
    holds!(embed_all(engine).await? == 4, "four versions are on some branch");
    for (branch, texts) in [(&main, [&ours.text, "the parser reads tokens"]), (&other, [&theirs.text, &shared.text])] {
        let candidates = ask(engine, &branch.head().await?, texts[0]).await?;
        let found = found(&candidates);
        let first = found.first().is_some_and(|(text, cosine)| *text == texts[0] && cosine.is_some_and(|it| it > 0.99));
        holds!(first, "`{}` is not nearest to itself: {found:?}", texts[0]);
        holds!(found.iter().any(|(text, _)| *text == texts[1]), "`{}` is not found: {found:?}", texts[1]);
        let count = candidates.cosines.map(|cosines| cosines.count);
        let live = found.len() as u32;
        holds!(count == Some(candidates.live) && live == candidates.live, "{live} of {count:?} were compared");
    }
    verified(engine).await
}

pub async fn pending_counts_what_a_branch_holds(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let mut newest = main.store("first").await?;
    embed_all(engine).await?;
    for n in 0..5 {
        newest = main.correct(&newest, &format!("text number {n}")).await?;
    }
    let other = main.fork("other").await?;
    other.store("only there").await?;
    let counts = filled(engine).await?;
    holds!((counts.vectors, counts.pending) == (1, 2), "{counts:?}: two versions that a branch holds are pending");
    let pending = engine.unembedded(&space()?, 100).await?;
    let texts: Vec<&str> = pending.iter().map(|unembedded| unembedded.text.as_str()).collect();
    let expected = ["only there", "text number 4", "text number 3", "text number 2", "text number 1", "text number 0"];
    holds!(texts == expected, "{texts:?} are pending: branches come first, each newest first");
    holds!(engine.unembedded(&space()?, 1).await?.len() == 1, "more were read than asked for");
    embed_all(engine).await?;
    let counts = filled(engine).await?;
    holds!((counts.vectors, counts.pending) == (7, 0), "{counts:?} when all is done");
    engine.rest().await?;
    holds!(engine.unembedded(&space()?, 9).await?.is_empty(), "what was embedded is pending after a rest");
    verified(engine).await
}

pub async fn an_erased_version_has_no_vector(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let secret = main.store("the secret is in the cellar").await?;
    let other = main.store("the weather is fine").await?;
    let pending = engine.unembedded(&space()?, 9).await?;
    embed_all(engine).await?;
    let before = main.head().await?;
    erase(engine, &secret).await?;
    for at in [before, main.head().await?] {
        let candidates = ask(engine, &at, &secret.text).await?;
        let found = found(&candidates);
        holds!(found.iter().all(|(text, _)| *text == other.text), "an erased memory is found: {found:?}");
    }
    // Whoever was about to embed it comes too late.
    let late = pending.into_iter().map(|unembedded| Embedding {
        slot: unembedded.slot,
        version: unembedded.version,
        vector: vector_of(&unembedded.text),
    });
    engine.embed(&space()?, late.collect()).await?;
    let counts = filled(engine).await?;
    holds!((counts.vectors, counts.pending) == (1, 0), "{counts:?} after an erasure");
    holds!(engine.unembedded(&space()?, 9).await?.is_empty(), "an erased version is pending");
    verified(engine).await
}

pub async fn a_filter_keeps_the_best_within_it(engine: &impl Engine) -> Result<()> {
    let asked = "how warm is the water";
    for n in 0..40u32 {
        let tags = if n % 4 == 0 { ["wanted".to_owned()].into() } else { ["other".to_owned()].into() };
        let text = if n % 4 == 0 { format!("water {n}") } else { format!("how warm is the water {n}") };
        store(engine, &Memory { tags, ..memory(&text) }).await?;
    }
    embed_all(engine).await?;
    let at = head(engine).await?;
    let filter = Filter { tags: vec!["wanted".to_owned()], ..Filter::default() };
    let all = engine.candidates(&at, &Query { limit: 5, ..meaning(asked)? }).await?;
    let within = engine.candidates(&at, &Query { limit: 5, filter, ..meaning(asked)? }).await?;
    holds!(all.cosines == within.cosines, "a filter changes the statistics");
    let mut expected: Vec<f32> =
        (0..40).step_by(4).map(|n| cosine(&vector_of(asked), &vector_of(&format!("water {n}")))).collect();
    expected.sort_unstable_by(|a, b| b.total_cmp(a));
    let found = found(&within);
    let is_same = |(found, expected): (&(&str, Option<f32>), &f32)| {
        found.0.starts_with("water") && found.1.is_some_and(|cosine| (cosine - expected).abs() < 0.01)
    };
    holds!(found.len() == 5 && found.iter().zip(&expected).all(is_same), "{found:?} are not the best: {expected:?}");
    verified(engine).await
}

pub async fn a_wrong_dimension_is_refused_and_nothing_kept(engine: &impl Engine) -> Result<()> {
    Branch::main(engine).store("one").await?;
    Branch::main(engine).store("two").await?;
    let pending = engine.unembedded(&space()?, 9).await?;
    let nan = vec![f32::NAN; usize::from(DIMS)];
    for wrong in [vec![0.5; 7], vec![], nan] {
        let vectors = [vector_of("fine"), wrong];
        let of = |(unembedded, vector): (&crate::model::Unembedded, Vec<f32>)| Embedding {
            slot: unembedded.slot,
            version: unembedded.version,
            vector,
        };
        let refused = engine.embed(&space()?, pending.iter().zip(vectors).map(of).collect()).await;
        holds!(refused.is_err_and(|error| error.kind == ErrorKind::Invalid), "a wrong vector was kept");
        let still = engine.unembedded(&space()?, 9).await?;
        holds!(still == pending, "a call that was refused kept some of its vectors");
    }
    let mut question = meaning("one")?;
    question.vector = Some(Asked { space: space()?, vector: vec![1.0] });
    let at = head(engine).await?;
    embed_all(engine).await?;
    let refused = engine.candidates(&at, &question).await;
    holds!(refused.is_err_and(|error| error.kind == ErrorKind::Invalid), "a question of other dimensions was asked");
    verified(engine).await
}

pub async fn past_states_find_by_meaning(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    let first = main.store("the build takes ten minutes").await?;
    main.store("lunch is at noon").await?;
    main.snapshot("then").await?;
    main.correct(&first, "the build takes two minutes").await?;
    main.store("the build was moved").await?;
    holds!(embed_all(engine).await? == 4, "a version that only a snapshot holds is embedded as well");
    let then = engine.resolve(&crate::model::Revision::Name("then".parse()?), clock::now()).await?;
    let candidates = ask(engine, &then, "the build takes ten minutes").await?;
    let texts: Vec<&str> = found(&candidates).iter().map(|(text, _)| *text).collect();
    holds!(texts == ["the build takes ten minutes", "lunch is at noon"], "a past state found {texts:?}");
    holds!(candidates.cosines.is_some_and(|cosines| cosines.count == 2), "a past state compares what is not in it");
    engine.rest().await?;
    holds!(ask(engine, &then, "the build takes ten minutes").await? == candidates, "a rest changed an answer");
    let names = engine.names(crate::engine::Names::Living).await?;
    holds!(names.iter().any(|name| name.kind == NameKind::Snapshot), "the snapshot is gone");
    verified(engine).await
}

pub async fn words_answer_for_what_has_no_vector_yet(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    main.store("the gateway listens on port 9").await?;
    embed_all(engine).await?;
    main.store("the proxy listens on port 7").await?;
    main.store("?!").await?;
    let pending = engine.unembedded(&space()?, 1).await?;
    let none = pending.into_iter().map(|unembedded| Embedding {
        slot: unembedded.slot,
        version: unembedded.version,
        vector: vec![0.0; usize::from(DIMS)],
    });
    engine.embed(&space()?, none.collect()).await?;
    let candidates = engine
        .candidates(&head(engine).await?, &Query { vector: meaning("port")?.vector, ..query("proxy port") })
        .await?;
    let found = found(&candidates);
    let has = |text: &str| found.iter().find(|(known, _)| *known == text).map(|(_, cosine)| cosine.is_some());
    holds!(has("the gateway listens on port 9") == Some(true), "what has a vector has no cosine: {found:?}");
    holds!(has("the proxy listens on port 7") == Some(false), "a pending memory is lost: {found:?}");
    holds!(has("?!").is_none(), "what the model has no opinion on was found by meaning: {found:?}");
    holds!(candidates.cosines.is_some_and(|cosines| cosines.count == 1), "{:?}", candidates.cosines);
    let counts = filled(engine).await?;
    holds!((counts.vectors, counts.pending) == (2, 1), "{counts:?}: no opinion is a vector, too");
    verified(engine).await
}

pub async fn models_never_meet(engine: &impl Engine) -> Result<()> {
    let main = Branch::main(engine);
    main.store("one text").await?;
    embed_all(engine).await?;
    let other = Space { model: "toy-2".parse()?, dims: DIMS };
    holds!(engine.unembedded(&other, 9).await?.len() == 1, "a vector of one model counts for another");
    let at = main.head().await?;
    let asked = Asked { space: other.clone(), vector: vector_of("one text") };
    let candidates = engine.candidates(&at, &Query { vector: Some(asked), ..meaning("")? }).await?;
    let is_empty = candidates.found.is_empty() && candidates.cosines.is_some_and(|cosines| cosines.count == 0);
    holds!(is_empty, "a question of one model was compared with vectors of another: {candidates:?}");
    engine.forget_space(&other.model).await?;
    holds!(filled(engine).await?.vectors == 1, "another model's vectors were forgotten");
    engine.forget_space(&space()?.model).await?;
    holds!(engine.spaces().await?.is_empty(), "a space that was forgotten is listed");
    holds!(embed_all(engine).await? == 1, "what was forgotten is not pending");
    verified(engine).await
}
