//! The plain kind: `{memories: [{id, text, …}], questions: [{question, relevant: [ids], category?}]}`. What is relevant
//! may also stand beside the questions, as a list in their order or by their ids.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;

use super::{Dataset, Part, Question, Shape, TOP_K, Wanted, World, element, id, kind, list, note_kinds, object};
use crate::clock;
use crate::model::SessionId;
use crate::wire::message::Row;

#[derive(Deserialize)]
struct Known {
    id: Option<Value>,
    #[serde(alias = "content")]
    text: String,
    #[serde(alias = "memory_type")]
    kind: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    trust: Option<String>,
    session: Option<String>,
    #[serde(alias = "created_at")]
    observed_at: Option<String>,
}

#[derive(Deserialize)]
struct Asked {
    id: Option<Value>,
    #[serde(alias = "text", alias = "query")]
    question: String,
    #[serde(default)]
    relevant: Option<Vec<Value>>,
    #[serde(default)]
    category: Option<Value>,
}

pub fn read(file: Value) -> Result<Dataset, String> {
    let mut file = object(file)?;
    let mut world = World::default();
    let mut places = HashMap::new();
    let mut unknown = BTreeMap::new();
    for (at, value) in list(&mut file, "memories")?.into_iter().enumerate() {
        let value = if value.is_string() { serde_json::json!({ "text": value }) } else { value };
        let known: Known = element("memory", at, value)?;
        let name = known.id.as_ref().and_then(id).unwrap_or_else(|| at.to_string());
        if places.insert(name.clone(), at).is_some() {
            return Err(format!("memory {}: another one has the id `{name}` too", at + 1));
        }
        world.rows.push(row(known, &mut unknown).map_err(|why| format!("memory {}: {why}", at + 1))?);
    }
    let beside = file.remove("relevant");
    for (at, value) in list(&mut file, "questions")?.into_iter().enumerate() {
        let value = if value.is_string() { serde_json::json!({ "question": value }) } else { value };
        let asked: Asked = element("question", at, value)?;
        let what = || format!("question {}", at + 1);
        let relevant = asked.relevant.clone().or_else(|| stated(beside.as_ref()?, at, &asked));
        let relevant = relevant.ok_or_else(|| format!("{}: it lacks its list `relevant`", what()))?;
        let mut wanted = Vec::new();
        for one in relevant {
            let place = id(&one).and_then(|name| places.get(&name).copied());
            wanted.push(place.ok_or_else(|| format!("{}: no memory has the id {one}", what()))?);
        }
        wanted.sort_unstable();
        wanted.dedup();
        world.questions.push(Question {
            text: asked.question,
            top_k: TOP_K,
            category: asked.category.as_ref().and_then(id).unwrap_or_default(),
            part: Part::Whole,
            wanted: if wanted.is_empty() { Wanted::Nothing } else { Wanted::Memories(wanted) },
        });
    }
    let mut notes = Vec::new();
    note_kinds(unknown, &mut notes);
    Ok(Dataset { name: String::new(), shape: Shape::Plain, worlds: vec![world], notes })
}

/// From the list or the table beside the questions.
fn stated(beside: &Value, at: usize, asked: &Asked) -> Option<Vec<Value>> {
    let of = match beside {
        Value::Array(list) => list.get(at)?,
        Value::Object(table) => {
            let name = asked.id.as_ref().and_then(id);
            name.and_then(|name| table.get(&name)).or_else(|| table.get(&asked.question))?
        }
        _ => return None,
    };
    match of {
        Value::Array(list) => Some(list.clone()),
        one => Some(vec![one.clone()]),
    }
}

fn row(known: Known, unknown: &mut BTreeMap<String, usize>) -> Result<Row, String> {
    let said = |e: crate::error::Error| e.message;
    Ok(Row {
        text: known.text,
        kind: kind(known.kind.as_deref(), unknown),
        tags: known.tags,
        trust: known.trust.map(|trust| trust.parse().map_err(said)).transpose()?,
        session: known.session.map(|name| SessionId::new(name).map_err(said)).transpose()?,
        observed_at: known.observed_at.map(|text| clock::parse_rfc3339_or_date(&text).map_err(said)).transpose()?,
        ..Row::default()
    })
}
