//! `memoria correct`: a new text for a memory that is known; the old one stays in its history.

use serde_json::json;

use crate::error::{Error, Result};
use crate::model::{Name, Trust};
use crate::wire::message::{Correct, Corrected, Expiry, Marks, Request, Response, SessionScope, Target};

use super::ask::{ask, unexpected};
use super::exit::Exit;
use super::terminal::{Out, Paint, Style};
use super::what::{self, Which};
use super::{json, text};

/// Replace the text of a memory; the old one stays in its history
#[derive(clap::Args)]
#[command(
    override_usage = "memoria correct [OPTIONS] ID TEXT\n       memoria correct [OPTIONS] --question QUESTION TEXT"
)]
#[command(
    after_help = "Examples:\n  memoria correct 1a2b3c4d \"We deploy with Buildkite\" --reason \"moved in May\"\n  \
    memoria correct --question \"how do we deploy?\" \"We deploy with Buildkite\""
)]
pub struct Args {
    /// Id or unique prefix, then the new text (`-`: stdin)
    #[arg(required = true, num_args = 1..=2, value_names = ["ID", "TEXT"])]
    words: Vec<String>,
    /// Correct the memory that answers this
    #[arg(long)]
    question: Option<String>,
    /// Why; kept in the history
    #[arg(long)]
    reason: Option<String>,
    /// From T1 (you verified it, the default) to T4
    #[arg(long, value_parser = what::trust(), hide_possible_values = true)]
    trust: Option<Trust>,
    /// When it ends: 3d, 18:00, 2026-12-01 or never
    #[arg(long, value_name = "WHEN", value_parser = what::expiry)]
    expires: Option<Expiry>,
    #[command(flatten)]
    which: Which,
    /// On this branch, in place of the current one
    #[arg(long, value_name = "BRANCH", value_parser = what::name)]
    branch: Option<Name>,
}

pub async fn run(mut args: Args, out: &Out) -> Result<Exit> {
    let text = what::text(args.words.pop().unwrap_or_default())?;
    let target = match (args.words.pop(), args.question) {
        (Some(id), None) => Target::Id(id),
        (None, Some(question)) => Target::Question {
            question,
            place: args.which.place(),
            filter: args.which.filter(),
            session_scope: SessionScope::Only,
        },
        (None, None) => {
            return Err(Error::invalid("which memory? Type `memoria correct ID TEXT`, or --question QUESTION TEXT"));
        }
        (Some(_), Some(_)) => return Err(Error::invalid("give an id or --question, not both")),
    };
    let marks = Marks { pinned: None, expiry: args.expires.unwrap_or_default() };
    let (branch, reason, trust) = (args.branch, args.reason, args.trust);
    let request = Correct { branch, target, text, reason, trust, tags: None, marks };
    let Response::Corrected(corrected) = ask(Request::Correct(request)).await? else { return Err(unexpected()) };
    out.answer(|| as_json(&corrected), |style| as_text(&corrected, style))?;
    Ok(Exit::Ok)
}

fn as_json(corrected: &Corrected) -> serde_json::Value {
    json::memory_with(
        &corrected.memory,
        json!({
            "before": corrected.before,
            "unchanged": corrected.is_unchanged,
            "masked": json::masked(&corrected.masked),
            "branch": corrected.branch.as_str(),
            "commit": json::id(corrected.commit),
        }),
    )
}

fn as_text(corrected: &Corrected, style: &Style) -> String {
    let id = style.paint(Paint::Yellow, &corrected.memory.short_id());
    if corrected.is_unchanged {
        return format!("{id} says that already: nothing was written.\n");
    }
    let mut out = format!("Corrected {id}{}\n", text::on(&corrected.branch));
    let marked = |mark: &str, paint, text: &str| {
        let block = style.block(text, 2);
        block.lines().map(|line| format!("{}\n", style.paint(paint, &line.replacen(' ', mark, 1)))).collect::<String>()
    };
    out += &marked("-", Paint::Red, &text::flagged(&corrected.before_flags, &corrected.before));
    out += &marked("+", Paint::Green, &text::said(&corrected.memory));
    out + &text::masked(&corrected.masked, style)
}
