//! Being written.

use super::exit::Exit;
use super::terminal::Out;
use crate::error::Result;
pub fn run(_: &Out) -> Result<Exit> {
    Err(crate::error::Error::unavailable("not built yet"))
}
