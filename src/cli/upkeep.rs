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
                "bytes_before": room(bytes_before),
                "bytes_after": room(bytes_after),
            })
        },
        |_| {
            let held = match (room(bytes_before), room(bytes_after)) {
                (Some(before), Some(after)) => {
                    format!("The store has {} now, and had {}.", bytes(after), bytes(before))
                }
                _ => "How much room that gives back is known to the server alone.".to_owned(),
            };
            format!(
                "Forgot {} versions, {} commits and {} deleted names that nothing reached.\n{held}\n",
                count(versions),
                count(commits),
                count(names),
            )
        },
    )?;
    Ok(Exit::Ok)
}

/// Bytes of a store's file; a store that is in a database has none.
fn room(bytes: u64) -> Option<u64> {
    (bytes > 0).then_some(bytes)
}

/// The checks afterwards are those of `memoria verify`.
pub async fn repair(out: &Out) -> Result<Exit> {
    match ask(Request::Upkeep(Upkeep::Repair)).await? {
        Response::Verified(verified) => super::verify::report(&verified, out),
        _ => Err(unexpected()),
    }
}
