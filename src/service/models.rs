//! `model`: which embedding models there are, which one is used, and whether one works.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::Service;
use super::vectors::one;
use crate::embed::models::{AUTO, BUILTIN, HTTP};
use crate::embed::{Embedder, Side};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::Filled;
use crate::wire::message::{Model, ModelStatus, Models, Response, Tested};

/// Two that mean the same, and one about something else.
const TESTED: [[&str; 3]; 4] = [
    ["The build fails when the disk is full.", "Compilation breaks once no space is left.", "Lunch is at noon."],
    ["She lives in Paris.", "Her home is in the capital of France.", "The cache expires after an hour."],
    ["Use tabs for indentation.", "Code is indented with tab characters.", "The invoice was paid in March."],
    ["The server restarts every night.", "Each night the machine is rebooted.", "He is allergic to nuts."],
];

impl<E: Engine> Service<E> {
    /// Lists, chooses or tests models.
    pub async fn models(&self, ask: Model) -> Result<Response> {
        match ask {
            Model::List => {
                // Whoever installed something hears at once what follows from it.
                self.vectors.unsettle();
                self.settle_vectors().await?;
                self.list_models().await.map(Response::Models)
            }
            Model::Use(name) => self.use_model(name).await.map(Response::Models),
            Model::Test(name) => self.test_model(name).await.map(Response::ModelTested),
        }
    }

    async fn list_models(&self) -> Result<Models> {
        let spaces = self.engine.spaces().await?;
        let (vectors, settings) = (Arc::clone(&self.vectors), self.config().embedding.clone());
        let listed = tokio::task::spawn_blocking(move || {
            let installed = vectors.models.installed(&settings);
            let bytes_of =
                |name: &str| installed.iter().find(|model| model.name == name).map_or(0, |model| model.bytes);
            let mut names: BTreeSet<String> = installed.iter().map(|model| model.name.clone()).collect();
            names.extend([BUILTIN.to_owned(), vectors.models.wanted(&settings, &vectors.models.choice())]);
            if !settings.http_urls.is_empty() {
                names.insert(HTTP.to_owned());
            }
            let status = |name: String| {
                let bytes = bytes_of(&name);
                match vectors.models.open(&name, &settings) {
                    Ok(embedder) => of(name, bytes, embedder.as_ref(), &spaces),
                    Err(error) => {
                        ModelStatus { name, id: None, dims: 0, bytes, vectors: 0, pending: 0, about: error.message }
                    }
                }
            };
            names.into_iter().map(status).collect()
        });
        let models = listed.await.map_err(|_| Error::internal("the models could not be listed"))?;
        Ok(Models { models, embedding: self.embedding_status().await? })
    }

    async fn use_model(&self, name: String) -> Result<Models> {
        let settings = self.config().embedding.clone();
        if settings.model != AUTO {
            return Err(Error::conflict(format!(
                "the settings say embedding.model = \"{}\", which comes before a choice: change it there, or set it to \
                 \"auto\"",
                settings.model
            )));
        }
        if name.chars().any(char::is_control) {
            return Err(Error::invalid("a model's name is on one line"));
        }
        let chosen = (name != AUTO).then_some(name);
        let vectors = Arc::clone(&self.vectors);
        let written = tokio::task::spawn_blocking(move || {
            if let Some(name) = &chosen {
                vectors.models.open(name, &settings)?;
            }
            vectors.models.remember(|choice| choice.chosen = chosen)
        });
        written.await.map_err(|_| Error::internal("the choice could not be written"))??;
        self.vectors.unsettle();
        self.settle_vectors().await?;
        self.list_models().await
    }

    async fn test_model(&self, name: String) -> Result<Tested> {
        let (vectors, settings) = (Arc::clone(&self.vectors), self.config().embedding.clone());
        let tested = tokio::task::spawn_blocking(move || {
            let name = match name.as_str() {
                "" | AUTO => vectors.models.wanted(&settings, &vectors.models.choice()),
                _ => name,
            };
            tested(vectors.models.open(&name, &settings)?.as_ref())
        });
        tested.await.map_err(|_| Error::internal("the model broke down while it was tested"))?
    }
}

fn of(name: String, bytes: u64, embedder: &dyn Embedder, spaces: &[Filled]) -> ModelStatus {
    let filled = spaces.iter().find(|filled| filled.space == *embedder.space());
    ModelStatus {
        name,
        id: Some(embedder.space().model.to_string()),
        dims: embedder.space().dims,
        bytes,
        vectors: filled.map_or(0, |filled| filled.vectors),
        pending: filled.map_or(0, |filled| filled.pending),
        about: embedder.describe(),
    }
}

fn tested(embedder: &dyn Embedder) -> Result<Tested> {
    let began = Instant::now();
    one(embedder, Side::Passage, "a first text")?;
    let first_us = began.elapsed().as_micros() as u64;
    let began = Instant::now();
    let vectors = TESTED.map(|texts| texts.map(|text| one(embedder, Side::Passage, text)));
    let each_us = began.elapsed().as_micros() as u64 / (TESTED.len() * 3) as u64;
    let (mut cosines, mut is_sound) = (Vec::new(), true);
    for (texts, [text, same, other]) in TESTED.iter().zip(vectors) {
        let (text, same, other) = (text?, same?, other?);
        let (near, far) = (cosine(&text, &same), cosine(&text, &other));
        is_sound &= near > far;
        cosines.push((texts[0].to_owned(), texts[1].to_owned(), near));
        cosines.push((texts[0].to_owned(), texts[2].to_owned(), far));
    }
    let (id, dims) = (embedder.space().model.to_string(), embedder.space().dims);
    Ok(Tested { id, dims, about: embedder.describe(), first_us, each_us, cosines, is_sound })
}

/// Of two vectors of about unit length.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f32::MIN_POSITIVE)
}
