//! `memoria undo` and `memoria redo`: your own last operations on a branch. What people type in one project is one
//! session, so that this is about everything that was typed here.

use crate::error::Result;
use crate::model::Name;
use crate::wire::message::{Request, Undo, Way};

use super::exit::Exit;
use super::moved::{self, Asked};
use super::terminal::Out;
use super::what::{self, Extent};

#[derive(clap::Args)]
pub struct Args {
    /// How many operations
    #[arg(value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// On this branch, in place of the current one
    #[arg(long, value_name = "BRANCH", value_parser = what::name)]
    branch: Option<Name>,
    #[command(flatten)]
    extent: Extent,
}

pub async fn run(args: Args, way: Way, out: &Out) -> Result<Exit> {
    let asked = Asked { branch: args.branch.clone(), ..Asked::default() };
    let (mode, count) = (args.extent.mode(), args.count);
    let make = |page| Request::Undo(Undo { way, count, branch: args.branch.clone(), mode, page });
    moved::run(&args.extent, asked, make, out).await
}
