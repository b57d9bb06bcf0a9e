//! `memoria apply`: a difference, or a chosen part of it, done on a branch.

use crate::error::Result;
use crate::model::{Name, Rule};
use crate::wire::message::{Apply, Request};

use super::exit::Exit;
use super::moved::{self, Asked};
use super::terminal::Out;
use super::what::{self, Extent};

/// Apply what differs between two states, or part of it
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria apply main experiment 1a2b3c4d 5e6f7a8b\n  \
    memoria apply nightly main --into experiment --dry-run\n\n\
    `memoria diff FROM TO` shows what there is to apply.")]
pub struct Args {
    /// The earlier state: a branch, snapshot, commit or time
    from: String,
    /// The later state
    to: String,
    /// Only these memories; ids or unique prefixes
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// On this branch, in place of the current one
    #[arg(long, value_name = "BRANCH", value_parser = what::name)]
    into: Option<Name>,
    #[arg(long, value_parser = what::strategy(), default_value = "fail", hide_possible_values = true,
        hide_default_value = true, help = what::STRATEGIES_HELP)]
    strategy: Rule,
    #[command(flatten)]
    extent: Extent,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let asked = Asked { source: format!("{} -> {}", args.from, args.to), branch: args.into.clone() };
    let make = |page| {
        Request::Apply(Apply {
            from: Some(args.from.clone()),
            to: args.to.clone(),
            ids: args.ids.clone(),
            into: args.into.clone(),
            rule: args.strategy,
            mode: args.extent.mode(),
            page,
        })
    };
    moved::run(&args.extent, asked, make, out).await
}
