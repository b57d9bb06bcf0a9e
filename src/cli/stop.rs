//! `memoria stop`: an orderly end, waited for.

use serde_json::json;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::wire::message::{ClientKind, Request, Response, StopReason};

use super::ask::unexpected;
use super::exit::Exit;
use super::process::{end_wait, ends_within, holder};
use super::terminal::Out;

pub async fn run(out: &Out) -> Result<Exit> {
    let paths = Paths::from_env()?;
    let stopped = stop(&paths, StopReason::Stop).await?;
    out.answer(
        || json!({"stopped": stopped.is_some(), "pid": stopped}),
        |_| stopped.map_or("No daemon was running.\n".to_owned(), |pid| format!("Stopped pid {pid}.\n")),
    )?;
    Ok(Exit::Ok)
}

/// Asks the daemon to drain and exit, and waits until it has; its pid, or `None` when there was none.
pub async fn stop(paths: &Paths, reason: StopReason) -> Result<Option<u32>> {
    // The lock says who is meant. It may not listen: then it is ending already, and that is waited for as well.
    let Some(holder) = holder(paths)? else { return Ok(None) };
    request_stop(paths, reason).await?;
    let time = end_wait(paths);
    if ends_within(paths, holder, time).await? {
        return Ok(holder.pid());
    }
    Err(Error::unavailable(format!(
        "{} still holds the store after {} s. `memoria restart --force` ends it and starts anew",
        holder.pid_text(),
        time.as_secs()
    )))
}

/// The pid of the daemon that now drains; `None` when nobody listens.
pub async fn request_stop(paths: &Paths, reason: StopReason) -> Result<Option<u32>> {
    let Some(mut client) = Client::connect(paths, ClientKind::Cli).await? else { return Ok(None) };
    match client.ask(Request::Stop(reason)).await? {
        Response::Stopping { pid } => Ok(Some(pid)),
        _ => Err(unexpected()),
    }
}
