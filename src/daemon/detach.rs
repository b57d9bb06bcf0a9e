//! Leaving the terminal: the only file that names `daemonize`. It forks, so it runs before any thread exists and
//! before the lock is taken. The parent stays until the daemon listens, and passes on why it does not.

use std::io::{BufRead, BufReader, PipeWriter};
use std::process::ExitCode;

use daemonize::{Daemonize, Outcome};

use super::announce::{Announce, Failure};
use crate::error::{Error, Result};
use crate::paths::Paths;

/// Which side of the fork this is.
pub enum Side {
    /// The daemon, with the channel on which its parent listens.
    Child(PipeWriter),
    /// The process that was started; all that is left to it is to exit.
    Parent(ExitCode),
}

/// Goes to the background.
///
/// # Errors
/// When a service manager has passed its socket, which belongs to the process that it started and to no other.
pub fn detach(paths: &Paths, announce: Announce) -> Result<Side, (Announce, Error)> {
    if is_activated() {
        let why = "a service manager passed its socket: --daemonize would leave it behind; use --foreground there";
        return Err((announce, Error::invalid(why)));
    }
    let (reader, writer) = match std::io::pipe() {
        Ok(pipe) => pipe,
        Err(e) => return Err((announce, Error::io("open a pipe to the daemon", &e))),
    };
    match Daemonize::new().working_directory(&paths.data_dir).umask(0o077).execute() {
        Outcome::Child(Ok(_)) => Ok(Side::Child(writer)),
        Outcome::Child(Err(e)) => {
            let why = Failure::Other(Error::unavailable(format!("cannot go to the background: {e}")));
            Announce::to(writer).failed(&why);
            Ok(Side::Parent(ExitCode::FAILURE))
        }
        Outcome::Parent(Ok(_)) => {
            // Ours would keep the pipe open after the daemon's death.
            drop(writer);
            let mut line = String::new();
            let _ = BufReader::new(reader).read_line(&mut line);
            Ok(Side::Parent(pass_on(announce, line.trim_end())))
        }
        Outcome::Parent(Err(e)) => Err((announce, Error::unavailable(format!("cannot go to the background: {e}")))),
    }
}

/// Whether `LISTEN_FDS` means us, by systemd's protocol.
pub fn is_activated() -> bool {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    number("LISTEN_FDS").is_some_and(|count| count > 0)
        && number("LISTEN_PID").is_none_or(|pid| pid == std::process::id())
}

fn pass_on(announce: Announce, line: &str) -> ExitCode {
    let failure = match line.split_once(' ') {
        Some(("ready", _)) => {
            announce.say(line);
            return ExitCode::SUCCESS;
        }
        Some(("failed", rest)) => rest.split_once(' ').map_or(rest, |(_, reason)| reason),
        _ => "the daemon died before it was ready; look at `memoria logs`",
    };
    eprintln!("memoriad: {failure}");
    match line {
        "" => announce.failed(&Failure::Died(failure.to_owned())),
        line => announce.say(line),
    }
    ExitCode::FAILURE
}
