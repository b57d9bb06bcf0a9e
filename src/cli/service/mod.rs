//! `memoria service`: the daemon at login, by whatever this system starts things with. What is common to all is here;
//! a file each for systemd, launchd and the Windows task scheduler says which files and which commands.

mod launchd;
mod systemd;
mod windows;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Client, spawn};
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::wire::message::{ClientKind, StopReason};

use super::exit::Exit;
use super::start::status;
use super::stop::stop;
use super::terminal::{Out, one_line};

/// How long the installed daemon may take to answer for the first time.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Variables that decide where things lie: the service must see what this shell sees.
const PLACE_VARIABLES: &[&str] = &["MEMORIA_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"];

/// Start the daemon at login
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria service install\n  memoria service status\n\n\
    Without it, agents start the daemon when they need it.")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Copy, clap::Subcommand)]
enum Action {
    /// Put the service in place and start it
    #[command(after_help = "Example:\n  memoria service install\n\nA running daemon finishes first.")]
    Install,
    /// Stop the service and take it away; memories stay
    #[command(after_help = "Example:\n  memoria service uninstall")]
    Uninstall,
    /// Show whether it is installed and runs
    #[command(after_help = "Example:\n  memoria service status")]
    Status,
}

/// What the service files say about this machine.
struct Site {
    /// As installed: a stable link is not followed, so that an upgrade behind it is taken.
    memoria: PathBuf,
    memoriad: PathBuf,
    home: PathBuf,
    paths: Paths,
    /// Those of [`PLACE_VARIABLES`] that are set.
    environment: Vec<(String, String)>,
}

/// What starts things at login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    Systemd,
    Launchd,
    TaskScheduler,
}

/// What the service manager says.
struct State {
    is_enabled: bool,
    is_active: bool,
}

impl Manager {
    const fn here() -> Self {
        if cfg!(windows) {
            Self::TaskScheduler
        } else if cfg!(target_os = "macos") {
            Self::Launchd
        } else {
            Self::Systemd
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Launchd => "launchd",
            Self::TaskScheduler => "the task scheduler",
        }
    }

    /// Where the files go, and what is in them.
    fn files(self, site: &Site) -> Vec<(PathBuf, Vec<u8>)> {
        match self {
            Self::Systemd => systemd::files(site),
            Self::Launchd => launchd::files(site),
            Self::TaskScheduler => windows::files(site),
        }
    }

    /// Fails with the reason when nobody would start anything.
    fn check(self) -> Result<()> {
        match self {
            Self::Systemd => systemd::check(),
            Self::Launchd | Self::TaskScheduler => Ok(()),
        }
    }

    /// Stops what an earlier installation started; not being there is no error.
    fn stop(self) -> Result<()> {
        match self {
            Self::Systemd => systemd::stop(),
            Self::Launchd => launchd::stop(),
            Self::TaskScheduler => Ok(()),
        }
    }

    fn start(self, site: &Site) -> Result<()> {
        match self {
            Self::Systemd => systemd::start(),
            Self::Launchd => launchd::start(site),
            Self::TaskScheduler => windows::start(site),
        }
    }

    /// At login no more.
    fn disable(self) -> Result<()> {
        match self {
            Self::Systemd => systemd::disable(),
            Self::Launchd => launchd::stop(),
            Self::TaskScheduler => windows::disable(),
        }
    }

    /// After the files have gone.
    fn forget(self) -> Result<()> {
        match self {
            Self::Systemd => systemd::reload(),
            Self::Launchd | Self::TaskScheduler => Ok(()),
        }
    }

    fn state(self) -> State {
        match self {
            Self::Systemd => systemd::state(),
            Self::Launchd => launchd::state(),
            Self::TaskScheduler => windows::state(),
        }
    }
}

pub async fn run(args: &Args, out: &Out) -> Result<Exit> {
    let site = Site::here()?;
    let manager = Manager::here();
    match args.action {
        Action::Install => install(manager, &site, out).await,
        Action::Uninstall => uninstall(manager, &site, out).await,
        Action::Status => show(manager, &site, out).await,
    }
}

/// How it stands with the service, for `doctor`.
pub enum Installed {
    Absent,
    /// Its files differ from what this program would write.
    Outdated,
    /// It is there, and nothing starts it; why.
    Unserved(String),
    Ready,
}

/// Looks, and changes nothing.
///
/// # Errors
/// When it cannot be told what the service would be.
pub fn installed() -> Result<Installed> {
    let (site, manager) = (Site::here()?, Manager::here());
    let files = manager.files(&site);
    if !files.iter().all(|(path, _)| path.exists()) {
        return Ok(Installed::Absent);
    }
    if let Err(error) = manager.check() {
        return Ok(Installed::Unserved(error.message));
    }
    if !files.iter().all(|(path, wanted)| is_as(path, wanted)) {
        return Ok(Installed::Outdated);
    }
    let state = manager.state();
    if state.is_enabled { Ok(Installed::Ready) } else { Ok(Installed::Unserved("is not started at login".to_owned())) }
}

fn is_as(path: &Path, wanted: &[u8]) -> bool {
    std::fs::read(path).is_ok_and(|found| found == wanted)
}

/// What was put in place.
pub(super) struct InPlace {
    pub files: Vec<String>,
    /// The daemon that ran before.
    drained: Option<u32>,
    version: String,
    pid: u32,
}

/// Installs the service, as `memoria service install` does.
pub(super) async fn put_in_place() -> Result<InPlace> {
    place(Manager::here(), &Site::here()?).await
}

/// Takes the service away; the files that are gone, none where there was no service.
pub(super) async fn take_away() -> Result<Vec<String>> {
    let site = Site::here()?;
    Ok(remove(Manager::here(), &site).await?.map(|(names, _)| names).unwrap_or_default())
}

/// Whether something here starts programs at login.
pub(super) fn possible() -> Result<()> {
    Manager::here().check()
}

async fn place(manager: Manager, site: &Site) -> Result<InPlace> {
    site.paths.prepare()?;
    let files = manager.files(site);
    for (path, contents) in &files {
        write(path, contents)?;
    }
    let names: Vec<_> = files.iter().map(|(path, _)| path.display().to_string()).collect();
    manager.check().map_err(|error| {
        Error::unavailable(format!(
            "wrote {}, but nothing will start it: {}. Agents go on starting the daemon when they need it",
            names.join(" and "),
            error.message
        ))
    })?;
    manager.stop()?;
    let drained = stop(&site.paths, StopReason::HandOver).await?;
    manager.start(site)?;
    let status = answer(site).await?;
    Ok(InPlace { files: names, drained, version: status.version, pid: status.pid })
}

async fn install(manager: Manager, site: &Site, out: &Out) -> Result<Exit> {
    let InPlace { files, drained, version, pid } = place(manager, site).await?;
    out.answer(
        || json!({"installed": files, "drained": drained, "version": version, "pid": pid}),
        |_| {
            let drained = drained.map_or(String::new(), |pid| format!("The daemon before it (pid {pid}) has ended.\n"));
            let files: String = files.iter().map(|name| format!("Wrote {name}\n")).collect();
            format!("{files}{drained}Runs now and at login: memoriad {version}, pid {pid}.\n")
        },
    )?;
    Ok(Exit::Ok)
}

/// What the daemon says that the service manager has just started.
async fn answer(site: &Site) -> Result<Box<crate::wire::message::Status>> {
    let deadline = Instant::now() + ANSWER_WITHIN;
    loop {
        if let Some(mut client) = Client::connect(&site.paths, ClientKind::Cli).await? {
            return status(&mut client).await;
        }
        if Instant::now() >= deadline {
            return Err(Error::unavailable(format!(
                "the service is in place and its daemon has not answered within {} s: see `memoria logs` and \
                 `memoria service status`",
                ANSWER_WITHIN.as_secs()
            )));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The files that are gone and the daemon that ended; `None` where nothing is installed.
async fn remove(manager: Manager, site: &Site) -> Result<Option<(Vec<String>, Option<u32>)>> {
    let present: Vec<_> = manager.files(site).into_iter().map(|(path, _)| path).filter(|path| path.exists()).collect();
    if present.is_empty() {
        return Ok(None);
    }
    // Without a manager there is nobody to tell, and the files are all there is.
    let has_manager = manager.check().is_ok();
    if has_manager {
        manager.disable()?;
    }
    let drained = stop(&site.paths, StopReason::Stop).await?;
    for path in &present {
        std::fs::remove_file(path).map_err(|e| Error::io(format_args!("remove {}", path.display()), &e))?;
    }
    if has_manager {
        manager.forget()?;
    }
    Ok(Some((present.iter().map(|path| path.display().to_string()).collect(), drained)))
}

async fn uninstall(manager: Manager, site: &Site, out: &Out) -> Result<Exit> {
    let Some((names, drained)) = remove(manager, site).await? else {
        return Err(Error::not_found("the service is not installed; nothing was done"));
    };
    out.answer(
        || json!({"removed": names, "drained": drained}),
        |_| {
            names.iter().map(|name| format!("Removed {name}\n")).collect::<String>() + "Memories stay where they are.\n"
        },
    )?;
    Ok(Exit::Ok)
}

async fn show(manager: Manager, site: &Site, out: &Out) -> Result<Exit> {
    let files = manager.files(site);
    let is_installed = files.iter().all(|(path, _)| path.exists());
    let is_current = files.iter().all(|(path, wanted)| is_as(path, wanted));
    let problem = manager.check().err();
    let state = manager.state();
    let names: Vec<_> = files.iter().map(|(path, _)| path.display().to_string()).collect();
    out.answer(
        || {
            json!({
                "manager": manager.name(), "installed": is_installed, "current": is_current,
                "enabled": state.is_enabled, "active": state.is_active, "files": names,
                "problem": problem.as_ref().map(|p| &p.message),
            })
        },
        |style| {
            let yes = |is: bool| if is { "yes" } else { "no" };
            let advice = match (is_installed, is_current) {
                (false, _) => "`memoria service install` puts it in place.\n",
                (true, false) => "The files differ from what this memoria would write: install again.\n",
                (true, true) => "",
            };
            let mut text = format!("installed   {}\n", yes(is_installed));
            text += &format!("at login    {}\n", yes(state.is_enabled));
            text += &format!("active      {}\n", yes(state.is_active));
            for name in &names {
                text += &format!("file        {}\n", one_line(name));
            }
            if let Some(problem) = &problem {
                text += &format!("problem     {}\n", one_line(&problem.message));
            }
            text + &style.bold(advice)
        },
    )?;
    Ok(match (is_installed, problem.is_none() && state.is_enabled) {
        (false, _) => Exit::NotFound,
        (true, false) => Exit::Unavailable,
        (true, true) => Exit::Ok,
    })
}

fn write(path: &Path, contents: &[u8]) -> Result<()> {
    let failed = |e: std::io::Error| Error::io(format_args!("write {}", path.display()), &e);
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(failed)?;
    }
    std::fs::write(path, contents).map_err(failed)
}

impl Site {
    fn here() -> Result<Self> {
        let memoria = installed_as();
        let memoriad = memoria.with_file_name(format!("memoriad{}", std::env::consts::EXE_SUFFIX));
        if !memoriad.is_file() {
            return Err(Error::not_found(format!(
                "there is no {}: `cargo install` puts both programs in one folder",
                memoriad.display()
            )));
        }
        let home = std::env::home_dir().filter(|home| home.is_absolute());
        let home = home.ok_or_else(|| Error::invalid("there is no home folder: set HOME"))?;
        let set = |name: &&str| Some(((*name).to_owned(), std::env::var(name).ok().filter(|v| !v.is_empty())?));
        let environment = PLACE_VARIABLES.iter().filter_map(set).collect();
        Ok(Self { memoria, memoriad, home, paths: Paths::from_env()?, environment })
    }
}

/// `memoria` by the name that it was started with, made absolute; `spawn::program` follows links.
pub(super) fn installed_as() -> PathBuf {
    let own = spawn::program("memoria");
    let Some(typed) = std::env::args_os().next().map(PathBuf::from) else { return own };
    let name = typed.file_name().map(ToOwned::to_owned).unwrap_or_default();
    let candidates: Vec<PathBuf> = if typed.components().count() > 1 {
        vec![std::path::absolute(&typed).unwrap_or(typed)]
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(&name)).collect()
    };
    let real = own.canonicalize().ok();
    let is_own = |path: &PathBuf| path.canonicalize().ok() == real;
    candidates.into_iter().find(is_own).unwrap_or(own)
}

/// Runs a tool of the system; its own words are the reason when it fails.
fn tool(program: &str, args: &[&str]) -> Result<String> {
    let done = Command::new(program).args(args).stdin(std::process::Stdio::null()).output();
    let shown = || format!("`{program} {}`", args.join(" "));
    let done = done.map_err(|e| Error::unavailable(format!("{} cannot be run: {e}", shown())))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(if done.stderr.is_empty() { &done.stdout } else { &done.stderr }).into_owned();
    let said = said.trim().trim_end_matches('.');
    Err(Error::unavailable(format!("{} failed: {}", shown(), if said.is_empty() { "no reason given" } else { said })))
}

/// For text and attributes of XML.
fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
fn site() -> Site {
    let home = "/home/a b&c";
    // Only the text of the files is made from it: nothing is read or written there.
    let mut paths = Paths::from_env().unwrap();
    paths.data_dir = format!("{home}/100% data").into();
    paths.state_dir = format!("{home}/state").into();
    paths.runtime_dir = "/run/user/7/memoria".into();
    Site {
        memoria: format!("{home}/bin/memoria").into(),
        memoriad: format!("{home}/bin/memoriad").into(),
        home: home.into(),
        paths,
        environment: vec![("MEMORIA_HOME".into(), format!("{home}/100% \"m\""))],
    }
}
