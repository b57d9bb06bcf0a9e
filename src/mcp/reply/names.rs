//! Replies of the tools that name states: branches and snapshots. Names are ours (they are refused unless plain); what
//! somebody noted of them is quoted.

use serde_json::json;

use super::super::quote::Quote;
use super::super::tools::{Asked, Naming};
use super::{GLIMPSES_MAX, Reply, Room, caution, counted, masked_note, moment, short, value};
use crate::model::text::one_line;
use crate::model::{Counts, Name, Protection, Ref};
use crate::wire::message::{Branches, Snapshots};

const NOTE_CHARS_MAX: usize = 200;

pub fn branches(asked: &Asked, branches: &Branches) -> Reply {
    let mut room = Room::new();
    let fit = branches.branches.iter().take_while(|name| room.take_lines(name.note.as_deref())).count();
    let shown = &branches.branches[..fit];
    let current = &branches.current;
    let first = shown.first();
    let name = first.map(|branch| branch.name.as_str()).unwrap_or_default();
    let live = first.map(|branch| counted(branch.live as usize, "")).unwrap_or_default();
    let mut text = match asked.naming {
        Naming::Creates => format!(
            "Created branch {name} with {live}. memory_checkout with name {name} makes it this session's default; any \
             tool takes branch {name} without that. This session is on {current}."
        ),
        Naming::Renames => format!("Renamed: the branch is called {name} now. This session is on {current}."),
        Naming::Deletes => format!(
            "Deleted branch {name}; memory_branch_delete with restore brings it back. This session is on {current}."
        ),
        Naming::Restores => format!("Branch {name} is back, with {live}. This session is on {current}."),
        Naming::ChecksOut => format!("On branch {current} now, with {live}: whatever gives no branch means this one."),
        _ => {
            let mut quote = Quote::default();
            quote.lines(shown.iter().map(|branch| {
                let mut line = format!("{} {}", branch.name, standing(branch));
                if branch.name == *current {
                    line += ", current";
                }
                if branches.merging.contains(&branch.name) {
                    line += ", a merge waits: memory_resolve";
                }
                line + &noted(branch, &branches.flagged)
            }));
            let noun = if shown.len() == 1 { "branch" } else { "branches" };
            format!("{} {noun}. {}", shown.len(), quote.written())
        }
    };
    if fit < branches.branches.len() {
        text += &format!("\nand {} more.", branches.branches.len() - fit);
    }
    let merging: Vec<_> = branches.merging.iter().map(|name| name.as_str()).collect();
    let structured = json!({
        "branches": value::list(shown, |name| value::name(name, &branches.flagged)), "current": current.as_str(),
        "merging": merging, "masked": value::masked(&branches.masked),
    });
    text += &masked_note(&branches.masked);
    Reply { text, structured }
}

/// Of a snapshot behind which the server keeps none of its own.
const ALONE: &str = " Memoria alone keeps it: the server has no snapshot of its own of it.";

pub fn snapshots(asked: &Asked, snapshots: &Snapshots) -> Reply {
    let mut room = Room::new();
    let fit = snapshots.snapshots.iter().take_while(|entry| room.take_lines(entry.snapshot.note.as_deref())).count();
    let shown = &snapshots.snapshots[..fit];
    let (offset, total) = (asked.offset, snapshots.total);
    let first = shown.first().map(|entry| &entry.snapshot);
    let text = match (asked.naming, first) {
        (Naming::Creates, Some(snapshot)) => format!(
            "Snapshot {name} names the state of {} at commit {}. memory_diff with source {} and against {name} shows \
             what changed since; memory_rollback with name {name} goes back to it.{aside}",
            counted(snapshot.live as usize, ""),
            short(snapshot.commit),
            snapshots.branch,
            name = snapshot.name,
            aside = if shown[0].native == Some(false) { ALONE } else { "" },
        ),
        (Naming::Restores, Some(snapshot)) => {
            format!("Snapshot {} is back, with {}.", snapshot.name, counted(snapshot.live as usize, ""))
        }
        (Naming::Deletes, None) => "No snapshot fits; none was deleted.".to_owned(),
        (Naming::Deletes, Some(_)) => {
            let names: Vec<_> = shown.iter().take(GLIMPSES_MAX).map(|entry| entry.snapshot.name.as_str()).collect();
            let more = match total as usize - names.len().min(total as usize) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let noun = if total == 1 { "snapshot" } else { "snapshots" };
            let names = names.join(", ");
            format!("Deleted {total} {noun}: {names}{more}. memory_snapshot_delete with restore brings one back.")
        }
        (_, None) if total == 0 => "There are no snapshots.".to_owned(),
        (_, None) => format!("Nothing from offset {offset} on: there are {total}."),
        (_, Some(_)) => {
            let mut quote = Quote::default();
            quote.lines(shown.iter().map(|entry| {
                let (snapshot, since) = (&entry.snapshot, since(&entry.since));
                format!(
                    "{} {}; {since} on {}{}",
                    snapshot.name,
                    standing(snapshot),
                    snapshots.branch,
                    noted(snapshot, &snapshots.flagged)
                )
            }));
            let next = offset.saturating_add(shown.len() as u32);
            let more = match total.saturating_sub(next) {
                0 => String::new(),
                more => format!("\n{more} more: ask with offset {next}."),
            };
            format!("{} of {total} snapshots, newest first. {}{more}", shown.len(), quote.written())
        }
    };
    let structured = json!({
        "snapshots": value::list(shown, |entry| value::snapshot(entry, &snapshots.flagged)), "total": total,
        "offset": offset, "branch": snapshots.branch.as_str(), "masked": value::masked(&snapshots.masked),
    });
    let text = text + &masked_note(&snapshots.masked);
    Reply { text, structured }
}

fn standing(name: &Ref) -> String {
    let mut out = format!("{}, {}", moment(name.moved_at), counted(name.live as usize, ""));
    if name.protection == Protection::MergesOnly {
        out += ", takes merges only";
    }
    if name.is_deleted {
        out += ", deleted";
    }
    out
}

fn noted(name: &Ref, flagged: &[(Name, Vec<String>)]) -> String {
    let note = name.note.as_ref().map(|note| format!(": {}", one_line(note, NOTE_CHARS_MAX))).unwrap_or_default();
    caution(value::flags_of(name, flagged)) + &note
}

fn since(counts: &Counts) -> String {
    match counts.moved() {
        0 => "nothing changed since".to_owned(),
        _ => format!("since then +{} ~{} -{}", counts.added, counts.changed, counts.removed),
    }
}
