//! Changes of agents' files, as `memoria init` and `memoria uninstall` show them and carry them out: a list, the exact
//! change line by line, what was refused, and where the copies are.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::agents;
use crate::agents::ledger::Ledger;
use crate::agents::setup::{Change, Refused, Work};
use crate::clock;
use crate::error::{Error, Result};
use crate::model::text::visible;

use super::terminal::{Out, Paint, Style, one_line, width};
use super::words::{Fate, fates};

/// Lines around a change.
const CONTEXT: usize = 3;

/// What became of the files.
#[derive(Default)]
pub struct Outcome {
    pub done: Vec<Told>,
    pub refused: Vec<Refused>,
    /// Files that were right already.
    pub unchanged: Vec<PathBuf>,
}

/// One change, as it was or would be made.
pub struct Told {
    change: Change,
    copy: Option<PathBuf>,
}

/// Carries everything out that can be; the rest is refused and named.
pub fn carry_out(work: Work, ledger: &mut Ledger) -> Outcome {
    let mut outcome = Outcome { refused: work.refused, unchanged: work.unchanged, ..Outcome::default() };
    for change in work.changes {
        match change.carry_out(ledger) {
            Ok(_) if !change.is_visible() => outcome.unchanged.push(change.file),
            Ok(done) => outcome.done.push(Told { change, copy: done.copy }),
            Err(error) => outcome.refused.push(Refused { file: change.file, agents: change.agents, error }),
        }
    }
    // A copy too many harms nobody, and the next run tries again.
    let _ = ledger.prune();
    outcome
}

/// What would be done, and nothing is.
pub fn planned(work: Work) -> Outcome {
    let (seen, unseen): (Vec<_>, Vec<_>) = work.changes.into_iter().partition(Change::is_visible);
    let mut unchanged = work.unchanged;
    unchanged.extend(unseen.into_iter().map(|change| change.file));
    let done = seen.into_iter().map(|change| Told { change, copy: None }).collect();
    Outcome { done, refused: work.refused, unchanged }
}

/// Whether somebody can be asked; if not, and nothing was said beforehand, nothing is done.
pub fn is_person(command: &str, out: &Out, is_decided: bool) -> Result<bool> {
    let is_person = !out.json && !is_decided && std::io::stdin().is_terminal();
    if is_person || is_decided {
        return Ok(is_person);
    }
    Err(Error::invalid(format!(
        "nobody can be asked here: `memoria {command} --dry-run` shows what would change, and --yes does it"
    )))
}

/// Waits for whoever else is at it.
pub fn ledger(folder: &Path) -> Result<Ledger> {
    // Names of files on every system: no colons.
    Ledger::open(folder, &agents::home()?, &clock::rfc3339(clock::now()).replace(':', "-"))
}

/// Only to look.
pub fn look(folder: &Path) -> Result<Ledger> {
    Ledger::look(folder, &agents::home()?)
}

impl Outcome {
    pub fn as_json(&self) -> Value {
        let changes: Vec<_> = self.done.iter().map(Told::as_json).collect();
        let left = |one: &Refused| json!({"file": one.file, "agents": one.agents, "reason": one.error.message});
        json!({
            "changes": changes,
            "unchanged": self.unchanged,
            "refused": self.refused.iter().map(left).collect::<Vec<_>>(),
        })
    }

    /// A table of the files, and what was refused.
    pub fn list(&self, style: &Style) -> String {
        let row = |told: &Told| {
            let change = &told.change;
            let purposes: Vec<_> = change.purposes.iter().map(|purpose| purpose.as_str()).collect();
            let what = if purposes.is_empty() { "taken back".to_owned() } else { purposes.join(", ") };
            let agents = change.agents.join(", ");
            vec![told.fate().to_owned(), shown(&change.file), what, agents]
        };
        let rows: Vec<_> = self.done.iter().map(row).collect();
        let columns = [("", Paint::Green), ("FILE", Paint::Plain), ("WHAT", Paint::Plain), ("FOR", Paint::Dim)];
        let widest = |column: usize| rows.iter().map(|row| width(&row[column])).max().unwrap_or_default() + 2;
        let table = match style.columns {
            _ if rows.is_empty() => String::new(),
            // A table whose rows do not fit is read by nobody.
            Some(room) if (0..columns.len()).map(widest).sum::<usize>() > room + 2 => {
                let two = |row: &Vec<String>| {
                    let fate = style.paint(Paint::Green, &format!("{:7}", row[0]));
                    format!("{fate}  {}\n{}", row[1], style.block(&format!("{}, for {}", row[2], row[3]), 9))
                };
                rows.iter().map(two).collect()
            }
            _ => style.table(&columns, &rows),
        };
        table + &self.refusals(style)
    }

    pub fn refusals(&self, style: &Style) -> String {
        let one = |refused: &Refused| {
            let said = format!("Left alone: {}: {}", shown(&refused.file), refused.error.message);
            style.paint(Paint::Red, &style.block(&one_line(&said), 0))
        };
        self.refused.iter().map(one).collect()
    }

    /// The exact changes.
    pub fn diff(&self, style: &Style) -> String {
        self.done.iter().map(|told| diff(&told.change, style)).collect()
    }

    /// The folder that the copies of this run are in, if any was made.
    pub fn copies(&self) -> Option<&Path> {
        self.done.iter().find_map(|told| told.copy.as_deref()?.parent())
    }
}

impl Told {
    fn fate(&self) -> &'static str {
        match (&self.change.before, &self.change.after) {
            (None, _) => "new",
            (Some(_), Some(_)) => "changed",
            (Some(_), None) => "removed",
        }
    }

    fn as_json(&self) -> Value {
        let purposes: Vec<_> = self.change.purposes.iter().map(|purpose| purpose.as_str()).collect();
        json!({
            "file": self.change.file,
            "change": self.fate(),
            "agents": self.change.agents,
            "purposes": purposes,
            "diff": diff(&self.change, &Style { colour: false, columns: None }),
            "copy": self.copy,
        })
    }
}

/// With `~` for the home folder.
pub fn shown(path: &Path) -> String {
    let home = std::env::home_dir().filter(|home| home.is_absolute());
    match home.as_deref().and_then(|home| path.strip_prefix(home).ok()) {
        Some(rest) => Path::new("~").join(rest).display().to_string(),
        None => path.display().to_string(),
    }
}

/// Lines that went and came, with those around them.
fn diff(change: &Change, style: &Style) -> String {
    let lines = |text: &Option<String>| text.as_deref().unwrap_or_default().lines().map(str::to_owned).collect();
    let (old, new): (Vec<String>, Vec<String>) = (lines(&change.before), lines(&change.after));
    let (old, new): (Vec<&str>, Vec<&str>) =
        (old.iter().map(String::as_str).collect(), new.iter().map(String::as_str).collect());
    let fates = fates(&old, &new);
    let name = |text: &Option<String>| text.as_ref().map_or("/dev/null".to_owned(), |_| shown(&change.file));
    let mut out = style.bold(&format!("--- {}\n+++ {}\n", name(&change.before), name(&change.after)));
    let is_near = |at: usize| {
        let from = at.saturating_sub(CONTEXT);
        fates[from..(at + CONTEXT + 1).min(fates.len())].iter().any(|(fate, _)| *fate != Fate::Kept)
    };
    let (mut old_line, mut new_line, mut was_near) = (1, 1, false);
    for (at, (fate, line)) in fates.iter().enumerate() {
        let near = is_near(at);
        if near && !was_near {
            out += &style.paint(Paint::Cyan, &format!("@@ -{old_line} +{new_line} @@\n"));
        }
        was_near = near;
        let line = visible(line);
        let line = line.trim_end_matches('\r');
        match fate {
            Fate::Kept if near => out += &format!(" {line}\n"),
            Fate::Kept => {}
            Fate::Removed => out += &format!("{}\n", style.paint(Paint::Red, &format!("-{line}"))),
            Fate::Added => out += &format!("{}\n", style.paint(Paint::Green, &format!("+{line}"))),
        }
        old_line += usize::from(*fate != Fate::Added);
        new_line += usize::from(*fate != Fate::Removed);
    }
    out
}
