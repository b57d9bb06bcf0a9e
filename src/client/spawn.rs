//! Starting `memoriad` and hearing from it how that went. The daemon's standard output is the channel for that:
//! one line, `ready …` or `failed KIND SENTENCE`. It knows no locks and no sockets.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio::time::{Instant, timeout_at};

use crate::error::{Error, Result};
use crate::wire::hello::Build;

/// An announcement is one sentence.
const ANNOUNCEMENT_BYTES_MAX: u64 = 4096;

/// What a daemon may know of our surroundings: an agent's environment is full of other programs' secrets.
#[rustfmt::skip]
const ENVIRONMENT: &[&str] = &[
    "HOME", "PATH", "LANG", "TZ", "TMPDIR", "USER", "LOGNAME", "RUST_BACKTRACE",
    // Windows: without these a process finds neither its folders nor its libraries.
    "SystemRoot", "SystemDrive", "windir", "TEMP", "TMP", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA",
    "HOMEDRIVE", "HOMEPATH", "USERNAME", "USERDOMAIN", "ComSpec", "PATHEXT", "WINEPREFIX", "WINEDEBUG",
];
const ENVIRONMENT_PREFIXES: &[&str] = &["MEMORIA_", "XDG_", "LC_"];

/// How a start went, when it did not fail.
pub enum Started {
    /// It listens.
    Ready,
    /// Another daemon holds the lock, perhaps in its last milliseconds.
    LockHeld,
    /// It ended before it was ready, without a reason of its own: killed, most likely.
    Died(Error),
}

/// Starts a daemon of this user and waits until it listens, at most until the deadline.
///
/// # Errors
/// The reason that the daemon gave, or why it could not be run at all.
pub async fn daemon(deadline: Instant) -> Result<Started> {
    let (sender, announced) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("starter".into())
        .stack_size(64 << 10)
        .spawn(move || {
            let _ = sender.send(run());
        })
        .map_err(|e| Error::io("start a thread to wait for the daemon", &e))?;
    match timeout_at(deadline, announced).await {
        Ok(Ok(started)) => started,
        Ok(Err(_)) => Err(Error::internal("the thread that waited for the daemon has died")),
        // Silence is not death: whoever waits looks at the socket again, and at the clock.
        Err(_) => Ok(Started::LockHeld),
    }
}

/// Starts a daemon of this user and does not wait for it: whoever asks has no time. Of several that are started at once
/// one stays, by its lock; what hinders it is in the log.
///
/// # Errors
/// When the program cannot be run at all.
pub fn detached() -> Result<()> {
    let program = program("memoriad");
    let way = if cfg!(unix) { "--daemonize" } else { "--foreground" };
    let mut command = command(&program, [way, "--announce", "--auto"]);
    let started = command.stdout(Stdio::null()).spawn();
    started.map(drop).map_err(|e| absent(&program.display().to_string(), &e))
}

/// Starts a daemon for a home of its own, as a child that stays one, and waits until it listens. It knows none of this
/// process's settings, only these, as `(variable, value)`; and ends by itself soon after its last session.
///
/// # Errors
/// The reason that the daemon gave, or why it could not be run at all.
pub fn child(home: &Path, settings: &[(String, String)]) -> Result<Child> {
    let program = program("memoriad");
    let mut command = command(&program, ["--foreground", "--announce", "--auto"]);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MEMORIA_")) {
        command.env_remove(name);
    }
    command.env("MEMORIA_HOME", home).env("MEMORIA_DAEMON_IDLE_EXIT_MIN", "1").current_dir(home);
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    // A Ctrl-C is for whoever started it, who ends it in order.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let shown = program.display().to_string();
    let mut child = command.spawn().map_err(|e| absent(&shown, &e))?;
    let why = match first_line(&mut child).map(|line| heard(&line, &shown)) {
        Ok(Ok(Started::Ready)) => return Ok(child),
        Ok(Ok(Started::LockHeld)) => Error::unavailable(format!("another daemon serves {} already", home.display())),
        Ok(Ok(Started::Died(error)) | Err(error)) => error,
        Err(e) => Error::io(format_args!("hear from {shown}"), &e),
    };
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
    Err(why)
}

fn run() -> Result<Started> {
    let program = program("memoriad");
    let shown = program.display().to_string();
    let way = if cfg!(unix) { "--daemonize" } else { "--foreground" };
    let mut child = command(&program, [way, "--announce", "--auto"]).spawn().map_err(|e| absent(&shown, &e))?;
    let line = first_line(&mut child);
    // On Unix this process was only the parent that waited for readiness, and it ends now.
    if cfg!(unix) {
        let _ = child.wait();
    }
    heard(&line.map_err(|e| Error::io(format_args!("hear from {shown}"), &e))?, &shown)
}

/// What the daemon announced.
fn heard(line: &str, shown: &str) -> Result<Started> {
    let (word, rest) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
    match (word, rest.split_once(' ')) {
        ("ready", _) => Ok(Started::Ready),
        ("failed", Some(("lock-held", _))) => Ok(Started::LockHeld),
        ("failed", Some(("died", reason))) => Ok(Started::Died(Error::unavailable(reason))),
        ("failed", Some((_, reason))) => Err(Error::unavailable(format!("the daemon could not start: {reason}"))),
        _ => Ok(Started::Died(Error::unavailable(format!(
            "the daemon died before it was ready and gave no reason: run `{shown} --foreground` to see it fail"
        )))),
    }
}

/// Runs what a person typed in `memoriad`, which holds the command line, so that the shim, of which there is one
/// for each agent's window, stays small. On Unix it does not return when it succeeds: the process becomes the other.
pub fn command_line(typed: std::env::ArgsOs) -> Result<std::process::ExitCode> {
    let program = program("memoriad");
    let mut typed = typed;
    let mut command = Command::new(&program);
    let name = typed.next();
    command.arg("cli").args(typed);
    #[cfg(unix)]
    let failure = {
        use std::os::unix::process::CommandExt;
        name.into_iter().fold(&mut command, |command, name| command.arg0(name)).exec()
    };
    #[cfg(not(unix))]
    let failure = match command.status() {
        Ok(status) => {
            let _ = name;
            return Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1).into());
        }
        Err(failure) => failure,
    };
    Err(absent(&program.display().to_string(), &failure))
}

fn absent(program: &str, reason: &std::io::Error) -> Error {
    let mut error = Error::io(format_args!("run {program}"), reason);
    error.message.push_str(". Install `memoriad` beside `memoria`: `cargo install` puts both in place");
    error
}

fn first_line(child: &mut Child) -> std::io::Result<String> {
    let mut line = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::with_capacity(512, stdout.take(ANNOUNCEMENT_BYTES_MAX)).read_until(b'\n', &mut line)?;
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn command(program: &PathBuf, arguments: [&str; 3]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).env_clear();
    for (name, value) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_known = ENVIRONMENT.iter().any(|known| known.eq_ignore_ascii_case(&text));
        if is_known || ENVIRONMENT_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
            command.env(&name, value);
        }
    }
    // glibc gives each thread a heap of its own, which an idle daemon never gives back.
    command.env("MALLOC_ARENA_MAX", "1");
    #[cfg(windows)]
    {
        use std::os::windows::process::CommandExt;
        const DETACHED_PROCESS: u32 = 0x8;
        const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
        command.creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP);
    }
    command
}

/// One of our two programs: beside the one that runs, as installed; else wherever `PATH` has it.
pub fn program(name: &str) -> PathBuf {
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(&name)));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| name.into())
}

/// The version of the daemon that would be started; `None` when it cannot be told.
pub fn installed_build() -> Option<Build> {
    let output = Command::new(program("memoriad")).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut parts = text.split_whitespace().nth(1)?.split('.').map(|part| part.parse::<u16>().ok());
    Some(Build([parts.next()??, parts.next()??, parts.next()??]))
}
