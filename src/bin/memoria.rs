//! The shim that agents start, and the command line that people type: all of it is in `cli/` and `client/`.

fn main() -> std::process::ExitCode {
    memoria::cli::run()
}
