//! `memoria config`: the settings in force and where each came from.

use std::io::Write;

use serde_json::json;

use crate::config::{Config, Entry, Origin};
use crate::error::{Error, Result};
use crate::paths::Paths;

use super::exit::Exit;
use super::terminal::{Out, Paint};

/// Show the settings and where each came from
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria config\n  memoria config init && $EDITOR \"$(memoria config path)\"\n\n\
    A running daemon takes over a saved change at once.")]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Print where the file is or would be
    #[command(after_help = "Example:\n  $EDITOR \"$(memoria config path)\"")]
    Path,
    /// Print a sample with every setting explained
    #[command(after_help = "Example:\n  memoria config sample | less")]
    Sample,
    /// Write the sample, unless there is a file already
    #[command(after_help = "Example:\n  memoria config init")]
    Init,
}

pub fn run(args: &Args, out: &Out) -> Result<Exit> {
    let paths = Paths::from_env()?;
    let file = paths.config_file();
    match args.action {
        None => show(&paths, out)?,
        Some(Action::Path) => {
            out.answer(|| json!({"path": file, "exists": file.exists()}), |_| format!("{}\n", file.display()))?;
        }
        Some(Action::Sample) => out.answer(|| json!({"sample": Config::sample()}), |_| Config::sample())?,
        Some(Action::Init) => {
            let is_new = init(&paths)?;
            let said = if is_new { "Wrote" } else { "It is there already:" };
            out.answer(|| json!({"path": file, "written": is_new}), |_| format!("{said} {}\n", file.display()))?;
        }
    }
    Ok(Exit::Ok)
}

/// `false` when there is a file already, which is never touched.
fn init(paths: &Paths) -> Result<bool> {
    paths.prepare()?;
    let file = paths.config_file();
    let what = || format!("write {}", file.display());
    match std::fs::File::create_new(&file) {
        Ok(mut handle) => {
            handle.write_all(Config::sample().as_bytes()).map_err(|e| Error::io(what(), &e))?;
            Ok(true)
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(Error::io(what(), &e)),
    }
}

fn show(paths: &Paths, out: &Out) -> Result<()> {
    let entries = Config::load(paths)?.entries();
    let file = paths.config_file();
    let from = |origin| match origin {
        Origin::Default => "default",
        Origin::File => "file",
        Origin::Environment => "environment",
    };
    out.answer(
        || {
            let entry = |e: &Entry| {
                let from = from(e.origin);
                json!({"key": e.key, "value": e.value, "default": e.default, "from": from, "variable": e.variable})
            };
            let settings: Vec<_> = entries.iter().map(entry).collect();
            json!({"path": file, "exists": file.exists(), "settings": settings})
        },
        |style| {
            let rows: Vec<_> = entries
                .iter()
                .map(|e| vec![e.key.clone(), e.value.clone(), from(e.origin).to_owned(), e.docs.clone()])
                .collect();
            let columns =
                [("SETTING", Paint::Cyan), ("VALUE", Paint::Bold), ("FROM", Paint::Plain), ("MEANING", Paint::Dim)];
            let state = if file.exists() { "" } else { "It is not there: `memoria config init` writes a sample.\n" };
            format!("{}\nThe file is {}\n{state}", style.table(&columns, &rows), file.display())
        },
    )
}
