//! Two user units: a socket that systemd holds, and the daemon behind it. The templates in `systemd/` are valid as
//! they stand; what differs from machine to machine is filled in by key.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

use super::{Site, State, tool};

const SERVICE: &str = include_str!("../../../systemd/memoriad.service");
const SOCKET: &str = include_str!("../../../systemd/memoriad.socket");
const UNITS: [&str; 2] = ["memoriad.socket", "memoriad.service"];

pub fn files(site: &Site) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = directory(site);
    vec![(dir.join(UNITS[0]), socket(site).into_bytes()), (dir.join(UNITS[1]), service(site).into_bytes())]
}

/// Where systemd looks for a user's own units.
fn directory(site: &Site) -> PathBuf {
    let config_home = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    config_home.unwrap_or_else(|| site.home.join(".config")).join("systemd/user")
}

fn socket(site: &Site) -> String {
    fill(SOCKET, "ListenStream", &site.paths.socket_path().display().to_string().replace('%', "%%"))
}

fn service(site: &Site) -> String {
    // A `$` would be a variable in this one line.
    let program = quoted(&site.memoriad).replace('$', "$$");
    let unit = fill(SERVICE, "ExecStart", &format!("{program} --foreground"));
    let writable = [&site.paths.data_dir, &site.paths.state_dir].map(|dir| quoted(dir)).join(" ");
    // The socket's folder goes at every logout and comes back with the socket: its absence is no error.
    let runtime = quoted(Path::new(&format!("-{}", site.paths.runtime_dir.display())));
    let unit = fill(&unit, "ReadWritePaths", &format!("{writable} {runtime}"));
    let variables: String = site
        .environment
        .iter()
        .map(|(name, value)| format!("\nEnvironment={}", quoted(Path::new(&format!("{name}={value}")))))
        .collect();
    unit.replacen("\nUMask=", &format!("{variables}\nUMask="), 1)
}

/// The unit with this key's value, which the template has once.
fn fill(unit: &str, key: &str, value: &str) -> String {
    let line = |line: &str| match line.split_once('=') {
        Some((name, _)) if name == key => format!("{key}={value}\n"),
        _ => format!("{line}\n"),
    };
    unit.lines().map(line).collect()
}

/// As systemd reads a word: in quotes, specifiers and escapes taken literally.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string().replace('%', "%%").replace('\\', "\\\\").replace('"', "\\\"");
    if text.contains([' ', '\t', '"', '\'', '\\', ';']) { format!("\"{text}\"") } else { text }
}

pub fn check() -> Result<()> {
    tool("systemctl", &["--user", "show-environment"])
        .map(drop)
        .map_err(|error| Error::unavailable(format!("there is no systemd for this user ({})", error.message)))
}

pub fn reload() -> Result<()> {
    tool("systemctl", &["--user", "daemon-reload"]).map(drop)
}

pub fn stop() -> Result<()> {
    reload()?;
    // The socket first, or the next connection would start the service again.
    tool("systemctl", &["--user", "stop", UNITS[0], UNITS[1]]).map(drop)
}

pub fn start() -> Result<()> {
    let reset = tool("systemctl", &["--user", "reset-failed", UNITS[0], UNITS[1]]);
    // Units that have never run have nothing to reset.
    drop(reset);
    tool("systemctl", &["--user", "enable", "--now", UNITS[0], UNITS[1]]).map(drop)
}

pub fn disable() -> Result<()> {
    tool("systemctl", &["--user", "disable", "--now", UNITS[0], UNITS[1]]).map(drop)
}

pub fn state() -> State {
    let all = |what: &str| UNITS.iter().all(|unit| tool("systemctl", &["--user", what, unit]).is_ok());
    State { is_enabled: all("is-enabled"), is_active: all("is-active") }
}

#[cfg(test)]
mod tests {
    use super::super::site;
    use super::*;

    #[test]
    fn units_say_where_things_are_and_nothing_else_changes() {
        let (socket, service) = (socket(&site()), service(&site()));
        assert!(socket.contains("\nListenStream=/run/user/7/memoria/memoriad-1.sock\n"));
        assert!(service.contains("\nExecStart=\"/home/a b&c/bin/memoriad\" --foreground\n"));
        assert!(
            service
                .contains("\nReadWritePaths=\"/home/a b&c/100%% data\" \"/home/a b&c/state\" -/run/user/7/memoria\n")
        );
        assert!(service.contains("\nEnvironment=\"MEMORIA_HOME=/home/a b&c/100%% \\\"m\\\"\"\n"));
        assert_eq!(service.lines().count(), SERVICE.lines().count() + 1);
        assert_eq!(socket.lines().count(), SOCKET.lines().count());
    }
}
