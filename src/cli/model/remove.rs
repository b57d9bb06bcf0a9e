//! `memoria model remove`: takes an installed model away, unless it is what answers.

use serde_json::json;

use crate::embed::install::{self, registry};
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::wire::message::{Model, Models};

use super::super::ask::client;
use super::super::exit::Exit;
use super::super::status::embedding_json;
use super::super::terminal::{Out, bytes};

/// Remove an installed model; its vectors stay until replaced
#[derive(clap::Args)]
#[command(after_help = "Example:\n  memoria model remove minilm-onnx-int8\n\n\
    What answers now is not removed: `memoria model use` another one first.")]
pub struct Args {
    /// A name of `memoria model list`
    name: String,
}

pub async fn run(args: &Args, out: &Out) -> Result<Exit> {
    let name = &args.name;
    let paths = Paths::from_env()?;
    let folder = super::folder(&paths)?;
    // Also when none runs: only the daemon knows which model answers.
    let mut client = client().await?;
    refuse_what_answers(name, &super::ask(&mut client, Model::List).await?)?;
    let freed = install::remove(&folder, name)?;
    let embedding = super::ask(&mut client, Model::List).await?.embedding;
    out.answer(
        || json!({"name": name, "bytes": freed, "embedding": embedding_json(&embedding)}),
        |_| format!("Removed {name}: {} are free again. {}", bytes(freed), super::outlook(&embedding)),
    )?;
    Ok(Exit::Ok)
}

fn refuse_what_answers(name: &str, models: &Models) -> Result<()> {
    let Some(serving) = &models.embedding.serving else { return Ok(()) };
    let is_onnx = |model: &str| {
        let known = models.models.iter().find(|status| status.name == model);
        known.and_then(|status| status.id.as_deref()).is_some_and(|id| id.starts_with("onnx:"))
    };
    let is_its_library = registry::find(name).is_some_and(|entry| entry.kind == registry::Kind::Runtime);
    if serving == name {
        return Err(Error::conflict(format!(
            "{name} answers now: `memoria model use builtin --wait` first, or another one"
        )));
    }
    if is_its_library && is_onnx(serving) {
        return Err(Error::conflict(format!(
            "{serving} answers now and needs {name}: `memoria model use builtin --wait` first, or another one"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::{EmbeddingStatus, ModelStatus};

    #[test]
    fn what_answers_is_not_removed_nor_the_library_that_runs_it() {
        let status = ModelStatus {
            name: "mine".to_owned(),
            id: Some("onnx:0011aabb".to_owned()),
            dims: 384,
            bytes: 1,
            vectors: 1,
            pending: 0,
            about: String::new(),
        };
        let embedding = EmbeddingStatus { serving: Some("mine".to_owned()), ..EmbeddingStatus::default() };
        let models = Models { models: vec![status], embedding };
        for name in ["mine", "onnxruntime"] {
            let error = refuse_what_answers(name, &models).unwrap_err();
            assert!(error.message.contains("model use builtin"), "{error}");
        }
        refuse_what_answers("minilm", &models).unwrap();
    }
}
