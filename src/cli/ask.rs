//! Questions to the daemon, which is started when there is none.

use crate::client::Client;
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::wire::message::{ClientKind, Request, Response};

/// Runs a command's conversation on this thread.
pub fn block_on<T>(conversation: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::io("set up the connection", &e))?;
    runtime.block_on(conversation)
}

/// For a command that asks more than once.
pub async fn client() -> Result<Client> {
    Client::connect_or_start(&Paths::from_env()?, ClientKind::Cli).await
}

pub async fn ask(request: Request) -> Result<Response> {
    client().await?.ask(request).await
}

/// The daemon answered something else than was asked: the two are of different builds.
pub fn unexpected() -> Error {
    Error::protocol("the daemon gave an answer that does not fit the question. Run `memoria restart`")
}
