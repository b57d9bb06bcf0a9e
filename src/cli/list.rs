//! `memoria list`: what is known, newest first.

use serde_json::json;

use crate::clock;
use crate::error::Result;
use crate::model::{Filter, Page, Time};
use crate::wire::message::{List, Listed, Place, Request, Response, Shaped};

use super::ask::{client, unexpected};
use super::exit::Exit;
use super::terminal::{Out, Paint, Style, plural};
use super::what::{self, Where, Which};
use super::{json, text};

/// List memories, newest first
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria list --kind procedural --since 3d\n  \
    memoria list --agent claude-code --limit 0 --json")]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Only what this agent stored
    #[arg(long)]
    agent: Option<String>,
    /// Observed since: 14:00, 2026-05-01, 2h ago
    #[arg(long, value_name = "WHEN", value_parser = what::when)]
    since: Option<Time>,
    #[command(flatten)]
    at: Where,
    /// At most this many; 0 is all
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let place = args.which.place();
    let mut request = List {
        filter: Filter { agent: args.agent, since: args.since, ..args.which.filter() },
        view: args.at.view(),
        place: place.clone(),
        page: Page { offset: 0, limit: args.limit },
    };
    let mut client = client().await?;
    let mut all: Option<Listed> = None;
    // An answer holds so many; the rest comes page after page.
    loop {
        let Response::Listed(page) = client.ask(Request::List(request.clone())).await? else {
            return Err(unexpected());
        };
        let is_last = page.memories.is_empty();
        let listed = match &mut all {
            Some(all) => {
                all.memories.extend(page.memories);
                all
            }
            none => none.insert(page),
        };
        let wanted = if args.limit == 0 { listed.total } else { listed.total.min(args.limit) };
        let seen = listed.memories.len() as u32;
        if is_last || seen >= wanted {
            break;
        }
        request.page = Page { offset: seen, limit: wanted - seen };
    }
    let Some(listed) = all else { return Err(unexpected()) };
    out.answer(
        || {
            let memories = json::memories(&listed.memories);
            json!({"memories": memories, "total": listed.total, "at": json::point(&listed.point)})
        },
        |style| as_text(&listed, &place, style, clock::now()),
    )?;
    Ok(Exit::Ok)
}

fn as_text(listed: &Listed, place: &Place, style: &Style, now: Time) -> String {
    if listed.memories.is_empty() {
        return "No memories here yet. `memoria store TEXT` keeps one; `--project \"*\"` lists all projects.\n"
            .to_owned();
    }
    let mut columns = vec![("ID", Paint::Yellow), ("KIND", Paint::Cyan), ("TRUST", Paint::Plain), ("WHEN", Paint::Dim)];
    // In one project the column would say the same in every row.
    if *place == Place::Everywhere {
        columns.push(("PROJECT", Paint::Plain));
    }
    columns.push(("TEXT", Paint::Plain));
    let row = |shaped: &Shaped| {
        let memory = &shaped.memory;
        let when = clock::ago(memory.observed_at, now);
        let trust = format!("{} {:.2}", memory.trust, shaped.confidence.as_fraction());
        let mut row = vec![shaped.short_id(), memory.kind.to_string(), trust, when];
        if *place == Place::Everywhere {
            row.push(memory.project.as_ref().map_or("global", |p| p.as_str()).to_owned());
        }
        row.push(text::said(shaped));
        row
    };
    let rows: Vec<_> = listed.memories.iter().map(row).collect();
    let shown = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let total = plural(listed.total, "memory", "memories");
    let footer = if shown < listed.total {
        format!("{shown} of {total}; `--limit 0` lists all.\n")
    } else {
        format!("{total}.\n")
    };
    style.table(&columns, &rows) + &style.dim(&footer)
}
