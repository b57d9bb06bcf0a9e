//! `memoria model`: which models there are, which one serves, and installing others. What is fetched is fetched here,
//! in the process of the person who asks; which model serves is the daemon's business.

mod choose;
mod install;
mod list;
mod remove;
mod test;

use std::path::PathBuf;

use crate::client::Client;
use crate::config::Config;
use crate::embed::install::{self as installer, registry};
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::wire::message::{ClientKind, EmbeddingStatus, Model, Models, Request, Response};

use super::ask::unexpected;
use super::exit::Exit;
use super::terminal::{Out, plural};

/// Install, choose and test the models that find by meaning
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria model install minilm    better than what is built in\n  \
    memoria model list\n  memoria model use ~/models/bge-small-en    an ONNX model of yours")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    Install(install::Args),
    /// List models: which one serves, which are installed or available
    #[command(after_help = "Examples:\n  memoria model list\n  memoria model list --json")]
    List,
    Use(choose::Args),
    Remove(remove::Args),
    Test(test::Args),
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    match args.action {
        Action::Install(args) => install::run(&args, out).await,
        Action::List => list::run(out).await,
        Action::Use(args) => choose::run(&args, out).await,
        Action::Remove(args) => remove::run(&args, out).await,
        Action::Test(args) => test::run(args, out).await,
    }
}

/// What `memoria init` offers: the model that serves by itself once it is there, if it is not; with its size in bytes.
pub fn better(paths: &Paths) -> Result<Option<(&'static str, u64)>> {
    let name = "minilm";
    let is_there = installer::installed(&folder(paths)?)?.iter().any(|model| model.name == name);
    // Who has chosen an endpoint or a model knows why.
    let is_chosen = Config::load(paths)?.embedding.model != Config::default().embedding.model;
    let entry = registry::find(name).filter(|_| !is_there && !is_chosen);
    Ok(entry.and_then(|entry| Some((entry.name, entry.fetched_bytes()?))))
}

/// Installs what [`better`] names, with a progress bar; it serves from then on.
pub async fn install(name: &str, paths: &Paths, out: &Out) -> Result<()> {
    let entry = registry::find(name).ok_or_else(|| Error::not_found(format!("there is no `{name}` to install")))?;
    install::fetch(entry, paths, out)?;
    if let Some(mut client) = Client::connect(paths, ClientKind::Cli).await? {
        ask(&mut client, Model::List).await?;
    }
    Ok(())
}

/// Where models are installed.
fn folder(paths: &Paths) -> Result<PathBuf> {
    let configured = Config::load(paths)?.embedding.models_dir;
    Ok(if configured.is_empty() { paths.models_folder() } else { PathBuf::from(configured) })
}

async fn ask(client: &mut Client, model: Model) -> Result<Models> {
    match client.ask(Request::Model(model)).await? {
        Response::Models(models) => Ok(models),
        _ => Err(unexpected()),
    }
}

/// What is to serve, and how far it is.
fn outlook(embedding: &EmbeddingStatus) -> String {
    let EmbeddingStatus { serving, wanted, pending, problem, .. } = embedding;
    if let Some(problem) = problem {
        let meanwhile = serving.as_deref().map_or("words alone answer".to_owned(), |name| format!("{name} answers"));
        return format!("{wanted} does not serve: {}. Meanwhile {meanwhile}.\n", problem.trim_end_matches('.'));
    }
    let left = plural(*pending, "memory", "memories");
    match serving {
        Some(serving) if serving == wanted && *pending == 0 => format!("{wanted} answers.\n"),
        Some(serving) if serving == wanted => format!("{wanted} answers; {left} have no vector yet and follow.\n"),
        Some(serving) => {
            format!("{left} are embedded with {wanted} in the background;\n{serving} answers until that is done.\n")
        }
        None => {
            format!("{left} are embedded with {wanted} in the background;\nwords alone answer until that is done.\n")
        }
    }
}
