//! `memoria rollback`: a branch as it was, or without what somebody wrote. A commit of its own: it can be undone.

use crate::error::Result;
use crate::model::{Later, Name, OriginFilter, ProjectId, SessionId, Source, Time};
use crate::wire::message::{Back, Request, Rollback};

use super::exit::Exit;
use super::moved::{self, Asked};
use super::terminal::Out;
use super::what::{self, Extent};

const ORIGIN_HELP: &str = "What came from a user, agent, tool, import or\nfile, or from the tool or file of this name";

/// Take a branch back to a state, or take back what somebody wrote
#[derive(clap::Args)]
#[command(override_usage = "memoria rollback [OPTIONS] --to REV\n       \
    memoria rollback [OPTIONS] [--agent A] [--session S] [--project P]\n                        \
    [--origin O] [--since WHEN] [--until WHEN]")]
#[command(after_help = "Examples:\n  memoria rollback --to nightly\n  memoria rollback --to \"2h ago\" --dry-run\n  \
    memoria rollback --agent cursor --since 14:00\n\n\
    It is a new commit: history is kept, and `memoria undo` takes it back. With\n\
    --agent and the like, what others changed later is kept and listed.")]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true)
    .args(["to", "agent", "session", "project", "origin", "since", "until"]))]
pub struct Args {
    /// The whole branch, to a snapshot, commit, time …
    #[arg(long, value_name = "REV",
        conflicts_with_all = ["agent", "session", "project", "origin", "since", "until", "force"])]
    to: Option<String>,
    /// What this agent wrote; `you`: what people typed
    #[arg(long)]
    agent: Option<String>,
    /// What was written in this session
    #[arg(long, value_parser = what::session)]
    session: Option<SessionId>,
    /// What was written by those who worked in this project
    #[arg(long, value_parser = what::project)]
    project: Option<ProjectId>,
    #[arg(long, value_parser = origin, help = ORIGIN_HELP)]
    origin: Option<OriginFilter>,
    /// Written since: 14:00, 2026-05-01, 2h ago
    #[arg(long, value_name = "WHEN", value_parser = what::when)]
    since: Option<Time>,
    /// Written before
    #[arg(long, value_name = "WHEN", value_parser = what::when)]
    until: Option<Time>,
    /// Take back later work of others on it, too
    #[arg(long)]
    force: bool,
    /// On this branch, in place of the current one
    #[arg(long, value_name = "BRANCH", value_parser = what::name)]
    branch: Option<Name>,
    #[command(flatten)]
    extent: Extent,
}

fn origin(word: &str) -> Result<OriginFilter> {
    Ok(word.parse::<Source>().map_or_else(|_| OriginFilter::Named(word.to_owned()), OriginFilter::Source))
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let source = args.to.as_ref().map(|to| format!("to {to}")).unwrap_or_default();
    let asked = Asked { source, branch: args.branch.clone() };
    let what = match args.to {
        Some(to) => Back::To(to),
        None => Back::Of {
            agent: args.agent,
            session: args.session,
            project: args.project,
            origin: args.origin,
            since: args.since,
            until: args.until,
            later: if args.force { Later::Take } else { Later::Keep },
        },
    };
    let (branch, mode) = (args.branch, args.extent.mode());
    let make = |page| Request::Rollback(Rollback { branch: branch.clone(), what: what.clone(), mode, page });
    moved::run(&args.extent, asked, make, out).await
}
