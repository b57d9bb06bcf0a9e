//! `list`: memories by what they are, newest first.

use super::{Caller, Service, checked_filter, fitting, page_of};
use crate::engine::Engine;
use crate::error::Result;
use crate::wire::message::{List, Listed};

impl<E: Engine> Service<E> {
    pub async fn list(&self, caller: &Caller, ask: List) -> Result<Listed> {
        let filter = checked_filter(caller, ask.place, ask.filter)?;
        let seen = self.seen(caller, ask.view).await?;
        let listing = self.engine.page(&seen.at, &filter, page_of(ask.page)).await?;
        let memories = self.shape_at(fitting(listing.memories), seen.moment).await?;
        Ok(Listed { point: seen.point(), memories, total: listing.total })
    }
}
