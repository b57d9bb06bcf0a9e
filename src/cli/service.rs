//! Being written.

use super::exit::Exit;
use super::terminal::Out;
use crate::error::Result;
/// Start the daemon at login
#[derive(clap::Args)]
#[command(after_help = "Example:\n  memoria service install")]
pub struct Args {}
pub async fn run(_: &Args, _: &Out) -> Result<Exit> {
    Err(crate::error::Error::unavailable("not built yet"))
}
