//! `memoria show`: one memory with everything about it, and every state that it ever had.

use serde_json::json;

use crate::clock;
use crate::error::Result;
use crate::model::Time;
use crate::wire::message::{Request, Response, Show, Shown};

use super::ask::{ask, unexpected};
use super::exit::Exit;
use super::terminal::{Out, Paint, Style, one_line};
use super::what::Where;
use super::{json, text};

/// Show one memory and its history
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria show 1a2b3c4d\n  memoria show 1a2b3c4d --at \"2h ago\"")]
pub struct Args {
    /// The memory's id, or any unique prefix of 8 digits or more
    id: String,
    #[command(flatten)]
    place: Where,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let Response::Shown(shown) = ask(Request::Show(Show { view: args.place.view(), id: args.id })).await? else {
        return Err(unexpected());
    };
    out.answer(|| as_json(&shown), |style| as_text(&shown, style, clock::now()))?;
    Ok(Exit::Ok)
}

fn as_json(shown: &Shown) -> serde_json::Value {
    let history: Vec<_> = shown.history.iter().map(json::past).collect();
    json::memory_with(&shown.memory, json!({"live": shown.is_live, "history": history}))
}

fn as_text(shown: &Shown, style: &Style, now: Time) -> String {
    let memory = &shown.memory.memory;
    let mut out = format!("{}\n", text::headline(&shown.memory, style, now));
    if !shown.is_live {
        out += &format!("{}\n", style.paint(Paint::Red, "Not there any more: purged or expired. Its history is kept."));
    }
    out += &format!("\n{}\n", style.block(&memory.text, 2));
    let named = |name: &str, value: Option<&str>| (name.to_owned(), value.map(|v| one_line(v).into_owned()));
    let created = clock::local(memory.created_at);
    let mut trust = format!("{}, confidence {:.2}", memory.trust, shown.memory.confidence.as_fraction());
    if shown.memory.confidence != memory.confidence {
        trust += &format!(" ({:.2} at first)", memory.confidence.as_fraction());
    }
    let said = text::rated(&shown.memory.feedback);
    let said = said.strip_prefix("; ");
    let facts = [
        named("id", Some(&memory.id.to_string())),
        named("project", Some(memory.project.as_ref().map_or("global", |p| p.as_str()))),
        named("session", memory.session.as_ref().map(|s| s.as_str())),
        named("subject", memory.subject.as_ref().map(|s| s.as_str())),
        named("origin", Some(&text::origin(memory))),
        named("trust", Some(&trust)),
        named("said", said),
        named("created", Some(&created)),
        named("observed", Some(clock::local(memory.observed_at)).filter(|at| *at != created).as_deref()),
        named("expires", memory.expires_at.map(clock::local).as_deref()),
        named("metadata", Some(memory.metadata.as_str()).filter(|m| !m.is_empty())),
    ];
    for (name, value) in facts {
        if let Some(value) = value {
            out += &format!("  {}{value}\n", style.dim(&format!("{name:<10}")));
        }
    }
    out += &format!("\n{}\n", style.bold("History"));
    for past in &shown.history {
        let row = text::commit_row(&past.commit);
        out += &format!("  {}  {}  {}  {}", style.paint(Paint::Yellow, &row[0]), row[1], row[3], row[2]);
        if let Some(note) = &past.commit.note {
            out += &format!("  \"{}\"", one_line(note));
        }
        out.push('\n');
        out += &past.text.as_ref().map_or_else(
            || format!("    {}\n", style.dim("(removed)")),
            |said| style.block(&text::flagged(&past.flags, said), 4),
        );
    }
    out
}
