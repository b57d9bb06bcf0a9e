//! `memoria log`: who changed what, newest first.

use serde_json::{Value, json};

use crate::error::Result;
use crate::model::{Page, SessionId, Time, Walk};
use crate::wire::message::{Log, Logged, Request, Response, View};

use super::ask::{ask, unexpected};
use super::exit::Exit;
use super::terminal::{Out, Style, count};
use super::{json, text, what};

/// Show who changed what, newest first
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria log --since 14:00\n  memoria log --memory 1a2b3c4d\n  \
    memoria log --agent cursor --limit 0 --json")]
pub struct Args {
    /// Only what touched this memory
    #[arg(long, value_name = "ID")]
    memory: Option<String>,
    /// Only what this agent did
    #[arg(long)]
    agent: Option<String>,
    /// Only what was done in this session
    #[arg(long, value_parser = what::session)]
    session: Option<SessionId>,
    /// Since: 14:00, 2026-05-01, 2h ago
    #[arg(long, value_name = "WHEN", value_parser = what::when)]
    since: Option<Time>,
    /// At most this many; 0 is all
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let request = Log {
        view: View::default(),
        walk: Walk::Branch,
        project: None,
        memory: args.memory,
        agent: args.agent,
        session: args.session,
        since: args.since,
        until: None,
        page: Page { offset: 0, limit: args.limit },
    };
    let Response::Logged(logged) = ask(Request::Log(request)).await? else { return Err(unexpected()) };
    out.answer(
        || {
            let commits: Vec<_> = logged.commits.iter().map(|entry| Value::Object(json::commit(entry))).collect();
            json!({"commits": commits, "total": logged.total})
        },
        |style| as_text(&logged, style),
    )?;
    Ok(Exit::Ok)
}

fn as_text(logged: &Logged, style: &Style) -> String {
    if logged.commits.is_empty() {
        return "No commit matches.\n".to_owned();
    }
    let rows: Vec<_> = logged.commits.iter().map(text::commit_row).collect();
    let shown = rows.len() as u64;
    let mut out = style.table(&text::COMMIT_COLUMNS, &rows);
    if shown < u64::from(logged.total) {
        out += &style.dim(&format!("{} of {} commits; `--limit 0` shows all.\n", count(shown), count(logged.total)));
    }
    out
}
