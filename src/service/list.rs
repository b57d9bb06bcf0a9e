//! `list`: memories by what they are, newest first.

use super::{Caller, Service, checked_filter, fitting};
use crate::engine::Engine;
use crate::error::Result;
use crate::model::Page;
use crate::wire::limits;
use crate::wire::message::{List, Listed};

impl<E: Engine> Service<E> {
    pub async fn list(&self, caller: &Caller, ask: List) -> Result<Listed> {
        let filter = checked_filter(caller, ask.place, ask.filter)?;
        let seen = self.seen(caller, ask.view).await?;
        let limit = if ask.page.limit == 0 { limits::RESULTS_MAX } else { ask.page.limit.min(limits::RESULTS_MAX) };
        let listing = self.engine.page(&seen.at, &filter, Page { limit, ..ask.page }).await?;
        Ok(Listed { point: seen.point(), memories: self.shape(fitting(listing.memories)).await?, total: listing.total })
    }
}
