//! How well and how fast words find memories, in process, without a daemon:
//!
//! `cargo bench --bench retrieval -- --data FOLDER` also measures on outside data (`locomo-dev.json`,
//! `devbench.json`, `paraphrase-dev.json`); without it, those rows are said to be skipped.

mod corpus;

use std::path::{Path, PathBuf};
use std::time::Instant;

use corpus::{Corpus, Vocabulary};
use serde_json::Value;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mut data: Option<PathBuf> = None;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--data" => data = arguments.next().map(PathBuf::from),
            other => return eprintln!("`{other}` is unknown: use --data FOLDER"),
        }
    }
    match data {
        Some(folder) => quality(&folder),
        None => println!("skipped: the rows on outside data (give their folder with --data FOLDER)"),
    }
    for n in [1_000, 10_000, 100_000] {
        speed(n);
    }
}

fn quality(folder: &Path) {
    let locomo = read(folder, "locomo-dev.json");
    first_thousand(&locomo);
    per_conversation(&locomo);
    devbench(&read(folder, "devbench.json"));
    paraphrases(&read(folder, "paraphrase-dev.json"));
}

fn read(folder: &Path, name: &str) -> Value {
    let path = folder.join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{} is not JSON: {error}", path.display()))
}

/// A question and the memories that answer it.
struct Question {
    text: String,
    category: u64,
    answers: Vec<usize>,
}

/// Adds a conversation's turns, up to `limit` memories in all, and gives the questions that they answer.
fn add_conversation(corpus: &mut Corpus, sample: &Value, limit: usize) -> Vec<Question> {
    let name = sample["sample_id"].as_str().unwrap_or_default();
    let conversation = &sample["conversation"];
    let mut turns = std::collections::HashMap::new();
    for session in (1..).map(|n| format!("session_{n}")).take_while(|key| conversation[key].is_array()) {
        let date = conversation[format!("{session}_date_time")].as_str().unwrap_or_default();
        for turn in conversation[&session].as_array().into_iter().flatten() {
            if corpus.len() == limit {
                break;
            }
            let said = |key: &str| turn[key].as_str().unwrap_or_default().to_owned();
            turns.insert(said("dia_id"), corpus.len());
            corpus.add(&format!("({date}) {}: {}", said("speaker"), said("text")), &format!("{name}/{session}"));
        }
    }
    let mut questions = Vec::new();
    for question in sample["qa"].as_array().into_iter().flatten() {
        let evidence = question["evidence"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let named: Vec<&str> = evidence.flat_map(|names| names.split([';', ',', ' '])).collect();
        let answers: Vec<usize> = named.iter().filter_map(|turn| turns.get(turn.trim()).copied()).collect();
        if !answers.is_empty() && answers.len() == named.iter().filter(|name| !name.trim().is_empty()).count() {
            let text = question["question"].as_str().unwrap_or_default().to_owned();
            questions.push(Question { text, category: question["category"].as_u64().unwrap_or(0), answers });
        }
    }
    questions
}

fn first_thousand(locomo: &Value) {
    let mut corpus = Corpus::default();
    let mut questions = Vec::new();
    for sample in locomo.as_array().into_iter().flatten() {
        if corpus.len() < 1_000 {
            questions.extend(add_conversation(&mut corpus, sample, 1_000));
        }
    }
    let mut sum = Score::default();
    let mut plain = Score::default();
    questions.iter().for_each(|question| {
        sum.add(question, &corpus.ask(&question.text, 10, corpus::MIN_SCORE));
        plain.add(question, &corpus.ask(&question.text, 10, 0.0));
    });
    println!("LoCoMo, first 1,000 turns in one store: {}", sum.line());
    println!("  without the cut-off:                  {}", plain.line());
    let silent = UNRELATED.iter().filter(|question| corpus.ask(question, 5, corpus::MIN_SCORE).is_empty()).count();
    println!("  unrelated questions that find nothing: {silent} of {}", UNRELATED.len());
    if std::env::var_os("MEMORIA_BENCH_SCORES").is_some() {
        for question in UNRELATED {
            println!("    unrelated {:.3} {question}", corpus.best_score(question));
        }
        for question in &questions {
            let hits = corpus.scored(&question.text, 10, 0.0);
            let best = hits.first().map_or(0.0, |hit| hit.1);
            let right = hits.iter().find(|hit| question.answers.contains(&hit.0)).map_or(-1.0, |hit| hit.1);
            println!("    related {best:.3} {right:.3} {}", question.text);
        }
    }
}

fn per_conversation(locomo: &Value) {
    let mut all = Score::default();
    let mut by_category = std::collections::BTreeMap::<u64, Score>::new();
    for sample in locomo.as_array().into_iter().flatten() {
        let mut corpus = Corpus::default();
        for question in add_conversation(&mut corpus, sample, usize::MAX) {
            let found = corpus.ask(&question.text, 10, corpus::MIN_SCORE);
            all.add(&question, &found);
            by_category.entry(question.category).or_default().add(&question, &found);
        }
    }
    println!("LoCoMo, one store per conversation:     {}", all.line());
    by_category.iter().for_each(|(category, score)| println!("  category {category}: {}", score.line()));
}

fn devbench(data: &Value) {
    let mut corpus = Corpus::default();
    let memories: Vec<&Value> = data["memories"].as_array().into_iter().flatten().collect();
    memories.iter().for_each(|memory| corpus.add(memory["content"].as_str().unwrap_or_default(), ""));
    let tags = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut score = Score::default();
    for query in data["queries"].as_array().into_iter().flatten() {
        let expected = tags(&query["expected_tags"]);
        let answers =
            (0..memories.len()).filter(|at| tags(&memories[*at]["tags"]).iter().any(|tag| expected.contains(tag)));
        let text = query["question"].as_str().unwrap_or_default().to_owned();
        let question = Question { text, category: 0, answers: answers.collect() };
        score.add(&question, &corpus.ask(&question.text, 5, corpus::MIN_SCORE));
    }
    println!("devbench, first 5: {}", score.line());
}

fn paraphrases(data: &Value) {
    let mut corpus = Corpus::default();
    let mut numbers = std::collections::HashMap::new();
    for memory in data["memories"].as_array().into_iter().flatten() {
        numbers.insert(memory["id"].as_str().unwrap_or_default(), corpus.len());
        corpus.add(memory["text"].as_str().unwrap_or_default(), "");
    }
    let mut score = Score::default();
    for question in data["questions"].as_array().into_iter().flatten() {
        let relevant = question["relevant"]
            .as_array()
            .into_iter()
            .flatten()
            .chain(question["relevant"].as_str().map(|_| &question["relevant"]));
        let answers = relevant.filter_map(|id| numbers.get(id.as_str()?).copied()).collect();
        let text = question["question"].as_str().or(question["text"].as_str()).unwrap_or_default().to_owned();
        let question = Question { text, category: 0, answers };
        score.add(&question, &corpus.ask(&question.text, 10, corpus::MIN_SCORE));
    }
    println!("paraphrases, first 10: {}", score.line());
}

#[derive(Default)]
struct Score {
    questions: f64,
    hits: f64,
    recall: f64,
    reciprocal: f64,
    returned: f64,
}

impl Score {
    fn add(&mut self, question: &Question, found: &[usize]) {
        let is_right = |at: &usize| question.answers.contains(at);
        self.questions += 1.0;
        self.hits += f64::from(u8::from(found.iter().any(is_right)));
        self.recall += question.answers.iter().filter(|at| found.contains(at)).count() as f64
            / question.answers.len().max(1) as f64;
        self.reciprocal += found.iter().position(is_right).map_or(0.0, |at| 1.0 / (at + 1) as f64);
        self.returned += found.len() as f64;
    }

    fn line(&self) -> String {
        let n = self.questions.max(1.0);
        format!(
            "hit {:.3}, recall {:.3}, MRR {:.3}, {:.1} returned ({n} questions)",
            self.hits / n,
            self.recall / n,
            self.reciprocal / n,
            self.returned / n
        )
    }
}

/// Speeds on made-up memories of about 25 words, whose words are distributed as in natural text.
fn speed(n: usize) {
    let vocabulary = Vocabulary::new(40_000);
    let mut corpus = Corpus::default();
    let start = Instant::now();
    for number in 0..n {
        corpus.add(&vocabulary.text(number as u64, 25), &format!("session {}", number / 200));
    }
    let added = start.elapsed();
    let flush = Instant::now();
    corpus.flush();
    let flushed = flush.elapsed();
    let mut took: Vec<f64> = (0..300)
        .map(|number| {
            let question = vocabulary.text(1_000_000 + number, 6);
            let start = Instant::now();
            corpus.candidates(&question);
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    took.sort_by(f64::total_cmp);
    println!(
        "{n} memories: {:.1} us to analyse and add each, flush {:.0} ms, {:.1} MB; candidates of 6 words p50 {:.3} ms, p99 {:.3} ms",
        added.as_secs_f64() * 1e6 / n as f64,
        flushed.as_secs_f64() * 1e3,
        corpus.bytes() as f64 / 1e6,
        took[took.len() / 2],
        took[took.len() * 99 / 100],
    );
}

/// Questions about things of which no conversation in the data speaks.
const UNRELATED: [&str; 40] = [
    "How do I configure nginx as a reverse proxy?",
    "What is the boiling point of nitrogen?",
    "Which port does the PostgreSQL server listen on?",
    "How are database migrations applied in CI?",
    "What is the capital of Mongolia?",
    "Why does the linker report undefined symbols?",
    "Which Kubernetes namespace holds the ingress controller?",
    "How many moons does Jupiter have?",
    "What is the half-life of uranium?",
    "Who wrote the tokio runtime?",
    "Which commit broke the parser?",
    "How do I rotate the JWT signing key?",
    "What does HTTP status 418 mean?",
    "Where is the Dockerfile of the billing service?",
    "Which compiler flags enable link-time optimisation?",
    "What is the retry limit of the S3 uploader?",
    "How is the Redis cache invalidated?",
    "What is the syntax of a Rust lifetime annotation?",
    "Which regex matches an IPv6 address?",
    "How does Raft elect its leader?",
    "Which timezone do cron jobs use?",
    "What is the maximum frame size of the protocol?",
    "How do I mount an NFS volume?",
    "Which TLS version is required by the gateway?",
    "What is the melting temperature of tungsten?",
    "How do I revert a merge in git?",
    "Which linter rule forbids unwrap?",
    "What is the default isolation level of MySQL?",
    "How is the OAuth token refreshed?",
    "Which GPU does the inference server need?",
    "What is the mass of a neutron?",
    "Who signed the treaty of Westphalia?",
    "What is the checksum algorithm of ZFS?",
    "How are Terraform modules versioned?",
    "Which queue does the invoice worker consume?",
    "What is the population density of Liechtenstein?",
    "数据库的连接池有多大？",
    "部署脚本在哪个目录？",
    "Какой порт слушает сервер?",
    "¿Cuál es la contraseña del servidor?",
];
