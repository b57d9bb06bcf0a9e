//! `memoria restart`: an orderly end and a new start; `--force` for a daemon that does not end.

use serde_json::json;
use tokio::time::timeout;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::wire::message::{ClientKind, StopReason};

use super::exit::Exit;
use super::process::{end_wait, ends_within, holder, kill};
use super::start::status;
use super::stop::{request_stop, stop};
use super::terminal::Out;

/// Restart the daemon; agents notice nothing
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria restart\n  memoria restart --force")]
pub struct Args {
    /// Kill it if it does not end; acknowledged writes are safe
    #[arg(long)]
    force: bool,
}

pub async fn run(args: &Args, out: &Out) -> Result<Exit> {
    let paths = Paths::from_env()?;
    let (before, is_killed) =
        if args.force { end(&paths, out).await? } else { (stop(&paths, StopReason::Stop).await?, false) };
    let mut client = Client::connect_or_start(&paths, ClientKind::Cli).await?;
    let status = status(&mut client).await?;
    out.answer(
        || json!({"before": before, "killed": is_killed, "version": status.version, "pid": status.pid}),
        |_| {
            let ended = match before {
                Some(pid) if is_killed => format!("Killed pid {pid}. "),
                Some(pid) => format!("Stopped pid {pid}. "),
                None => String::new(),
            };
            format!("{ended}Started: memoriad {}, pid {}.\n", status.version, status.pid)
        },
    )?;
    Ok(Exit::Ok)
}

/// The pid that ended, and whether it had to be killed. A process is killed only while it holds the daemon's lock.
async fn end(paths: &Paths, out: &Out) -> Result<(Option<u32>, bool)> {
    let Some(seen) = holder(paths)? else { return Ok((None, false)) };
    let time = end_wait(paths);
    // It may be deaf: neither connecting nor asking may take longer than the end itself.
    let asked = timeout(time, request_stop(paths, StopReason::Stop)).await;
    if let Ok(Ok(Some(_))) = asked {
        if !out.json {
            out.line(&format!("Asked {} to end; waiting up to {} s.", seen.pid_text(), time.as_secs()))?;
        }
        if ends_within(paths, seen, time).await? {
            return Ok((seen.pid(), false));
        }
    }
    let Some(still) = holder(paths)?.filter(|still| *still == seen) else { return Ok((seen.pid(), false)) };
    let pid = still.pid().ok_or_else(|| {
        Error::unavailable(format!(
            "{} is locked by a process that did not write its id there. Find it with `lsof` and end it",
            paths.lock_file().display()
        ))
    })?;
    kill(pid)?;
    if ends_within(paths, still, time).await? {
        return Ok((Some(pid), true));
    }
    Err(Error::unavailable(format!("pid {pid} was killed and still holds the store: the system has not let it go")))
}
