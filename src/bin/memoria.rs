//! The shim and the command line. An agent's window costs one shim, so that one pays for nothing else.

use std::process::ExitCode;

use memoria::client::shim;
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
    memoria::cli::run()
}
