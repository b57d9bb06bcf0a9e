//! `memoria move`: the whole store, with its history, from one engine to the other. The daemon does it as long as this
//! command asks; whoever interrupts it goes on with the same command.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::Client;
use crate::config::{Config, EngineKind};
use crate::error::Result;
use crate::paths::Paths;
use crate::wire::message::{EngineName, Relocate, Relocated, RelocationStage, Request, Response};

use super::ask::{client, unexpected};
use super::bar::Bar;
use super::exit::Exit;
use super::terminal::{Out, Style, agreed, plural};

const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Move the whole store, with its history, to the other engine
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria move --to matrixone\n  memoria move --to embedded --yes\n\n\
    Branches, snapshots and every commit come along, under the same ids; the old\n\
    store stays as it is. What was interrupted goes on when the same command is run\n\
    again. Where MatrixOne is: `matrixone.url`, see `memoria config`.")]
pub struct Args {
    /// Where to: `matrixone` or `embedded`
    #[arg(long, value_parser = engine)]
    to: EngineName,
    /// Set `[engine] kind` afterwards, without asking
    #[arg(long, short)]
    yes: bool,
    /// Let go of what an interrupted move has copied
    #[arg(long, conflicts_with = "yes")]
    abandon: bool,
}

fn engine(word: &str) -> Result<EngineName, String> {
    match word {
        "embedded" => Ok(EngineName::Embedded),
        "matrixone" => Ok(EngineName::MatrixOne),
        _ => Err("it is `matrixone` or `embedded`".to_owned()),
    }
}

/// What became of the settings.
enum Settings {
    Changed(String),
    /// The same, but the environment says something else.
    Overridden(String),
    /// They are the person's to change.
    Left,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let to = args.to;
    let ask = if args.abandon { Relocate::Abandon { to } } else { Relocate::Go { to } };
    let mut client = client().await?;
    let mut bar = Bar::new("rows", !out.json);
    let done = loop {
        let Response::Relocated(news) = client.ask(Request::Relocate(ask)).await? else { return Err(unexpected()) };
        match news.stage {
            RelocationStage::Done | RelocationStage::Abandoned => break news,
            _ => bar.show(news.rows, Some(f64::from(news.share))),
        }
    };
    bar.clear();
    if done.stage == RelocationStage::Abandoned {
        let said = format!("What was copied to {} is gone. Your store is as it was.\n", to.as_str());
        out.answer(|| json!({"to": to.as_str(), "abandoned": true}), |_| said)?;
        return Ok(Exit::Ok);
    }
    if !out.json {
        out.print(&moved(&done, to))?;
    }
    let is_there = !out.json && std::io::stdin().is_terminal();
    let wants = args.yes || (is_there && agreed("Use it from now on (sets `[engine] kind` in config.toml)?")?);
    let settings = if wants { change(to, &mut client).await? } else { Settings::Left };
    out.answer(|| as_json(&done, to, &settings), |style| next(to, &settings, style))?;
    Ok(Exit::Ok)
}

/// The daemon takes an edited file over by itself, in a moment; the next command is to find it so.
async fn change(to: EngineName, client: &mut Client) -> Result<Settings> {
    let kind = match to {
        EngineName::Embedded => EngineKind::Embedded,
        EngineName::MatrixOne => EngineKind::MatrixOne,
    };
    let paths = Paths::from_env()?;
    let file = Config::choose_engine(&paths, kind)?.display().to_string();
    let is_so = Config::load(&paths)?.engine.kind == kind;
    let until = Instant::now() + TAKEN_OVER_WITHIN;
    while is_so && Instant::now() < until {
        let Response::Status(status) = client.ask(Request::Status).await? else { return Err(unexpected()) };
        if status.engine == to.as_str() {
            break;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(if is_so { Settings::Changed(file) } else { Settings::Overridden(file) })
}

fn moved(done: &Relocated, to: EngineName) -> String {
    format!(
        "Moved to {}: {}, {}, {}. Compared row by row, and asked the same {}: they agree.\n",
        to.as_str(),
        plural(done.branches, "branch", "branches"),
        plural(done.snapshots, "snapshot", "snapshots"),
        plural(done.commits, "commit", "commits"),
        plural(done.questions, "question", "questions"),
    )
}

fn next(to: EngineName, settings: &Settings, style: &Style) -> String {
    let text = match settings {
        Settings::Changed(file) => format!(
            "{file} now has `kind = \"{}\"` under [engine]: every agent uses the new store from its next request. The \
             old one stays where it was. Vectors follow in the background.",
            to.as_str()
        ),
        Settings::Overridden(file) => format!(
            "{file} is changed, but MEMORIA_ENGINE_KIND says otherwise: take it away, or set it to `{}`, and restart \
             the daemon.",
            to.as_str()
        ),
        Settings::Left => format!(
            "The old store still serves. Stop what writes to it, and set this in config.toml (`memoria config`):\n\n\
             [engine]\nkind = \"{}\"\n\nWhat is stored before that is in the old store alone.",
            to.as_str()
        ),
    };
    style.block(&text, 0)
}

fn as_json(done: &Relocated, to: EngineName, settings: &Settings) -> serde_json::Value {
    let file = match settings {
        Settings::Changed(file) | Settings::Overridden(file) => Some(file),
        Settings::Left => None,
    };
    json!({
        "to": to.as_str(),
        "rows": done.rows,
        "branches": done.branches,
        "snapshots": done.snapshots,
        "commits": done.commits,
        "questions": done.questions,
        "settings_changed": file,
        "setting": format!("[engine] kind = \"{}\"", to.as_str()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_says_what_agrees_and_what_to_do() {
        let done = Relocated { branches: 2, commits: 1, ..Relocated::of(RelocationStage::Done, 1_234, 1.0) };
        let said = moved(&done, EngineName::MatrixOne);
        assert!(said.contains("2 branches, 0 snapshots, 1 commit."), "{said}");
        let left = next(EngineName::MatrixOne, &Settings::Left, &Style::plain(Some(80)));
        assert!(left.contains("kind = \"matrixone\""), "{left}");
    }
}
