//! `memoria blame`: who taught us this, when, from where, and what it said before.

use serde_json::json;

use crate::clock;
use crate::error::Result;
use crate::model::Time;
use crate::wire::message::{Blame, Blamed, Request, Response};

use super::ask::{ask, unexpected};
use super::exit::Exit;
use super::terminal::{Out, Paint, Style, count, one_line};
use super::what::Where;
use super::{json, text, words};

/// Show who taught us a memory, and what it said before
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria blame 1a2b3c4d\n  memoria blame 1a2b3c4d --at nightly --json")]
pub struct Args {
    /// The memory's id, or any unique prefix of 8 digits or more
    id: String,
    #[command(flatten)]
    place: Where,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let request = Blame { view: args.place.view(), id: args.id };
    let Response::Blamed(blamed) = ask(Request::Blame(request)).await? else { return Err(unexpected()) };
    out.answer(|| as_json(&blamed), |style| as_text(&blamed, style, clock::now()))?;
    Ok(Exit::Ok)
}

fn as_json(blamed: &Blamed) -> serde_json::Value {
    let history: Vec<_> = blamed.history.iter().map(json::past).collect();
    let more = json!({"live": blamed.is_live, "history": history, "history_total": blamed.history_total});
    json::memory_with(&blamed.memory, more)
}

fn as_text(blamed: &Blamed, style: &Style, now: Time) -> String {
    let memory = &blamed.memory.memory;
    let mut out = format!("{}\n", text::headline(&blamed.memory, style, now));
    if !blamed.is_live {
        out += &format!("{}\n", style.paint(Paint::Red, "Not there any more: purged or expired. Its history is kept."));
    }
    let session = memory.origin.session.as_ref().or(memory.session.as_ref());
    let session = session.map(|session| format!(", session {}", one_line(session.as_str()))).unwrap_or_default();
    let project = memory.project.as_ref().map_or("global", |p| p.as_str());
    out += &format!("{}\n", style.dim(&format!("from {}{session}, {}", text::origin(memory), one_line(project))));
    for past in &blamed.history {
        let entry = &past.commit;
        let note = entry.note.as_ref().map(|note| format!("  \"{}\"", one_line(note))).unwrap_or_default();
        out += &format!(
            "\n{}  {}  {}  {}{note}\n",
            style.paint(Paint::Yellow, &entry.commit.to_string()[..8]),
            style.dim(&clock::local(entry.at)),
            style.paint(Paint::Cyan, &entry.verb),
            style.bold(&text::author(&entry.author)),
        );
        out += &match (&past.text, &past.before) {
            (Some(said), Some(before)) => {
                let flags: Vec<String> = past.flags.iter().chain(&past.before_flags).cloned().collect();
                text::caution(&flags, style) + &words::compared(before, said, style, 4)
            }
            (Some(said), None) => style.block(&text::flagged(&past.flags, said), 4),
            (None, _) => format!("    {}\n", style.dim("(removed)")),
        };
    }
    let shown = blamed.history.len() as u64;
    if shown < u64::from(blamed.history_total) {
        let rest = format!("memoria log --all --memory {} --limit 0", blamed.memory.short_id());
        let of = count(blamed.history_total);
        out += &style.dim(&format!("\n{} of {of} changes; `{rest}` lists the others.\n", count(shown)));
    }
    out
}
