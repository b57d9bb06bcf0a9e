//! `memoria mcp`: the shim that agents spawn. All of it is in `client/shim.rs`.

use crate::client::shim;
use crate::error::Result;
use crate::paths::Paths;

pub fn run() -> Result<()> {
    shim::run(&Paths::from_env()?)
}
