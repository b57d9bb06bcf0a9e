//! `memoria log`: who changed what, newest first; as lines and nodes with `--graph` (`graph.rs`).

use serde_json::json;

use crate::error::Result;
use crate::model::{CommitId, Name, NameKind, Page, ProjectId, Ref, SessionId, Time, Walk};
use crate::wire::message::{Log, LogEntry, Logged, Request, Response, View};

use super::ask::{client, unexpected};
use super::exit::Exit;
use super::graph::Graph;
use super::terminal::{Out, Paint, Style, count, cut, one_line, width};
use super::{json, text, what};

/// Show who changed what, newest first
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria log --since 14:00\n  memoria log experiment --graph\n  \
    memoria log --memory 1a2b3c4d\n  memoria log --agent cursor --all --limit 0 --json")]
pub struct Args {
    /// As of a branch, a snapshot, a commit or a time
    #[arg(value_name = "REV")]
    at: Option<String>,
    /// Of this branch, in place of the current one
    #[arg(long, value_name = "BRANCH", value_parser = what::name)]
    branch: Option<Name>,
    /// Also what was merged in, commit by commit
    #[arg(long)]
    all: bool,
    /// Draw how branches parted and came together
    #[arg(long, conflicts_with_all = ["memory", "agent", "session", "project", "since", "until"])]
    graph: bool,
    /// Only what touched this memory
    #[arg(long, value_name = "ID")]
    memory: Option<String>,
    /// Only what this agent did; `you`: what people typed
    #[arg(long)]
    agent: Option<String>,
    /// Only what was done in this session
    #[arg(long, value_parser = what::session)]
    session: Option<SessionId>,
    /// Only what was done from within this project
    #[arg(long, value_parser = what::project)]
    project: Option<ProjectId>,
    /// Since: 14:00, 2026-05-01, 2h ago
    #[arg(long, value_name = "WHEN", value_parser = what::when)]
    since: Option<Time>,
    /// Before
    #[arg(long, value_name = "WHEN", value_parser = what::when)]
    until: Option<Time>,
    /// At most this many; 0 is all
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let (is_graph, limit) = (args.graph, args.limit);
    let mut ask = Log {
        view: View { branch: args.branch, at: args.at },
        walk: if args.all || is_graph { Walk::All } else { Walk::Branch },
        project: args.project,
        memory: args.memory,
        agent: args.agent,
        session: args.session,
        since: args.since,
        until: args.until,
        page: Page { offset: 0, limit },
    };
    let mut client = client().await?;
    let Response::Logged(mut all) = client.ask(Request::Log(ask.clone())).await? else { return Err(unexpected()) };
    // Later pages begin at the same commit, whatever happens meanwhile.
    ask.view.at = Some(all.point.commit.to_string());
    let wanted = if limit == 0 { all.total } else { all.total.min(limit) } as usize;
    while all.commits.len() < wanted {
        ask.page = Page { offset: all.commits.len() as u32, limit: (wanted - all.commits.len()) as u32 };
        let Response::Logged(more) = client.ask(Request::Log(ask.clone())).await? else { return Err(unexpected()) };
        if more.commits.is_empty() {
            break;
        }
        all.commits.extend(more.commits);
        all.names.extend(more.names);
        all.flagged.extend(more.flagged);
    }
    out.answer(|| as_json(&all), |style| as_text(&all, is_graph, style))?;
    Ok(Exit::Ok)
}

fn as_json(logged: &Logged) -> serde_json::Value {
    let names: Vec<_> = logged.names.iter().map(|name| json::name(name, &logged.flagged)).collect();
    json!({
        "at": json::point(&logged.point),
        "commits": json::commits(&logged.commits),
        "names": names,
        "total": logged.total,
    })
}

fn as_text(logged: &Logged, is_graph: bool, style: &Style) -> String {
    if logged.commits.is_empty() {
        return "No commit matches.\n".to_owned();
    }
    let mut out = if is_graph { as_graph(logged, style) } else { as_table(logged, style) };
    let shown = logged.commits.len() as u64;
    if shown < u64::from(logged.total) {
        out += &style.dim(&format!("{} of {} commits; `--limit 0` shows all.\n", count(shown), count(logged.total)));
    }
    out
}

fn as_table(logged: &Logged, style: &Style) -> String {
    let row = |entry: &LogEntry| {
        let mut row = text::commit_row(entry);
        if let (Some(names), Some(last)) = (names_at(&logged.names, entry.commit), row.last_mut()) {
            *last = format!("({names}) {last}");
        }
        row
    };
    let rows: Vec<_> = logged.commits.iter().map(row).collect();
    style.table(&text::COMMIT_COLUMNS, &rows)
}

/// The branches and snapshots at a commit, `None` without any. Safety snapshots, which stand everywhere, are in
/// `memoria snapshot`.
fn names_at(names: &[Ref], commit: CommitId) -> Option<String> {
    let is_shown = |name: &&Ref| name.commit == commit && !name.is_deleted && !name.name.as_str().starts_with("auto/");
    let mut here: Vec<&Ref> = names.iter().filter(is_shown).collect();
    here.sort_by(|a, b| (a.kind == NameKind::Snapshot, &a.name).cmp(&(b.kind == NameKind::Snapshot, &b.name)));
    here.dedup_by(|a, b| a.name == b.name);
    let said: Vec<String> = here
        .iter()
        .map(|name| match name.kind {
            NameKind::Branch => name.name.to_string(),
            NameKind::Snapshot => format!("snapshot {}", name.name),
        })
        .collect();
    (!said.is_empty()).then(|| said.join(", "))
}

fn as_graph(logged: &Logged, style: &Style) -> String {
    let mut graph = Graph::default();
    let mut out = String::new();
    let drawn: Vec<_> = logged.commits.iter().map(|entry| graph.draw(entry.commit, &entry.parents)).collect();
    for (entry, rows) in logged.commits.iter().zip(drawn) {
        let row = text::commit_row(entry);
        let [commit, when, who, verb, what] = &row[..] else { continue };
        let names = names_at(&logged.names, entry.commit).map(|names| format!("({names}) ")).unwrap_or_default();
        let room = style.columns.unwrap_or(usize::MAX);
        let mut used = width(&rows.node) + 1;
        out += &format!("{} ", rows.node.replace('*', &style.paint(Paint::Cyan, "*")));
        let parts = [
            (Paint::Yellow, format!("{commit} ")),
            (Paint::Green, names),
            (Paint::Dim, format!("{when} ")),
            (Paint::Plain, format!("{who} ")),
            (Paint::Cyan, format!("{verb} ")),
            (Paint::Plain, one_line(what).into_owned()),
        ];
        for (paint, part) in parts {
            let left = room.saturating_sub(used);
            used += width(&part);
            if left > 0 {
                out += &style.paint(paint, &cut(&part, left));
            }
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        for edge in rows.edges {
            out += &format!("{edge}\n");
        }
    }
    out
}
