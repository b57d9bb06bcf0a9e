//! Replies of the tools that store, find, correct and forget memories.

use serde_json::json;

use super::super::quote::Quote;
use super::super::tools::Asked;
use super::{GLIMPSE_CHARS_MAX, GLIMPSES_MAX, Reply, Room, counted, masked_note, named, on, value};
use crate::model::text::{one_line, visible};
use crate::model::{Feedback, Name, Parts, Relation, Signal, SubjectId};
use crate::wire::message::{Corrected, Hit, Listed, Point, Profiled, Purged, Rated, Retrieved, Shaped, Stored};

pub fn stored(stored: &Stored) -> Reply {
    let Shaped { memory, .. } = &stored.stored;
    let (id, on) = (stored.stored.short_id(), on(&stored.branch));
    let mut text = if let Some(number) = stored.waits {
        format!(
            "The server is away: memory {id} waits for it on this machine{on}, as number {number}, and cannot be found \
             until it is sent. Do not store it again. Whether it was known already is seen then."
        )
    } else if stored.is_duplicate {
        format!("Already stored as memory {id}{on}; nothing was written.")
    } else {
        let project = if memory.project.is_none() { ", global" } else { "" };
        format!("Stored memory {id}{on} ({}, {}{project}).", memory.kind, memory.trust)
    };
    text += &masked_note(&stored.masked);
    let mut quote = Quote::default();
    for similar in &stored.similar {
        quote.add(&similar.memory, &format!("{} % alike", similar.percent), false, GLIMPSE_CHARS_MAX);
    }
    if !quote.is_empty() {
        text += "\nSimilar memories are there; memory_correct or memory_purge what is out of date. ";
        text += &quote.written();
    }
    let mut memory = value::memory(&stored.stored);
    if stored.waits.is_some() {
        // It has none yet.
        memory.as_object_mut().map(|fields| fields.remove("version"));
    }
    let structured = json!({
        "branch": stored.branch.as_str(), "memory": memory, "duplicate": stored.is_duplicate,
        "similar": value::list(&stored.similar, value::similar), "masked": value::masked(&stored.masked),
        "commit": value::commit_id(stored.commit), "waits": stored.waits,
    });
    Reply { text, structured }
}

pub fn retrieved(asked: &Asked, retrieved: &Retrieved) -> Reply {
    let mut room = Room::new();
    let fit = retrieved
        .hits
        .iter()
        .take_while(|hit| room.take(hit.beside.iter().map(|beside| &beside.memory).chain([&hit.memory])))
        .count();
    let hits = &retrieved.hits[..fit];
    let left_out = retrieved.left_out as usize + retrieved.hits.len() - hits.len();
    let mut quote = Quote::default();
    for hit in hits {
        quote.add(&hit.memory, &noted(hit), asked.shows_projects, 0);
        for beside in &hit.beside {
            quote.say(match beside.relation {
                Relation::Older => "Older, and says otherwise:".to_owned(),
                Relation::LessTrusted => "Relied on less, and says otherwise:".to_owned(),
            });
            quote.add(&beside.memory, "", asked.shows_projects, GLIMPSE_CHARS_MAX);
        }
    }
    let mut text = match hits.len() {
        0 => format!("No relevant memories found{}.", at(&retrieved.point)),
        count => format!("{}{}. {}", counted(count, "relevant"), at(&retrieved.point), quote.written()),
    };
    if left_out > 0 {
        text += &format!("\n{left_out} more left out: raise top_k or max_tokens to see them.");
    }
    if let Some(notice) = &retrieved.notice {
        text += &format!("\n{}", one_line(notice, 300));
    }
    let structured = json!({
        "point": value::point(&retrieved.point), "memories": value::list(hits, value::hit), "left_out": left_out,
        "lexical_only": retrieved.lexical_only, "notice": retrieved.notice.as_deref().map(|it| one_line(it, 300)),
    });
    Reply { text, structured }
}

pub fn listed(asked: &Asked, listed: &Listed) -> Reply {
    let mut room = Room::new();
    let fit = listed.memories.iter().take_while(|shaped| room.take([*shaped])).count();
    let memories = &listed.memories[..fit];
    let mut quote = Quote::default();
    for shaped in memories {
        quote.add(shaped, "", asked.shows_projects, 0);
    }
    let (offset, shown, at) = (asked.offset, memories.len() as u32, at(&listed.point));
    let next = offset.saturating_add(shown);
    let mut text = match (shown, listed.total) {
        (0, 0) => format!("No memories found{at}."),
        (0, total) => format!("Nothing from offset {offset} on: there are {total}."),
        _ => format!("{} of {}{at}. {}", counted(memories.len(), ""), listed.total, quote.written()),
    };
    if shown > 0 && next < listed.total {
        text += &format!("\n{} more: ask with offset {next}.", listed.total - next);
    }
    let structured = json!({
        "point": value::point(&listed.point), "memories": value::list(memories, value::memory),
        "total": listed.total, "offset": offset,
    });
    Reply { text, structured }
}

pub fn corrected(corrected: &Corrected) -> Reply {
    let (id, on) = (corrected.memory.short_id(), on(&corrected.branch));
    let mut text = if corrected.is_unchanged {
        format!("Memory {id} says that already{on}; nothing was written.")
    } else {
        let mut before = corrected.memory.clone();
        before.memory.text.clone_from(&corrected.before);
        before.memory.metadata.clear();
        before.flags.clone_from(&corrected.before_flags);
        let mut quote = Quote::default();
        quote.add(&before, "what it said before", false, GLIMPSE_CHARS_MAX);
        format!("Corrected memory {id}{on}; its history is kept. {}", quote.written())
    };
    text += &masked_note(&corrected.masked);
    let structured = json!({
        "branch": corrected.branch.as_str(), "memory": value::memory(&corrected.memory),
        "before": visible(&corrected.before), "before_flags": corrected.before_flags,
        "unchanged": corrected.is_unchanged,
        "masked": value::masked(&corrected.masked), "commit": value::commit_id(corrected.commit),
    });
    Reply { text, structured }
}

pub fn purged(purged: &Purged) -> Reply {
    let mut quote = Quote::default();
    for shaped in purged.removed.iter().take(GLIMPSES_MAX) {
        quote.add(shaped, "", false, GLIMPSE_CHARS_MAX);
    }
    let (total, on) = (purged.removed_total as usize, on(&purged.branch));
    let mut text = match (purged.erased_memories as usize, total) {
        (0, 0) => "Purged nothing.".to_owned(),
        (0, total) => format!("Purged {}{on}; history is kept. {}", counted(total, ""), quote.written()),
        (erased, _) => format!(
            "Erased {}, {} in all: gone from every branch, version, index and file; history keeps that there was \
             something. This cannot be taken back.",
            counted(erased, ""),
            if purged.erased_versions == 1 {
                "1 version".to_owned()
            } else {
                format!("{} versions", purged.erased_versions)
            }
        ),
    };
    let glimpses = purged.removed.len().min(GLIMPSES_MAX);
    // Of what is erased nothing can be shown.
    if total > glimpses && purged.erased_memories == 0 {
        text += &format!("\nand {} more.", total - glimpses);
    }
    if let Some(safety) = &purged.safety {
        text +=
            &format!("\nThe state before is snapshot {safety}: memory_rollback with name {safety} goes back to it.");
    }
    text += &masked_note(&purged.masked);
    if !purged.missing.is_empty() {
        let missing: Vec<_> = purged.missing.iter().map(|id| one_line(id, 60)).collect();
        text += &format!("\nNot found: {}.", missing.join(", "));
    }
    let mut room = Room::new();
    let fit = purged.removed.iter().take_while(|shaped| room.take([*shaped])).count();
    let missing = value::list(&purged.missing, |id| visible(id).into());
    let structured = json!({
        "branch": purged.branch.as_str(), "removed": value::list(&purged.removed[..fit], value::memory),
        "total": total, "missing": missing, "safety": purged.safety.as_ref().map(Name::as_str),
        "erased_memories": purged.erased_memories, "erased_versions": purged.erased_versions,
        "commit": value::commit_id(purged.commit), "masked": value::masked(&purged.masked),
    });
    Reply { text, structured }
}

pub fn rated(rated: &Rated) -> Reply {
    let (id, Feedback { useful, irrelevant, outdated, wrong, .. }) = (rated.short_id(), rated.feedback);
    let mut text = format!(
        "Noted that memory {id} was {}. So far: {useful} useful, {irrelevant} irrelevant, {outdated} outdated, \
         {wrong} wrong.",
        rated.signal
    );
    if matches!(rated.signal, Signal::Outdated | Signal::Wrong) {
        text += &format!(
            "\nIt still stands: memory_correct it with what holds now (memory_id {id}), or memory_purge it if nothing \
             does."
        );
    }
    let structured = json!({
        "id": rated.id.to_string(), "short_id": id, "signal": rated.signal.as_str(),
        "feedback": value::feedback(&rated.feedback),
    });
    Reply { text, structured }
}

pub fn profiled(asked: &Asked, profiled: &Profiled) -> Reply {
    let mut room = Room::new();
    let fit = profiled.memories.iter().take_while(|shaped| room.take([*shaped])).count();
    let memories = &profiled.memories[..fit];
    let mut quote = Quote::default();
    for shaped in memories {
        quote.add(shaped, "", asked.shows_projects, 0);
    }
    let (shown, total, at) = (memories.len(), profiled.total as usize, at(&profiled.point));
    let mut text = match shown {
        0 => format!("No profile memories found{at}."),
        _ => format!("{} of {total}{at}, the surest first. {}", counted(shown, "profile"), quote.written()),
    };
    if total > shown && shown > 0 {
        text += &format!("\n{} more: raise limit.", total - shown);
    }
    if !profiled.others.is_empty() {
        let count: u32 = profiled.others.iter().map(|(_, count)| count).sum();
        text += &format!("\n{count} more of other subjects: ask with subject_id.");
    }
    let named = |subject: &Option<SubjectId>| subject.as_ref().map(|it| visible(it.as_str()).into_owned());
    let other = |(subject, count): &(Option<SubjectId>, u32)| json!({"subject": named(subject), "count": count});
    let structured = json!({
        "point": value::point(&profiled.point),
        "subject": named(&profiled.subject),
        "memories": value::list(memories, value::memory), "total": total,
        "others": value::list(&profiled.others, other),
    });
    Reply { text, structured }
}

/// ` in x`: where a read looked, if not at the branch that everybody begins on, as it is now.
fn at(point: &Point) -> String {
    if point.name.as_ref() == Some(&Name::main()) { String::new() } else { format!(" in {}", named(point)) }
}

/// What the line above a hit says besides its origin.
fn noted(hit: &Hit) -> String {
    let mut notes = Vec::new();
    if hit.is_shortened {
        notes.push("shortened to fit max_tokens".to_owned());
    }
    match hit.twins.len() {
        0 => {}
        1 => notes.push("1 more says the same".to_owned()),
        more => notes.push(format!("{more} more say the same")),
    }
    let said = &hit.memory.feedback;
    if said.is_doubted(&hit.memory.memory) {
        notes.push(format!("said to be outdated by {}, wrong by {}", said.outdated, said.wrong));
    }
    notes.extend(hit.parts.as_ref().map(|parts| explained(hit, parts)));
    notes.join("; ")
}

fn explained(hit: &Hit, parts: &Parts) -> String {
    let mut out = format!(
        "{}; score {:.2}: words {:.2}, meaning {:.2}, neighbours {:.2}, link {:.2}, trust {:.2}, age {:.2}, \
         place {:.2}, feedback {:.2}; confidence {:.2}",
        one_line(&parts.reason, 200),
        hit.score,
        parts.lexical,
        parts.vector,
        parts.neighbours,
        parts.link,
        parts.trust,
        parts.age,
        parts.place,
        parts.feedback,
        hit.memory.confidence.as_fraction()
    );
    if !parts.terms.is_empty() {
        let terms: Vec<_> =
            parts.terms.iter().map(|(term, share)| format!("{} {share:.2}", one_line(term, 40))).collect();
        out += &format!("; {}", terms.join(", "));
    }
    out
}
