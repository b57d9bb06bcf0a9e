//! Fetches a pinned package through the package manager that the machine has, with that manager's own settings: its
//! mirror, proxy, certificates, cache. The wheel's SHA-256 is given along, so that nothing else is taken; wheels only,
//! so that nothing of the package is run. Where it goes from there is not known here.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::folder;
use super::registry::{ABI, PYTHON, Package, System, Wheel};
use crate::error::{Error, Result};

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A package manager, and how it is called.
#[derive(Clone, Debug)]
pub struct Manager {
    words: Vec<String>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pip,
    Uv,
}

/// Those that a machine may have, in the order of trying.
pub fn managers() -> Vec<Manager> {
    let pips = ["pip", "pip3", "python3 -m pip", "python -m pip", "py -m pip"];
    let all = pips.iter().map(|words| (*words, Kind::Pip)).chain([("uv pip", Kind::Uv)]);
    all.map(|(words, kind)| Manager { words: words.split(' ').map(str::to_owned).collect(), kind }).collect()
}

impl Manager {
    /// A shell script that stands in for pip. Run by the shell: a file that was just written may be busy.
    #[cfg(test)]
    pub fn pip(script: &Path) -> Self {
        Self { words: vec!["/bin/sh".to_owned(), script.to_string_lossy().into_owned()], kind: Kind::Pip }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).stdin(Stdio::null());
        command
    }

    fn name(&self) -> String {
        self.words.join(" ")
    }

    /// `pip 23.2.1`; `None` where there is no such manager (or only a name that leads nowhere).
    fn version(&self) -> Option<String> {
        // `uv pip` has no version of its own.
        let mut asked = if self.kind == Kind::Uv { Command::new(&self.words[0]) } else { self.command() };
        let said = asked.arg("--version").stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&said.stdout);
        let is_one = said.status.success() && (text.starts_with("pip ") || text.starts_with("uv "));
        is_one.then(|| text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
    }
}

/// Fetches `wheel` of `package` and unpacks it to `scratch/out`; `scratch` is emptied first. `arrived` is told now and
/// then how many bytes there are. Says which manager did it.
///
/// # Errors
/// A sentence: no manager is there, none reaches its index, what the index has is not what is pinned, the disk is full.
pub fn fetch(
    managers: &[Manager],
    package: &Package,
    wheel: &Wheel,
    scratch: &Path,
    arrived: &mut dyn FnMut(u64),
) -> Result<String> {
    let mut failure: Option<(Kind, Error)> = None;
    for manager in managers {
        // Two names of the same manager have the same settings.
        if failure.as_ref().is_some_and(|(failed, _)| *failed == manager.kind) {
            continue;
        }
        let Some(version) = manager.version() else { continue };
        folder::clear(scratch)?;
        folder::make(&scratch.join("tmp"))?;
        match run(manager, package, wheel, scratch, arrived) {
            Ok(()) => return Ok(version),
            Err(error) => failure = Some((manager.kind, error)),
        }
    }
    Err(failure.map_or_else(|| no_manager(package), |(_, error)| error))
}

fn no_manager(package: &Package) -> Error {
    Error::unavailable(format!(
        "{} {} is fetched by pip or uv, and neither is on this machine: install one (on Debian: `apt install \
         python3-pip`) and try again",
        package.name, package.version
    ))
}

fn run(
    manager: &Manager,
    package: &Package,
    wheel: &Wheel,
    scratch: &Path,
    arrived: &mut dyn FnMut(u64),
) -> Result<()> {
    let failed = |e: std::io::Error| Error::io(format_args!("run {}", manager.name()), &e);
    let (tmp, said, requirement) = (scratch.join("tmp"), scratch.join("said"), scratch.join("requirement"));
    let pinned = format!("{}=={} --hash=sha256:{}\n", package.name, package.version, wheel.sha256);
    fs::write(&requirement, pinned).map_err(|e| Error::io(format_args!("write {}", requirement.display()), &e))?;
    let output = File::create(&said).map_err(|e| Error::io(format_args!("write {}", said.display()), &e))?;
    let mut command = manager.command();
    command.args(arguments(manager.kind, wheel)).arg("--target").arg(scratch.join("out"));
    command.arg("--requirement").arg(&requirement);
    // Beside its place: there the space is needed, and there it can be watched and cleared away.
    command.env("TMPDIR", &tmp).env("TEMP", &tmp).env("TMP", &tmp);
    // Nothing is installed into an environment.
    command.env("PIP_REQUIRE_VIRTUALENV", "0");
    command.stdout(output.try_clone().map_err(failed)?).stderr(output);
    let mut child = command.spawn().map_err(failed)?;
    let status = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break status,
            None => std::thread::sleep(LOOK_EVERY),
        }
        // Downloaded, then unpacked beside that.
        arrived((folder::bytes_below(&tmp) + folder::bytes_below(&scratch.join("out"))).min(wheel.bytes));
    };
    if status.success() {
        return Ok(());
    }
    let text = fs::read(&said).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    Err(explain(&manager.name(), package, &text))
}

fn arguments(kind: Kind, wheel: &Wheel) -> Vec<&'static str> {
    let mut words = vec!["install", "--no-deps", "--only-binary", ":all:", "--require-hashes"];
    match kind {
        Kind::Pip => words.extend([
            "--no-compile",
            "--no-user",
            "--no-input",
            "--progress-bar",
            "off",
            "--disable-pip-version-check",
        ]),
        // Files of our own, not links into its cache.
        Kind::Uv => words.extend(["--no-progress", "--link-mode", "copy"]),
    }
    // Which interpreter the manager itself runs on does not matter.
    if let System::Only { platform, uv_platform, .. } = wheel.system {
        words.extend(match kind {
            Kind::Pip => {
                vec!["--platform", platform, "--python-version", PYTHON, "--implementation", "cp", "--abi", ABI]
            }
            Kind::Uv => vec!["--python-platform", uv_platform, "--python-version", PYTHON],
        });
    }
    words
}

/// A manager's complaint as a sentence of ours.
fn explain(manager: &str, package: &Package, said: &str) -> Error {
    let what = format!("{} {}", package.name, package.version);
    let has = |signs: &[&str]| signs.iter().any(|sign| said.contains(sign));
    if has(&["DO NOT MATCH THE HASHES", "Hash mismatch"]) {
        return Error::corrupt(format!(
            "{manager} was given a {what} that is not the pinned one (its SHA-256 differs): nothing was installed. \
             Look at which index or mirror it uses (`{manager} config list`)"
        ));
    }
    if has(&["No space left", "not enough space", "disk quota", "Disk quota"]) {
        return Error::full(format!("the disk is full: {what} was not installed. Make room and try again"));
    }
    if has(&NETWORK_SIGNS) {
        return Error::unavailable(format!(
            "{manager} did not reach its package index for {what}: {}. Its settings (`{manager} config list`) name the \
             index and the proxy",
            complaint(said)
        ));
    }
    if has(&["No matching distribution", "no version of", "was not found in the package registry"]) {
        return Error::not_found(format!(
            "the package index that {manager} uses has no {what} for this system: {}",
            complaint(said)
        ));
    }
    Error::unavailable(format!("{manager} could not fetch {what}: {}", complaint(said)))
}

const NETWORK_SIGNS: [&str; 9] = [
    "Connection",
    "connection",
    "Max retries",
    "ProxyError",
    "timed out",
    "Name or service not known",
    "name resolution",
    "SSLError",
    "error sending request",
];

/// The line that says most: the last error, else the last line.
fn complaint(said: &str) -> String {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let last_error = lines().rfind(|line| line.starts_with("ERROR:") || line.starts_with("error:"));
    let line = last_error.or_else(|| lines().next_back()).unwrap_or("it said nothing");
    line.trim_start_matches("ERROR:").trim_start_matches("error:").trim().trim_end_matches('.').to_owned()
}

#[cfg(test)]
pub fn arguments_of_pip() -> Vec<&'static str> {
    arguments(Kind::Pip, &Wheel { system: System::Any, bytes: 1, sha256: "", files: &[] })
}
