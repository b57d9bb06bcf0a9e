//! What an agent is told: a short text for the model and the same as structured content. Whatever was
//! deduplicated, masked, left out or missing is said. It never shows a memory outside of `quote`.

use serde_json::{Value, json};

use super::quote::Quote;
use super::tools::Asked;
use crate::clock;
use crate::error::{Error, Result};
use crate::model::text::{is_hidden, one_line, visible};
use crate::model::{CommitId, Masked, Memory, Parts, Time};
use crate::wire::limits;
use crate::wire::message::{Corrected, Hit, Listed, Purged, Response, Retrieved, Shaped, Stored};

/// A similar or a removed memory is shown to be recognised, not to be read.
const GLIMPSE_CHARS_MAX: usize = 160;
/// Removed memories that are shown; the others are counted, and all are in the structured content.
const GLIMPSES_MAX: usize = 20;

pub struct Reply {
    pub text: String,
    pub structured: Value,
}

/// The reply to a call of one of our tools.
pub fn of(asked: &Asked, response: &Response) -> Result<Reply> {
    match response {
        Response::Stored(stored) => Ok(self::stored(stored)),
        Response::Retrieved(retrieved) => Ok(self::retrieved(asked, retrieved)),
        Response::Listed(listed) => Ok(self::listed(asked, listed)),
        Response::Corrected(corrected) => Ok(self::corrected(corrected)),
        Response::Purged(purged) => Ok(self::purged(purged)),
        _ => Err(Error::internal("the daemon answered something else than was asked. See `memoria logs`.")),
    }
}

fn stored(stored: &Stored) -> Reply {
    let Shaped { memory, .. } = &stored.stored;
    let id = stored.stored.short_id();
    let mut text = if stored.is_duplicate {
        format!("Already stored as memory {id}; nothing was written.")
    } else {
        let project = if memory.project.is_none() { ", global" } else { "" };
        format!("Stored memory {id} ({}, {}{project}).", memory.kind, memory.trust)
    };
    text += &masked_note(&stored.masked);
    let mut quote = Quote::new(stored.similar.iter().map(|similar| &similar.memory));
    for similar in &stored.similar {
        quote.add(&similar.memory, &format!("{} % alike", similar.percent), false, GLIMPSE_CHARS_MAX);
    }
    if !stored.similar.is_empty() {
        text += "\nSimilar memories are there; memory_correct or memory_purge what is out of date.";
        text += &format!(" {}\n{}", quote.opening(), quote.text.trim_end());
    }
    let similar: Vec<_> =
        stored.similar.iter().map(|similar| with(&similar.memory, "percent", json!(similar.percent))).collect();
    let structured = json!({
        "memory": memory_value(&stored.stored), "duplicate": stored.is_duplicate, "similar": similar,
        "masked": masked_value(&stored.masked), "commit": commit_value(stored.commit),
    });
    Reply { text, structured }
}

fn retrieved(asked: &Asked, retrieved: &Retrieved) -> Reply {
    let hits = &retrieved.hits[..fitting(retrieved.hits.iter().map(|hit| &hit.memory))];
    let left_out = retrieved.left_out as usize + retrieved.hits.len() - hits.len();
    let mut quote = Quote::new(hits.iter().map(|hit| &hit.memory));
    for hit in hits {
        let note = hit.parts.as_ref().map(|parts| explained(hit, parts)).unwrap_or_default();
        quote.add(&hit.memory, &note, asked.shows_projects, 0);
    }
    let mut text = match hits.len() {
        0 => "No relevant memories found.".to_owned(),
        count => format!("{}. {}\n{}", counted(count, "relevant"), quote.opening(), quote.text.trim_end()),
    };
    if left_out > 0 {
        text += &format!("\n{left_out} more left out: raise top_k or max_tokens to see them.");
    }
    let memories: Vec<_> = hits
        .iter()
        .map(|hit| {
            let mut value = with(&hit.memory, "score", json!(rounded(hit.score)));
            if let Some(parts) = &hit.parts {
                value["parts"] = parts_value(parts);
            }
            value
        })
        .collect();
    let structured = json!({
        "memories": memories, "left_out": left_out, "lexical_only": retrieved.lexical_only,
    });
    Reply { text, structured }
}

fn listed(asked: &Asked, listed: &Listed) -> Reply {
    let memories = &listed.memories[..fitting(listed.memories.iter())];
    let mut quote = Quote::new(memories.iter());
    for shaped in memories {
        quote.add(shaped, "", asked.shows_projects, 0);
    }
    let (offset, shown) = (asked.offset, memories.len() as u32);
    let next = offset.saturating_add(shown);
    let mut text = match (shown, listed.total) {
        (0, 0) => "No memories found.".to_owned(),
        (0, total) => format!("Nothing from offset {offset} on: there are {total}."),
        _ => {
            let count = counted(memories.len(), "");
            format!("{count} of {}. {}\n{}", listed.total, quote.opening(), quote.text.trim_end())
        }
    };
    if shown > 0 && next < listed.total {
        text += &format!("\n{} more: ask with offset {next}.", listed.total - next);
    }
    let memories: Vec<_> = memories.iter().map(memory_value).collect();
    Reply { text, structured: json!({ "memories": memories, "total": listed.total, "offset": offset }) }
}

fn corrected(corrected: &Corrected) -> Reply {
    let id = corrected.memory.short_id();
    let mut text = if corrected.is_unchanged {
        format!("Memory {id} says that already; nothing was written.")
    } else {
        let mut before = corrected.memory.clone();
        before.memory.text.clone_from(&corrected.before);
        before.memory.metadata.clear();
        let mut quote = Quote::new(std::iter::once(&before));
        quote.add(&before, "what it said before", false, GLIMPSE_CHARS_MAX);
        let opening = quote.opening();
        format!("Corrected memory {id}; its history is kept. {opening}\n{}", quote.text.trim_end())
    };
    text += &masked_note(&corrected.masked);
    let structured = json!({
        "memory": memory_value(&corrected.memory), "before": visible(&corrected.before),
        "unchanged": corrected.is_unchanged, "masked": masked_value(&corrected.masked),
        "commit": commit_value(corrected.commit),
    });
    Reply { text, structured }
}

fn purged(purged: &Purged) -> Reply {
    let mut quote = Quote::new(purged.removed.iter());
    for shaped in purged.removed.iter().take(GLIMPSES_MAX) {
        quote.add(shaped, "", false, GLIMPSE_CHARS_MAX);
    }
    let total = purged.removed_total as usize;
    let mut text = match total {
        0 => "Purged nothing.".to_owned(),
        total => {
            let count = counted(total, "");
            format!("Purged {count}; history is kept. {}\n{}", quote.opening(), quote.text.trim_end())
        }
    };
    let glimpses = purged.removed.len().min(GLIMPSES_MAX);
    if total > glimpses {
        text += &format!("\nand {} more.", total - glimpses);
    }
    if !purged.missing.is_empty() {
        let missing: Vec<_> = purged.missing.iter().map(|id| one_line(id, 60)).collect();
        text += &format!("\nNot found: {}.", missing.join(", "));
    }
    let fitting = fitting(purged.removed.iter());
    let removed: Vec<_> = purged.removed.iter().take(fitting).map(memory_value).collect();
    let structured =
        json!({ "removed": removed, "total": total, "missing": purged.missing, "commit": commit_value(purged.commit) });
    Reply { text, structured }
}

/// How many of these, each once as text and once as structured content, fit one reply over the wire.
fn fitting<'a>(memories: impl Iterator<Item = &'a Shaped>) -> usize {
    // Names, ids and times of one memory, its tags among them, and the frame around all.
    const REST_BYTES_MAX: usize = 16 << 10;
    let written = |text: &str| -> usize {
        text.chars()
            .map(|c| match c {
                '"' | '\\' | '\n' | '\t' => 2,
                c if is_hidden(c) => "\\\\u{10ffff}".len(),
                c => c.len_utf8(),
            })
            .sum()
    };
    let mut bytes = REST_BYTES_MAX;
    memories
        .take_while(|shaped| {
            // Metadata is written as JSON within JSON.
            let both = written(&shaped.memory.text) + 2 * written(&shaped.memory.metadata);
            bytes += REST_BYTES_MAX + 2 * both;
            bytes <= limits::REPLY_BYTES_MAX
        })
        .count()
}

fn counted(count: usize, what: &str) -> String {
    let (space, noun) = (if what.is_empty() { "" } else { " " }, if count == 1 { "memory" } else { "memories" });
    format!("{count}{space}{what} {noun}")
}

fn masked_note(masked: &[Masked]) -> String {
    if masked.is_empty() {
        return String::new();
    }
    let what: Vec<_> = masked.iter().map(|masked| format!("{} ({})", masked.what, masked.count)).collect();
    format!("\nMasked before anything was kept: {}.", what.join(", "))
}

fn explained(hit: &Hit, parts: &Parts) -> String {
    let mut out = format!(
        "score {:.2}: words {:.2}, neighbours {:.2}, trust {:.2}, age {:.2}, place {:.2}",
        hit.score, parts.lexical, parts.neighbours, parts.trust, parts.age, parts.place
    );
    if !parts.terms.is_empty() {
        let terms: Vec<_> =
            parts.terms.iter().map(|(term, share)| format!("{} {share:.2}", one_line(term, 40))).collect();
        out += &format!("; {}", terms.join(", "));
    }
    out
}

fn parts_value(parts: &Parts) -> Value {
    let terms: Value = parts.terms.iter().map(|(term, share)| (term.clone(), json!(rounded(*share)))).collect();
    json!({
        "lexical": rounded(parts.lexical), "neighbours": rounded(parts.neighbours), "trust": rounded(parts.trust),
        "age": rounded(parts.age), "place": rounded(parts.place), "terms": terms,
    })
}

/// Thousandths are enough, and short.
fn rounded(number: f32) -> f64 {
    (f64::from(number) * 1000.0).round() / 1000.0
}

fn masked_value(masked: &[Masked]) -> Value {
    masked.iter().map(|masked| json!({ "what": masked.what, "count": masked.count })).collect()
}

fn commit_value(commit: Option<CommitId>) -> Value {
    commit.map_or(Value::Null, |commit| commit.to_string().into())
}

fn with(shaped: &Shaped, key: &str, value: Value) -> Value {
    let mut out = memory_value(shaped);
    out[key] = value;
    out
}

/// Every text in a value, hidden characters written out.
fn shown_inside(value: Value) -> Value {
    match value {
        Value::String(text) => visible(&text).into(),
        Value::Array(items) => items.into_iter().map(shown_inside).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (visible(&key).into_owned(), shown_inside(value))).collect()
        }
        plain => plain,
    }
}

/// A memory for programs. Its text too has hidden characters written out: many clients show this to the model.
fn memory_value(shaped: &Shaped) -> Value {
    let memory = &shaped.memory;
    let Memory { origin, .. } = memory;
    let shown = |text: &str| Value::from(visible(text));
    let optional = |text: Option<&str>| text.map_or(Value::Null, shown);
    let moment = |time: Time| Value::from(clock::rfc3339(time));
    json!({
        "id": memory.id.to_string(),
        "short_id": shaped.short_id(),
        "text": shown(&memory.text),
        "kind": memory.kind.as_str(),
        "tags": memory.tags.iter().map(|tag| shown(tag)).collect::<Value>(),
        "trust": memory.trust.as_str(),
        "confidence": rounded(memory.confidence.as_fraction()),
        "project": optional(memory.project.as_ref().map(|project| project.as_str())),
        "session": optional(memory.session.as_ref().map(|session| session.as_str())),
        "subject": optional(memory.subject.as_ref().map(|subject| subject.as_str())),
        "origin": {
            "source": origin.source.as_str(),
            "agent": optional(origin.agent.as_deref()),
            "agent_version": optional(origin.agent_version.as_deref()),
            "session": optional(origin.session.as_ref().map(|session| session.as_str())),
            "tool": optional(origin.tool.as_deref()),
            "file": optional(origin.file.as_deref()),
        },
        "created_at": moment(memory.created_at),
        "observed_at": moment(memory.observed_at),
        "expires_at": memory.expires_at.map_or(Value::Null, moment),
        "pinned": memory.pinned,
        "metadata": serde_json::from_str(&memory.metadata).map_or_else(|_| json!({}), shown_inside),
        "flags": shaped.flags,
        "version": shaped.version.to_string(),
    })
}
