//! The command line: one file per command that people type. It prints and never decides: what is true comes from the
//! daemon, by `ask.rs`. `terminal.rs` makes text safe and fitting, `json.rs` and `text.rs` shape memories, `exit.rs`
//! holds the exit codes.

mod apply;
mod ask;
mod bar;
mod benchmark;
mod blame;
mod branch;
mod changes;
mod checkout;
mod completions;
mod config;
mod correct;
mod demo;
mod diff;
mod doctor;
mod edits;
mod exit;
mod export;
mod feedback;
mod graph;
mod hook;
mod import;
mod init;
mod json;
mod list;
mod log;
mod logs;
mod mark;
mod mcp;
mod merge;
mod model;
mod r#move;
mod moved;
mod pick;
mod process;
mod profile;
mod purge;
mod resolve;
mod restart;
mod retrieve;
mod revert;
mod rollback;
mod rules;
mod service;
mod show;
mod snapshot;
mod start;
mod status;
mod stop;
mod store;
mod terminal;
mod text;
mod undo;
mod uninstall;
mod upkeep;
mod verify;
mod what;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind as Clap;
use clap::{Parser, Subcommand};

use crate::error::{Error, Result};
use crate::model::text::visible;
use crate::wire::message::Way;
use exit::Exit;
use terminal::Out;

const OVERVIEW: &str = "\
Memoria: one memory for every coding agent on this machine.

  memoria init                             set up the agents on this machine
  memoria demo                             see it work, in a temporary folder

  memoria store \"We deploy with Buildkite\"
  memoria retrieve \"how do we deploy?\"
  memoria list                             what it knows, newest first
  memoria log                              who taught it what
  memoria branch idea                      try things; then diff and merge
  memoria status                           how it is

`memoria --help` lists every command, `memoria help COMMAND` explains one.
";

#[derive(Parser)]
#[command(name = "memoria", version)]
#[command(about = "One memory for every coding agent on this machine", after_help = exit::HELP)]
#[command(max_term_width = 80)]
struct Cli {
    /// Answer in JSON, for scripts
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve one agent: MCP on stdin and stdout (what agents start)
    #[command(after_help = "Example, in an agent's configuration:\n  \
        {\"mcpServers\": {\"memoria\": {\"command\": \"memoria\", \"args\": [\"mcp\"]}}}")]
    Mcp,
    Init(init::Args),
    Uninstall(uninstall::Args),
    Rules(rules::Args),
    Store(store::Args),
    Retrieve(retrieve::Args),
    List(list::Args),
    Show(show::Args),
    Correct(correct::Args),
    Purge(purge::Args),
    Feedback(feedback::Args),
    /// Keep memories young, and before others of their likes
    #[command(after_help = "Examples:\n  memoria pin 1a2b3c4d\n  memoria pin 1a2b3c4d 5e6f7a8b --branch idea\n\n\
        What is pinned does not age, and outlives its session. It is a commit.")]
    Pin(mark::PinArgs),
    /// Let memories age again
    #[command(after_help = "Example:\n  memoria unpin 1a2b3c4d")]
    Unpin(mark::PinArgs),
    Expire(mark::ExpireArgs),
    Profile(profile::Args),
    Branch(branch::Args),
    Checkout(checkout::Args),
    Snapshot(snapshot::Args),
    Diff(diff::Args),
    Merge(merge::Args),
    Resolve(resolve::Args),
    Pick(pick::Args),
    Apply(apply::Args),
    Rollback(rollback::Args),
    Revert(revert::Args),
    /// Take back your last operation
    #[command(after_help = "Examples:\n  memoria undo\n  memoria undo 3 --dry-run\n\n\
        Yours is what was typed in this project. `memoria redo` does it again.")]
    Undo(undo::Args),
    /// Do again what was undone
    #[command(after_help = "Examples:\n  memoria redo\n  memoria redo 2")]
    Redo(undo::Args),
    Log(log::Args),
    Blame(blame::Args),
    Import(import::Args),
    Export(export::Args),
    Move(r#move::Args),
    /// Show how the daemon is: memory, store, sessions, last error
    #[command(after_help = "Examples:\n  memoria status\n  memoria status --json")]
    Status,
    /// Look for what is missing on this machine and on a shared server
    #[command(after_help = "Examples:\n  memoria doctor\n  memoria doctor --json\n\n\
        It says what to do, and mends nothing. It needs no daemon.")]
    Doctor,
    Logs(logs::Args),
    /// Start the daemon and wait until it is ready
    #[command(after_help = "Example:\n  memoria start\n\nAgents start it by themselves; \
        `memoria service install` starts it at login.")]
    Start,
    /// Stop the daemon once it has finished what it is doing
    #[command(after_help = "Example:\n  memoria stop\n\nThe next agent or command starts it again.")]
    Stop,
    Restart(restart::Args),
    Service(service::Args),
    /// Check everything that the store promises
    #[command(after_help = "Examples:\n  memoria verify\n  memoria verify --json")]
    Verify,
    /// Build anew what is derived, save what can be read, then verify
    #[command(
        after_help = "Example:\n  memoria repair\n\nCopy the data folder first: `memoria status` says where it is."
    )]
    Repair,
    Compact(upkeep::CompactArgs),
    Model(model::Args),
    Config(config::Args),
    Hook(hook::Args),
    Benchmark(benchmark::Args),
    /// See it work in a temporary folder: agents, a crash, a rollback
    #[command(after_help = "Example:\n  memoria demo\n\nIt takes a second and leaves nothing behind.")]
    Demo,
    Completions(completions::Args),
}

/// Runs what was typed after `memoria`.
pub fn run(typed: Vec<OsString>) -> ExitCode {
    if typed.is_empty() {
        let out = Out::new(false);
        return report(&out, out.print(OVERVIEW).map(|()| Exit::Ok));
    }
    // An agent waits for it with every prompt: it does not pay for the grammar of all the other commands.
    let command = typed.iter().position(|word| !word.as_encoded_bytes().starts_with(b"-"));
    if let Some(at) = command.filter(|at| typed[*at] == "hook")
        && !typed.iter().any(|word| word == "--help" || word == "-h")
    {
        return hook::run(&typed[at + 1..]);
    }
    match Cli::try_parse_from(std::iter::once(OsString::from("memoria")).chain(typed)) {
        Ok(cli) => {
            let out = Out::new(cli.json);
            let done = run_command(cli.command, &out);
            report(&out, done)
        }
        Err(refusal) => refuse(&refusal),
    }
}

fn run_command(command: Command, out: &Out) -> Result<Exit> {
    match command {
        Command::Mcp => mcp::run().map(|()| Exit::Ok),
        Command::Demo => demo::run(out),
        Command::Completions(args) => completions::run(&args, out),
        Command::Config(args) => config::run(&args, out),
        Command::Rules(args) => rules::run(&args, out),
        Command::Logs(args) => logs::run(&args, out),
        command => ask::block_on(talk(command, out)),
    }
}

/// The commands that speak with the daemon.
async fn talk(command: Command, out: &Out) -> Result<Exit> {
    match command {
        Command::Init(args) => init::run(&args, out).await,
        Command::Uninstall(args) => uninstall::run(&args, out).await,
        Command::Store(args) => store::run(args, out).await,
        Command::Retrieve(args) => retrieve::run(args, out).await,
        Command::List(args) => list::run(args, out).await,
        Command::Show(args) => show::run(args, out).await,
        Command::Correct(args) => correct::run(args, out).await,
        Command::Purge(args) => purge::run(args, out).await,
        Command::Feedback(args) => feedback::run(args, out).await,
        Command::Pin(args) => mark::pin(args, true, out).await,
        Command::Unpin(args) => mark::pin(args, false, out).await,
        Command::Expire(args) => mark::expire(args, out).await,
        Command::Profile(args) => profile::run(args, out).await,
        Command::Branch(args) => branch::run(args, out).await,
        Command::Checkout(args) => checkout::run(args, out).await,
        Command::Snapshot(args) => snapshot::run(args, out).await,
        Command::Diff(args) => diff::run(args, out).await,
        Command::Merge(args) => merge::run(args, out).await,
        Command::Resolve(args) => resolve::run(args, out).await,
        Command::Pick(args) => pick::run(args, out).await,
        Command::Apply(args) => apply::run(args, out).await,
        Command::Rollback(args) => rollback::run(args, out).await,
        Command::Revert(args) => revert::run(args, out).await,
        Command::Undo(args) => undo::run(args, Way::Undo, out).await,
        Command::Redo(args) => undo::run(args, Way::Redo, out).await,
        Command::Log(args) => log::run(args, out).await,
        Command::Blame(args) => blame::run(args, out).await,
        Command::Import(args) => import::run(args, out).await,
        Command::Export(args) => export::run(args, out).await,
        Command::Move(args) => r#move::run(args, out).await,
        Command::Status => status::run(out).await,
        Command::Doctor => doctor::run(out).await,
        Command::Start => start::run(out).await,
        Command::Stop => stop::run(out).await,
        Command::Restart(args) => restart::run(&args, out).await,
        Command::Service(args) => service::run(&args, out).await,
        Command::Verify => verify::run(out).await,
        Command::Repair => upkeep::repair(out).await,
        Command::Compact(args) => upkeep::compact(args, out).await,
        Command::Benchmark(args) => benchmark::run(args, out).await,
        Command::Model(args) => model::run(args, out).await,
        Command::Mcp
        | Command::Demo
        | Command::Completions(_)
        | Command::Config(_)
        | Command::Logs(_)
        | Command::Hook(_)
        | Command::Rules(_) => Err(Error::internal("this command does not speak with the daemon")),
    }
}

/// Errors go to stderr as a sentence, or to stdout as JSON for a script that reads it there.
fn report(out: &Out, done: Result<Exit>) -> ExitCode {
    let exit = done.unwrap_or_else(|error| {
        if out.json {
            let _ = out.line(&json::error(json::kind_of(error.kind), &error.message).to_string());
        } else {
            eprintln!("memoria: {}", visible(&error.message));
        }
        error.kind.into()
    });
    exit.into()
}

/// What clap has to say: help and version are no errors; the rest is, with exit code 2.
fn refuse(refusal: &clap::Error) -> ExitCode {
    let is_help = matches!(refusal.kind(), Clap::DisplayHelp | Clap::DisplayVersion);
    if !is_help && std::env::args_os().any(|word| word == "--json") {
        let text = refusal.to_string();
        let sentence = text.split("\n\nUsage").next().unwrap_or(&text).split("\n\nFor more").next().unwrap_or(&text);
        let sentence = sentence.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ");
        println!("{}", json::error("usage", &sentence));
    } else {
        // A closed pipe is the reader's choice.
        let _ = refusal.print();
    }
    if is_help { Exit::Ok.into() } else { Exit::Usage.into() }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example_and_fits_80_columns() {
        fn check(command: &clap::Command) {
            // `help` lists the others again, without their examples.
            for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
                let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("xample") || sub.has_subcommands(), "`{}` has no example", sub.get_name());
                let all = sub.clone().render_help().to_string();
                let wide: Vec<_> = all.lines().filter(|line| line.chars().count() > 80).collect();
                assert!(wide.is_empty(), "in the help of `{}`: {wide:#?}", sub.get_name());
                check(sub);
            }
        }
        let mut all = Cli::command();
        all.build();
        check(&all);
    }

    #[test]
    fn overview_fits_80_columns() {
        assert!(OVERVIEW.lines().all(|line| line.len() <= 80));
    }
}
