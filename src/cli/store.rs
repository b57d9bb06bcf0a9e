//! `memoria store`: keep one text.

use serde_json::json;

use crate::error::Result;
use crate::model::{Kind, Name, SessionId, SubjectId, Time, Trust};
use crate::wire::message::{Place, Request, Response, Store, Stored};

use super::ask::{ask, unexpected};
use super::exit::Exit;
use super::terminal::{Out, Paint, Style, one_line};
use super::{json, text, what};

/// Remember a text
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria store \"Deploys go through GitHub Actions\" --tag deploy\n  \
    memoria store --kind profile \"I prefer small commits\"\n  memoria store - < notes.txt")]
pub struct Args {
    /// What to remember, or `-` to read it from stdin
    text: String,
    #[arg(long, value_parser = what::kinds(), hide_possible_values = true, help = what::KINDS_HELP)]
    kind: Option<Kind>,
    /// A label; may be given again
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Where it belongs, in place of here; or `global`
    #[arg(long, value_parser = what::place)]
    project: Option<Place>,
    /// From T1 (you verified it, the default) to T4
    #[arg(long, value_parser = what::trust(), hide_possible_values = true)]
    trust: Option<Trust>,
    /// The conversation that it belongs to
    #[arg(long, value_parser = what::session)]
    session: Option<SessionId>,
    /// Whom or what it is about
    #[arg(long, value_parser = what::subject)]
    subject: Option<SubjectId>,
    /// When it ends: 3d, 18:00, 2026-12-01
    #[arg(long, value_name = "WHEN", value_parser = what::until)]
    expires: Option<Time>,
    /// Keep it young, and before others of its likes
    #[arg(long)]
    pin: bool,
    /// On this branch, in place of the current one
    #[arg(long, value_name = "BRANCH", value_parser = what::name)]
    branch: Option<Name>,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let request = Store {
        branch: args.branch,
        text: what::text(args.text)?,
        kind: args.kind,
        tags: args.tags,
        trust: args.trust,
        place: args.project.unwrap_or_default(),
        session: args.session,
        subject: args.subject,
        expires_at: args.expires,
        is_pinned: args.pin,
        ..Store::default()
    };
    let Response::Stored(stored) = ask(Request::Store(request)).await? else { return Err(unexpected()) };
    out.answer(|| as_json(&stored), |style| as_text(&stored, style))?;
    Ok(Exit::Ok)
}

fn as_json(stored: &Stored) -> serde_json::Value {
    let similar = |s: &_| {
        let crate::wire::message::Similar { memory, percent } = s;
        json::memory_with(memory, json!({"percent": percent}))
    };
    let mut answer = json::memory_with(
        &stored.stored,
        json!({
            "duplicate": stored.is_duplicate,
            "similar": stored.similar.iter().map(similar).collect::<Vec<_>>(),
            "masked": json::masked(&stored.masked),
            "branch": stored.branch.as_str(),
            "commit": json::id(stored.commit),
            "waits": stored.waits,
        }),
    );
    if stored.waits.is_some() {
        answer["version"] = serde_json::Value::Null;
    }
    answer
}

fn as_text(stored: &Stored, style: &Style) -> String {
    let memory = &stored.stored.memory;
    let id = style.paint(Paint::Yellow, &stored.stored.short_id());
    let place = memory.project.as_ref().map_or_else(|| "global".to_owned(), |p| one_line(p.as_str()).into_owned());
    let mut out = if let Some(number) = stored.waits {
        format!(
            "Waits{} for the server, as number {number} on this machine: {id}.\n\
             It is sent when the server is back; whether it is known already is seen then (`memoria status`).\n",
            text::on(&stored.branch)
        )
    } else if stored.is_duplicate {
        format!("Known already as {id}{}: nothing was written.\n", text::on(&stored.branch))
    } else {
        let kind = style.paint(Paint::Cyan, memory.kind.as_str());
        format!("Stored {id}{}  {kind}  {}  {place}{}\n", text::on(&stored.branch), memory.trust, text::marks(memory))
    };
    out += &text::masked(&stored.masked, style);
    if !stored.similar.is_empty() {
        out += "Similar to what is there (`memoria correct` replaces, `memoria purge` removes):\n";
        let rows: Vec<_> = stored
            .similar
            .iter()
            .map(|s| vec![format!("  {}", s.memory.short_id()), format!("{}%", s.percent), text::said(&s.memory)])
            .collect();
        let columns = [("  ID", Paint::Yellow), ("SAME", Paint::Plain), ("TEXT", Paint::Plain)];
        out += &style.table(&columns, &rows);
    }
    out
}
