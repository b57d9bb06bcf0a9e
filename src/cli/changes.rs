//! How what differs between two states reads on a terminal: counts, changed memories word by word, conflicts with
//! their three sides. Every command that compares or moves a branch shows it so.

use crate::clock;
use crate::model::{Counts, Memory, Time};
use crate::wire::message::{Alike, Changed, Conflicted, Shaped};

use super::terminal::{Paint, Style, count, one_line};
use super::text::{headline, origin};
use super::{text, words};

/// `3 added, 1 changed, 2 removed`, without what is zero; `nothing`.
pub fn counts(counts: &Counts, style: &Style) -> String {
    let parts = [
        (counts.added, "added", Paint::Green),
        (counts.changed, "changed", Paint::Yellow),
        (counts.removed, "removed", Paint::Red),
    ];
    let said: Vec<String> = parts
        .iter()
        .filter(|(number, ..)| *number > 0)
        .map(|(number, word, paint)| style.paint(*paint, &format!("{} {word}", count(*number))))
        .collect();
    if said.is_empty() { "nothing".to_owned() } else { said.join(", ") }
}

/// Each memory: what happened to it, everything about it, and its text.
pub fn changes(list: &[Changed], alike: &[Alike], style: &Style, now: Time) -> String {
    let mut out = String::new();
    for change in list {
        out += &one(change, style, now);
        for like in alike.iter().filter(|alike| alike.added == change.id).map(|alike| &alike.like) {
            let said = format!(
                "says almost the same as {} ({}%): {}",
                like.memory.short_id(),
                like.percent,
                one_line(&text::said(&like.memory))
            );
            for line in style.block(&said, 4).lines() {
                out += &format!("{}\n", style.paint(Paint::Yellow, line));
            }
        }
    }
    out
}

fn one(change: &Changed, style: &Style, now: Time) -> String {
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => {
            let mut out = format!("{} {}\n", style.paint(Paint::Yellow, "~"), headline(after, style, now));
            // Those of the state after stand in the head line.
            out += &text::caution(&before.flags, style);
            out += &words::compared(&before.memory.text, &after.memory.text, style, 4);
            for line in fields(&before.memory, &after.memory) {
                out += &format!("    {}\n", style.dim(&line));
            }
            out
        }
        (None, Some(after)) => marked("+", Paint::Green, after, style, now),
        (Some(before), None) => marked("-", Paint::Red, before, style, now),
        (None, None) => {
            let id = &change.id.to_string()[..usize::from(change.short_len)];
            format!("  {}  {}\n", style.paint(Paint::Yellow, id), style.dim("(erased since)"))
        }
    }
}

fn marked(mark: &str, paint: Paint, shaped: &Shaped, style: &Style, now: Time) -> String {
    let text = style.block(&shaped.memory.text, 4);
    let lines: String = text.lines().map(|line| format!("{}\n", style.paint(paint, line))).collect();
    format!("{} {}\n{lines}", style.paint(paint, mark), headline(shaped, style, now))
}

/// What differs besides the text: `trust T3 -> T1`, `tags +deploy -ci`.
pub fn fields(before: &Memory, after: &Memory) -> Vec<String> {
    let project = |memory: &Memory| memory.project.as_ref().map_or("global", |p| p.as_str()).to_owned();
    let subject = |memory: &Memory| memory.subject.as_ref().map_or("none", |s| s.as_str()).to_owned();
    let expiry = |memory: &Memory| memory.expires_at.map_or_else(|| "never".to_owned(), clock::local);
    let confidence = |memory: &Memory| format!("{:.2}", memory.confidence.as_fraction());
    let metadata = |memory: &Memory| if memory.metadata.is_empty() { "{}".to_owned() } else { memory.metadata.clone() };
    let pairs = [
        ("kind", before.kind.to_string(), after.kind.to_string()),
        ("trust", before.trust.to_string(), after.trust.to_string()),
        ("confidence", confidence(before), confidence(after)),
        ("project", project(before), project(after)),
        ("subject", subject(before), subject(after)),
        ("expires", expiry(before), expiry(after)),
        ("pinned", before.pinned.to_string(), after.pinned.to_string()),
        ("metadata", metadata(before), metadata(after)),
    ];
    let differing = pairs.into_iter().filter(|(_, from, to)| from != to);
    let mut said: Vec<String> =
        differing.map(|(name, from, to)| format!("{name} {} -> {}", one_line(&from), one_line(&to))).collect();
    let tags: Vec<String> = after
        .tags
        .difference(&before.tags)
        .map(|tag| format!("+{}", one_line(tag)))
        .chain(before.tags.difference(&after.tags).map(|tag| format!("-{}", one_line(tag))))
        .collect();
    if !tags.is_empty() {
        said.push(format!("tags {}", tags.join(" ")));
    }
    said
}

/// All three sides of each conflict, or how it is settled.
pub fn conflicts(list: &[Conflicted], style: &Style) -> String {
    let mut out = String::new();
    for conflict in list {
        let id = &conflict.id.to_string()[..usize::from(conflict.short_len)];
        let state = match &conflict.settled {
            Some(by) => style.paint(Paint::Green, &format!("settled: {}", one_line(by))),
            None => style.paint(Paint::Red, "conflict"),
        };
        out += &format!("! {}  {state}\n", style.paint(Paint::Yellow, id));
        let sides = [("base", &conflict.base), ("ours", &conflict.ours), ("theirs", &conflict.theirs)];
        let known: Vec<&Memory> = sides.iter().filter_map(|(_, side)| side.as_ref().map(|s| &s.memory)).collect();
        let says_more = known.windows(2).any(|pair| !fields(pair[0], pair[1]).is_empty());
        for (name, side) in sides {
            let text = match side {
                Some(shaped) => style.block(&text::said(shaped), 12),
                None if name == "base" => format!("{:12}{}\n", "", style.dim("(not there)")),
                None => format!("{:12}{}\n", "", style.dim("(removed)")),
            };
            out += &format!("    {}{}\n", style.dim(&format!("{name:<8}")), text.trim());
            if let Some(shaped) = side.as_ref().filter(|_| says_more) {
                out += &format!("{:12}{}\n", "", style.dim(&about(&shaped.memory)));
            }
        }
    }
    out
}

/// What a conflict may be about besides the text.
fn about(memory: &Memory) -> String {
    let mut words = vec![memory.kind.to_string(), memory.trust.to_string(), origin(memory)];
    words.extend(memory.tags.iter().map(|tag| format!("#{}", one_line(tag))));
    words.join("  ")
}

/// The commands that settle the first of these conflicts, and all of them.
pub fn how_to_settle(list: &[Conflicted], into: &str, style: &Style) -> String {
    let Some(first) = list.iter().find(|conflict| conflict.settled.is_none()) else { return String::new() };
    let id = &first.id.to_string()[..usize::from(first.short_len)];
    let lines = [
        format!("memoria resolve {id} --take theirs{into}"),
        format!("memoria resolve {id} --text \"...\"{into}"),
        format!("memoria resolve --all --take ours{into}"),
        format!("memoria resolve --commit{into}"),
        format!("memoria resolve --abort{into}"),
    ];
    let said = ["take one side (base, ours, theirs)", "say it anew", "all at once", "then", "or give up"];
    let wide = lines.iter().map(String::len).max().unwrap_or(0);
    let line = |(line, said): (&String, &str)| format!("  {line:<wide$}  {}\n", style.dim(said));
    lines.iter().zip(said).map(line).collect()
}
