//! `diff`: what one state has and another has not, with the texts of a page, and what is almost the same on both sides.

use super::{Caller, Service, checked_filter, page_of};
use crate::engine::{At, Engine};
use crate::error::Result;
use crate::model::{Difference, Feedback, Filter, MemoryId, Version, VersionId};
use crate::search;
use crate::wire::limits;
use crate::wire::message::{Alike, Changed, Diff, Diffed, Lookalikes, Similar};

/// So many added memories are compared with the other side; more are a bulk, not something to look through.
const COMPARED_MAX: usize = 50;

impl<E: Engine> Service<E> {
    pub async fn diff(&self, caller: &Caller, ask: Diff) -> Result<Diffed> {
        let branch = self.branch(caller, ask.branch);
        let from = self.side(ask.from, &branch).await?;
        let to = self.side(ask.to, &branch).await?;
        let filter = match (&ask.filter, ask.place) {
            // Where nothing narrows it, a diff is of everything, whatever project the caller stands in.
            (filter, crate::wire::message::Place::Here) if *filter == Filter::default() => Filter::default(),
            (filter, place) => checked_filter(caller, place, filter.clone())?,
        };
        let diff = self.engine.diff(&from.at, &to.at, &filter, page_of(ask.page)).await?;
        let changes = self.changed(&diff.differences, &[]).await?;
        let alike = match ask.alike {
            Lookalikes::Find => self.alike(&from.at, &changes).await?,
            Lookalikes::Skip => Vec::new(),
        };
        Ok(Diffed { from: from.point(), to: to.point(), counts: diff.counts, changes, alike })
    }

    async fn side(&self, revision: Option<String>, branch: &crate::model::Name) -> Result<super::revision::Seen> {
        match revision {
            Some(text) => self.revision(&text, branch).await,
            None => self.present(branch).await,
        }
    }

    /// Differences with both texts, as many as fit an answer. `fresh` are versions that are not stored yet.
    pub(super) async fn changed(&self, differences: &[Difference], fresh: &[Version]) -> Result<Vec<Changed>> {
        let ids: Vec<VersionId> = differences.iter().flat_map(|one| [one.before, one.after]).flatten().collect();
        let known = self.engine.versions(&ids).await?;
        let mut found = ids.into_iter().zip(known);
        let mut side = |wanted: Option<VersionId>| {
            let (id, memory) = wanted.and_then(|_| found.next())?;
            let unstored = || fresh.iter().find(|version| version.id == id).map(|version| version.memory.clone());
            memory.or_else(unstored).map(|memory| Version { id, memory })
        };
        let pairs: Vec<_> = differences.iter().map(|one| (one.id, side(one.before), side(one.after))).collect();
        let mut bytes = 0;
        let size = |version: &Option<Version>| {
            version.as_ref().map_or(0, |version| version.memory.text.len() + version.memory.metadata.len())
        };
        let fit = pairs.iter().take_while(|(_, before, after)| {
            bytes += size(before) + size(after);
            bytes <= limits::RESULT_TEXTS_BYTES_MAX
        });
        let fit = fit.count();
        let ids: Vec<MemoryId> = pairs.iter().take(fit).map(|(id, ..)| *id).collect();
        let short_lens = self.engine.short_lens(&ids).await?;
        let mut out = Vec::with_capacity(fit);
        for ((id, before, after), short_len) in pairs.into_iter().take(fit).zip(short_lens) {
            // Of a change only what was written counts: neither age nor what was said of it since.
            let shaped = |version: Option<Version>| {
                version.map(|version| {
                    let at = version.memory.observed_at;
                    super::shaped(version, short_len, Feedback::default(), at)
                })
            };
            out.push(Changed { id, short_len, before: shaped(before), after: shaped(after) });
        }
        Ok(out)
    }

    /// Added memories that the earlier state says almost in the same words, under another id.
    async fn alike(&self, from: &At, changes: &[Changed]) -> Result<Vec<Alike>> {
        let added = changes.iter().filter(|change| change.before.is_none());
        let mut out = Vec::new();
        for change in added.take(COMPARED_MAX) {
            let Some(after) = &change.after else { continue };
            let found = search::similar(&self.engine, from, &after.memory.text, Filter::default()).await?;
            let other = found.into_iter().find(|(version, _)| version.memory.id != change.id);
            if let Some((version, percent)) = other {
                let memory = self.shape(vec![version]).await?.pop();
                out.extend(memory.map(|memory| Alike { added: change.id, like: Similar { memory, percent } }));
            }
        }
        Ok(out)
    }
}
