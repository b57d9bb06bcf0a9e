//! The existing Memoria's scenario files: `{dataset_id, scenarios: [{seed_memories, steps, assertions, …}]}`.
//! `is_noise` and the maturation operations are its own affair, and change nothing here.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Contents, Dataset, Part, Question, Shape, Step, Wanted, World, element, kind, list, note_kinds, object};
use crate::clock;
use crate::model::{Confidence, Time, Trust};
use crate::wire::message::Row;

const TOP_K: u32 = 5;
const SEARCH_TOP_K: u32 = 10;
const DAY_MS: f64 = 86_400_000.0;
/// What the existing Memoria takes for a memory of no stated trust.
const TRUST: Trust = Trust::T1;

#[derive(Deserialize)]
struct Scenario {
    scenario_id: String,
    #[serde(default)]
    difficulty: String,
    seed_memories: Vec<Seed>,
    #[serde(default)]
    steps: Vec<Action>,
    assertions: Vec<Assertion>,
    #[serde(default)]
    maturation: Vec<String>,
}

#[derive(Deserialize)]
struct Seed {
    content: String,
    #[serde(default)]
    is_outdated: bool,
    #[serde(flatten)]
    more: More,
}

/// What seeds and stored steps may say about a memory.
#[derive(Default, Deserialize)]
struct More {
    memory_type: Option<String>,
    age_days: Option<f64>,
    initial_confidence: Option<f64>,
    trust_tier: Option<String>,
}

#[derive(Deserialize)]
struct Action {
    action: String,
    content: Option<String>,
    query: Option<String>,
    top_k: Option<u32>,
    reason: Option<String>,
    topic: Option<String>,
    #[serde(flatten)]
    more: More,
}

#[derive(Deserialize)]
struct Assertion {
    query: String,
    top_k: Option<u32>,
    expected_contents: Vec<String>,
    #[serde(default)]
    excluded_contents: Vec<String>,
}

pub fn read(file: Value) -> Result<Dataset, String> {
    let mut file = object(file)?;
    let mut notes = Vec::new();
    let mut unknown = BTreeMap::new();
    let mut matured = 0;
    let now = clock::now();
    let mut worlds = Vec::new();
    for (number, value) in list(&mut file, "scenarios")?.into_iter().enumerate() {
        let scenario: Scenario = element("scenario", number, value)?;
        matured += usize::from(!scenario.maturation.is_empty());
        let id = scenario.scenario_id.clone();
        worlds.push(world(scenario, now, &mut unknown).map_err(|why| format!("scenario {id}: {why}"))?);
    }
    note_kinds(unknown, &mut notes);
    if matured > 0 {
        notes.push(format!("{matured} scenarios name maturation operations, which Memoria here has no need of"));
    }
    let name = file.get("dataset_id").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Dataset { name, shape: Shape::Scenarios, worlds, notes })
}

fn world(scenario: Scenario, now: Time, unknown: &mut BTreeMap<String, usize>) -> Result<World, String> {
    let mut world = World { name: scenario.scenario_id, difficulty: scenario.difficulty.clone(), ..World::default() };
    for seed in scenario.seed_memories {
        if seed.is_outdated {
            world.outdated.push(world.rows.len());
        }
        world.rows.push(row(seed.content, seed.more, now, unknown)?);
    }
    for action in scenario.steps {
        world.steps.push(step(action, now, unknown)?);
    }
    world.questions = scenario
        .assertions
        .into_iter()
        .map(|assertion| Question {
            text: assertion.query,
            top_k: assertion.top_k.filter(|k| *k > 0).unwrap_or(TOP_K),
            category: scenario.difficulty.clone(),
            part: Part::Whole,
            wanted: Wanted::Contents(Contents {
                expected: assertion.expected_contents,
                excluded: assertion.excluded_contents,
            }),
        })
        .collect();
    Ok(world)
}

fn step(action: Action, now: Time, unknown: &mut BTreeMap<String, usize>) -> Result<Step, String> {
    let name = action.action;
    let needed = |what: &str, value: Option<String>| value.ok_or_else(|| format!("a step `{name}` lacks its `{what}`"));
    match name.as_str() {
        "store" => Ok(Step::Store(Box::new(row(needed("content", action.content)?, action.more, now, unknown)?))),
        "retrieve" | "search" => {
            let default = if name == "search" { SEARCH_TOP_K } else { TOP_K };
            Ok(Step::Ask { question: needed("query", action.query)?, top_k: action.top_k.unwrap_or(default) })
        }
        "correct" => Ok(Step::Correct {
            question: needed("query", action.query)?,
            text: needed("content", action.content)?,
            reason: action.reason,
        }),
        "purge" => Ok(Step::Purge { topic: needed("topic", action.topic)? }),
        _ => Err(format!("`{name}` is no step: there are store, retrieve, search, correct and purge")),
    }
}

fn row(text: String, more: More, now: Time, unknown: &mut BTreeMap<String, usize>) -> Result<Row, String> {
    let trust = match more.trust_tier.as_deref() {
        Some(tier) => tier.parse().map_err(|e: crate::error::Error| e.message)?,
        None => TRUST,
    };
    let confidence = match more.initial_confidence {
        None => None,
        Some(share) if (0.0..=1.0).contains(&share) => Some(Confidence((share * 1000.0).round() as u16)),
        Some(share) => return Err(format!("`initial_confidence` is {share}, and goes from 0 to 1")),
    };
    Ok(Row {
        text,
        kind: kind(more.memory_type.as_deref(), unknown),
        trust: Some(trust),
        confidence,
        observed_at: more.age_days.map(|days| now.plus_ms(-(days * DAY_MS) as i64)),
        ..Row::default()
    })
}
