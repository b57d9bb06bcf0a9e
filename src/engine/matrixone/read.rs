//! Reading: being built by search.

use super::store::Store;
use crate::engine::At;
use crate::error::{Error, Result};
use crate::model::*;

fn unbuilt<T>() -> Result<T> {
    Err(Error::unavailable("being built"))
}

impl Store {
    pub fn read(&self, _: &At, _: &[MemoryId]) -> Result<Vec<Option<Version>>> {
        unbuilt()
    }
    pub fn versions(&self, _: &[VersionId]) -> Result<Vec<Option<Memory>>> {
        unbuilt()
    }
    pub fn page(&self, _: &At, _: &Filter, _: Page) -> Result<Listing> {
        unbuilt()
    }
    pub fn candidates(&self, _: &At, _: &Query) -> Result<Candidates> {
        unbuilt()
    }
    pub fn unembedded(&self, _: &Space, _: u32) -> Result<Vec<Unembedded>> {
        unbuilt()
    }
    pub fn embed(&self, _: &Space, _: &[Embedding]) -> Result<()> {
        unbuilt()
    }
    pub fn spaces(&self) -> Result<Vec<Filled>> {
        unbuilt()
    }
    pub fn forget_space(&self, _: &ModelId) -> Result<()> {
        unbuilt()
    }
    pub fn containing(&self, _: &At, _: &[String], _: &Filter, _: u32) -> Result<(Vec<MemoryId>, u32)> {
        unbuilt()
    }
    pub fn scan(&self, _: &At, _: &Filter, _: u64, _: u32) -> Result<Scan> {
        unbuilt()
    }
    pub fn find(&self, _: &str) -> Result<MemoryId> {
        unbuilt()
    }
    pub fn short_lens(&self, _: &[MemoryId]) -> Result<Vec<u8>> {
        unbuilt()
    }
}
