//! `memoria purge`: take memories away; their history stays.

use std::io::IsTerminal;

use serde_json::json;

use crate::error::{Error, Result};
use crate::model::{Filter, Kind, Name, Page, SessionId};
use crate::wire::message::{Depth, List, Place, Purge, PurgeTarget, Purged, Request, Response, View};

use super::ask::{ask, unexpected};
use super::exit::Exit;
use super::terminal::{Out, Paint, Style, agreed, count, one_line, plural};
use super::{json, text, what};

/// Remove memories; their history stays
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  memoria purge 1a2b3c4d 5e6f7a8b\n  memoria purge --topic \"old staging server\"\n  \
    memoria purge --session 9c1d2e3f --kind working --yes\n  \
    memoria purge 1a2b3c4d --erase\n\n\
    Without --erase `memoria undo` brings them back."
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
    /// For good: out of every branch, history and file
    #[arg(long)]
    erase: bool,
    /// On this branch, in place of the current one
    #[arg(long, value_name = "BRANCH", conflicts_with = "erase", value_parser = what::name)]
    branch: Option<Name>,
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
    let depth = if args.erase { Depth::Bytes } else { Depth::State };
    if !args.yes && !is_agreed(&target, args.branch.as_ref(), depth).await? {
        return Err(Error::cancelled("nothing was purged"));
    }
    let request = Request::Purge(Purge { branch: args.branch, target, depth, reason: args.reason });
    let Response::Purged(purged) = ask(request).await? else { return Err(unexpected()) };
    out.answer(
        || {
            json!({
                "removed": json::memories(&purged.removed),
                "removed_total": purged.removed_total,
                "missing": purged.missing,
                "erased": {"memories": purged.erased_memories, "versions": purged.erased_versions},
                "branch": purged.branch.as_str(),
                "safety": purged.safety.as_ref().map(|name| name.as_str()),
                "masked": json::masked(&purged.masked),
                "commit": json::id(purged.commit),
            })
        },
        |style| as_text(&purged, style),
    )?;
    Ok(if purged.missing.is_empty() { Exit::Ok } else { Exit::NotFound })
}

/// Asks on a terminal before a purge whose extent the person has not typed out, and before every erasure.
async fn is_agreed(target: &PurgeTarget, branch: Option<&Name>, depth: Depth) -> Result<bool> {
    let is_terminal = std::io::stdin().is_terminal();
    let what = match target {
        _ if !is_terminal && depth == Depth::State => return Ok(true),
        _ if !is_terminal => {
            return Err(Error::invalid("an erasure cannot be taken back: add --yes where nobody can be asked"));
        }
        PurgeTarget::Ids(_) if depth == Depth::State => return Ok(true),
        PurgeTarget::Ids(ids) => plural(ids.len() as u64, "memory", "memories"),
        PurgeTarget::Topic { topic, .. } => format!("every memory that contains `{}`", one_line(topic)),
        PurgeTarget::Session { session, kinds } => {
            let filter = Filter { session: Some(session.clone()), kinds: kinds.clone(), ..Filter::default() };
            let view = View { branch: branch.cloned(), at: None };
            let request = List { view, place: Place::Everywhere, filter, page: Page { offset: 0, limit: 1 } };
            let Response::Listed(listed) = ask(Request::List(request)).await? else { return Err(unexpected()) };
            format!("{} of session {}", plural(listed.total, "memory", "memories"), one_line(session.as_str()))
        }
    };
    let question = match depth {
        Depth::State => format!("Purge {what}?"),
        Depth::Bytes => format!("Erase {what} from every branch and from history, for good?"),
    };
    agreed(&question)
}

fn as_text(purged: &Purged, style: &Style) -> String {
    let safety = purged.safety.as_ref();
    let safety = safety.map(|name| format!("; snapshot {name} holds what was before")).unwrap_or_default();
    let mut out = match (purged.erased_memories, purged.removed_total) {
        (0, 0) => "Nothing was purged.\n".to_owned(),
        (0, n) => format!(
            "Purged {}{}.\n{}\n",
            plural(n, "memory", "memories"),
            text::on(&purged.branch),
            style.dim(&format!("`memoria undo` brings them back, `memoria show ID` shows their history{safety}."))
        ),
        (n, _) => format!(
            "Erased {} in {}: no file holds their bytes any more.\n",
            plural(n, "memory", "memories"),
            plural(purged.erased_versions, "version", "versions")
        ),
    };
    let rows: Vec<_> = purged.removed.iter().map(|s| vec![s.short_id(), text::said(s)]).collect();
    if !rows.is_empty() {
        out += &style.table(&[("ID", Paint::Yellow), ("TEXT", Paint::Plain)], &rows);
    }
    let shown = purged.removed.len() as u64;
    if shown < u64::from(purged.removed_total) && purged.erased_memories == 0 {
        let rest = purged.safety.as_ref().map(|name| format!("; `memoria diff {name} --limit 0` lists all"));
        let of = count(purged.removed_total);
        out += &style.dim(&format!("{} of {of} are listed{}.\n", count(shown), rest.unwrap_or_default()));
    }
    out += &text::masked(&purged.masked, style);
    for missing in &purged.missing {
        out += &format!("{}\n", style.paint(Paint::Red, &format!("Not there: {}", one_line(missing))));
    }
    out
}
