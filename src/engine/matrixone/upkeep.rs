//! Upkeep: being built by core.

use super::store::Store;
use crate::engine::Erase;
use crate::error::{Error, Result};
use crate::model::*;

fn unbuilt<T>() -> Result<T> {
    Err(Error::unavailable("being built"))
}

impl Store {
    pub fn erase(&self, _: OpId, _: &Erase) -> Result<Erased> {
        unbuilt()
    }
    pub fn compact(&self, _: Time) -> Result<Compacted> {
        unbuilt()
    }
    pub fn verify(&self) -> Result<Vec<Check>> {
        unbuilt()
    }
    pub fn repair(&self) -> Result<Vec<Check>> {
        unbuilt()
    }
}
