//! A whole store on its way to the other engine: copied, compared, and asked the same as the old one. Who may write
//! meanwhile, and how long nobody need ask, is the daemon's.

use super::Service;
use crate::clock;
use crate::engine::Engine;
use crate::engine::copy::{Agreement, Giver, Progress, Stage, Taker, agreement, carry};
use crate::error::Result;
use crate::wire::message::{Relocated, RelocationStage};

/// Where asking both the same begins, of all that is to be done.
const SEALED: f32 = 0.97;

impl<E: Engine + Giver> Service<E> {
    /// Goes on where an earlier call ended. `tell` hears how far it is, and its error ends the call. `open` opens the
    /// new store once it is one.
    pub async fn relocate<T: Taker, N: Engine>(
        &self,
        taker: &T,
        open: impl AsyncFnOnce() -> Result<N>,
        mut tell: impl FnMut(Relocated) -> Result<()> + Send,
    ) -> Result<Relocated> {
        let mut rows = 0;
        carry(&self.engine, taker, |progress| {
            rows = progress.rows;
            tell(copied(progress))
        })
        .await?;
        tell(Relocated::of(RelocationStage::Checking, rows, SEALED))?;
        let new = open().await?;
        let Agreement { branches, snapshots, commits, questions } = agreement(&self.engine, &new, clock::now()).await?;
        new.rest().await?;
        Ok(Relocated { branches, snapshots, commits, questions, ..Relocated::of(RelocationStage::Done, rows, 1.0) })
    }
}

fn copied(Progress { stage, rows, share }: Progress) -> Relocated {
    let stage = match stage {
        Stage::Copying => RelocationStage::Copying,
        Stage::Comparing => RelocationStage::Comparing,
        Stage::Sealing => RelocationStage::Sealing,
    };
    Relocated::of(stage, rows, share)
}
