//! `memoria pick`: some memories, or some commits, from one branch to another.

use crate::error::Result;
use crate::model::{Name, Rule};
use crate::wire::message::{Pick, Request};

use super::exit::Exit;
use super::moved::{self, Asked};
use super::terminal::{Out, plural};
use super::what::{self, Extent};

/// Take memories or commits over from another branch
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria pick 1a2b3c4d 5e6f7a8b --from experiment\n  \
    memoria pick 1a2b3c4d --from experiment --into main --strategy theirs")]
pub struct Args {
    /// Memories or commits; ids or unique prefixes
    #[arg(required = true, value_name = "ID|COMMIT")]
    what: Vec<String>,
    /// As they are there: any branch, snapshot …
    #[arg(long, value_name = "REV")]
    from: String,
    /// Into this branch, in place of the current one
    #[arg(long, value_name = "BRANCH", value_parser = what::name)]
    into: Option<Name>,
    #[arg(long, value_parser = what::strategy(), default_value = "fail", hide_possible_values = true,
        hide_default_value = true, help = what::STRATEGIES_HELP)]
    strategy: Rule,
    #[command(flatten)]
    extent: Extent,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let source = match &args.what[..] {
        [one] => format!("{one} of {}", args.from),
        more => format!("{} of {}", plural(more.len() as u64, "thing", "things"), args.from),
    };
    let asked = Asked { source, branch: args.into.clone() };
    let make = |page| {
        Request::Pick(Pick {
            what: args.what.clone(),
            from: args.from.clone(),
            into: args.into.clone(),
            rule: args.strategy,
            mode: args.extent.mode(),
            page,
        })
    };
    moved::run(&args.extent, asked, make, out).await
}
