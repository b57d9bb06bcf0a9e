//! `profile`: who the user is, or who somebody else is that memories are about.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Caller, Service, checked_filter};
use crate::engine::Engine;
use crate::error::Result;
use crate::model::{Filter, Kind, Page, SubjectId, Version};
use crate::wire::limits;
use crate::wire::message::{Profile, Profiled};

const SHOWN: u32 = 50;
/// That are looked at in one request to the engine.
const AT_ONCE: u32 = 1_000;

impl<E: Engine> Service<E> {
    /// What is about one subject only: where several people are remembered, none is told another's preferences.
    pub async fn profile(&self, caller: &Caller, ask: Profile) -> Result<Profiled> {
        let filter = checked_filter(caller, ask.place, Filter { kinds: vec![Kind::Profile], ..Filter::default() })?;
        let seen = self.seen(caller, ask.view).await?;
        let mut others: BTreeMap<Option<SubjectId>, u32> = BTreeMap::new();
        let mut own: Vec<Version> = Vec::new();
        let mut page = Page { offset: 0, limit: AT_ONCE };
        loop {
            let listing = self.engine.page(&seen.at, &filter, page).await?;
            if listing.memories.is_empty() {
                break;
            }
            page.offset += listing.memories.len() as u32;
            for version in listing.memories {
                if version.memory.subject == ask.subject {
                    own.push(version);
                } else {
                    *others.entry(version.memory.subject).or_default() += 1;
                }
            }
            if page.offset >= listing.total {
                break;
            }
        }
        let total = own.len() as u32;
        let mut memories = self.shape_at(own, seen.moment).await?;
        memories.sort_by_key(|shaped| {
            let memory = &shaped.memory;
            (Reverse((memory.pinned, shaped.confidence, memory.observed_at)), memory.id)
        });
        let limit = if ask.limit == 0 { SHOWN } else { ask.limit.min(limits::RESULTS_MAX) };
        let mut bytes = 0;
        let fit = memories.iter().take(limit as usize).take_while(|shaped| {
            bytes += shaped.memory.text.len() + shaped.memory.metadata.len();
            bytes <= limits::RESULT_TEXTS_BYTES_MAX
        });
        let fit = fit.count();
        memories.truncate(fit);
        let others = others.into_iter().collect();
        Ok(Profiled { point: seen.point(), subject: ask.subject, memories, total, others })
    }
}
