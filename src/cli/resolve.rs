//! `memoria resolve`: the conflicts of a merge in progress, settled one by one or by rule.

use clap::ValueEnum;

use crate::error::{Error, Result};
use crate::model::Name;
use crate::wire::message::{Request, Resolve, Settle, Side};

use super::exit::Exit;
use super::moved::{self, Asked};
use super::terminal::Out;
use super::what::{self, Extent};

/// Settle the conflicts of a merge
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria resolve                             what is open\n  \
    memoria resolve 1a2b3c4d --take theirs\n  \
    memoria resolve 1a2b3c4d --text \"We deploy with Buildkite\"\n  \
    memoria resolve --all --take ours\n  memoria resolve --commit\n  memoria resolve --abort")]
#[command(group = clap::ArgGroup::new("how").args(["take", "text", "abort", "commit"]))]
pub struct Args {
    /// Which memories; ids or unique prefixes
    #[arg(value_name = "ID", conflicts_with_all = ["abort", "commit", "all"])]
    ids: Vec<String>,
    /// Settle them with this side
    #[arg(long, value_enum, value_name = "base|ours|theirs", hide_possible_values = true)]
    take: Option<Take>,
    /// Settle it with a text of its own; `-`: from stdin
    #[arg(long)]
    text: Option<String>,
    /// With --take: every open conflict
    #[arg(long, requires = "take")]
    all: bool,
    /// End the merge without a commit
    #[arg(long)]
    abort: bool,
    /// Make the merge, if nothing is open
    #[arg(long)]
    commit: bool,
    /// Of the merge into this branch, in place of the current one
    #[arg(long, value_name = "BRANCH", value_parser = what::name)]
    into: Option<Name>,
    /// Show at most so many; 0 is all
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
}

#[derive(Clone, Copy, ValueEnum)]
enum Take {
    Base,
    Ours,
    Theirs,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let what = settle(&args)?;
    // A step of its own may be told twice over: what it did is not done by looking again.
    let extent = Extent { dry_run: false, limit: args.limit };
    let asked = Asked { branch: args.into.clone(), ..Asked::default() };
    let make = |page| Request::Resolve(Resolve { into: args.into.clone(), what: what.clone(), page });
    moved::run(&extent, asked, make, out).await
}

fn settle(args: &Args) -> Result<Settle> {
    if args.abort {
        return Ok(Settle::Abort);
    }
    if args.commit {
        return Ok(Settle::Commit);
    }
    if let Some(text) = &args.text {
        let [id] = &args.ids[..] else {
            return Err(Error::invalid("--text settles one conflict: `memoria resolve ID --text TEXT`"));
        };
        return Ok(Settle::Text { id: id.clone(), text: what::text(text.clone())? });
    }
    let Some(take) = args.take else {
        return match args.ids.is_empty() {
            true => Ok(Settle::Look),
            false => Err(Error::invalid("settle how? Add `--take ours`, `--take theirs`, `--take base` or --text")),
        };
    };
    if args.ids.is_empty() && !args.all {
        return Err(Error::invalid("which conflicts? Name their ids, or `--all`"));
    }
    let side = match take {
        Take::Base => Side::Base,
        Take::Ours => Side::Ours,
        Take::Theirs => Side::Theirs,
    };
    Ok(Settle::Take { ids: args.ids.clone(), side })
}
