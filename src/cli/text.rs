//! How a memory and a commit read on a terminal, in every command that shows them.

use crate::clock;
use crate::model::{Author, Feedback, Masked, Memory, Name, Ref, Signal, Source, Time};
use crate::wire::message::{LogEntry, Shaped};

use super::terminal::{Paint, Style, count, one_line};

/// `claude-code 2.0.1`, `you`, `import`.
pub fn origin(memory: &Memory) -> String {
    let origin = &memory.origin;
    let mut who = match (&origin.agent, origin.source) {
        (Some(agent), _) => with_version(agent, origin.agent_version.as_deref()),
        (None, Source::User) => "you".to_owned(),
        (None, source) => source.as_str().to_owned(),
    };
    for detail in [&origin.tool, &origin.file].into_iter().flatten() {
        who = format!("{who}, {detail}");
    }
    one_line(&who).into_owned()
}

/// The agent's name, or the person; its version is in `--json`.
pub fn author(author: &Author) -> String {
    author.agent.as_ref().map_or_else(|| "you".to_owned(), |agent| one_line(agent).into_owned())
}

pub fn with_version(agent: &str, version: Option<&str>) -> String {
    version.filter(|v| !v.is_empty()).map_or_else(|| agent.to_owned(), |version| format!("{agent} {version}"))
}

/// ` on experiment`; nothing for `main`, where everybody is who never asked for a branch.
pub fn on(branch: &Name) -> String {
    if *branch == Name::main() { String::new() } else { format!(" on {branch}") }
}

/// `1a2b3c4d  semantic  T1  3 min ago  claude-code  #deploy  acme/api`: everything but the text.
pub fn headline(shaped: &Shaped, style: &Style, now: Time) -> String {
    let memory = &shaped.memory;
    let mut words = vec![
        style.paint(Paint::Yellow, &shaped.short_id()),
        style.paint(Paint::Cyan, memory.kind.as_str()),
        memory.trust.to_string(),
        clock::ago(memory.observed_at, now),
        origin(memory),
    ];
    words.extend(memory.tags.iter().map(|tag| format!("#{}", one_line(tag))));
    words.extend(memory.pinned.then(|| "pinned".to_owned()));
    let flagged = |flag: &String| style.paint(Paint::Red, &format!("!{}", one_line(flag)));
    words.extend(shaped.flags.iter().map(flagged));
    words.join("  ")
}

/// The text with the signs that it tries to instruct or to hide before it.
pub fn flagged(flags: &[String], text: &str) -> String {
    let marks: String = flags.iter().map(|flag| format!("!{flag} ")).collect();
    marks + text
}

/// The same signs in a line of their own, before two texts that are compared.
pub fn caution(flags: &[String], style: &Style) -> String {
    let mut marks: Vec<String> = flags.iter().map(|flag| format!("!{flag}")).collect();
    marks.dedup();
    if marks.is_empty() { String::new() } else { format!("    {}\n", style.paint(Paint::Red, &marks.join(" "))) }
}

/// A memory's text where its head line, which has the signs, is not shown.
pub fn said(shaped: &Shaped) -> String {
    flagged(&shaped.flags, &shaped.memory.text)
}

/// The description of a branch or a snapshot, with its signs.
pub fn note(name: &Ref, flags: &[(Name, Vec<String>)]) -> Option<String> {
    let flags = flags.iter().find(|(flagged, _)| *flagged == name.name).map(|(_, flags)| flags.as_slice());
    name.note.as_ref().map(|note| flagged(flags.unwrap_or_default(), note))
}

/// `  pinned  until 2026-12-01 18:00`; nothing for most.
pub fn marks(memory: &Memory) -> String {
    let pinned = if memory.pinned { "  pinned" } else { "" };
    pinned.to_owned() + &memory.expires_at.map(|at| format!("  until {}", clock::local(at))).unwrap_or_default()
}

/// `; 2 useful, 1 wrong`; nothing where nobody has said anything.
pub fn rated(feedback: &Feedback) -> String {
    let words = Signal::ALL.iter().map(|signal| (feedback.count(*signal), signal));
    let words: Vec<String> =
        words.filter(|(count, _)| *count > 0).map(|(count, signal)| format!("{count} {signal}")).collect();
    if words.is_empty() { String::new() } else { format!("; {}", words.join(", ")) }
}

/// What was replaced before anything else saw it, as a sentence of its own line.
pub fn masked(list: &[Masked], style: &Style) -> String {
    if list.is_empty() {
        return String::new();
    }
    let what: Vec<String> = list.iter().map(Masked::sentence).collect();
    let sentence = format!("Masked before anything was kept (field line:column): {}.", what.join("; "));
    format!("{}\n", style.paint(Paint::Yellow, &sentence))
}

/// One row of `log` and of a memory's history: commit, time, who, verb, and what it did.
pub fn commit_row(entry: &LogEntry) -> Vec<String> {
    let mut what = match entry.touched.first() {
        Some((id, text)) => format!("{} {text}", &id.to_string()[..8]),
        None => String::new(),
    };
    let others = entry.added.max(entry.removed).saturating_sub(1);
    if others > 0 {
        what = format!("{} memories: {what}", count(others + 1));
    }
    if let Some(note) = &entry.note {
        what = format!("\"{note}\" {what}");
    }
    what = flagged(&entry.flags, &what);
    vec![
        entry.commit.to_string()[..8].to_owned(),
        clock::local(entry.at),
        author(&entry.author),
        entry.verb.clone(),
        what,
    ]
}

pub const COMMIT_COLUMNS: [(&str, Paint); 5] = [
    ("COMMIT", Paint::Yellow),
    ("WHEN", Paint::Dim),
    ("WHO", Paint::Plain),
    ("VERB", Paint::Cyan),
    ("WHAT", Paint::Plain),
];
