//! Puts a dataset's memories into stores of their own, asks its questions there, and keeps what came back. It measures
//! and judges each answer; means and tables are `report.rs`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::model::text::tokens_of;
use crate::wire::message::{
    Correct, Depth, Import, List, Purge, PurgeTarget, Request, Response, Retrieve, Retrieved, Row, SessionScope, Store,
    Target,
};

use super::super::ask::unexpected;
use super::super::bar::Bar;
use super::dataset::{Dataset, Part, Question, Step, Wanted, World};
use super::home::Home;
use super::metrics::Judged;
use super::score::{self, Quality};

/// How much is sent in one message; far below what one takes.
const BATCH_BYTES: usize = 256 << 10;
/// The mark by which a hit is known: its row's place, in the memory's metadata.
const MARK: &str = "benchmark";
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// A model that has embedded nothing for so long is not going to.
const STUCK_AFTER: Duration = Duration::from_secs(120);

/// What came of a dataset.
#[derive(Default)]
pub struct Outcome {
    pub answers: Vec<Answer>,
    pub scenarios: Vec<Scenario>,
    /// The most that any of the daemons took.
    pub rss_bytes: u64,
    /// The model whose vectors took part; `None`: words alone.
    pub model: Option<String>,
    pub seconds: f64,
    pub notes: Vec<String>,
}

/// One question, asked.
pub struct Answer {
    pub world: String,
    pub question: String,
    pub category: String,
    pub part: Part,
    pub verdict: Verdict,
    pub hits: usize,
    pub tokens: u32,
    pub took_ms: f64,
    pub is_lexical_only: bool,
}

pub enum Verdict {
    /// With the places of what was wanted, 1 for the best; 0 where it is not in the answer.
    Ranked(Judged, Vec<usize>),
    /// Nothing answers it; whether nothing is what came.
    Unanswerable {
        is_empty: bool,
    },
    Read(Quality),
}

pub struct Scenario {
    pub name: String,
    pub difficulty: String,
    pub score: f64,
    /// What went wrong, in sentences.
    pub failed_steps: Vec<String>,
}

/// Runs a dataset with these settings, as `(variable, value)`.
pub async fn run(dataset: &Dataset, settings: &[(String, String)], bar: &mut Bar) -> Result<Outcome> {
    let begun = Instant::now();
    let mut outcome = Outcome::default();
    let all = dataset.questions().max(1);
    for world in &dataset.worlds {
        let mut home = Home::open(settings).await?;
        let ids = fill(&mut home, world, &mut outcome.notes).await?;
        outcome.model = complete(&mut home, &mut outcome.notes).await?;
        let failed_steps = take_steps(&mut home, world).await;
        if !world.steps.is_empty() {
            complete(&mut home, &mut outcome.notes).await?;
        }
        let first = outcome.answers.len();
        for question in &world.questions {
            outcome.answers.push(ask(&mut home, world, question, &ids).await?);
            let done = outcome.answers.len();
            bar.show(done as u64, Some(done as f64 / all as f64));
        }
        let read: Vec<Quality> = outcome.answers[first..].iter().filter_map(Answer::quality).collect();
        if !read.is_empty() {
            let steps = world.steps.len();
            let score = score::scenario(&read, steps, steps - failed_steps.len());
            let (name, difficulty) = (world.name.clone(), world.difficulty.clone());
            outcome.scenarios.push(Scenario { name, difficulty, score, failed_steps });
        }
        outcome.rss_bytes = outcome.rss_bytes.max(home.status().await?.rss_bytes);
        home.close().await?;
    }
    let lexical = outcome.answers.iter().filter(|answer| answer.is_lexical_only).count();
    if lexical > 0 && outcome.model.is_some() {
        outcome.notes.push(format!("{lexical} questions got no vector in time, and were answered by their words"));
    }
    outcome.notes.sort();
    outcome.notes.dedup();
    outcome.seconds = begun.elapsed().as_secs_f64();
    Ok(outcome)
}

impl Answer {
    fn quality(&self) -> Option<Quality> {
        match self.verdict {
            Verdict::Read(quality) => Some(quality),
            _ => None,
        }
    }
}

/// Rows that say the same are one memory: by each row's place, the place of the one that stands for it.
type Places = Vec<usize>;

async fn fill(home: &mut Home, world: &World, notes: &mut Vec<String>) -> Result<Places> {
    let mut first_of = HashMap::new();
    let same = |row: &Row| (row.text.trim().to_owned(), row.kind, row.project.clone(), row.subject.clone());
    let places: Places =
        world.rows.iter().enumerate().map(|(at, row)| *first_of.entry(same(row)).or_insert(at)).collect();
    let mut rows = Vec::new();
    let mut bytes = 0;
    for (at, row) in world.rows.iter().enumerate().filter(|(at, _)| places[*at] == *at) {
        bytes += row.text.len() + 200;
        rows.push(Row { line: at as u32 + 1, metadata: marked(at), ..row.clone() });
        if bytes >= BATCH_BYTES {
            import(home, std::mem::take(&mut rows), world, notes).await?;
            bytes = 0;
        }
    }
    import(home, rows, world, notes).await?;
    if !world.outdated.is_empty() {
        let old: Vec<usize> = world.outdated.iter().map(|at| places[*at]).collect();
        purge(home, &old).await?;
    }
    Ok(places)
}

fn marked(at: usize) -> String {
    format!("{{\"{MARK}\":{at}}}")
}

fn mark_of(metadata: &str) -> Option<usize> {
    let metadata: Value = serde_json::from_str(metadata).ok()?;
    usize::try_from(metadata.get(MARK)?.as_u64()?).ok()
}

async fn import(home: &mut Home, rows: Vec<Row>, world: &World, notes: &mut Vec<String>) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let import = Import { file: world.name.clone(), rows, ..Import::default() };
    let Response::Imported(done) = home.ask(Request::Import(import)).await? else { return Err(unexpected()) };
    for (line, reason) in done.refused {
        notes.push(format!("{}: memory {line} was refused: {reason}", world.name));
    }
    for masked in done.masked {
        notes.push(format!("{}: {} × {} was masked", world.name, masked.count, masked.what));
    }
    Ok(())
}

/// Takes memories out again, as an agent that learns that they are outdated.
async fn purge(home: &mut Home, places: &[usize]) -> Result<()> {
    let Response::Listed(all) = home.ask(Request::List(List::default())).await? else { return Err(unexpected()) };
    let is_old = |memory: &crate::model::Memory| mark_of(&memory.metadata).is_some_and(|at| places.contains(&at));
    let old = all.memories.iter().filter(|shaped| is_old(&shaped.memory));
    let target = PurgeTarget::Ids(old.map(|shaped| shaped.memory.id.to_string()).collect());
    let reason = Some("outdated".to_owned());
    home.ask(Request::Purge(Purge { branch: None, target, depth: Depth::State, reason })).await.map(|_| ())
}

/// Waits until every memory has its vector; says whose vectors these are.
async fn complete(home: &mut Home, notes: &mut Vec<String>) -> Result<Option<String>> {
    let mut least = u32::MAX;
    let mut since = Instant::now();
    loop {
        let embedding = home.status().await?.embedding;
        // It is not known yet for a moment which model is wanted; and where none can be opened, there is nothing to
        // wait for.
        let is_known = !embedding.wanted.is_empty();
        if is_known && (embedding.pending == 0 || (embedding.serving.is_none() && embedding.problem.is_some())) {
            notes.extend(embedding.problem);
            return Ok(embedding.serving);
        }
        if embedding.pending < least {
            (least, since) = (embedding.pending, Instant::now());
        }
        if since.elapsed() >= STUCK_AFTER {
            let why = embedding.problem.unwrap_or_else(|| "nothing says why".to_owned());
            return Err(Error::unavailable(format!(
                "{} memories have been waiting for their vectors for {} seconds: {why}",
                embedding.pending,
                STUCK_AFTER.as_secs()
            )));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Those that failed, with the daemon's reason: a step that fails costs its share of the score.
async fn take_steps(home: &mut Home, world: &World) -> Vec<String> {
    let mut failed = Vec::new();
    for (at, step) in world.steps.iter().enumerate() {
        if let Err(error) = take(home, step).await {
            failed.push(format!("step {}: {}", at + 1, error.message));
        }
    }
    failed
}

async fn take(home: &mut Home, step: &Step) -> Result<()> {
    let request = match step {
        // Only an import can state a confidence.
        Step::Store(row) if row.confidence.is_some() => {
            let rows = vec![Row { line: 1, ..(**row).clone() }];
            Request::Import(Import { rows, ..Import::default() })
        }
        Step::Store(row) => Request::Store(Store {
            text: row.text.clone(),
            kind: row.kind,
            trust: row.trust,
            observed_at: row.observed_at,
            ..Store::default()
        }),
        Step::Ask { question, top_k } => {
            Request::Retrieve(Retrieve { question: question.clone(), top_k: *top_k, ..Retrieve::default() })
        }
        Step::Correct { question, text, reason } => Request::Correct(Correct {
            branch: None,
            target: Target::Question {
                question: question.clone(),
                place: Default::default(),
                filter: Default::default(),
                session_scope: SessionScope::Prefer,
            },
            text: text.clone(),
            reason: reason.clone(),
            trust: None,
            tags: None,
            marks: Default::default(),
        }),
        Step::Purge { topic } => Request::Purge(Purge {
            branch: None,
            target: PurgeTarget::Topic { topic: topic.clone(), place: Default::default() },
            depth: Depth::State,
            reason: None,
        }),
    };
    home.ask(request).await.map(|_| ())
}

async fn ask(home: &mut Home, world: &World, question: &Question, places: &Places) -> Result<Answer> {
    let retrieve = Retrieve { question: question.text.clone(), top_k: question.top_k, ..Retrieve::default() };
    let begun = Instant::now();
    let answer = home.ask(Request::Retrieve(retrieve)).await?;
    let took_ms = begun.elapsed().as_secs_f64() * 1e3;
    let Response::Retrieved(found) = answer else { return Err(unexpected()) };
    Ok(Answer {
        world: world.name.clone(),
        question: question.text.clone(),
        category: question.category.clone(),
        part: question.part,
        verdict: judge(&question.wanted, &found, places),
        hits: found.hits.len(),
        tokens: found.hits.iter().map(|hit| tokens_of(&hit.memory.memory.text)).sum(),
        took_ms,
        is_lexical_only: found.lexical_only,
    })
}

fn judge(wanted: &Wanted, found: &Retrieved, places: &Places) -> Verdict {
    match wanted {
        Wanted::Nothing => Verdict::Unanswerable { is_empty: found.hits.is_empty() },
        Wanted::Contents(contents) => {
            let texts: Vec<String> = found.hits.iter().map(|hit| hit.memory.memory.text.clone()).collect();
            Verdict::Read(Quality::of(contents, &texts))
        }
        Wanted::Memories(wanted) => {
            let mut wanted: Vec<usize> = wanted.iter().map(|at| places[*at]).collect();
            wanted.sort_unstable();
            wanted.dedup();
            let marks: Vec<_> = found.hits.iter().map(|hit| mark_of(&hit.memory.memory.metadata)).collect();
            let is_relevant = marks.iter().map(|mark| mark.is_some_and(|at| wanted.contains(&at))).collect();
            let place = |at: &usize| marks.iter().position(|mark| *mark == Some(*at)).map_or(0, |place| place + 1);
            let ranks = wanted.iter().map(place).collect();
            Verdict::Ranked(Judged { is_relevant, wanted: wanted.len() }, ranks)
        }
    }
}
