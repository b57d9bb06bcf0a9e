//! `memoria revert`: what these commits changed, taken back by a new one.

use crate::error::Result;
use crate::model::{Later, Name};
use crate::wire::message::{Request, Revert};

use super::exit::Exit;
use super::moved::{self, Asked};
use super::terminal::{Out, plural};
use super::what::{self, Extent};

/// Take back what a commit changed
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria revert 1a2b3c4d\n  memoria revert 1a2b3c4d 5e6f7a8b --dry-run\n\n\
    `memoria log` lists commits. A merge is taken back with all that it brought.")]
pub struct Args {
    /// Ids or unique prefixes
    #[arg(required = true, value_name = "COMMIT")]
    commits: Vec<String>,
    /// Take back later work on it, too
    #[arg(long)]
    force: bool,
    /// On this branch, in place of the current one
    #[arg(long, value_name = "BRANCH", value_parser = what::name)]
    branch: Option<Name>,
    #[command(flatten)]
    extent: Extent,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let source = match &args.commits[..] {
        [one] => one.clone(),
        more => plural(more.len() as u64, "commit", "commits"),
    };
    let asked = Asked { source, branch: args.branch.clone() };
    let make = |page| {
        Request::Revert(Revert {
            commits: args.commits.clone(),
            branch: args.branch.clone(),
            later: if args.force { Later::Take } else { Later::Keep },
            mode: args.extent.mode(),
            page,
        })
    };
    moved::run(&args.extent, asked, make, out).await
}
