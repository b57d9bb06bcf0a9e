//! Which model's vectors answer, and how every memory comes to have one. A store never waits for a vector: it follows
//! in the background, newest first, and until then the memory is found by its words. A model that is newly wanted
//! serves once its vectors are complete; the old one serves until then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use memoria_kernel::quantise::{dequantise, quantise};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::Service;
use crate::config::{self, Config};
use crate::embed::cache::Cache;
use crate::embed::models::{BUILTIN, Models};
use crate::embed::{Embedder, Side};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Asked, Embedding, Filled, ModelId, Space, Unembedded};
use crate::search::Meaning;
use crate::wire::message::EmbeddingStatus;

/// Texts that are embedded at once by a model that takes milliseconds for each: a question does not wait longer.
const SLOW_BATCH: u32 = 16;
const QUICK_BATCH: u32 = 256;
/// How long a model that failed is left alone: twice as long each time.
const RETRY_MIN: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(300);
/// How often it is seen whether a model is idle.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// A text that no sound model refuses.
const HARMLESS: &str = "a short note";

/// Vectors for one service.
pub struct Vectors {
    pub(super) models: Models,
    pub(super) cache: Cache,
    now: Mutex<Now>,
    /// Held while it is found out what is wanted: of two who do so at once, the slower would be out of date.
    settling: tokio::sync::Mutex<()>,
    wake: Notify,
}

/// A model and the name by which it was opened.
#[derive(Clone)]
pub(super) struct Model {
    pub name: String,
    pub embedder: Arc<dyn Embedder>,
}

impl Model {
    fn space(&self) -> &Space {
        self.embedder.space()
    }
}

#[derive(Default)]
struct Now {
    /// What the settings were when this was settled; `None` until it is, or when it must be settled again.
    settled_for: Option<config::Embedding>,
    /// How often it had to be settled again.
    unsettled: u64,
    wanted_name: String,
    /// To be filled: what is wanted, or the built-in one where that cannot be opened.
    wanted: Option<Model>,
    /// Answers questions. Another than `wanted` while that is being filled.
    serving: Option<Model>,
    problem: Option<String>,
    /// The model that serves and beside which nothing is kept, since this was settled.
    alone: Option<ModelId>,
    /// When a model was needed last; `None` while all are at rest.
    used_at: Option<Instant>,
}

/// What the follower came to.
enum Round {
    /// There is more to be done.
    More,
    Done,
    Failed,
}

impl Vectors {
    /// Opens nothing yet.
    pub fn new(models: Models, cache: Cache) -> Arc<Self> {
        Arc::new(Self {
            models,
            cache,
            now: Mutex::default(),
            settling: tokio::sync::Mutex::default(),
            wake: Notify::new(),
        })
    }

    /// Something was written, or chosen.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks again at what is wanted and what there is.
    pub(super) fn unsettle(&self) {
        let mut now = self.now();
        now.settled_for = None;
        now.unsettled += 1;
        drop(now);
        self.wake();
    }

    /// The model whose vectors answer, once it is known.
    fn serving(&self) -> Option<Model> {
        let mut now = self.now();
        now.used_at = Some(Instant::now());
        now.serving.clone()
    }

    /// What a question means in the space that serves; else why there is no vector, unless the model has no opinion.
    pub(super) async fn meaning(&self, question: &str, config: &Config) -> (Option<Meaning>, Option<String>) {
        let Some(model) = self.serving() else { return (None, self.now().problem.clone()) };
        match self.vector(&model, question, Duration::from_millis(u64::from(config.embedding.wait_ms))).await {
            Ok(vector) if vector.iter().all(|number| *number == 0.0) => (None, None),
            Ok(vector) => {
                let asked = Asked { space: model.space().clone(), vector };
                (Some(Meaning { asked, calibration: model.embedder.calibration() }), None)
            }
            Err(error) => (None, Some(format!("found by words alone: {error}"))),
        }
    }

    async fn vector(&self, model: &Model, question: &str, wait_max: Duration) -> Result<Vec<f32>> {
        let embedder = &model.embedder;
        if embedder.is_quick() {
            return one(embedder.as_ref(), Side::Question, question);
        }
        if let Some(vector) = self.cache.get(embedder.space(), Side::Question, question) {
            return Ok(vector);
        }
        let (embedder, text) = (Arc::clone(embedder), question.to_owned());
        // It goes on after the deadline: asked again, the model has been loaded.
        let made = tokio::task::spawn_blocking(move || one(embedder.as_ref(), Side::Question, &text));
        let vector = timeout(wait_max, made).await.map_err(|_| {
            Error::unavailable(format!(
                "the model `{}` did not answer within {} ms (it may be loading)",
                model.name,
                wait_max.as_millis()
            ))
        })?;
        let vector = vector.map_err(|_| Error::internal(format!("the model `{}` broke down", model.name)))??;
        self.cache.put(model.space(), Side::Question, question, &vector);
        Ok(vector)
    }

    /// Finds out which model is wanted and which one serves.
    async fn settle(self: &Arc<Self>, spaces: &[Filled], settings: &config::Embedding) {
        let _one = self.settling.lock().await;
        let unsettled = {
            let now = self.now();
            if now.settled_for.as_ref() == Some(settings) {
                return;
            }
            now.unsettled
        };
        let (this, with) = (Arc::clone(self), settings.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let choice = this.models.choice();
            let name = this.models.wanted(&with, &choice);
            let open = |name: &str| {
                let embedder = this.models.open(name, &with)?;
                Ok::<_, Error>(Model { name: name.to_owned(), embedder })
            };
            let (wanted, problem) = match open(&name) {
                Ok(model) => (Some(model), None),
                Err(error) => (open(BUILTIN).ok(), Some(format!("the model `{name}` cannot be used: {error}"))),
            };
            let before = choice.serving.filter(|before| Some(before) != wanted.as_ref().map(|model| &model.name));
            (name, wanted, problem, before.and_then(|before| open(&before).ok()))
        });
        let Ok((wanted_name, wanted, problem, before)) = opened.await else { return };
        if let Some(problem) = &problem {
            tracing::warn!("{problem}");
        }
        let is_filled =
            |model: &Model| spaces.iter().any(|filled| filled.space == *model.space() && filled.vectors > 0);
        let mut now = self.now();
        let before = before.or_else(|| now.serving.take()).filter(is_filled);
        now.serving = match (&wanted, before) {
            (Some(wanted), Some(before)) if before.space() != wanted.space() => Some(before),
            _ => wanted.clone(),
        };
        (now.wanted_name, now.wanted, now.problem) = (wanted_name, wanted, problem);
        now.alone = None;
        // Something else was chosen meanwhile: once more.
        now.settled_for = (now.unsettled == unsettled).then(|| settings.clone());
    }

    /// Those that must have vectors, the serving one first.
    fn to_be_filled(&self) -> Vec<Model> {
        let now = self.now();
        let mut models: Vec<Model> = now.serving.iter().chain(&now.wanted).cloned().collect();
        models.dedup_by(|a, b| a.space() == b.space());
        models
    }

    /// What is to be filled is complete, and serves from here on. Returns the model whose vectors alone are of use from
    /// now on; `None` once the others' are gone, and while the built-in one only stands in for another.
    fn promote(&self) -> Result<Option<ModelId>> {
        let mut now = self.now();
        let Some(wanted) = now.wanted.clone() else { return Ok(None) };
        if now.alone.as_ref() == Some(&wanted.space().model) {
            return Ok(None);
        }
        let is_news = now.serving.as_ref().is_none_or(|serving| serving.space() != wanted.space());
        now.serving = Some(wanted.clone());
        if now.wanted_name != wanted.name {
            return Ok(None);
        }
        now.problem = None;
        drop(now);
        self.models.remember(|choice| choice.serving = Some(wanted.name.clone()))?;
        if is_news {
            tracing::info!("the vectors of {} are complete and answer from now on", wanted.space().model);
        }
        Ok(Some(wanted.space().model.clone()))
    }

    /// Whether the built-in model stands in for one that could not be opened: that is worth trying again.
    fn is_standing_in(&self) -> bool {
        let now = self.now();
        now.wanted.as_ref().is_none_or(|wanted| wanted.name != now.wanted_name)
    }

    /// Lets models go that nobody needed for so long.
    async fn rest_if_idle(&self, idle: Duration) {
        let is_idle = self.now().used_at.take_if(|used_at| used_at.elapsed() >= idle).is_some();
        if is_idle {
            let models = self.to_be_filled();
            let _ = tokio::task::spawn_blocking(move || models.iter().for_each(|model| model.embedder.rest())).await;
        }
    }

    /// For `status`.
    fn status(&self, spaces: &[Filled], live: u32) -> EmbeddingStatus {
        let now = self.now();
        let counts = self.cache.counts();
        let filled = now.wanted.as_ref().and_then(|model| spaces.iter().find(|filled| filled.space == *model.space()));
        EmbeddingStatus {
            serving: now.serving.as_ref().map(|model| model.name.clone()),
            wanted: now.wanted_name.clone(),
            vectors: filled.map_or(0, |filled| filled.vectors),
            pending: filled.map_or(live, |filled| filled.pending),
            cache_entries: counts.entries,
            cache_bytes: counts.bytes,
            cache_hits: counts.hits,
            cache_misses: counts.misses,
            problem: now.problem.clone(),
        }
    }
}

impl<E: Engine> Service<E> {
    /// The part of `status` about vectors.
    pub async fn embedding_status(&self) -> Result<EmbeddingStatus> {
        let (spaces, store) = (self.engine.spaces().await?, self.status().await?);
        Ok(self.vectors.status(&spaces, store.memories))
    }

    /// Finds out now which model is wanted, so that an answer can tell.
    pub(super) async fn settle_vectors(&self) -> Result<()> {
        let settings = self.config().embedding.clone();
        // Asked for after every request, where there is mostly nothing to settle.
        if self.vectors.now().settled_for.as_ref() == Some(&settings) {
            return Ok(());
        }
        self.vectors.settle(&self.engine.spaces().await?, &settings).await;
        Ok(())
    }

    /// One round of the follower: settles what is wanted, and embeds one batch of what has no vector yet.
    async fn follow_once(&self) -> Result<Round> {
        self.settle_vectors().await?;
        for model in self.vectors.to_be_filled() {
            let batch = if model.embedder.is_quick() { QUICK_BATCH } else { SLOW_BATCH };
            let missing = self.engine.unembedded(model.space(), batch).await?;
            if missing.is_empty() {
                continue;
            }
            self.vectors.now().used_at = Some(Instant::now());
            let vectors = self.embedded(&model, missing).await?;
            self.engine.embed(model.space(), vectors).await?;
            return Ok(Round::More);
        }
        if let Some(kept) = self.vectors.promote()? {
            for filled in self.engine.spaces().await? {
                if filled.space.model != kept {
                    self.engine.forget_space(&filled.space.model).await?;
                }
            }
            let failed = |e: std::io::Error| Error::io("forget cached vectors", &e);
            self.vectors.cache.keep_only(&[&kept]).map_err(failed)?;
            self.vectors.now().alone = Some(kept);
        }
        Ok(Round::Done)
    }

    /// The vectors of a batch, from the cache or the model.
    async fn embedded(&self, model: &Model, missing: Vec<Unembedded>) -> Result<Vec<Embedding>> {
        let (vectors, embedder) = (Arc::clone(&self.vectors), Arc::clone(&model.embedder));
        let made = tokio::task::spawn_blocking(move || {
            let space = embedder.space();
            let cached = |text: &str| match embedder.is_quick() {
                true => None,
                false => vectors.cache.get(space, Side::Passage, text),
            };
            let mut found: Vec<Option<Vec<f32>>> = missing.iter().map(|missing| cached(&missing.text)).collect();
            let texts: Vec<&str> = missing
                .iter()
                .zip(&found)
                .filter(|(_, found)| found.is_none())
                .map(|(it, _)| it.text.as_str())
                .collect();
            let mut made = passages(embedder.as_ref(), &texts)?.into_iter();
            for (missing, found) in missing.iter().zip(&mut found) {
                if found.is_none() {
                    let vector = made.next().ok_or_else(|| Error::internal("a model returned too few vectors"))?;
                    if !embedder.is_quick() {
                        vectors.cache.put(space, Side::Passage, &missing.text, &vector);
                    }
                    *found = Some(vector);
                }
            }
            let embedding = |(missing, vector): (Unembedded, Option<Vec<f32>>)| {
                Some(Embedding { slot: missing.slot, version: missing.version, vector: vector? })
            };
            Ok(missing.into_iter().zip(found).filter_map(embedding).collect())
        });
        made.await.unwrap_or_else(|_| Err(Error::internal(format!("the model `{}` broke down", model.name))))
    }
}

/// Embeds what is written, for as long as the service lives.
pub async fn follow<E: Engine>(service: Weak<Service<E>>, mut config: tokio::sync::watch::Receiver<Arc<Config>>) {
    let mut patience = RETRY_MIN;
    let Some(vectors) = service.upgrade().map(|service| Arc::clone(&service.vectors)) else { return };
    loop {
        let round = match service.upgrade() {
            Some(service) => service.follow_once().await.unwrap_or_else(|error| {
                let problem = format!("vectors are not made at the moment: {error}");
                let mut now = service.vectors.now();
                // The next round that ends well takes the problem back.
                now.alone = None;
                if now.problem.as_ref() != Some(&problem) {
                    tracing::warn!("{problem}");
                    now.problem = Some(problem);
                }
                Round::Failed
            }),
            None => return,
        };
        match round {
            Round::More => {
                patience = RETRY_MIN;
                tokio::task::yield_now().await;
            }
            Round::Failed => {
                let _ = timeout(patience, config.changed()).await;
                patience = (patience * 2).min(RETRY_MAX);
            }
            Round::Done => {
                patience = RETRY_MIN;
                let idle = Duration::from_secs(60 * u64::from(config.borrow().embedding.idle_min));
                tokio::select! {
                    () = vectors.wake.notified() => {}
                    changed = config.changed() => if changed.is_err() { return },
                    () = sleep(LOOK_EVERY) => {
                        vectors.rest_if_idle(idle).await;
                        if vectors.is_standing_in() {
                            vectors.now().settled_for = None;
                        }
                    }
                }
            }
        }
    }
}

/// The vector of one text, as it will be kept: so that it is the same made anew as from the cache.
pub(super) fn one(embedder: &dyn Embedder, side: Side, text: &str) -> Result<Vec<f32>> {
    let vector = embedder.embed(side, &[text])?.pop();
    checked(embedder, vector.ok_or_else(|| Error::internal("a model returned no vector"))?)
}

/// A vector of the space that the model names, on the grid on which vectors are kept.
fn checked(embedder: &dyn Embedder, vector: Vec<f32>) -> Result<Vec<f32>> {
    let Space { model, dims } = embedder.space();
    if vector.len() != usize::from(*dims) || vector.iter().any(|number| !number.is_finite()) {
        return Err(Error::invalid(format!(
            "the model {model} returned something that is no vector of {dims} numbers"
        )));
    }
    let (scale, codes) = quantise(&vector);
    Ok(dequantise(scale, codes.into_iter()))
}

/// Vectors of texts. A text that the model refuses spoils no other: the model has no opinion on it. A model that
/// refuses everything is broken.
fn passages(embedder: &dyn Embedder, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    let made = embedder
        .embed(Side::Passage, texts)
        .and_then(|vectors| vectors.into_iter().map(|vector| checked(embedder, vector)).collect::<Result<Vec<_>>>());
    let Err(Error { kind: ErrorKind::Invalid, .. }) = made else { return made };
    one(embedder, Side::Passage, HARMLESS)?;
    let alone = |text: &&str| match one(embedder, Side::Passage, text) {
        Err(error) if error.kind == ErrorKind::Invalid => {
            tracing::warn!("a memory is found by its words alone: {error}");
            Ok(vec![0.0; usize::from(embedder.space().dims)])
        }
        vector => vector,
    };
    texts.iter().map(alone).collect()
}
