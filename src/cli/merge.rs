//! `memoria merge`: what one branch learned, brought into another.

use crate::error::Result;
use crate::model::{Name, Rule};
use crate::wire::message::{Merge, Request};

use super::exit::Exit;
use super::moved::{self, Asked};
use super::terminal::Out;
use super::what::{self, Extent};

/// Merge one branch into another
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria merge experiment\n  memoria merge experiment --into main --dry-run\n  \
    memoria merge experiment --strategy theirs\n\n\
    With conflicts the merge waits (exit code 5): `memoria resolve` settles them.")]
pub struct Args {
    /// What to merge: a branch, a snapshot, a commit or a time
    source: String,
    /// Into this branch, in place of the current one
    #[arg(long, value_name = "BRANCH", value_parser = what::name)]
    into: Option<Name>,
    #[arg(long, value_parser = what::strategy(), default_value = "fail", hide_possible_values = true,
        hide_default_value = true, help = what::STRATEGIES_HELP)]
    strategy: Rule,
    /// Why; kept in the history
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    extent: Extent,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let asked = Asked { source: args.source.clone(), branch: args.into.clone() };
    let make = |page| {
        Request::Merge(Merge {
            source: args.source.clone(),
            into: args.into.clone(),
            rule: args.strategy,
            note: args.message.clone(),
            mode: args.extent.mode(),
            page,
        })
    };
    moved::run(&args.extent, asked, make, out).await
}
