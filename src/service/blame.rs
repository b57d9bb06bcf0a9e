//! `blame`: who taught us this, when, from where, and what it said before; through merges.

use super::revision::Seen;
use super::show::unknown;
use super::{Caller, Service};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::{CommitFilter, Page, Walk};
use crate::wire::message::{Blame, Blamed};

impl<E: Engine> Service<E> {
    pub async fn blame(&self, caller: &Caller, ask: Blame) -> Result<Blamed> {
        let Seen { at, moment, .. } = self.seen(caller, ask.view).await?;
        let id = self.engine.find(&ask.id).await?;
        let live = self.engine.read(&at, &[id]).await?.pop().flatten();
        let filter = CommitFilter { memory: Some(id), ..CommitFilter::default() };
        let (entries, history_total) = self.engine.history(&at, &filter, Walk::All, Page::default()).await?;
        let is_live = live.is_some();
        let (history, newest) = self.past_of(entries).await?;
        let version = live.or(newest).ok_or_else(|| unknown(&ask.id))?;
        let memory = self.shape_at(vec![version], moment).await?.pop();
        let memory = memory.ok_or_else(|| Error::internal("a memory could not be shaped"))?;
        Ok(Blamed { memory, is_live, history, history_total })
    }
}
