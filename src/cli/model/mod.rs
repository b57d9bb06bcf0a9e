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
use crate::error::Result;
use crate::paths::Paths;
use crate::wire::message::{EmbeddingStatus, Model, Models, Request, Response};

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
