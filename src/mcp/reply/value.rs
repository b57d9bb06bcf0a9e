//! Everything that replies hold as JSON for programs, in the shapes of `tools.json`. Texts have hidden characters
//! written out here too: many clients show this to the model.

use serde_json::{Value, json};

use crate::clock;
use crate::model::text::visible;
use crate::model::{
    CommitId, Counts, Feedback, Masked, Memory, Merged, Name, NameKind, Parts, Protection, Ref, Spot, Time,
};
use crate::wire::message::{Alike, Changed, Conflicted, Hit, LogEntry, Past, Point, Shaped, Similar, SnapshotEntry};

pub fn list<T>(items: &[T], of_one: impl Fn(&T) -> Value) -> Value {
    items.iter().map(of_one).collect()
}

pub fn memory(shaped: &Shaped) -> Value {
    let memory = &shaped.memory;
    let Memory { origin, .. } = memory;
    let mut value = json!({
        "id": memory.id.to_string(),
        "short_id": shaped.short_id(),
        "text": shown(&memory.text),
        "kind": memory.kind.as_str(),
        "tags": memory.tags.iter().map(|tag| shown(tag)).collect::<Value>(),
        "trust": memory.trust.as_str(),
        "confidence": rounded(shaped.confidence.as_fraction()),
        "initial_confidence": rounded(memory.confidence.as_fraction()),
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
    });
    if !shaped.feedback.is_none() {
        value["feedback"] = feedback(&shaped.feedback);
    }
    value
}

pub fn feedback(said: &Feedback) -> Value {
    let Feedback { useful, irrelevant, outdated, wrong, useful_at, doubted_at } = *said;
    json!({
        "useful": useful, "irrelevant": irrelevant, "outdated": outdated, "wrong": wrong,
        "useful_at": useful_at.map_or(Value::Null, moment), "doubted_at": doubted_at.map_or(Value::Null, moment),
    })
}

pub fn hit(hit: &Hit) -> Value {
    let mut value = with(&hit.memory, "score", json!(rounded(hit.score)));
    if hit.is_shortened {
        value["shortened"] = true.into();
    }
    if !hit.twins.is_empty() {
        value["twins"] = list(&hit.twins, |id| id.to_string().into());
    }
    if !hit.beside.is_empty() {
        value["beside"] = list(&hit.beside, |beside| with(&beside.memory, "relation", beside.relation.as_str().into()));
    }
    if let Some(parts) = &hit.parts {
        value["parts"] = parts_value(parts);
    }
    value
}

pub fn similar(similar: &Similar) -> Value {
    with(&similar.memory, "percent", json!(similar.percent))
}

pub fn masked(masked: &[Masked]) -> Value {
    let spot = |spot: &Spot| json!({ "field": spot.field, "line": spot.line, "column": spot.column });
    list(masked, |masked| json!({ "what": masked.what, "count": masked.count, "spots": list(&masked.spots, spot) }))
}

pub fn commit_id(commit: Option<CommitId>) -> Value {
    commit.map_or(Value::Null, |commit| commit.to_string().into())
}

pub fn counts(counts: &Counts) -> Value {
    let Counts { added, changed, removed, conflicts, kept } = counts;
    json!({ "added": added, "changed": changed, "removed": removed, "conflicts": conflicts, "kept": kept })
}

pub fn point(point: &Point) -> Value {
    json!({
        "commit": point.commit.to_string(), "name": point.name.as_ref().map(Name::as_str), "at": moment(point.at),
        "memories": point.live,
    })
}

pub fn change(change: &Changed) -> Value {
    let mut id = change.id.to_string();
    let side = |side: &Option<Shaped>| side.as_ref().map_or(Value::Null, memory);
    let (before, after, whole) = (side(&change.before), side(&change.after), id.clone());
    id.truncate(usize::from(change.short_len));
    json!({ "id": whole, "short_id": id, "before": before, "after": after })
}

pub fn conflict(conflict: &Conflicted) -> Value {
    let mut id = conflict.id.to_string();
    let side = |side: &Option<Shaped>| side.as_ref().map_or(Value::Null, memory);
    let [base, ours, theirs] = [&conflict.base, &conflict.ours, &conflict.theirs].map(side);
    let whole = id.clone();
    id.truncate(usize::from(conflict.short_len));
    json!({
        "id": whole, "short_id": id, "base": base, "ours": ours, "theirs": theirs, "settled": conflict.settled,
    })
}

pub fn alike(alike: &Alike) -> Value {
    json!({ "added": alike.added.to_string(), "like": similar(&alike.like) })
}

pub fn commit(entry: &LogEntry) -> Value {
    let author = &entry.author;
    let ids = |ids: &[CommitId]| list(ids, |id| id.to_string().into());
    json!({
        "id": entry.commit.to_string(),
        "parents": ids(&entry.parents),
        "author": {
            "agent": optional(author.agent.as_deref()),
            "agent_version": optional(author.agent_version.as_deref()),
            "session": shown(author.session.as_str()),
            "project": optional(author.project.as_ref().map(|project| project.as_str())),
        },
        "verb": entry.verb,
        "note": optional(entry.note.as_deref()),
        "about": ids(&entry.about),
        "at": moment(entry.at),
        "added": entry.added,
        "removed": entry.removed,
        "touched": list(&entry.touched, |(id, text)| json!({ "id": id.to_string(), "text": shown(text) })),
        "flags": entry.flags,
    })
}

pub fn past(past: &Past) -> Value {
    json!({
        "commit": commit(&past.commit),
        "text": optional(past.text.as_deref()),
        "flags": past.flags,
        "trust": past.trust.map(|trust| trust.as_str()),
        "confidence": past.confidence.map(|confidence| rounded(confidence.as_fraction())),
    })
}

/// A branch or a snapshot; `flagged` as the answer has it.
pub fn name(name: &Ref, flagged: &[(Name, Vec<String>)]) -> Value {
    json!({
        "name": name.name.as_str(),
        "kind": match name.kind {
            NameKind::Branch => "branch",
            NameKind::Snapshot => "snapshot",
        },
        "commit": name.commit.to_string(),
        "memories": name.live,
        "note": optional(name.note.as_deref()),
        "protected": name.protection == Protection::MergesOnly,
        "created_at": moment(name.created_at),
        "moved_at": moment(name.moved_at),
        "deleted": name.is_deleted,
        "flags": flags_of(name, flagged),
    })
}

/// The flags of a description, which the answer has beside the names.
pub fn flags_of<'a>(name: &Ref, flagged: &'a [(Name, Vec<String>)]) -> &'a [String] {
    flagged.iter().find(|(flagged, _)| *flagged == name.name).map_or(&[], |(_, flags)| flags)
}

pub fn snapshot(entry: &SnapshotEntry, flagged: &[(Name, Vec<String>)]) -> Value {
    let mut value = name(&entry.snapshot, flagged);
    value["since"] = counts(&entry.since);
    value
}

pub fn merged(merged: &Merged) -> Value {
    json!({
        "merge": merged.merge.to_string(), "all": merged.is_all, "undone_by": commit_id(merged.undone_by),
    })
}

fn parts_value(parts: &Parts) -> Value {
    let terms: Value = parts.terms.iter().map(|(term, share)| (term.clone(), json!(rounded(*share)))).collect();
    json!({
        "lexical": rounded(parts.lexical), "vector": rounded(parts.vector), "neighbours": rounded(parts.neighbours),
        "link": rounded(parts.link), "trust": rounded(parts.trust), "age": rounded(parts.age),
        "place": rounded(parts.place), "feedback": rounded(parts.feedback), "terms": terms,
        "reason": visible(&parts.reason),
    })
}

fn with(shaped: &Shaped, key: &str, value: Value) -> Value {
    let mut out = memory(shaped);
    out[key] = value;
    out
}

fn shown(text: &str) -> Value {
    visible(text).into()
}

fn optional(text: Option<&str>) -> Value {
    text.map_or(Value::Null, shown)
}

fn moment(time: Time) -> Value {
    clock::rfc3339(time).into()
}

/// Thousandths are enough, and short.
fn rounded(number: f32) -> f64 {
    (f64::from(number) * 1000.0).round() / 1000.0
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
