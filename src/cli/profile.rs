//! `memoria profile`: who you are, as far as agents were told.

use serde_json::json;

use crate::clock;
use crate::error::Result;
use crate::model::{SubjectId, Time};
use crate::wire::message::{Place, Profile, Profiled, Request, Response};

use super::ask::{ask, unexpected};
use super::exit::Exit;
use super::terminal::{Out, Style, one_line, plural};
use super::what::{self, Where};
use super::{json, text};

/// Show what is known of you, or of somebody else, the surest first
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria profile\n  memoria profile --subject alice --limit 10\n\n\
    Of kind `profile`: `memoria store --kind profile \"I prefer small commits\"`.")]
pub struct Args {
    /// Somebody else, by the name that was stored with it
    #[arg(long, value_parser = what::subject)]
    subject: Option<SubjectId>,
    /// Another project; `global`: none, `*`: all
    #[arg(long, value_name = "PROJECT", value_parser = what::place)]
    project: Option<Place>,
    #[command(flatten)]
    at: Where,
    /// At most this many [default: 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let (view, place) = (args.at.view(), args.project.unwrap_or_default());
    let request = Profile { view, place, subject: args.subject, limit: args.limit.unwrap_or(0) };
    let Response::Profiled(profiled) = ask(Request::Profile(request)).await? else { return Err(unexpected()) };
    out.answer(|| as_json(&profiled), |style| as_text(&profiled, style, clock::now()))?;
    Ok(Exit::Ok)
}

fn as_json(profiled: &Profiled) -> serde_json::Value {
    let other = |(subject, count): &(Option<SubjectId>, u32)| {
        let subject = subject.as_ref().map(|subject| subject.as_str());
        json!({"subject": subject, "count": count})
    };
    json!({
        "memories": json::memories(&profiled.memories),
        "subject": profiled.subject.as_ref().map(|subject| subject.as_str()),
        "total": profiled.total,
        "others": profiled.others.iter().map(other).collect::<Vec<_>>(),
        "at": json::point(&profiled.point),
    })
}

fn as_text(profiled: &Profiled, style: &Style, now: Time) -> String {
    let mut out = String::new();
    for shaped in &profiled.memories {
        let sure = style.bold(&format!("{:.2}", shaped.confidence.as_fraction()));
        out += &format!("{sure}  {}\n{}", text::headline(shaped, style, now), style.block(&shaped.memory.text, 6));
    }
    if profiled.memories.is_empty() {
        out += "Nothing is known. `memoria store --kind profile TEXT` keeps something.\n";
    }
    let shown = profiled.memories.len() as u32;
    if shown < profiled.total {
        let total = plural(profiled.total, "memory", "memories");
        out += &style.dim(&format!("{shown} of {total}; `--limit` shows more.\n"));
    }
    for (subject, count) in &profiled.others {
        let how = subject
            .as_ref()
            .map_or("without --subject".to_owned(), |it| format!("--subject {}", one_line(it.as_str())));
        out += &style.dim(&format!("{}: {how}\n", plural(*count, "more memory", "more memories")));
    }
    out
}
