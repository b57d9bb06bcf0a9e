//! The shapes of `--json`: a memory is `{id, text, kind, tags, trust, project, origin, created_at, …}`, everywhere.

use serde_json::{Map, Value, json};

use crate::clock::rfc3339;
use crate::error::ErrorKind;
use crate::model::{Author, CommitId, Counts, Feedback, Masked, Name, NameKind, Parts, Protection, Ref, Spot};
use crate::wire::message::{Alike, Changed, Conflicted, LogEntry, Past, Point, Shaped};

pub fn memory(shaped: &Shaped) -> Map<String, Value> {
    let memory = &shaped.memory;
    let origin = &memory.origin;
    let mut fields = json!({
        "id": memory.id.to_string(),
        "short_id": shaped.short_id(),
        "version": shaped.version.to_string(),
        "text": memory.text,
        "kind": memory.kind.as_str(),
        "tags": memory.tags,
        "trust": memory.trust.as_str(),
        "confidence": f64::from(shaped.confidence.0) / 1000.0,
        "initial_confidence": f64::from(memory.confidence.0) / 1000.0,
        "project": memory.project.as_ref().map(|p| p.as_str()),
        "session": memory.session.as_ref().map(|s| s.as_str()),
        "subject": memory.subject.as_ref().map(|s| s.as_str()),
        "origin": {
            "source": origin.source.as_str(),
            "agent": origin.agent,
            "agent_version": origin.agent_version,
            "session": origin.session.as_ref().map(|s| s.as_str()),
            "tool": origin.tool,
            "file": origin.file,
        },
        "created_at": rfc3339(memory.created_at),
        "observed_at": rfc3339(memory.observed_at),
        "expires_at": memory.expires_at.map(rfc3339),
        "pinned": memory.pinned,
        "metadata": metadata(&memory.metadata),
        "flags": shaped.flags,
    });
    if !shaped.feedback.is_none() {
        fields["feedback"] = feedback(&shaped.feedback);
    }
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

pub fn feedback(said: &Feedback) -> Value {
    let Feedback { useful, irrelevant, outdated, wrong, useful_at, doubted_at } = *said;
    json!({
        "useful": useful,
        "irrelevant": irrelevant,
        "outdated": outdated,
        "wrong": wrong,
        "useful_at": useful_at.map(rfc3339),
        "doubted_at": doubted_at.map(rfc3339),
    })
}

/// A memory with more to say about it.
pub fn memory_with(shaped: &Shaped, more: Value) -> Value {
    let mut fields = memory(shaped);
    if let Value::Object(more) = more {
        fields.extend(more);
    }
    Value::Object(fields)
}

pub fn memories(list: &[Shaped]) -> Vec<Value> {
    list.iter().map(|shaped| Value::Object(memory(shaped))).collect()
}

fn metadata(text: &str) -> Value {
    if text.is_empty() { json!({}) } else { serde_json::from_str(text).unwrap_or_else(|_| json!(text)) }
}

pub fn masked(list: &[Masked]) -> Value {
    let spot = |s: &Spot| json!({"field": s.field, "line": s.line, "column": s.column});
    let one =
        |m: &Masked| json!({"what": m.what, "count": m.count, "spots": m.spots.iter().map(spot).collect::<Value>()});
    list.iter().map(one).collect()
}

/// Six digits say all that an `f32` of this size knows.
pub fn number(value: f32) -> f64 {
    (f64::from(value) * 1e6).round() / 1e6
}

pub fn parts(parts: &Parts) -> Value {
    let terms: Map<String, Value> =
        parts.terms.iter().map(|(term, share)| (term.clone(), json!(number(*share)))).collect();
    json!({
        "lexical": number(parts.lexical),
        "vector": number(parts.vector),
        "neighbours": number(parts.neighbours),
        "link": number(parts.link),
        "trust": number(parts.trust),
        "age": number(parts.age),
        "place": number(parts.place),
        "feedback": number(parts.feedback),
        "terms": terms,
        "reason": parts.reason,
    })
}

pub fn commit(entry: &LogEntry) -> Map<String, Value> {
    let Author { agent, agent_version, session, project } = &entry.author;
    let fields = json!({
        "id": entry.commit.to_string(),
        "parents": entry.parents.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "author": {
            "agent": agent,
            "agent_version": agent_version,
            "session": session.as_str(),
            "project": project.as_ref().map(|p| p.as_str()),
        },
        "verb": entry.verb,
        "note": entry.note,
        "about": entry.about.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "at": rfc3339(entry.at),
        "added": entry.added,
        "removed": entry.removed,
        "touched": entry.touched.iter()
            .map(|(id, text)| json!({"id": id.to_string(), "text": text})).collect::<Vec<_>>(),
        "flags": entry.flags,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

pub fn commits(list: &[LogEntry]) -> Vec<Value> {
    list.iter().map(|entry| Value::Object(commit(entry))).collect()
}

/// A memory after one commit of its history.
pub fn past(past: &Past) -> Value {
    json!({
        "commit": commit(&past.commit),
        "text": past.text,
        "before": past.before,
        "flags": past.flags,
        "before_flags": past.before_flags,
        "trust": past.trust.map(|trust| trust.as_str()),
        "confidence": past.confidence.map(|c| f64::from(c.0) / 1000.0),
    })
}

pub fn id(commit: Option<CommitId>) -> Value {
    json!(commit.map(|commit| commit.to_string()))
}

pub fn counts(counts: &Counts) -> Value {
    let Counts { added, changed, removed, conflicts, kept } = counts;
    json!({"added": added, "changed": changed, "removed": removed, "conflicts": conflicts, "kept": kept})
}

fn side(shaped: Option<&Shaped>) -> Value {
    shaped.map_or(Value::Null, |shaped| Value::Object(memory(shaped)))
}

fn short(id: impl ToString, len: u8) -> String {
    let mut id = id.to_string();
    id.truncate(usize::from(len));
    id
}

pub fn changes(list: &[Changed], alike: &[Alike]) -> Vec<Value> {
    let one = |change: &Changed| {
        let mut fields = json!({
            "id": change.id.to_string(),
            "short_id": short(change.id, change.short_len),
            "change": match (&change.before, &change.after) {
                (None, Some(_)) => "added",
                (Some(_), None) => "removed",
                (Some(_), Some(_)) => "changed",
                (None, None) => "erased",
            },
            "before": side(change.before.as_ref()),
            "after": side(change.after.as_ref()),
        });
        let alike = alike.iter().filter(|alike| alike.added == change.id);
        let alike: Vec<_> = alike.map(|a| memory_with(&a.like.memory, json!({"percent": a.like.percent}))).collect();
        if !alike.is_empty() {
            fields["alike"] = json!(alike);
        }
        fields
    };
    list.iter().map(one).collect()
}

pub fn conflicts(list: &[Conflicted]) -> Vec<Value> {
    let one = |conflict: &Conflicted| {
        json!({
            "id": conflict.id.to_string(),
            "short_id": short(conflict.id, conflict.short_len),
            "base": side(conflict.base.as_ref()),
            "ours": side(conflict.ours.as_ref()),
            "theirs": side(conflict.theirs.as_ref()),
            "settled": conflict.settled,
        })
    };
    list.iter().map(one).collect()
}

pub fn point(point: &Point) -> Value {
    json!({
        "commit": point.commit.to_string(),
        "name": point.name.as_ref().map(|name| name.as_str()),
        "at": rfc3339(point.at),
        "live": point.live,
    })
}

/// A branch or a snapshot; `flagged` as the answer has it.
pub fn name(named: &Ref, flagged: &[(Name, Vec<String>)]) -> Map<String, Value> {
    let flags = flagged.iter().find(|(name, _)| *name == named.name).map(|(_, flags)| flags.as_slice());
    let fields = json!({
        "name": named.name.as_str(),
        "kind": match named.kind { NameKind::Branch => "branch", NameKind::Snapshot => "snapshot" },
        "commit": named.commit.to_string(),
        "live": named.live,
        "note": named.note,
        "protected": named.protection == Protection::MergesOnly,
        "created_at": rfc3339(named.created_at),
        "moved_at": rfc3339(named.moved_at),
        "deleted": named.is_deleted,
        "flags": flags.unwrap_or_default(),
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

pub fn error(kind: &str, message: &str) -> Value {
    json!({"error": {"kind": kind, "message": message}})
}

pub fn kind_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "invalid",
        ErrorKind::NotFound => "not_found",
        ErrorKind::Ambiguous => "ambiguous",
        ErrorKind::Conflict => "conflict",
        ErrorKind::TooLarge => "too_large",
        ErrorKind::Full => "full",
        ErrorKind::Denied => "denied",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::ShuttingDown => "shutting_down",
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::Expired => "expired",
        ErrorKind::Unknown => "unknown",
        ErrorKind::Protocol => "protocol",
        ErrorKind::Cancelled => "cancelled",
        ErrorKind::Internal => "internal",
    }
}
