//! Replies of the tools that compare states, make one branch into something else, and tell what happened.

use serde_json::{Value, json};

use super::super::quote::{NAME_CHARS_MAX, Quote};
use super::super::tools::Asked;
use super::{GLIMPSE_CHARS_MAX, GLIMPSES_MAX, Reply, Room, caution, counted, masked_note, moment, named, short, value};
use crate::model::text::one_line;
use crate::model::{Author, Counts, MemoryId, Name};
use crate::wire::message::{Blamed, Changed, Conflicted, Diffed, LogEntry, Logged, Mode, Moved, Shaped, Shown};

/// Both texts of a change are there to be compared.
const CHANGE_CHARS_MAX: usize = 600;
const NOTE_CHARS_MAX: usize = 200;

pub fn diffed(asked: &Asked, diffed: &Diffed) -> Reply {
    let mut room = Room::new();
    let fit = diffed.changes.iter().take_while(|change| room.take(sides(change))).count();
    let changes = &diffed.changes[..fit];
    let alike_fit = diffed.alike.iter().take_while(|alike| room.take([&alike.like.memory])).count();
    let alike = &diffed.alike[..alike_fit];
    let projects = differ(changes);
    let mut quote = Quote::default();
    changes.iter().for_each(|change| show(&mut quote, change, projects, CHANGE_CHARS_MAX));
    for pair in alike {
        let added =
            changes.iter().find(|change| change.id == pair.added).map_or(GLIMPSE_ID_CHARS, |change| change.short_len);
        let note = format!("{} % alike to added {}", pair.like.percent, prefix(pair.added, added));
        quote.add(&pair.like.memory, &note, projects, GLIMPSE_CHARS_MAX);
    }
    let (from, to, total) = (named(&diffed.from), named(&diffed.to), diffed.counts.moved());
    let next = asked.offset.saturating_add(fit as u32);
    let mut text = match (total, fit) {
        (0, _) => format!("{to} and {from} hold the same memories."),
        (_, 0) => format!("Nothing from offset {} on: {total} memories differ.", asked.offset),
        _ => format!("{to} against {from}: {}. {}", amounts(&diffed.counts), quote.written()),
    };
    if fit > 0 && next < total {
        text += &format!("\n{} more: ask with offset {next}.", total - next);
    }
    if alike_fit < diffed.alike.len() {
        text += &format!("\nand {} more that are alike.", diffed.alike.len() - alike_fit);
    }
    let structured = json!({
        "from": value::point(&diffed.from), "to": value::point(&diffed.to), "counts": value::counts(&diffed.counts),
        "changes": value::list(changes, value::change), "total": total, "offset": asked.offset,
        "alike": value::list(alike, value::alike),
    });
    Reply { text, structured }
}

pub fn moved(asked: &Asked, moved: &Moved) -> Reply {
    let mut room = Room::new();
    let conflicts = moved.conflicts.iter().take_while(|conflict| room.take(three(conflict))).count();
    let kept = moved.kept.iter().take_while(|change| room.take(sides(change))).count();
    let changes = moved.changes.iter().take_while(|change| room.take(sides(change))).count();
    let commits = moved.commits.iter().take_while(|entry| room.take_lines(texts(entry))).count();
    let (conflicts, kept) = (&moved.conflicts[..conflicts], &moved.kept[..kept]);
    let (changes, commits) = (&moved.changes[..changes], &moved.commits[..commits]);
    let mut quote = Quote::default();
    for conflict in conflicts.iter().take(GLIMPSES_MAX) {
        show_conflict(&mut quote, conflict);
    }
    if !kept.is_empty() {
        quote.say("Kept as they are, being later work (force takes them too):".to_owned());
    }
    for change in kept.iter().take(GLIMPSES_MAX) {
        show_kept(&mut quote, change);
    }
    if !changes.is_empty() && !quote.is_empty() {
        quote.say("Changes:".to_owned());
    }
    changes.iter().for_each(|change| show(&mut quote, change, false, GLIMPSE_CHARS_MAX));
    if !commits.is_empty() {
        quote.say("Commits that this is about:".to_owned());
        quote.lines(commits.iter().take(GLIMPSES_MAX).map(|entry| line(entry, "")));
    }
    let mut text = outcome(asked, moved);
    if let Some(safety) = &moved.safety {
        text += &format!(" The state before is snapshot {safety}: memory_rollback with name {safety} goes back to it.");
    }
    text += &masked_note(&moved.masked);
    if !quote.is_empty() {
        text += &format!("\n{}", quote.written());
    }
    text += &hidden(moved, conflicts, kept.len(), commits.len());
    text += &changes_left(asked, moved, changes.len());
    let structured = json!({
        "verb": moved.verb, "branch": moved.branch.as_str(), "dry_run": moved.mode == Mode::DryRun,
        "commit": value::commit_id(moved.commit), "counts": value::counts(&moved.counts),
        "changes": value::list(changes, value::change), "conflicts": value::list(conflicts, value::conflict),
        "kept": value::list(kept, value::change), "commits": value::list(commits, value::commit),
        "merged": moved.merged.as_ref().map_or(Value::Null, value::merged),
        "safety": moved.safety.as_ref().map(Name::as_str), "pending": moved.is_pending,
        "masked": value::masked(&moved.masked),
    });
    Reply { text, structured }
}

/// What happened, in a sentence or two, and what to do next.
fn outcome(asked: &Asked, moved: &Moved) -> String {
    let Moved { verb, branch, counts, .. } = moved;
    let (amounts, kept) = (amounts(counts), kept_note(counts.kept));
    let waiting = match counts.conflicts {
        1 => "1 conflict".to_owned(),
        many => format!("{many} conflicts"),
    };
    let settle = format!(
        "Merge again with strategy ours or theirs, or settle each: memory_resolve with target {branch}, memory_id and \
         take (base, ours or theirs) or text; then memory_resolve with commit, or with abort to drop the merge."
    );
    let mut text = match (moved.mode, moved.commit) {
        (Mode::DryRun, _) if counts.conflicts > 0 => {
            format!("Dry run of {verb} on {branch}, nothing was written: {amounts}, {waiting}{kept}.")
        }
        (Mode::DryRun, _) => format!("Dry run of {verb} on {branch}, nothing was written: {amounts}{kept}."),
        (Mode::Do, Some(commit)) => format!("Did {verb} on {branch}: {amounts}{kept}. Commit {}.", short(commit)),
        (Mode::Do, None) if moved.is_pending && counts.conflicts > 0 => {
            format!("The merge into {branch} waits for {waiting}; nothing was changed yet. {settle}")
        }
        (Mode::Do, None) if moved.is_pending => {
            format!(
                "Nothing is open in the merge into {branch}: memory_resolve with target {branch} and commit ends it."
            )
        }
        (Mode::Do, None) if counts.conflicts > 0 => {
            format!("Nothing was written, because of {waiting}. Give strategy ours or theirs, or leave these out.")
        }
        (Mode::Do, None) if asked.tool == "memory_resolve" => {
            format!("No merge is in progress on {branch}; nothing was written.")
        }
        (Mode::Do, None) => format!("Nothing to do{kept}: {branch} stays as it is."),
    };
    if let Some(merged) = &moved.merged {
        if merged.is_all {
            text += &format!(" All of it is there already, since commit {}.", short(merged.merge));
        }
        if let Some(undone_by) = merged.undone_by.map(short) {
            text += &format!(
                " What commit {} had merged was taken back by commit {undone_by}: memory_revert with commit \
                 {undone_by} brings it back.",
                short(merged.merge)
            );
        }
    }
    text
}

/// How many there are beside those that the text shows.
fn hidden(moved: &Moved, conflicts: &[Conflicted], kept: usize, commits: usize) -> String {
    let open = conflicts.iter().take(GLIMPSES_MAX).filter(|conflict| conflict.settled.is_none()).count();
    let beside = |all: usize, shown: usize, what: &str| match all.saturating_sub(shown.min(GLIMPSES_MAX)) {
        0 => String::new(),
        hidden => format!("\nand {hidden} more {what}."),
    };
    beside(moved.counts.conflicts as usize, open, "open conflicts")
        + &beside(moved.counts.kept as usize, kept, "that are kept")
        + &beside(moved.commits.len(), commits, "commits")
}

/// How many changes are not on the page, and where they are.
fn changes_left(asked: &Asked, moved: &Moved, shown: usize) -> String {
    let Moved { branch, counts, .. } = moved;
    let next = asked.offset.saturating_add(shown as u32);
    let more = match counts.moved().saturating_sub(next) {
        0 => return String::new(),
        1 => "1 more change".to_owned(),
        many => format!("{many} more changes"),
    };
    match (moved.mode, &moved.safety, moved.commit) {
        (Mode::DryRun, ..) => format!("\n{more}: ask with offset {next}."),
        (Mode::Do, Some(safety), _) => {
            format!("\n{more}: memory_diff with source {branch} and against {safety} has all.")
        }
        (Mode::Do, None, Some(_)) => format!("\nand {more}."),
        (Mode::Do, None, None) => format!("\n{more} to come with it."),
    }
}

pub fn logged(asked: &Asked, logged: &Logged) -> Reply {
    let mut room = Room::new();
    let fit = logged.commits.iter().take_while(|entry| room.take_lines(texts(entry))).count();
    let commits = &logged.commits[..fit];
    let mut quote = Quote::default();
    quote.lines(commits.iter().map(|entry| {
        let names = logged.names.iter().filter(|name| name.commit == entry.commit).map(|name| name.name.as_str());
        line(entry, &names.collect::<Vec<_>>().join(", "))
    }));
    let (offset, total, place) = (asked.offset, logged.total, named(&logged.point));
    let next = offset.saturating_add(fit as u32);
    let mut text = match (fit, total) {
        (0, 0) => format!("No commit of {place} fits."),
        (0, total) => format!("Nothing from offset {offset} on: there are {total}."),
        _ => format!("{fit} of {total} commits of {place}, newest first. {}", quote.written()),
    };
    if fit > 0 && next < total {
        text += &format!("\n{} more: ask with offset {next}.", total - next);
    }
    let structured = json!({
        "point": value::point(&logged.point), "commits": value::list(commits, value::commit), "total": total,
        "offset": offset, "names": value::list(&logged.names, |name| value::name(name, &logged.flagged)),
    });
    Reply { text, structured }
}

pub fn blamed(blamed: &Blamed) -> Reply {
    traced(blamed, GLIMPSE_CHARS_MAX)
}

/// The same with all of the memory's text.
pub fn shown(shown: &Shown) -> Reply {
    let Shown { memory, is_live, history, history_total } = shown.clone();
    traced(&Blamed { memory, is_live, history, history_total }, 0)
}

fn traced(blamed: &Blamed, chars_max: usize) -> Reply {
    let mut room = Room::new();
    room.take([&blamed.memory]);
    let fits = |past: &&crate::wire::message::Past| room.take_lines(texts(&past.commit).chain(past.text.as_deref()));
    let fit = blamed.history.iter().take_while(fits).count();
    let history = &blamed.history[..fit];
    let mut quote = Quote::default();
    quote.add(&blamed.memory, if blamed.is_live { "as it is" } else { "as it last was" }, true, chars_max);
    for past in history {
        let entry = &past.commit;
        let trust = past.trust.map(|trust| format!(" as {trust}")).unwrap_or_default();
        let session = one_line(entry.author.session.as_str(), NAME_CHARS_MAX);
        let mut flags = past.flags.clone();
        flags.extend(entry.flags.iter().filter(|flag| !past.flags.contains(flag)).cloned());
        let head = format!(
            "{} {} {}{trust} by {} in session {session}{}{}",
            short(entry.commit),
            entry.verb,
            moment(entry.at),
            who(&entry.author),
            caution(&flags),
            note(entry)
        );
        quote.block(&head, past.text.as_deref().unwrap_or("(removed)"));
    }
    let (id, total) = (blamed.memory.short_id(), blamed.history_total as usize);
    let gone = if blamed.is_live { "" } else { ", which is not there any more," };
    let noun = if total == 1 { "change" } else { "changes" };
    let mut text = format!("Memory {id}{gone} has {total} {noun}, newest first. {}", quote.written());
    if fit < total {
        text += &format!("\nand {} older ones: memory_log with memory_id {id} lists them.", total - fit);
    }
    let structured = json!({
        "memory": value::memory(&blamed.memory), "live": blamed.is_live, "history": value::list(history, value::past),
        "total": total,
    });
    Reply { text, structured }
}

/// Of a memory whose own shortest prefix is not known.
const GLIMPSE_ID_CHARS: u8 = 12;

fn prefix(id: MemoryId, len: u8) -> String {
    let mut id = id.to_string();
    id.truncate(usize::from(len));
    id
}

fn sides(change: &Changed) -> impl Iterator<Item = &Shaped> {
    change.before.iter().chain(&change.after)
}

fn three(conflict: &Conflicted) -> impl Iterator<Item = &Shaped> {
    conflict.base.iter().chain(&conflict.ours).chain(&conflict.theirs)
}

fn texts(entry: &LogEntry) -> impl Iterator<Item = &str> {
    entry.note.as_deref().into_iter().chain(entry.touched.iter().map(|(_, text)| text.as_str()))
}

/// Whether the memories of these changes belong to more than one project.
fn differ(changes: &[Changed]) -> bool {
    let mut projects = changes.iter().flat_map(sides).map(|shaped| &shaped.memory.project);
    projects.next().is_some_and(|first| projects.any(|project| project != first))
}

/// One changed memory: both texts where they differ, else what else does.
fn show(quote: &mut Quote, change: &Changed, projects: bool, chars_max: usize) {
    match (&change.before, &change.after) {
        (None, Some(after)) => quote.add(after, "added", projects, chars_max),
        (Some(before), None) => quote.add(before, "removed", projects, chars_max),
        (Some(before), Some(after)) if before.memory.text == after.memory.text => {
            let fields = fields(before, after);
            let what = if fields.is_empty() { "origin or times".to_owned() } else { fields };
            quote.add(after, &format!("changed: {what}"), projects, chars_max);
        }
        (Some(before), Some(after)) => {
            let fields = fields(before, after);
            let also = if fields.is_empty() { String::new() } else { format!("; also {fields}") };
            quote.add(before, "before", projects, chars_max);
            quote.add(after, &format!("after{also}"), projects, chars_max);
        }
        (None, None) => quote.say(format!("{} was erased since.", prefix(change.id, change.short_len))),
    }
}

fn show_conflict(quote: &mut Quote, conflict: &Conflicted) {
    let id = prefix(conflict.id, conflict.short_len);
    let settled = conflict.settled.as_ref().map(|by| format!(", settled by {by}")).unwrap_or_default();
    for (side, shaped) in [("base", &conflict.base), ("ours", &conflict.ours), ("theirs", &conflict.theirs)] {
        match shaped {
            // It must be read to be settled.
            Some(shaped) => quote.add(shaped, &format!("conflict: {side}{settled}"), false, 0),
            None => quote.say(format!("{id} is not there (conflict: {side}{settled}).")),
        }
    }
}

fn show_kept(quote: &mut Quote, change: &Changed) {
    let note = if change.before.is_some() { "kept; else taken back" } else { "kept; else removed" };
    match &change.after {
        Some(after) => quote.add(after, note, false, GLIMPSE_CHARS_MAX),
        None => quote.say(format!("{} stays removed.", prefix(change.id, change.short_len))),
    }
}

/// What differs besides the text, with what it was where that is a word.
fn fields(before: &Shaped, after: &Shaped) -> String {
    let (before, after) = (&before.memory, &after.memory);
    let mut out = Vec::new();
    if before.trust != after.trust {
        out.push(format!("trust was {}", before.trust));
    }
    if before.confidence != after.confidence {
        out.push(format!("confidence was {:.2}", before.confidence.as_fraction()));
    }
    if before.kind != after.kind {
        out.push(format!("kind was {}", before.kind));
    }
    for (differs, what) in [
        (before.tags != after.tags, "tags"),
        (before.metadata != after.metadata, "metadata"),
        (before.project != after.project, "project"),
        (before.subject != after.subject, "subject"),
        (before.expires_at != after.expires_at, "expiry"),
        (before.pinned != after.pinned, "pin"),
    ] {
        if differs {
            out.push(what.to_owned());
        }
    }
    out.join(", ")
}

/// `500 added, 3 changed`.
fn amounts(counts: &Counts) -> String {
    let Counts { added, changed, removed, .. } = counts;
    let parts = [(added, "added"), (changed, "changed"), (removed, "removed")];
    let parts: Vec<_> = parts.iter().filter(|(count, _)| **count > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if parts.is_empty() { "no change".to_owned() } else { parts.join(", ") }
}

fn kept_note(kept: u32) -> String {
    match kept {
        0 => String::new(),
        kept => format!(", {} kept as later work", counted(kept as usize, "")),
    }
}

/// A commit in one line; all of it goes into a quotation.
fn line(entry: &LogEntry, names: &str) -> String {
    let names = if names.is_empty() { String::new() } else { format!(" [{names}]") };
    let merges = entry.parents.get(1).map(|parent| format!(" merges {}", short(*parent))).unwrap_or_default();
    let about: Vec<_> = entry.about.iter().take(3).map(|commit| short(*commit)).collect();
    let about = match entry.about.len() {
        0 => String::new(),
        1..=3 => format!(" about {}", about.join(", ")),
        many => format!(" about {} and {} more", about.join(", "), many - 3),
    };
    let touched: Vec<_> = entry
        .touched
        .iter()
        .map(|(id, text)| format!("{} {}", prefix(*id, GLIMPSE_ID_CHARS), one_line(text, 80)))
        .collect();
    let touched = if touched.is_empty() { String::new() } else { format!(" | {}", touched.join(" | ")) };
    format!(
        "{} {} +{} -{} {} by {}{names}{merges}{about}{}{}{touched}",
        short(entry.commit),
        entry.verb,
        entry.added,
        entry.removed,
        moment(entry.at),
        who(&entry.author),
        caution(&entry.flags),
        note(entry)
    )
}

fn note(entry: &LogEntry) -> String {
    entry.note.as_ref().map(|note| format!(": {}", one_line(note, NOTE_CHARS_MAX))).unwrap_or_default()
}

/// What a person typed has no agent.
fn who(author: &Author) -> String {
    author.agent.as_ref().map_or_else(|| "user".to_owned(), |agent| one_line(agent, NAME_CHARS_MAX))
}
