//! `memoria diff`: what differs between two states, counts first, then each memory, word by word.

use serde_json::json;

use crate::clock;
use crate::error::Result;
use crate::model::{Filter, Name, Page, Time};
use crate::wire::message::{Diff, Diffed, Lookalikes, Place, Point, Request, Response};

use super::ask::{client, unexpected};
use super::exit::Exit;
use super::terminal::{Out, Style, count, one_line};
use super::what::{self, Which};
use super::{changes, json};

/// Changes in one page whose near-duplicates are wanted, and in all such pages.
const COMPARED: usize = 50;
const LOOKED_THROUGH: usize = 1_000;

/// Show what differs between two states
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria diff main experiment\n  memoria diff nightly\n  \
    memoria diff \"2h ago\" --agent cursor --limit 0 --json")]
pub struct Args {
    /// The earlier state: a branch, snapshot, commit or time
    from: String,
    /// The later state; the current branch where it is left out
    to: Option<String>,
    /// Whose times they are, in place of the current one
    #[arg(long, value_name = "BRANCH", value_parser = what::name)]
    branch: Option<Name>,
    #[command(flatten)]
    which: Which,
    /// Only what this agent stored
    #[arg(long)]
    agent: Option<String>,
    /// At most this many changes; 0 is all
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let filter = Filter { agent: args.agent.clone(), ..args.which.filter() };
    // Counts that leave out other projects would be of little use; --project narrows them.
    let place = args.which.project.clone().unwrap_or(Place::Everywhere);
    let typed = format!("{}{}", args.from, args.to.as_ref().map(|to| format!(" {to}")).unwrap_or_default());
    let first = if args.limit == 0 { COMPARED as u32 } else { args.limit.min(COMPARED as u32) };
    let page = Page { offset: 0, limit: first };
    let mut ask =
        Diff { from: Some(args.from), to: args.to, branch: args.branch, place, filter, page, alike: Lookalikes::Find };
    let mut client = client().await?;
    let Response::Diffed(mut all) = client.ask(Request::Diff(ask.clone())).await? else { return Err(unexpected()) };
    // Later pages are of the same two states, whatever happens meanwhile.
    (ask.from, ask.to) = (Some(all.from.commit.to_string()), Some(all.to.commit.to_string()));
    let total = all.counts.moved();
    let wanted = if args.limit == 0 { total } else { total.min(args.limit) } as usize;
    while all.changes.len() < wanted {
        let seen = all.changes.len();
        // Near-duplicates cost a search each: nobody reads so many changes that they would be missed.
        ask.alike = if seen < LOOKED_THROUGH { Lookalikes::Find } else { Lookalikes::Skip };
        let limit = if seen < LOOKED_THROUGH { (wanted - seen).min(COMPARED) } else { wanted - seen };
        ask.page = Page { offset: seen as u32, limit: limit as u32 };
        let Response::Diffed(more) = client.ask(Request::Diff(ask.clone())).await? else { return Err(unexpected()) };
        if more.changes.is_empty() {
            break;
        }
        all.changes.extend(more.changes);
        all.alike.extend(more.alike);
    }
    out.answer(|| as_json(&all), |style| as_text(&all, &typed, style, clock::now()))?;
    Ok(Exit::Ok)
}

fn as_json(diffed: &Diffed) -> serde_json::Value {
    json!({
        "from": json::point(&diffed.from),
        "to": json::point(&diffed.to),
        "counts": json::counts(&diffed.counts),
        "commit": null,
        "changes": json::changes(&diffed.changes, &diffed.alike),
        "total": diffed.counts.moved(),
    })
}

fn as_text(diffed: &Diffed, typed: &str, style: &Style, now: Time) -> String {
    let (from, to) = (place(&diffed.from), place(&diffed.to));
    let mut out = format!("{}: {}.\n", style.bold(&format!("{from} -> {to}")), changes::counts(&diffed.counts, style));
    out += &changes::changes(&diffed.changes, &diffed.alike, style, now);
    let (shown, total) = (diffed.changes.len() as u64, u64::from(diffed.counts.moved()));
    if shown > LOOKED_THROUGH as u64 {
        let of = count(LOOKED_THROUGH as u64);
        out += &style.dim(&format!("Near-duplicates were looked for among the first {of} changes.\n"));
    }
    if shown < total {
        let rest = format!("memoria diff {} --limit 0", one_line(typed));
        out += &style.dim(&format!("{} of {} changes; `{rest}` shows all.\n", count(shown), count(total)));
    }
    out
}

/// `main`, `nightly`, or a commit and its time.
fn place(point: &Point) -> String {
    let commit = &point.commit.to_string()[..8];
    point.name.as_ref().map_or_else(|| format!("{commit} ({})", clock::local(point.at)), ToString::to_string)
}
