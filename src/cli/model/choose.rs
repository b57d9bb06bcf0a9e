//! `memoria model use`: another model from now on. The vectors of the one before answer until the new are complete.

use std::time::Duration;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::wire::message::{EmbeddingStatus, Model};

use super::super::ask::client;
use super::super::bar::Bar;
use super::super::exit::Exit;
use super::super::start::status;
use super::super::status::embedding_json;
use super::super::terminal::Out;

const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Make a model serve, by its name or its folder
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria model use minilm --wait\n  memoria model use ~/models/bge-small-en\n  \
    memoria model use auto    the best that is installed\n\n\
    The old vectors answer until all memories have new ones.")]
pub struct Args {
    /// A name in `memoria model list`, an ONNX folder, or auto
    #[arg(value_name = "NAME|FOLDER")]
    model: String,
    /// Return once it serves
    #[arg(long)]
    wait: bool,
}

pub async fn run(args: &Args, out: &Out) -> Result<Exit> {
    let paths = Paths::from_env()?;
    let name = meant(&args.model, &paths)?;
    let mut client = client().await?;
    let mut embedding = super::ask(&mut client, Model::Use(name)).await?.embedding;
    if args.wait {
        embedding = until_it_serves(&mut client, embedding, out).await?;
    }
    let is_fine = embedding.problem.is_none();
    out.answer(|| embedding_json(&embedding), |_| super::outlook(&embedding))?;
    Ok(if is_fine { Exit::Ok } else { Exit::Failed })
}

/// A folder is named to the daemon from the root: it stands somewhere else.
pub fn meant(typed: &str, paths: &Paths) -> Result<String> {
    let is_path = typed.contains(['/', std::path::MAIN_SEPARATOR]) || typed.starts_with('.');
    let is_installed = || -> Result<bool> {
        Ok(crate::embed::install::installed(&super::folder(paths)?)?.iter().any(|local| local.name == typed))
    };
    if !is_path && (!std::path::Path::new(typed).is_dir() || is_installed()?) {
        return Ok(typed.to_owned());
    }
    let path = std::path::absolute(typed).map_err(|e| Error::io(format_args!("find the folder {typed}"), &e))?;
    if !path.is_dir() {
        return Err(Error::not_found(format!(
            "{} is no folder: name one that holds an ONNX model and its tokenizer",
            path.display()
        )));
    }
    Ok(path.to_string_lossy().into_owned())
}

async fn until_it_serves(client: &mut Client, mut embedding: EmbeddingStatus, out: &Out) -> Result<EmbeddingStatus> {
    let mut bar = Bar::new("memories", !out.json);
    let before = embedding.vectors;
    loop {
        let serves = embedding.serving.as_ref() == Some(&embedding.wanted) && embedding.pending == 0;
        if serves || embedding.problem.is_some() {
            return Ok(embedding);
        }
        let (done, all) = (embedding.vectors, embedding.vectors + embedding.pending);
        bar.show(done.saturating_sub(before).into(), Some(f64::from(done) / f64::from(all.max(1))));
        tokio::time::sleep(LOOK_EVERY).await;
        embedding = status(client).await?.embedding;
    }
}
