//! `memoria retrieve`: what is known about a question, best first.

use serde_json::json;

use crate::clock;
use crate::error::Result;
use crate::model::{Parts, Relation};
use crate::wire::message::{Beside, Hit, Request, Response, Retrieve, Retrieved, SessionScope, Shaped};

use super::ask::{ask, unexpected};
use super::exit::Exit;
use super::terminal::{Out, Paint, Style, one_line, plural};
use super::what::{self, Where, Which};
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
    /// How --session counts: only (default) or prefer
    #[arg(long, value_name = "SCOPE", requires = "session", value_parser = what::scope(),
        hide_possible_values = true)]
    session_scope: Option<SessionScope>,
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
        session_scope: args.session_scope.unwrap_or(SessionScope::Only),
        explain: args.explain,
    };
    let Response::Retrieved(found) = ask(Request::Retrieve(request)).await? else { return Err(unexpected()) };
    out.answer(|| as_json(&found), |style| as_text(&found, style, clock::now()))?;
    Ok(Exit::Ok)
}

fn as_json(found: &Retrieved) -> serde_json::Value {
    let memory = |hit: &Hit| {
        let beside =
            |beside: &Beside| json!({"memory": json::memory(&beside.memory), "relation": beside.relation.as_str()});
        let mut more = json!({
            "score": json::number(hit.score),
            "shortened": hit.is_shortened,
            "twins": hit.twins.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "beside": hit.beside.iter().map(beside).collect::<Vec<_>>(),
        });
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
        out += &around(hit, style);
        if let Some(parts) = &hit.parts {
            out += &explained(parts, &hit.memory, style);
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

/// What belongs to a hit besides its text, a line each.
fn around(hit: &Hit, style: &Style) -> String {
    let mut lines = Vec::new();
    if hit.is_shortened {
        lines.push(format!("shortened: `memoria show {}` has all of it", hit.memory.short_id()));
    }
    if hit.memory.feedback.is_doubted(&hit.memory.memory) {
        lines.push(format!("doubted{}", text::rated(&hit.memory.feedback)));
    }
    if !hit.twins.is_empty() {
        let ids: Vec<String> = hit.twins.iter().map(|id| id.to_string()[..8].to_owned()).collect();
        lines.push(format!(
            "{} more or less the same: {}",
            plural(hit.twins.len() as u32, "says", "say"),
            ids.join(", ")
        ));
    }
    for beside in &hit.beside {
        let memory = &beside.memory.memory;
        let relation = match beside.relation {
            Relation::Older => "older, says otherwise",
            Relation::LessTrusted => "relied on less, says otherwise",
        };
        let (id, date) = (beside.memory.short_id(), clock::local(memory.observed_at));
        lines.push(format!(
            "{relation}: {} ({id}, {})",
            one_line(&text::said(&beside.memory)),
            &date[..10.min(date.len())]
        ));
    }
    dimmed(&lines, style)
}

fn dimmed(lines: &[String], style: &Style) -> String {
    let blocks: Vec<String> = lines.iter().map(|line| style.block(line, 6)).collect();
    blocks.iter().flat_map(|block| block.lines()).map(|line| format!("{}\n", style.dim(line))).collect()
}

fn explained(parts: &Parts, shaped: &Shaped, style: &Style) -> String {
    // No `-0.000`.
    let plus = |number: f32| number.max(0.0);
    let scores = format!(
        "words {:.3}, meaning {:.3}, neighbours {:.3}, link {:.3}; × trust {:.2} × age {:.2} × place {:.2} \
         × feedback {:.2}",
        plus(parts.lexical),
        plus(parts.vector),
        plus(parts.neighbours),
        plus(parts.link),
        parts.trust,
        parts.age,
        parts.place,
        parts.feedback
    );
    let terms: Vec<String> = parts.terms.iter().map(|(term, share)| format!("{} {share:.3}", one_line(term))).collect();
    let sure = format!("confidence {:.2}{}", shaped.confidence.as_fraction(), text::rated(&shaped.feedback));
    let mut lines = vec![parts.reason.clone(), scores, sure];
    if !terms.is_empty() {
        lines.push(format!("terms: {}", terms.join(", ")));
    }
    dimmed(&lines, style)
}
