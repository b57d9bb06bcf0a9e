//! `memoria compact` and `memoria repair`: what the daemon does by itself when it must, done now.

use serde_json::json;

use crate::error::Result;
use crate::model::Compacted;
use crate::wire::message::{Request, Response, Upkeep};

use super::ask::{ask, unexpected};
use super::exit::Exit;
use super::terminal::{Out, bytes, count};

/// Forget now what no branch or snapshot reaches, and shrink the file
#[derive(clap::Args)]
#[command(after_help = "Example:\n  memoria compact --now\n\n\
    The daemon does this by itself, after days of grace. Done now, deleted branches\n\
    and snapshots cannot be restored any more.")]
pub struct CompactArgs {
    /// Without the days of grace
    #[arg(long, required = true)]
    now: bool,
}

pub async fn compact(_: CompactArgs, out: &Out) -> Result<Exit> {
    let Response::Compacted(done) = ask(Request::Upkeep(Upkeep::Compact)).await? else { return Err(unexpected()) };
    let Compacted { versions, commits, names, marks, bytes_before, bytes_after } = done;
    out.answer(
        || {
            json!({
                "versions": versions,
                "commits": commits,
                "names": names,
                "marks": marks,
                "bytes_before": bytes_before,
                "bytes_after": bytes_after,
            })
        },
        |_| {
            format!(
                "Forgot {} versions, {} commits and {} deleted names that nothing reached.\n\
                 The store has {} now, and had {}.\n",
                count(versions),
                count(commits),
                count(names),
                bytes(bytes_after),
                bytes(bytes_before)
            )
        },
    )?;
    Ok(Exit::Ok)
}

/// The checks afterwards are those of `memoria verify`.
pub async fn repair(out: &Out) -> Result<Exit> {
    match ask(Request::Upkeep(Upkeep::Repair)).await? {
        Response::Verified(verified) => super::verify::report(&verified, out),
        _ => Err(unexpected()),
    }
}
