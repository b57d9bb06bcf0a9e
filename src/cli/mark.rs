//! `memoria pin`, `unpin` and `expire`: what becomes of a memory, whatever it says.

use serde_json::json;

use crate::error::Result;
use crate::model::Name;
use crate::wire::message::{Expiry, Mark, Marked, Marks, Request, Response};

use super::ask::{ask, unexpected};
use super::exit::Exit;
use super::terminal::{Out, Paint, Style, one_line};
use super::{json, text, what};

#[derive(clap::Args)]
pub struct PinArgs {
    /// Ids, or unique prefixes of them
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// On this branch, in place of the current one
    #[arg(long, value_name = "BRANCH", value_parser = what::name)]
    branch: Option<Name>,
}

/// Say when memories leave every answer; their history stays
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria expire 1a2b3c4d 2w\n  memoria expire 1a2b3c4d 5e6f7a8b 2026-12-01\n  \
    memoria expire 1a2b3c4d never")]
pub struct ExpireArgs {
    /// Ids, then when: 3d, 18:00, 2026-12-01 or never
    #[arg(required = true, num_args = 2.., value_names = ["ID", "WHEN"])]
    words: Vec<String>,
    /// On this branch, in place of the current one
    #[arg(long, value_name = "BRANCH", value_parser = what::name)]
    branch: Option<Name>,
}

pub async fn pin(args: PinArgs, pinned: bool, out: &Out) -> Result<Exit> {
    let marks = Marks { pinned: Some(pinned), expiry: Expiry::Keep };
    run(Mark { branch: args.branch, ids: args.ids, marks }, out).await
}

pub async fn expire(mut args: ExpireArgs, out: &Out) -> Result<Exit> {
    let expiry = what::expiry(&args.words.pop().unwrap_or_default())?;
    let marks = Marks { pinned: None, expiry };
    run(Mark { branch: args.branch, ids: args.words, marks }, out).await
}

async fn run(mark: Mark, out: &Out) -> Result<Exit> {
    let Response::Marked(marked) = ask(Request::Mark(mark)).await? else { return Err(unexpected()) };
    out.answer(|| as_json(&marked), |style| as_text(&marked, style))?;
    Ok(if marked.missing.is_empty() { Exit::Ok } else { Exit::NotFound })
}

fn as_json(marked: &Marked) -> serde_json::Value {
    json!({
        "memories": json::memories(&marked.memories),
        "unchanged": marked.unchanged,
        "missing": marked.missing,
        "branch": marked.branch.as_str(),
        "commit": json::id(marked.commit),
    })
}

fn as_text(marked: &Marked, style: &Style) -> String {
    let mut out = String::new();
    for shaped in &marked.memories {
        let (id, marks) = (style.paint(Paint::Yellow, &shaped.short_id()), text::marks(&shaped.memory));
        let marks = if marks.is_empty() { "  neither pinned nor ending" } else { &marks };
        out += &format!("{id}{marks}  {}\n", one_line(&shaped.memory.text));
    }
    if marked.commit.is_none() && !marked.memories.is_empty() {
        out += "It was so already: nothing was written.\n";
    }
    for missing in &marked.missing {
        out += &format!("{}\n", style.paint(Paint::Red, &format!("Not there: {}", one_line(missing))));
    }
    out
}
