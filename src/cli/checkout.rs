//! `memoria checkout`: the branch that what is typed here is about from now on.

use serde_json::json;

use crate::error::Result;
use crate::model::Name;
use crate::wire::message::{Checkout, Request, Response};

use super::ask::{ask, unexpected};
use super::exit::Exit;
use super::terminal::{Out, Paint, plural};
use super::{json, what};

/// Go to a branch
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria checkout experiment\n  memoria checkout main\n\n\
    It is for what you type in this project. Agents at work stay on their own\n\
    branch; those that begin later in this project start on this one.")]
pub struct Args {
    /// The branch
    #[arg(value_parser = what::name)]
    name: Name,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let Response::Branches(branches) = ask(Request::Checkout(Checkout { name: args.name })).await? else {
        return Err(unexpected());
    };
    let here = branches.branches.iter().find(|branch| branch.name == branches.current);
    out.answer(
        || {
            let here = here.map(|branch| json::name(branch, &branches.flagged));
            json!({"current": branches.current.as_str(), "branch": here})
        },
        |style| {
            let live = here.map(|branch| format!(": {}", plural(branch.live, "memory", "memories")));
            let name = style.paint(Paint::Green, branches.current.as_str());
            let merging = if branches.merging.contains(&branches.current) {
                "A merge is in progress there: `memoria resolve` shows what is open.\n"
            } else {
                ""
            };
            format!("On {name} now{}.\n{merging}", live.unwrap_or_default())
        },
    )?;
    Ok(Exit::Ok)
}
