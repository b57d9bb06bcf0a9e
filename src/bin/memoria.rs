//! `memoria mcp` is the shim, one for each agent's window, and all that this program holds; whatever else is typed
//! runs in `memoriad`, which it becomes.

use std::process::ExitCode;

use memoria::client::{shim, spawn};
use memoria::paths::Paths;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == "mcp") && arguments.next().is_none() {
        return match Paths::from_env().and_then(|paths| shim::run(&paths)) {
            // The thread that reads input may wait for ever; it must not keep the process.
            Ok(()) => std::process::exit(0),
            Err(error) => {
                eprintln!("memoria mcp: {error}");
                ExitCode::FAILURE
            }
        };
    }
    spawn::command_line(std::env::args_os()).unwrap_or_else(|error| {
        eprintln!("memoria: {error}");
        ExitCode::FAILURE
    })
}
