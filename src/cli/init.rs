//! `memoria init`: finds the agents on this machine and gives them the memory. On a terminal it asks; for scripts there
//! are flags. What is added is `agents/`' business, what was added is in the ledger, and `uninstall` takes it back.

use std::io::{BufRead, Write};

use serde_json::{Value, json};

use crate::agents::ledger::Ledger;
use crate::agents::{self, Agent, Machine, Reach, Step, setup};
use crate::client::project;
use crate::error::{Error, Result};
use crate::paths::Paths;

use super::edits::{self, Outcome};
use super::exit::Exit;
use super::model;
use super::service::{self, Installed};
use super::terminal::{Out, Paint, Style, agreed, bytes, plural};

/// Set up the agents on this machine: server, rule, hooks
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria init\n  memoria init --dry-run\n  \
    memoria init --agent claude-code --agent cursor --yes\n  memoria init --scope project --yes\n\n\
    Files are merged into: everything else in them stays. A file that cannot be read\n\
    is left alone and named. `memoria uninstall` takes everything back.")]
pub struct Args {
    /// Only this agent; may be given again
    #[arg(long = "agent", value_name = "NAME", value_parser = agent)]
    agents: Vec<&'static Agent>,
    /// You, or this project for everybody
    #[arg(long, value_enum, default_value = "user", hide_possible_values = true, value_name = "user|project")]
    scope: Scope,
    /// Show the exact change and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask: all that are found, or those named
    #[arg(long, short)]
    yes: bool,
    /// With --yes: start Memoria at login as well
    #[arg(long, requires = "yes")]
    service: bool,
    /// With --yes: install the better model as well
    #[arg(long, requires = "yes")]
    model: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Scope {
    User,
    Project,
}

pub fn agent(name: &str) -> Result<&'static Agent, String> {
    let names = || agents::ALL.iter().map(|agent| agent.name).collect::<Vec<_>>().join(", ");
    agents::find(name).ok_or_else(|| format!("there are {}", names()))
}

/// What is to be done besides agents' files.
#[derive(Default)]
struct Extras {
    service: bool,
    model: Option<&'static str>,
}

/// What became of them: done, or why not.
#[derive(Default)]
struct Added {
    service: Option<Result<Vec<String>>>,
    model: Option<(&'static str, Result<()>)>,
}

/// What there is to say in the end.
struct Told {
    agents: Vec<&'static Agent>,
    /// Those that have nothing for this reach.
    idle: Vec<&'static Agent>,
    reach: Reach,
    is_dry: bool,
    /// The list of changes was shown, and agreed to.
    is_listed: bool,
    outcome: Outcome,
    added: Added,
}

pub async fn run(args: &Args, out: &Out) -> Result<Exit> {
    let is_person = edits::is_person("init", out, args.yes || args.dry_run)?;
    let paths = Paths::from_env()?;
    let machine = Machine::here(service::installed_as())?;
    let reach = reach(args.scope)?;
    let agents = if is_person && args.agents.is_empty() { ask_which(&machine, out)? } else { named(args, &machine)? };
    let plan = |agent: &&Agent| (agent.plan)(&machine, &reach);
    let (idle, agents): (Vec<_>, Vec<_>) = agents.into_iter().partition(|agent| plan(agent).is_empty());
    let steps: Vec<(&str, Step)> =
        agents.iter().flat_map(|agent| plan(agent).into_iter().map(|step| (agent.name, step))).collect();
    let folder = paths.agents_folder();
    let (outcome, added) = (Outcome::default(), Added::default());
    let mut told = Told { agents, idle, reach, is_dry: args.dry_run, is_listed: is_person, outcome, added };
    if is_person || args.dry_run {
        told.outcome = edits::planned(setup::prepare(&edits::look(&folder)?, &told.reach, &steps));
        if args.dry_run {
            return told.dry(out);
        }
        if !is_agreed(&told.outcome, out)? {
            return Err(Error::cancelled("nothing was changed"));
        }
    }
    let extras = if is_person { ask_extras(&paths, out)? } else { wanted(args, &paths)? };
    paths.prepare()?;
    let mut ledger = edits::ledger(&folder)?;
    // Anew, now that nobody else is at it.
    let work = setup::prepare(&ledger, &told.reach, &steps);
    told.outcome = edits::carry_out(work, &mut ledger);
    told.added.service = add_service(&extras, &mut ledger).await?;
    // A download takes its time, and holds nobody else up.
    drop(ledger);
    if !out.json {
        // Whoever ends the download knows by then what is done.
        out.print(&told.files_text(&out.style))?;
    }
    if let Some(name) = extras.model {
        told.added.model = Some((name, model::install(name, &paths, out).await));
    }
    out.answer(|| told.as_json(), |style| told.end_text(style))?;
    Ok(told.exit())
}

pub fn reach(scope: Scope) -> Result<Reach> {
    let Scope::Project = scope else { return Ok(Reach::User) };
    let cwd = std::env::current_dir().map_err(|e| Error::io("find the folder that this runs in", &e))?;
    let root = project::root(&cwd);
    root.map(Reach::Project)
        .ok_or_else(|| Error::invalid("this folder is no project: go into one, or leave --scope out"))
}

fn named(args: &Args, machine: &Machine) -> Result<Vec<&'static Agent>> {
    if !args.agents.is_empty() {
        return Ok(args.agents.clone());
    }
    let found: Vec<_> = agents::ALL.iter().filter(|agent| (agent.is_installed)(machine)).collect();
    if found.is_empty() { Err(nobody()) } else { Ok(found) }
}

fn nobody() -> Error {
    let names: Vec<_> = agents::ALL.iter().map(|agent| agent.name).collect();
    Error::not_found(format!(
        "no agent was found on this machine. `memoria init --agent NAME` sets one up all the same: {}",
        names.join(", ")
    ))
}

/// Shows who is there, and hears who is meant.
fn ask_which(machine: &Machine, out: &Out) -> Result<Vec<&'static Agent>> {
    let found: Vec<_> = agents::ALL.iter().filter(|agent| (agent.is_installed)(machine)).collect();
    if found.is_empty() {
        return Err(nobody());
    }
    out.print("Found on this machine:\n")?;
    for (at, agent) in found.iter().enumerate() {
        out.print(&format!("  {}  {}\n", out.style.paint(Paint::Yellow, &(at + 1).to_string()), agent.title))?;
    }
    loop {
        let answer = ask("Set up all of them? [Y, n, or numbers such as 1 3]")?;
        match answer.as_str() {
            "" | "y" | "yes" => return Ok(found),
            "n" | "no" => return Err(Error::cancelled("nothing was changed")),
            _ => {}
        }
        let numbers = answer.split([' ', ',']).filter(|word| !word.is_empty());
        let chosen: Option<Vec<_>> =
            numbers.map(|word| found.get(word.parse::<usize>().ok()?.checked_sub(1)?).copied()).collect();
        match chosen.filter(|chosen| !chosen.is_empty()) {
            Some(chosen) => return Ok(chosen),
            None => out.print(&format!("Say numbers from 1 to {}, y or n.\n", found.len()))?,
        }
    }
}

fn ask(question: &str) -> Result<String> {
    eprint!("{question} ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer).map_err(|e| Error::io("read your answer", &e))?;
    if read == 0 {
        return Err(Error::cancelled("nothing was changed"));
    }
    Ok(answer.trim().to_lowercase())
}

fn is_agreed(outcome: &Outcome, out: &Out) -> Result<bool> {
    if outcome.done.is_empty() {
        return Ok(true);
    }
    out.print(&format!("\n{}", outcome.list(&out.style)))?;
    loop {
        match ask("Write this? [Y, n, d shows the exact change]")?.as_str() {
            "" | "y" | "yes" => return Ok(true),
            "d" | "diff" => out.print(&outcome.diff(&out.style))?,
            "n" | "no" => return Ok(false),
            _ => out.print("Say y, n or d.\n")?,
        }
    }
}

/// The service at login and a better model, where they are to be had and are not there yet.
fn ask_extras(paths: &Paths, out: &Out) -> Result<Extras> {
    let service = match (service::installed()?, service::possible()) {
        (Installed::Absent, Ok(())) => {
            agreed("Start Memoria at login, so that the first question is as fast as the others?")?
        }
        (Installed::Absent, Err(error)) => {
            let said = format!("It cannot be started at login: {}. Agents start it when they need it.", error.message);
            out.print(&out.style.dim(&out.style.block(&said, 0)))?;
            false
        }
        _ => false,
    };
    let model = match model::better(paths)? {
        Some((name, size)) => {
            let question =
                format!("Install {name}, which finds by meaning better than what is built in ({})?", bytes(size));
            agreed(&question)?.then_some(name)
        }
        None => None,
    };
    Ok(Extras { service, model })
}

fn wanted(args: &Args, paths: &Paths) -> Result<Extras> {
    let model = if args.model { model::better(paths)?.map(|(name, _)| name) } else { None };
    Ok(Extras { service: args.service && matches!(service::installed()?, Installed::Absent), model })
}

async fn add_service(extras: &Extras, ledger: &mut Ledger) -> Result<Option<Result<Vec<String>>>> {
    if !extras.service {
        return Ok(None);
    }
    // Written down first, as with files.
    ledger.record.service = true;
    ledger.save()?;
    Ok(Some(service::put_in_place().await.map(|place| place.files)))
}

impl Told {
    fn dry(&self, out: &Out) -> Result<Exit> {
        out.answer(
            || self.as_json(),
            |style| {
                let nothing = if self.outcome.done.is_empty() { "Nothing would change.\n" } else { "" };
                format!("{}{}{nothing}", self.outcome.diff(style), self.outcome.refusals(style))
            },
        )?;
        Ok(self.exit())
    }

    fn exit(&self) -> Exit {
        let is_whole = self.outcome.refused.is_empty()
            && self.added.service.as_ref().is_none_or(Result::is_ok)
            && self.added.model.as_ref().is_none_or(|(_, done)| done.is_ok());
        if is_whole { Exit::Ok } else { Exit::Partly }
    }

    fn as_json(&self) -> Value {
        let names = |agents: &[&Agent]| agents.iter().map(|agent| agent.name).collect::<Value>();
        let said = |done: Result<Value>| done.unwrap_or_else(|error| json!({"problem": error.message}));
        let Added { service, model } = &self.added;
        let mut fields = self.outcome.as_json();
        fields["agents"] = names(&self.agents);
        fields["nothing_for"] = names(&self.idle);
        fields["dry_run"] = json!(self.is_dry);
        fields["service"] = service.clone().map(|done| said(done.map(|files| json!(files)))).into();
        fields["model"] = model.clone().map(|(name, done)| said(done.map(|()| json!(name)))).into();
        fields
    }

    /// What became of the files and the service.
    fn files_text(&self, style: &Style) -> String {
        let titles = |agents: &[&Agent]| agents.iter().map(|agent| agent.title).collect::<Vec<_>>().join(", ");
        let (done, refused) = (self.outcome.done.len(), !self.outcome.refused.is_empty());
        let mut text = match (done, refused) {
            (0, false) if self.agents.is_empty() => String::new(),
            (0, false) => format!("{}: set up already, nothing changed.\n", titles(&self.agents)),
            (0, true) if self.outcome.unchanged.is_empty() => self.outcome.refusals(style),
            (0, true) => format!("{}Everything else is set up already.\n", self.outcome.refusals(style)),
            (done, _) if self.is_listed => {
                format!("Wrote {}.\n{}", plural(done as u64, "file", "files"), self.outcome.refusals(style))
            }
            _ => self.outcome.list(style),
        };
        if refused {
            text += "Mend what was left alone, then run `memoria init` again.\n";
        }
        if !self.idle.is_empty() {
            let which = if self.reach.project().is_some() { "one project" } else { "every project" };
            text += &format!("{}: nothing can be set up for {which}.\n", titles(&self.idle));
        }
        if let Some(folder) = self.outcome.copies() {
            text += &style.dim(&format!("What was there before is in {}\n", edits::shown(folder)));
        }
        match &self.added.service {
            Some(Ok(files)) => text += &format!("Starts at login: {}\n", files.join(", ")),
            Some(Err(error)) => text += &style.paint(Paint::Red, &style.block(&error.message, 0)),
            None => {}
        }
        text
    }

    /// What became of the model, and what to do now.
    fn end_text(&self, style: &Style) -> String {
        let mut text = String::new();
        match &self.added.model {
            Some((name, Ok(()))) => text += &format!("Installed {name}.\n"),
            Some((name, Err(error))) => {
                let said = format!("{name} was not installed: {}", error.message);
                text += &style.paint(Paint::Red, &style.block(&said, 0));
            }
            None => {}
        }
        if self.outcome.done.is_empty() {
            return text;
        }
        let shared =
            if self.reach.project().is_some() { " Commit these files for those who work with you." } else { "" };
        text + &format!(
            "\n{}{shared} `memoria uninstall` takes it back.\n",
            style.bold("Start your agents anew, and ask one what it remembers.")
        )
    }
}
