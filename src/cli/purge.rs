//! `memoria purge`: take memories away; their history stays.

use std::io::{BufRead, IsTerminal, Write};

use serde_json::json;

use crate::error::{Error, Result};
use crate::model::{Filter, Kind, Page, SessionId};
use crate::wire::message::{Depth, List, Place, Purge, PurgeTarget, Purged, Request, Response, View};

use super::ask::{ask, unexpected};
use super::exit::Exit;
use super::terminal::{Out, Paint, Style, one_line, plural};
use super::{json, what};

/// Remove memories; their history stays
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  memoria purge 1a2b3c4d 5e6f7a8b\n  memoria purge --topic \"old staging server\"\n  \
    memoria purge --session 9c1d2e3f --kind working --yes"
)]
#[command(group = clap::ArgGroup::new("target").required(true).args(["ids", "topic", "session"]))]
pub struct Args {
    /// Ids, or unique prefixes of them
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Every memory that contains all of these words
    #[arg(long, value_name = "WORDS")]
    topic: Option<String>,
    /// Everything stored in this session
    #[arg(long, value_parser = what::session)]
    session: Option<SessionId>,
    /// With --session: only this kind; may be given again
    #[arg(long = "kind", value_name = "KIND", requires = "session", value_parser = what::kinds(),
        hide_possible_values = true)]
    kinds: Vec<Kind>,
    /// With --topic: another project, `global` or `*`
    #[arg(long, requires = "topic", value_parser = what::place)]
    project: Option<Place>,
    /// Why; kept in the history
    #[arg(long)]
    reason: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let target = match (args.topic, args.session) {
        (Some(topic), _) => PurgeTarget::Topic { topic, place: args.project.unwrap_or_default() },
        (None, Some(session)) => PurgeTarget::Session { session, kinds: args.kinds },
        (None, None) => PurgeTarget::Ids(args.ids),
    };
    if !args.yes && std::io::stdin().is_terminal() && !is_agreed(&target).await? {
        return Err(Error::cancelled("nothing was purged"));
    }
    let request = Request::Purge(Purge { branch: None, target, depth: Depth::State, reason: args.reason });
    let Response::Purged(purged) = ask(request).await? else { return Err(unexpected()) };
    out.answer(
        || {
            json!({
                "removed": json::memories(&purged.removed),
                "missing": purged.missing,
                "commit": purged.commit.map(|commit| commit.to_string()),
            })
        },
        |style| as_text(&purged, style),
    )?;
    Ok(if purged.missing.is_empty() { Exit::Ok } else { Exit::NotFound })
}

/// Asks before a purge whose extent the person has not typed out.
async fn is_agreed(target: &PurgeTarget) -> Result<bool> {
    let question = match target {
        PurgeTarget::Ids(_) => return Ok(true),
        PurgeTarget::Topic { topic, .. } => format!("Purge every memory that contains `{}`?", one_line(topic)),
        PurgeTarget::Session { session, kinds } => {
            let filter = Filter { session: Some(session.clone()), kinds: kinds.clone(), ..Filter::default() };
            let request =
                List { view: View::default(), place: Place::Everywhere, filter, page: Page { offset: 0, limit: 1 } };
            let Response::Listed(listed) = ask(Request::List(request)).await? else { return Err(unexpected()) };
            format!("Purge {} of session {}?", plural(listed.total, "memory", "memories"), one_line(session.as_str()))
        }
    };
    eprint!("{question} [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|e| Error::io("read your answer", &e))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn as_text(purged: &Purged, style: &Style) -> String {
    let mut out = match purged.removed.len() {
        0 => "Nothing was purged.\n".to_owned(),
        n => {
            format!("Purged {}; `memoria show ID` still shows their history.\n", plural(n as u64, "memory", "memories"))
        }
    };
    let rows: Vec<_> = purged.removed.iter().map(|s| vec![s.short_id(), s.memory.text.clone()]).collect();
    if !rows.is_empty() {
        out += &style.table(&[("ID", Paint::Yellow), ("TEXT", Paint::Plain)], &rows);
    }
    for missing in &purged.missing {
        out += &format!("{}\n", style.paint(Paint::Red, &format!("Not there: {}", one_line(missing))));
    }
    out
}
