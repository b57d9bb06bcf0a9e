//! The daemon, and the command line that `memoria` hands on to (`cli` as the first argument). People rarely start
//! it themselves: `memoria start`, an agent's shim or the service manager does.

use std::process::ExitCode;

use memoria::daemon::{How, run};

const HELP: &str = "\
memoriad: keeps the memories of this user's agents. `memoria start` runs it for you.

Usage: memoriad [--foreground | --daemonize] [--announce] [--auto]

  --foreground  Stay in this terminal, or under a service manager (the default)
  --daemonize   Go to the background; return when it listens (not on Windows)
  --announce    Print one line: `ready PID VERSION` or `failed KIND REASON`
  --auto        Exit when nobody has needed it for the config's daemon.idle_exit_min
  --version     Print the version
  --help        Print this
";

fn main() -> ExitCode {
    let mut typed = std::env::args_os().skip(1);
    match typed.next() {
        Some(first) if first == "cli" => return memoria::cli::run(typed.collect()),
        // A process of the daemon's own, for a runtime that can never be unloaded.
        Some(first) if first == "embed" => return memoria::embed::child::serve::run(),
        _ => {}
    }
    let mut how = How::default();
    for argument in std::env::args_os().skip(1) {
        match argument.to_str() {
            Some("--foreground") => how.daemonizes = false,
            Some("--daemonize") if cfg!(unix) => how.daemonizes = true,
            Some("--announce") => how.announces = true,
            Some("--auto") => how.is_auto = true,
            Some("--version" | "-V") => {
                println!("memoriad {}", env!("CARGO_PKG_VERSION"));
                return ExitCode::SUCCESS;
            }
            Some("--help" | "-h") => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            _ => {
                let shown = argument.to_string_lossy();
                eprintln!("memoriad: `{shown}` is not an option here. `memoriad --help` lists them");
                return ExitCode::from(2);
            }
        }
    }
    run(how)
}
