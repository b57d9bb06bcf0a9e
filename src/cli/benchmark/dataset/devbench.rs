//! devbench's files: `{memories: [{content, tags, …}], queries: [{question, expected_tags, category}]}`. A question is
//! answered when a memory with an expected tag is in the first five; one that expects none, by nothing.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Dataset, Part, Question, Shape, TOP_K, Wanted, World, element, kind, list, note_kinds, object};
use crate::clock;
use crate::wire::message::Row;

#[derive(Deserialize)]
struct Known {
    content: String,
    #[serde(default)]
    tags: Vec<String>,
    memory_type: Option<String>,
    created_at_iso: Option<String>,
}

#[derive(Deserialize)]
struct Asked {
    question: String,
    expected_tags: Vec<String>,
    #[serde(default)]
    category: String,
}

pub fn read(file: Value) -> Result<Dataset, String> {
    let mut file = object(file)?;
    let mut world = World::default();
    let mut unknown = BTreeMap::new();
    for (at, value) in list(&mut file, "memories")?.into_iter().enumerate() {
        let known: Known = element("memory", at, value)?;
        let observed_at = known.created_at_iso.map(|text| clock::parse_rfc3339_or_date(&text)).transpose();
        world.rows.push(Row {
            text: known.content,
            kind: kind(known.memory_type.as_deref(), &mut unknown),
            tags: known.tags,
            observed_at: observed_at.map_err(|e| format!("memory {}: {}", at + 1, e.message))?,
            ..Row::default()
        });
    }
    let mut notes = Vec::new();
    for (at, value) in list(&mut file, "queries")?.into_iter().enumerate() {
        let asked: Asked = element("query", at, value)?;
        let has_one = |row: &Row| row.tags.iter().any(|tag| asked.expected_tags.contains(tag));
        let of: Vec<usize> = (0..world.rows.len()).filter(|at| has_one(&world.rows[*at])).collect();
        if of.is_empty() && !asked.expected_tags.is_empty() {
            notes.push(format!("left out, since no memory has a tag that it expects: \"{}\"", asked.question));
            continue;
        }
        world.questions.push(Question {
            text: asked.question,
            top_k: TOP_K,
            category: asked.category,
            part: Part::Whole,
            wanted: if of.is_empty() { Wanted::Nothing } else { Wanted::Memories(of) },
        });
    }
    note_kinds(unknown, &mut notes);
    Ok(Dataset { name: String::new(), shape: Shape::Devbench, worlds: vec![world], notes })
}
