//! What a benchmark is made of, whatever the file looked like: worlds, each a store of its own with memories, steps and
//! questions. The kind of a file is told by its shape; each kind has its reader below.

mod devbench;
mod locomo;
mod plain;
mod scenarios;

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::score::Contents;
use crate::error::{Error, Result};
use crate::model::Kind;
use crate::wire::message::Row;

pub struct Dataset {
    pub name: String,
    pub shape: Shape,
    pub worlds: Vec<World>,
    /// What of the file takes no part, and why, in sentences.
    pub notes: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Scenarios,
    Locomo,
    Devbench,
    Plain,
}

/// One store and what is asked of it.
#[derive(Default)]
pub struct World {
    pub name: String,
    /// As they are imported; their place in here is what questions name them by.
    pub rows: Vec<Row>,
    /// Of these, those that are purged again once they are stored.
    pub outdated: Vec<usize>,
    pub steps: Vec<Step>,
    pub questions: Vec<Question>,
    /// Of a scenario: L1 to L5.
    pub difficulty: String,
}

pub struct Question {
    pub text: String,
    pub top_k: u32,
    pub category: String,
    pub part: Part,
    pub wanted: Wanted,
}

/// Whether a question counts for the whole dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// Only for its own category.
    Apart,
}

pub enum Wanted {
    /// These memories of the world.
    Memories(Vec<usize>),
    Nothing,
    Contents(Contents),
}

/// What happens between the storing and the questions.
pub enum Step {
    Store(Box<Row>),
    Ask { question: String, top_k: u32 },
    Correct { question: String, text: String, reason: Option<String> },
    Purge { topic: String },
}

/// Reads a file of one of the four kinds.
///
/// # Errors
/// `Invalid` with the file and what in it does not fit.
pub fn read(path: &str) -> Result<Dataset> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(format_args!("read {path}"), &e))?;
    let name = Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned());
    parse(&bytes, &name).map_err(|why| Error::invalid(format!("{path}: {why}")))
}

/// Or a sentence about what does not fit.
fn parse(bytes: &[u8], file: &str) -> Result<Dataset, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|e| format!("this is no JSON: {e}"))?;
    let has = |value: &Value, name: &str| value.get(name).is_some();
    let mut dataset = if value.get("scenarios").is_some_and(Value::is_array) {
        scenarios::read(value)?
    } else if has(&value, "memories") && has(&value, "queries") {
        devbench::read(value)?
    } else if has(&value, "memories") && has(&value, "questions") {
        plain::read(value)?
    } else {
        match value {
            Value::Array(list) if list.iter().any(|one| has(one, "conversation")) => locomo::read(list)?,
            one if has(&one, "conversation") => locomo::read(vec![one])?,
            _ => return Err(UNKNOWN.to_owned()),
        }
    };
    if dataset.name.is_empty() {
        dataset.name = file.trim_end_matches(".json").to_owned();
    }
    if dataset.worlds.iter().all(|world| world.questions.is_empty()) {
        return Err("there is no question in it that could be asked".to_owned());
    }
    Ok(dataset)
}

const UNKNOWN: &str = "this is none of the files that a benchmark reads: scenarios ({dataset_id, scenarios}), LoCoMo's \
    ([{conversation, qa}]), devbench's ({memories, queries}), or {memories: [{id, text}], questions: [{question, \
    relevant: [ids]}]}";

impl Dataset {
    pub fn questions(&self) -> usize {
        self.worlds.iter().map(|world| world.questions.len()).sum()
    }

    /// Keeps the first so many questions, and the worlds in which they are asked.
    pub fn limit(&mut self, questions_max: usize) {
        let all = self.questions();
        let mut room = questions_max;
        for world in &mut self.worlds {
            world.questions.truncate(room);
            room -= world.questions.len();
        }
        self.worlds.retain(|world| !world.questions.is_empty());
        if questions_max < all {
            self.notes.push(format!("only the first {questions_max} of {all} questions were asked (`--limit`)"));
        }
    }

    /// Asks questions of each world in the next one too, where nothing answers them: `each` of them, evenly spread.
    ///
    /// # Errors
    /// `Invalid` where there are not two worlds.
    pub fn add_unanswerable(&mut self, each: usize) -> Result<()> {
        if self.shape != Shape::Locomo || self.worlds.len() < 2 {
            return Err(Error::invalid(format!(
                "`--unanswerable` asks the questions of one conversation in another one's store, and {} has not two \
                 conversations",
                self.name
            )));
        }
        let spread = |world: &World| {
            let asked: Vec<&Question> = world.questions.iter().filter(|q| q.part == Part::Whole).collect();
            let count = each.min(asked.len());
            (0..count).map(|at| asked[at * asked.len() / count].text.clone()).collect::<Vec<_>>()
        };
        let mut texts: Vec<Vec<String>> = self.worlds.iter().map(spread).collect();
        texts.rotate_right(1);
        for (world, texts) in self.worlds.iter_mut().zip(texts) {
            world.questions.extend(texts.into_iter().map(|text| Question {
                text,
                top_k: TOP_K,
                category: UNANSWERABLE.to_owned(),
                part: Part::Apart,
                wanted: Wanted::Nothing,
            }));
        }
        Ok(())
    }
}

/// What recall@20 needs.
pub const TOP_K: u32 = 20;
pub const UNANSWERABLE: &str = "unanswerable";

/// One element of a file as a type, or a sentence that says which one does not fit, and why.
fn element<T: DeserializeOwned>(what: &str, number: usize, value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|e| format!("{what} {}: {e}", number + 1))
}

fn list(of: &mut Map<String, Value>, name: &str) -> Result<Vec<Value>, String> {
    match of.remove(name) {
        Some(Value::Array(list)) => Ok(list),
        _ => Err(format!("`{name}` is not a list")),
    }
}

fn object(value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(map) => Ok(map),
        _ => Err("this is not a JSON object".to_owned()),
    }
}

/// Ids are texts or numbers.
fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The kind of that name; other products' kinds are counted and become the default.
fn kind(name: Option<&str>, unknown: &mut BTreeMap<String, usize>) -> Option<Kind> {
    let name = name?;
    let kind = name.parse().ok();
    if kind.is_none() {
        *unknown.entry(name.to_owned()).or_default() += 1;
    }
    kind
}

fn note_kinds(unknown: BTreeMap<String, usize>, notes: &mut Vec<String>) {
    if !unknown.is_empty() {
        let names: Vec<String> = unknown.into_iter().map(|(name, count)| format!("{name} ({count})")).collect();
        notes.push(format!("stored as semantic, since Memoria has no such kind: {}", names.join(", ")));
    }
}
