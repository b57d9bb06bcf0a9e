//! `memoria rules`: the text that tells agents when to use the memory, and where `memoria init` wrote it. `refresh`
//! brings it up to date there. What the text says is `agents/rules.md`.

use serde_json::json;

use crate::agents::ledger::Record;
use crate::agents::ours::{RULE, refreshed};
use crate::agents::{Purpose, Reach, Step, setup};
use crate::error::Result;
use crate::paths::Paths;

use super::edits::{self, shown};
use super::exit::Exit;
use super::terminal::{Out, Paint};

/// The text that tells agents when to use the memory
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria rules\n  memoria rules refresh --dry-run\n  memoria rules refresh\n\n\
    `memoria init` writes it where each agent keeps its instructions.")]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Clone, Copy, clap::Subcommand)]
enum Action {
    /// Print the text, and on a terminal where it was written
    #[command(after_help = "Examples:\n  memoria rules show\n  memoria rules show >> AGENTS.md")]
    Show,
    /// Bring it up to date wherever `memoria init` wrote it
    #[command(after_help = "Examples:\n  memoria rules refresh\n  memoria rules refresh --dry-run\n\n\
        Only our own text changes. A file that was removed since stays away.")]
    Refresh {
        /// Show the exact change and write nothing
        #[arg(long)]
        dry_run: bool,
    },
}

pub fn run(args: &Args, out: &Out) -> Result<Exit> {
    let paths = Paths::from_env()?;
    match args.action {
        None | Some(Action::Show) => show(&paths, out),
        Some(Action::Refresh { dry_run }) => refresh(&paths, dry_run, out),
    }
}

fn show(paths: &Paths, out: &Out) -> Result<Exit> {
    let ledger = edits::look(&paths.agents_folder())?;
    let work = setup::prepare(&ledger, &Reach::User, &rules(&ledger.record));
    let old: Vec<_> = work.changes.iter().filter(|change| change.is_visible()).map(|change| &change.file).collect();
    out.answer(
        || json!({"rule": RULE, "current": work.unchanged, "outdated": old}),
        |style| {
            // Into a file or a pipe goes the text alone.
            if style.columns.is_none() {
                return RULE.to_owned();
            }
            let current = work.unchanged.iter().map(|file| style.dim(&format!("{}\n", shown(file))));
            let old = old.iter().map(|file| {
                let line = format!("{}: an older text; `memoria rules refresh` mends it\n", shown(file));
                style.paint(Paint::Yellow, &line)
            });
            let files: String = current.chain(old).collect();
            match files.as_str() {
                "" => RULE.to_owned(),
                files => format!("{RULE}\n{}{files}", style.dim("`memoria init` wrote it into\n")),
            }
        },
    )?;
    Ok(Exit::Ok)
}

fn refresh(paths: &Paths, is_dry: bool, out: &Out) -> Result<Exit> {
    let folder = paths.agents_folder();
    let outcome = if is_dry {
        let ledger = edits::look(&folder)?;
        edits::planned(setup::prepare(&ledger, &Reach::User, &rules(&ledger.record)))
    } else {
        paths.prepare()?;
        let mut ledger = edits::ledger(&folder)?;
        let record = ledger.record.clone();
        edits::carry_out(setup::prepare(&ledger, &Reach::User, &rules(&record)), &mut ledger)
    };
    out.answer(
        || outcome.as_json(),
        |style| match (outcome.done.len(), outcome.unchanged.len(), outcome.refused.len()) {
            (0, 0, 0) => "`memoria init` wrote no rule on this machine.\n".to_owned(),
            (0, 1, 0) => "The rule is up to date in 1 file.\n".to_owned(),
            (0, files, 0) => format!("The rule is up to date in {files} files.\n"),
            _ if is_dry => outcome.diff(style) + &outcome.refusals(style),
            _ => outcome.list(style),
        },
    )?;
    Ok(if outcome.refused.is_empty() { Exit::Ok } else { Exit::Partly })
}

/// The steps that put today's rule into each file that holds one of ours. Who removed the file meant it.
fn rules(record: &Record) -> Vec<(&str, Step)> {
    let there = record.files.iter().filter(|entry| entry.file.exists());
    let edits = there.flat_map(|entry| entry.owned.iter().map(|owned| (&entry.file, owned)));
    edits
        .filter_map(|(file, owned)| {
            let edit = refreshed(&owned.edit)?;
            Some((owned.agent.as_str(), Step { file: file.clone(), purpose: Purpose::Rule, edit }))
        })
        .collect()
}
