//! The one answer of everything that makes a branch into something else: merge, resolve, pick, apply, rollback,
//! revert, undo and redo. What happened, what did not and why, and how to take it back.

use serde_json::{Value, json};

use crate::client::Client;
use crate::clock;
use crate::error::Result;
use crate::model::{CommitId, Filter, Name, Page, Time, Walk};
use crate::wire::message::{
    Changed, Diff, Log, LogEntry, Lookalikes, Mode, Moved, Place, Request, Resolve, Response, Settle, View,
};

use super::ask::{client, unexpected};
use super::exit::Exit;
use super::terminal::{Out, Paint, Style, count, one_line, plural};
use super::what::Extent;
use super::{changes, json, text};

/// Commits named to people; what became of the memories says more.
const COMMITS_SHOWN: usize = 10;

/// An answer, and as many of its changes as were wanted.
struct Told {
    moved: Moved,
    changes: Vec<Changed>,
    /// Before and after, where a commit was made.
    between: Option<(CommitId, CommitId)>,
    asked: Asked,
}

/// How the command line called things.
#[derive(Default)]
pub struct Asked {
    /// The other side, or what is taken; empty where nothing was named.
    pub source: String,
    /// The branch, if it was named and is not just the current one.
    pub branch: Option<Name>,
}

impl Asked {
    /// What a suggested command needs so that it means the same branch.
    fn branch_option(&self, option: &str) -> String {
        self.branch.as_ref().map_or_else(String::new, |branch| format!(" {option} {branch}"))
    }
}

/// Asks for it, and for the rest of the changes; `make` gives the request for a page.
pub async fn run(extent: &Extent, asked: Asked, make: impl Fn(Page) -> Request, out: &Out) -> Result<Exit> {
    let mut client = client().await?;
    let moved = ask(&mut client, make(extent.page())).await?;
    let told = follow(&mut client, extent, moved, asked, make).await?;
    out.answer(|| as_json(&told), |style| as_text(&told, style, clock::now()))?;
    Ok(if told.moved.counts.conflicts > 0 { Exit::Conflicts } else { Exit::Ok })
}

async fn ask(client: &mut Client, request: Request) -> Result<Moved> {
    let Response::Moved(moved) = client.ask(request).await? else { return Err(unexpected()) };
    Ok(*moved)
}

/// The pages after the first: of a commit, by its difference; of what was not done, by asking again.
async fn follow(
    client: &mut Client,
    extent: &Extent,
    mut moved: Moved,
    asked: Asked,
    make: impl Fn(Page) -> Request,
) -> Result<Told> {
    let all = moved.counts.moved();
    let wanted = if extent.limit == 0 { all } else { all.min(extent.limit) } as usize;
    let mut changes = std::mem::take(&mut moved.changes);
    let between = match moved.commit.filter(|_| changes.len() < all as usize) {
        Some(commit) => parent(client, commit).await?.map(|parent| (parent, commit)),
        None => None,
    };
    while changes.len() < wanted {
        let page = Page { offset: changes.len() as u32, limit: (wanted - changes.len()) as u32 };
        let more = match between {
            Some((from, to)) => difference(client, from, to, page).await?,
            None if moved.mode == Mode::DryRun => ask(client, make(page)).await?.changes,
            None if moved.is_pending => {
                let look = Resolve { into: Some(moved.branch.clone()), what: Settle::Look, page };
                ask(client, Request::Resolve(look)).await?.changes
            }
            None => Vec::new(),
        };
        if more.is_empty() {
            break;
        }
        changes.extend(more);
    }
    Ok(Told { moved, changes, between, asked })
}

async fn parent(client: &mut Client, commit: CommitId) -> Result<Option<CommitId>> {
    let view = View { branch: None, at: Some(commit.to_string()) };
    let log = Log { view, walk: Walk::Branch, page: Page { offset: 0, limit: 1 }, ..Log::default() };
    let Response::Logged(logged) = client.ask(Request::Log(log)).await? else { return Err(unexpected()) };
    Ok(logged.commits.first().and_then(|entry| entry.parents.first()).copied())
}

async fn difference(client: &mut Client, from: CommitId, to: CommitId, page: Page) -> Result<Vec<Changed>> {
    let request = Diff {
        from: Some(from.to_string()),
        to: Some(to.to_string()),
        branch: None,
        place: Place::Everywhere,
        filter: Filter::default(),
        page,
        alike: Lookalikes::Skip,
    };
    let Response::Diffed(diffed) = client.ask(Request::Diff(request)).await? else { return Err(unexpected()) };
    Ok(diffed.changes)
}

fn as_json(told: &Told) -> Value {
    let moved = &told.moved;
    let merged = moved.merged.map(|merged| {
        json!({
            "merge": merged.merge.to_string(),
            "all": merged.is_all,
            "undone_by": json::id(merged.undone_by),
        })
    });
    json!({
        "verb": moved.verb,
        "branch": moved.branch.as_str(),
        "dry_run": moved.mode == Mode::DryRun,
        "counts": json::counts(&moved.counts),
        "commit": json::id(moved.commit),
        "changes": json::changes(&told.changes, &[]),
        "conflicts": json::conflicts(&moved.conflicts),
        "kept": json::changes(&moved.kept, &[]),
        "commits": json::commits(&moved.commits),
        "merged": merged,
        "safety": moved.safety.as_ref().map(|name| name.as_str()),
        "pending": moved.is_pending,
        "masked": json::masked(&moved.masked),
    })
}

fn as_text(told: &Told, style: &Style, now: Time) -> String {
    let moved = &told.moved;
    let mut out = headline(told, style);
    out += &merged_before(moved);
    out += &text::masked(&moved.masked, style);
    out += &taken_back(&moved.commits, moved, style);
    out += &changes::changes(&told.changes, &[], style, now);
    let shown = told.changes.len() as u64;
    let all = u64::from(moved.counts.moved());
    if shown < all {
        let rest = match told.between {
            Some((from, to)) => format!("memoria diff {} {} --limit 0", short(from), short(to)),
            None => "--limit 0".to_owned(),
        };
        out += &style.dim(&format!("{} of {} changes; `{rest}` shows all.\n", count(shown), count(all)));
    }
    out += &kept(moved, style, now);
    out += &open_conflicts(told, style);
    out + &way_back(told, style)
}

fn short(commit: CommitId) -> String {
    commit.to_string()[..8].to_owned()
}

/// `Merged experiment into main as 1a2b3c4d: 3 added, 1 changed.`
fn headline(told: &Told, style: &Style) -> String {
    let moved = &told.moved;
    let branch = moved.branch.as_str();
    let source = one_line(&told.asked.source);
    let (would, did) = match moved.verb.as_str() {
        "merge" if source.is_empty() => ("merge into", "Merged into"),
        "merge" => ("merge", "Merged"),
        "pick" => ("pick", "Picked"),
        "apply" => ("apply", "Applied"),
        "rollback" => ("roll back", "Rolled back"),
        "revert" => ("revert", "Reverted"),
        "undo" => ("undo", "Undid"),
        "redo" => ("redo", "Did again"),
        other => (other, other),
    };
    let object = match moved.verb.as_str() {
        "undo" | "redo" => {
            let count = moved.commits.len().max(1) as u64;
            format!("{} on {branch}", plural(count, "operation", "operations"))
        }
        _ if source.is_empty() => branch.to_owned(),
        "merge" => format!("{source} into {branch}"),
        _ => format!("{source} on {branch}"),
    };
    let counts = changes::counts(&moved.counts, style);
    if moved.mode == Mode::DryRun {
        return format!("Would {would} {object}: {counts}. Nothing was written.\n");
    }
    match moved.commit {
        Some(commit) => format!("{did} {object} as {}: {counts}.\n", style.paint(Paint::Yellow, &short(commit))),
        None if moved.is_pending => {
            format!("A merge into {branch} is in progress; nothing of it is written yet: {counts} so far.\n")
        }
        None if moved.counts.conflicts > 0 => format!("Nothing was written on {branch}: there are conflicts.\n"),
        None if moved.verb == "resolve" => format!("No merge is in progress on {branch}.\n"),
        None => format!("Nothing to {would} on {branch}: nothing was written.\n"),
    }
}

fn merged_before(moved: &Moved) -> String {
    let Some(merged) = moved.merged else { return String::new() };
    let what = if merged.is_all { "All of it" } else { "Part of it" };
    let merge = short(merged.merge);
    match merged.undone_by {
        Some(undo) => format!(
            "{what} was merged before, by {merge}, and taken back by {0}: it does not come again by\n\
             itself. `memoria revert {0}` brings it back.\n",
            short(undo)
        ),
        None => format!("{what} was merged before, by {merge}.\n"),
    }
}

/// The commits that an undo, a revert or a rollback took back.
fn taken_back(commits: &[LogEntry], moved: &Moved, style: &Style) -> String {
    if commits.is_empty() {
        return String::new();
    }
    let what = match (moved.verb.as_str(), moved.mode) {
        ("redo", _) => "Done again",
        ("pick", _) => "Picked",
        (_, Mode::DryRun) => "To be taken back",
        (_, Mode::Do) => "Taken back",
    };
    let rows: Vec<_> = commits.iter().take(COMMITS_SHOWN).map(text::commit_row).collect();
    let mut out = format!("{what}:\n{}", style.table(&text::COMMIT_COLUMNS, &rows));
    if commits.len() > COMMITS_SHOWN {
        out += &style.dim("And others, older ones; `memoria log` lists all, `--json` has the newest of them.\n");
    }
    out
}

fn kept(moved: &Moved, style: &Style, now: Time) -> String {
    if moved.counts.kept == 0 {
        return String::new();
    }
    let mut out = format!(
        "{} kept, since somebody worked on {} later (`--force` takes back that too):\n",
        style.bold(&plural(moved.counts.kept, "memory is", "memories are")),
        if moved.counts.kept == 1 { "it" } else { "them" },
    );
    for change in &moved.kept {
        let (Some(present), before) = (&change.after, &change.before) else {
            let id = change.id.to_string();
            out += &format!("= {}  {}\n", &id[..usize::from(change.short_len)], style.dim("(removed later)"));
            continue;
        };
        out += &format!("= {}\n", text::headline(present, style, now));
        out += &style.block(&present.memory.text, 4);
        let would = before.as_ref().map_or_else(|| "it would go".to_owned(), |b| one_line(&text::said(b)).into_owned());
        out += &style.dim(&style.block(&format!("without later work: {would}"), 4));
    }
    let shown = moved.kept.len() as u64;
    if shown < u64::from(moved.counts.kept) {
        out += &style.dim(&format!("{} of {} kept memories are shown.\n", count(shown), count(moved.counts.kept)));
    }
    out
}

fn open_conflicts(told: &Told, style: &Style) -> String {
    let moved = &told.moved;
    let into = told.asked.branch_option("--into");
    let mut out = String::new();
    if moved.counts.conflicts > 0 {
        out += &format!("{}:\n", style.paint(Paint::Red, &plural(moved.counts.conflicts, "conflict", "conflicts")));
    }
    out += &changes::conflicts(&moved.conflicts, style);
    let open = moved.conflicts.iter().filter(|conflict| conflict.settled.is_none()).count() as u64;
    if open < u64::from(moved.counts.conflicts) {
        let of = count(moved.counts.conflicts);
        out += &style.dim(&format!("{} of {of} conflicts; the others follow as these are settled.\n", count(open)));
    }
    if moved.counts.conflicts == 0 {
        if moved.is_pending && moved.mode == Mode::Do {
            out += &format!("Nothing is open: `memoria resolve --commit{into}` makes the merge.\n");
        }
    } else if moved.is_pending {
        out += &changes::how_to_settle(&moved.conflicts, &into, style);
    } else {
        out += "`--strategy ours` keeps what the branch has, `--strategy theirs` takes the other side.\n";
    }
    out
}

fn way_back(told: &Told, style: &Style) -> String {
    let moved = &told.moved;
    let Some(commit) = moved.commit else { return String::new() };
    let on = told.asked.branch_option("--branch");
    let undo = match moved.verb.as_str() {
        "undo" => format!("`memoria redo{on}` does it again"),
        _ => format!("`memoria undo{on}` takes it back, `memoria revert {}{on}` does later on", short(commit)),
    };
    let safety = moved.safety.as_ref();
    let safety = safety.map(|name| format!("; snapshot {name} holds what was before")).unwrap_or_default();
    style.block(&format!("{undo}{safety}."), 0).lines().map(|line| format!("{}\n", style.dim(line))).collect()
}
