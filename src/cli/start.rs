//! `memoria start`: a daemon that is ready, whether it was before or not.

use serde_json::json;

use crate::client::Client;
use crate::error::Result;
use crate::paths::Paths;
use crate::wire::message::{ClientKind, Request, Response, Status};

use super::ask::unexpected;
use super::exit::Exit;
use super::terminal::Out;

pub async fn run(out: &Out) -> Result<Exit> {
    let paths = Paths::from_env()?;
    let running = Client::connect(&paths, ClientKind::Cli).await?;
    let was_running = running.is_some();
    let mut client = match running {
        Some(client) => client,
        None => Client::connect_or_start(&paths, ClientKind::Cli).await?,
    };
    let said = if was_running { "Already running" } else { "Started" };
    let status = status(&mut client).await?;
    out.answer(
        || json!({"started": !was_running, "version": status.version, "pid": status.pid}),
        |_| format!("{said}: memoriad {}, pid {}.\n", status.version, status.pid),
    )?;
    Ok(Exit::Ok)
}

pub async fn status(client: &mut Client) -> Result<Box<Status>> {
    match client.ask(Request::Status).await? {
        Response::Status(status) => Ok(status),
        _ => Err(unexpected()),
    }
}
