//! Compaction and repair, asked for by a person or by the quiet of the house.

use super::Service;
use crate::clock;
use crate::engine::Engine;
use crate::error::Result;
use crate::model::{Compacted, Time};
use crate::wire::message::{Response, Upkeep, Verified};

const HOUR_MS: i64 = 60 * 60 * 1_000;
const DAY_MS: i64 = 24 * HOUR_MS;

impl<E: Engine> Service<E> {
    pub async fn upkeep(&self, ask: Upkeep) -> Result<Response> {
        match ask {
            Upkeep::Compact => self.compact(clock::now()).await.map(Response::Compacted),
            Upkeep::Repair => Ok(Response::Verified(Verified { checks: self.engine.repair().await? })),
        }
    }

    /// Forgets what no name has reached for longer than the grace period.
    pub async fn forget_old(&self) -> Result<Compacted> {
        // An engine takes a moment that is all but now for a person's wish to have the file written anew.
        let grace_ms = (i64::from(self.config().store.grace_days) * DAY_MS).max(HOUR_MS);
        self.compact(clock::now().plus_ms(-grace_ms)).await
    }

    async fn compact(&self, before: Time) -> Result<Compacted> {
        self.engine.compact(before).await
    }
}
