//! `memoria retrieve`: what is known about a question, best first.

use serde_json::json;

use crate::clock;
use crate::error::Result;
use crate::model::Parts;
use crate::wire::message::{Hit, Request, Response, Retrieve, Retrieved};

use super::ask::{ask, unexpected};
use super::exit::Exit;
use super::terminal::{Out, Paint, Style, one_line, plural};
use super::what::{Where, Which};
use super::{json, text};

/// Find what is known about a question
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria retrieve \"how do we deploy?\"\n  \
    memoria retrieve \"auth middleware\" --top-k 10 --tag security --explain")]
pub struct Args {
    /// In your own words
    #[arg(required = true, value_name = "QUESTION")]
    question: Vec<String>,
    /// At most this many [default: as search.top_k]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    top_k: Option<u32>,
    /// Budget for the texts, about four bytes a token
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: Option<u32>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    at: Where,
    /// Show how each score came about
    #[arg(long)]
    explain: bool,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let request = Retrieve {
        view: args.at.view(),
        question: args.question.join(" "),
        top_k: args.top_k.unwrap_or(0),
        max_tokens: args.max_tokens.unwrap_or(0),
        place: args.which.place(),
        filter: args.which.filter(),
        explain: args.explain,
        ..Retrieve::default()
    };
    let Response::Retrieved(found) = ask(Request::Retrieve(request)).await? else { return Err(unexpected()) };
    out.answer(|| as_json(&found), |style| as_text(&found, style, clock::now()))?;
    Ok(Exit::Ok)
}

fn as_json(found: &Retrieved) -> serde_json::Value {
    let memory = |hit: &Hit| {
        let mut more = json!({"score": json::number(hit.score)});
        if let Some(parts) = &hit.parts {
            more["parts"] = json::parts(parts);
        }
        json::memory_with(&hit.memory, more)
    };
    json!({
        "memories": found.hits.iter().map(memory).collect::<Vec<_>>(),
        "at": json::point(&found.point),
        "left_out": found.left_out,
        "lexical_only": found.lexical_only,
        "notice": found.notice,
    })
}

fn as_text(found: &Retrieved, style: &Style, now: crate::model::Time) -> String {
    if found.hits.is_empty() {
        let nothing = match found.left_out {
            0 => "Nothing is known about that.\n".to_owned(),
            n => format!("{} found, none within --max-tokens.\n", plural(n, "memory", "memories")),
        };
        return notice(found, style) + &nothing;
    }
    let mut out = notice(found, style);
    for hit in &found.hits {
        let score = style.bold(&format!("{:.2}", hit.score));
        out += &format!("{score}  {}\n", text::headline(&hit.memory, style, now));
        out += &style.block(&hit.memory.memory.text, 6);
        if let Some(parts) = &hit.parts {
            out += &explained(parts, style);
        }
    }
    if found.left_out > 0 {
        let more = plural(found.left_out, "relevant memory", "relevant memories");
        out += &style.dim(&format!("{more} left out: raise --top-k or --max-tokens.\n"));
    }
    out
}

/// Why vectors had no part in it, where they should have.
fn notice(found: &Retrieved, style: &Style) -> String {
    found
        .notice
        .as_ref()
        .map(|notice| format!("{}\n", style.paint(Paint::Yellow, &one_line(notice))))
        .unwrap_or_default()
}

fn explained(parts: &Parts, style: &Style) -> String {
    let scores = format!(
        "words {:.3} + neighbours {:.3}; × trust {:.2} × age {:.2} × place {:.2}",
        parts.lexical,
        // No `-0.000`.
        parts.neighbours.max(0.0),
        parts.trust,
        parts.age,
        parts.place
    );
    let terms: Vec<String> = parts.terms.iter().map(|(term, share)| format!("{} {share:.3}", one_line(term))).collect();
    let mut out = String::new();
    for line in [scores, format!("terms: {}", terms.join(", "))] {
        for line in style.block(&line, 6).lines() {
            out += &format!("{}\n", style.dim(line));
        }
    }
    out
}
