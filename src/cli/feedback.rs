//! `memoria feedback`: how a memory served.

use serde_json::json;

use crate::error::Result;
use crate::model::Signal;
use crate::wire::message::{Rate, Request, Response};

use super::ask::{ask, unexpected};
use super::exit::Exit;
use super::terminal::{Out, Paint};
use super::{json, text, what};

/// Say how a memory served: it settles near-ties, and keeps it young
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria feedback 1a2b3c4d useful\n  memoria feedback 1a2b3c4d outdated\n\n\
    It is counted with the memory on every branch, and is no commit. What no longer\n\
    holds still stands: `memoria correct` or `memoria purge` it.")]
pub struct Args {
    /// The memory's id, or any unique prefix of 8 digits or more
    id: String,
    /// useful, irrelevant, outdated or wrong
    #[arg(value_parser = what::signal(), hide_possible_values = true)]
    signal: Signal,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let request = Request::Feedback(Rate { id: args.id, signal: args.signal });
    let Response::Rated(rated) = ask(request).await? else { return Err(unexpected()) };
    out.answer(
        || {
            let feedback = json::feedback(&rated.feedback);
            json!({"id": rated.id.to_string(), "signal": rated.signal.as_str(), "feedback": feedback})
        },
        |style| {
            let id = style.paint(Paint::Yellow, &rated.short_id());
            let mut said = format!("Noted: {id} was {}{}.\n", rated.signal, text::rated(&rated.feedback));
            if matches!(rated.signal, Signal::Outdated | Signal::Wrong) {
                said += "It still stands: `memoria correct` it, or `memoria purge` it.\n";
            }
            said
        },
    )?;
    Ok(Exit::Ok)
}
