//! `memoria uninstall`: takes back what `memoria init` added, byte for byte where nothing else changed since. Memories
//! are deleted only by whoever says so.

use std::fs::File;

use serde_json::{Value, json};

use crate::agents::Agent;
use crate::agents::ledger::Ledger;
use crate::agents::setup;
use crate::config::{Config, EngineKind};
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::wire::message::StopReason;

use super::edits::{self, Outcome};
use super::exit::Exit;
use super::init::{self, Scope};
use super::service;
use super::stop::stop;
use super::terminal::{Out, Paint, Style, agreed, plural};

/// Take back what `memoria init` added
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria uninstall\n  memoria uninstall --agent cursor --yes\n  \
    memoria uninstall --dry-run\n  memoria uninstall --yes --delete-memories\n\n\
    Files get the bytes of before where nothing else changed; else only what was\n\
    added goes. --yes alone never deletes memories.")]
pub struct Args {
    /// Only this agent; may be given again
    #[arg(long = "agent", value_name = "NAME", value_parser = init::agent)]
    agents: Vec<&'static Agent>,
    /// Only what is for you, or only this project's
    #[arg(long, value_enum, hide_possible_values = true, value_name = "user|project")]
    scope: Option<Scope>,
    /// Show the exact change and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask; memories stay
    #[arg(long, short)]
    yes: bool,
    /// Delete the memories on this machine too, for good
    #[arg(long, conflicts_with_all = ["agents", "scope"])]
    delete_memories: bool,
}

/// What went besides agents' files.
#[derive(Default)]
struct Gone {
    service: Option<Result<Vec<String>>>,
    memories: Option<Result<String>>,
}

pub async fn run(args: &Args, out: &Out) -> Result<Exit> {
    let is_person = edits::is_person("uninstall", out, args.yes || args.dry_run)?;
    let paths = Paths::from_env()?;
    let names: Vec<&str> = args.agents.iter().map(|agent| agent.name).collect();
    let names = Some(names.as_slice()).filter(|names| !names.is_empty());
    let reach = args.scope.map(init::reach).transpose()?;
    // The service and the memories are nobody's part.
    let is_everything = names.is_none() && reach.is_none();
    let folder = paths.agents_folder();
    if is_person || args.dry_run {
        let ledger = edits::look(&folder)?;
        let outcome = edits::planned(setup::take_back(&ledger, names, reach.as_ref()));
        if args.dry_run {
            return dry(&outcome, out);
        }
        let has_service = is_everything && ledger.record.service;
        if !outcome.done.is_empty() || has_service {
            out.print(&outcome.list(&out.style))?;
            let more = if has_service { " The service at login goes too." } else { "" };
            if !agreed(&format!("Take this back?{more}"))? {
                return Err(Error::cancelled("nothing was changed"));
            }
        }
    }
    let deletes = args.delete_memories || (is_person && is_everything && is_deletion_agreed(&paths)?);
    let outcome = match folder.exists() {
        true => {
            let mut ledger = edits::ledger(&folder)?;
            let work = setup::take_back(&ledger, names, reach.as_ref());
            let outcome = edits::carry_out(work, &mut ledger);
            let service = take_service(&mut ledger, is_everything).await?;
            (outcome, service)
        }
        false => (Outcome::default(), None),
    };
    let (outcome, service) = outcome;
    let memories = if deletes { Some(delete(&paths).await) } else { None };
    let gone = Gone { service, memories };
    out.answer(|| as_json(&outcome, &gone, false), |style| as_text(&outcome, is_person, &gone, &paths, style))?;
    let is_whole = outcome.refused.is_empty()
        && gone.service.is_none_or(|done| done.is_ok())
        && gone.memories.is_none_or(|done| done.is_ok());
    Ok(if is_whole { Exit::Ok } else { Exit::Partly })
}

/// The service, if `init` put it there.
async fn take_service(ledger: &mut Ledger, is_everything: bool) -> Result<Option<Result<Vec<String>>>> {
    if !(is_everything && ledger.record.service) {
        return Ok(None);
    }
    let taken = service::take_away().await;
    if taken.is_ok() {
        ledger.record.service = false;
        ledger.save()?;
    }
    Ok(Some(taken))
}

fn is_deletion_agreed(paths: &Paths) -> Result<bool> {
    if !paths.lock_file().exists() {
        return Ok(false);
    }
    let shown = edits::shown(&paths.data_dir);
    Ok(agreed(&format!("Delete the memories in {shown} as well? Nothing brings them back."))?
        && agreed("Delete them for good?")?)
}

/// Ends the daemon and empties the data folder, while nobody can start another one on it.
async fn delete(paths: &Paths) -> Result<String> {
    if !paths.lock_file().exists() {
        return Ok(format!("There were no memories in {}.", edits::shown(&paths.data_dir)));
    }
    // Memories that several machines share are not this machine's to delete.
    let is_shared = Config::load(paths)?.engine.kind == EngineKind::MatrixOne;
    stop(paths, StopReason::Stop).await?;
    let failed = |e: std::io::Error| Error::io(format_args!("delete {}", paths.data_dir.display()), &e);
    let lock = File::open(paths.lock_file()).map_err(failed)?;
    lock.try_lock().map_err(|_| {
        Error::unavailable("an agent has just started Memoria again: end your agents, and run this command again")
    })?;
    for entry in std::fs::read_dir(&paths.data_dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        // A lock file is never deleted (`daemon/lock.rs`): it is empty, and all that stays.
        if path == paths.lock_file() {
            continue;
        }
        let gone = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        gone.map_err(failed)?;
    }
    let shared = if is_shared { " Those in MatrixOne stay: they are shared." } else { "" };
    let shown = edits::shown(&paths.data_dir);
    Ok(format!("Deleted the memories in {shown}.{shared} An agent that still runs begins a new, empty memory: end it."))
}

fn dry(outcome: &Outcome, out: &Out) -> Result<Exit> {
    out.answer(
        || as_json(outcome, &Gone::default(), true),
        |style| {
            let nothing = if outcome.done.is_empty() { "Nothing would change.\n" } else { "" };
            format!("{}{}{nothing}", outcome.diff(style), outcome.refusals(style))
        },
    )?;
    Ok(if outcome.refused.is_empty() { Exit::Ok } else { Exit::Partly })
}

fn as_json(outcome: &Outcome, gone: &Gone, is_dry: bool) -> Value {
    let mut fields = outcome.as_json();
    fields["dry_run"] = json!(is_dry);
    fields["service"] = match &gone.service {
        Some(Ok(files)) => json!(files),
        Some(Err(error)) => json!({"problem": error.message}),
        None => Value::Null,
    };
    fields["memories_deleted"] = json!(matches!(gone.memories, Some(Ok(_))));
    if let Some(Err(error)) = &gone.memories {
        fields["memories_problem"] = json!(error.message);
    }
    fields
}

fn as_text(outcome: &Outcome, is_listed: bool, gone: &Gone, paths: &Paths, style: &Style) -> String {
    let mut text = match outcome.done.len() {
        0 => outcome.refusals(style),
        done if is_listed => {
            format!("Took back {}.\n{}", plural(done as u64, "file", "files"), outcome.refusals(style))
        }
        _ => outcome.list(style),
    };
    if !outcome.refused.is_empty() {
        text += "Mend what was left alone, then run `memoria uninstall` again.\n";
    }
    if outcome.done.is_empty() && outcome.refused.is_empty() {
        text += "No agent's file holds anything that `memoria init` added.\n";
    }
    if let Some(folder) = outcome.copies() {
        text += &style.dim(&format!("Copies of how the files were until now are in {}\n", edits::shown(folder)));
    }
    let red = |error: &Error| format!("{}\n", style.paint(Paint::Red, &error.message));
    match &gone.service {
        Some(Ok(files)) => text += &format!("No longer starts at login: removed {}\n", files.join(", ")),
        Some(Err(error)) => text += &red(error),
        None => {}
    }
    match &gone.memories {
        Some(Ok(said)) => text += &format!("{said}\n"),
        Some(Err(error)) => text += &red(error),
        None => text += &format!("Memories stay in {}\n", edits::shown(&paths.data_dir)),
    }
    text
}
