//! One file per verb: each checks and completes a request, asks the engine, and shapes the answer.
//! A service never touches a file, a socket or JSON; the same verbs serve agents and people.

mod blame;
mod branch;
mod briefing;
mod checkouts;
mod correct;
mod diff;
mod feedback;
mod list;
mod log;
mod looks;
mod mark;
mod masking;
mod memo;
mod merge;
mod models;
mod moved;
mod pick;
mod profile;
mod purge;
mod relocate;
mod retrieve;
mod revision;
mod rollback;
mod session;
mod show;
mod snapshot;
mod store;
mod told;
mod transfer;
mod undo;
mod upkeep;
mod vectors;

use std::sync::Arc;

use tokio::sync::watch;

use crate::clock;
use crate::config::Config;
use crate::engine::{At, Engine};
use crate::error::{Error, Result};
use crate::guard;
use crate::model::{
    Author, Feedback, Filter, Masked, Memory, MemoryId, Moment, Name, OpId, Origin, Page, ProjectId, Ref, Scope,
    SessionId, Source, StoreStatus, Time, Version,
};
use crate::wire::limits;
use crate::wire::message::{ClientKind, Place, Shaped, Verified};

pub use briefing::is_agent;
pub use checkouts::Checkouts;
pub use vectors::{Vectors, follow};

/// The verbs over one engine.
pub struct Service<E> {
    engine: E,
    config: watch::Receiver<Arc<Config>>,
    checkouts: Arc<Checkouts>,
    vectors: Arc<Vectors>,
    looks: looks::Looks,
    told: told::Conversations,
}

/// Who asks, and under which operation id.
#[derive(Clone, Debug)]
pub struct Caller {
    pub session: SessionId,
    pub client: ClientKind,
    /// The agent's name and version, once it has said them.
    pub agent: Option<String>,
    pub agent_version: Option<String>,
    pub project: Option<ProjectId>,
    pub op: OpId,
}

impl Caller {
    /// The author of a commit: nobody's name for what a person typed.
    fn author(&self) -> Author {
        let agent = match self.client {
            ClientKind::Cli => None,
            ClientKind::Shim => Some(self.agent.clone().unwrap_or_else(|| "unnamed agent".to_owned())),
        };
        Author {
            agent,
            agent_version: self.agent_version.clone(),
            session: self.session.clone(),
            project: self.project.clone(),
        }
    }

    fn origin(&self, source: Option<Source>) -> Origin {
        let author = self.author();
        Origin {
            source: source.unwrap_or(match self.client {
                ClientKind::Cli => Source::User,
                ClientKind::Shim => Source::Agent,
            }),
            agent: author.agent,
            agent_version: author.agent_version,
            session: Some(author.session),
            tool: None,
            file: None,
        }
    }

    /// What a read in this place sees. Whoever stands in no project sees everything: at home, a memory is
    /// not hidden for having been learned in a repository.
    fn scope(&self, place: Place) -> Scope {
        match place {
            Place::Here => self.project.clone().map_or(Scope::All, Scope::Project),
            Place::Global => Scope::Global,
            Place::Everywhere => Scope::All,
            Place::Named(project) => Scope::Project(project),
        }
    }
}

impl<E: Engine> Service<E> {
    pub fn new(
        engine: E,
        config: watch::Receiver<Arc<Config>>,
        checkouts: Arc<Checkouts>,
        vectors: Arc<Vectors>,
    ) -> Self {
        let looks = looks::Looks::open(checkouts.beside("looks"));
        Self { engine, config, checkouts, vectors, looks, told: told::Conversations::default() }
    }

    /// Checks everything that the model promises; see [`Engine::verify`].
    pub async fn verify(&self) -> Result<Verified> {
        Ok(Verified { checks: self.engine.verify().await? })
    }

    pub async fn status(&self) -> Result<StoreStatus> {
        self.engine.status(clock::now()).await
    }

    /// These replies have arrived: they need not be kept any longer.
    pub fn acknowledge(&self, ops: Vec<OpId>) {
        self.engine.acknowledge(ops);
    }

    /// For quiet moments and before the end.
    pub async fn rest(&self) -> Result<()> {
        self.engine.rest().await
    }

    fn config(&self) -> Arc<Config> {
        self.config.borrow().clone()
    }

    /// Memories as they are shown now.
    async fn shape(&self, versions: Vec<Version>) -> Result<Vec<Shaped>> {
        self.shape_at(versions, Moment::Now(clock::now())).await
    }

    async fn shape_at(&self, versions: Vec<Version>, moment: Moment) -> Result<Vec<Shaped>> {
        let ids: Vec<MemoryId> = versions.iter().map(|version| version.memory.id).collect();
        let short_lens = self.engine.short_lens(&ids).await?;
        let feedback = self.said(&ids, moment).await?;
        let each = versions.into_iter().zip(short_lens).zip(feedback);
        Ok(each.map(|((version, short_len), feedback)| shaped(version, short_len, feedback, moment.time())).collect())
    }

    /// What was said of memories, where that counts.
    async fn said(&self, ids: &[MemoryId], moment: Moment) -> Result<Vec<Feedback>> {
        match moment {
            Moment::Now(_) => self.engine.feedback(ids).await,
            Moment::Past(_) => Ok(vec![Feedback::default(); ids.len()]),
        }
    }

    /// The live version of a memory named by id or prefix.
    async fn live(&self, at: &At, id: &str) -> Result<Version> {
        let found = self.engine.find(id).await?;
        let version = self.engine.read(at, &[found]).await?.into_iter().next().flatten();
        version.ok_or_else(|| {
            Error::not_found(format!("memory {id} has been purged or has expired; `memoria show {id}` has its history"))
        })
    }

    fn free_of_secrets(&self, name: Name) -> Result<Name> {
        masking::name(self.config().guard.secrets, name)
    }

    /// Applies the policy for secrets to one field, and adds to the list of what was masked.
    fn mask(&self, field: &str, text: String, masked: &mut Vec<Masked>) -> Result<String> {
        masking::mask(self.config().guard.secrets, field, text, masked)
    }
}

/// A memory as it is shown.
fn shaped(version: Version, short_len: u8, feedback: Feedback, at: Time) -> Shaped {
    Shaped {
        flags: guard::flags::flags_of(&version.memory),
        confidence: version.memory.confidence_at(&feedback, at),
        memory: version.memory,
        version: version.id,
        short_len,
        feedback,
    }
}

/// Those names whose descriptions have flags.
fn flagged(names: &[Ref]) -> Vec<(Name, Vec<String>)> {
    let flags = names.iter().filter_map(|name| Some((name.name.clone(), guard::flags::flags(name.note.as_deref()?))));
    flags.filter(|(_, flags)| !flags.is_empty()).collect()
}

/// Metadata that may be kept beside a memory.
fn checked_metadata(metadata: String) -> Result<String> {
    if metadata.len() > limits::METADATA_BYTES_MAX {
        return Err(Error::too_large(format!(
            "the metadata has {} bytes; at most {} are kept with a memory",
            metadata.len(),
            limits::METADATA_BYTES_MAX
        )));
    }
    Ok(metadata)
}

/// A text that may be stored: not empty, not too long.
fn checked_text(text: &str) -> Result<String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::invalid("the text is empty: say what is to be remembered"));
    }
    if text.len() > limits::TEXT_BYTES_MAX {
        return Err(Error::too_large(format!(
            "the text has {} bytes and a memory holds at most {}: store its essence, or several memories",
            text.len(),
            limits::TEXT_BYTES_MAX
        )));
    }
    Ok(text.to_owned())
}

/// Tags that may be stored or asked for: trimmed, not empty, few and short.
fn checked_tags(tags: Vec<String>) -> Result<std::collections::BTreeSet<String>> {
    let tags: std::collections::BTreeSet<String> = tags.into_iter().map(|tag| tag.trim().to_owned()).collect();
    if tags.len() > limits::TAGS_MAX {
        return Err(Error::too_large(format!("{} tags are too many: use at most {}", tags.len(), limits::TAGS_MAX)));
    }
    for tag in &tags {
        if tag.is_empty() || tag.len() > limits::TAG_BYTES_MAX || tag.chars().any(char::is_control) {
            return Err(Error::invalid(format!(
                "a tag has 1 to {} bytes and no control characters",
                limits::TAG_BYTES_MAX
            )));
        }
    }
    Ok(tags)
}

/// A filter as it reaches the engine, with the place made into a scope.
fn checked_filter(caller: &Caller, place: Place, mut filter: Filter) -> Result<Filter> {
    filter.tags = checked_tags(filter.tags)?.into_iter().collect();
    filter.scope = caller.scope(place);
    Ok(filter)
}

/// A page as large as an answer may be.
fn page_of(page: Page) -> Page {
    let limit = if page.limit == 0 { limits::RESULTS_MAX } else { page.limit.min(limits::RESULTS_MAX) };
    Page { limit, ..page }
}

/// The first of these that fit one answer.
fn fitting(mut versions: Vec<Version>) -> Vec<Version> {
    let mut bytes = 0;
    versions.truncate(limits::RESULTS_MAX as usize);
    let fit = versions.iter().take_while(|version| {
        bytes += version.memory.text.len() + version.memory.metadata.len();
        bytes <= limits::RESULT_TEXTS_BYTES_MAX
    });
    let fit = fit.count();
    versions.truncate(fit);
    versions
}

/// The start of a text on one line, for lists: at most `chars` characters.
fn excerpt(memory: &Memory, chars: usize) -> String {
    let mut line: String = memory.text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(chars) {
        line.truncate(end);
        line.push('…');
    }
    line
}
