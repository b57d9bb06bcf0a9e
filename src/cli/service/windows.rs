//! A task at this user's logon. `schtasks /SC ONLOGON` wants an administrator; a task that names its user does not.

use std::path::PathBuf;

use crate::error::Result;

use super::{Site, State, tool, xml};

const TASK: &str = include_str!("../../../windows/memoriad.xml");
const NAME: &str = "Memoria";
/// What the template names in place of this user and the installed program.
const USER: &str = "DOMAIN\\user";
const PROGRAM: &str = "C:\\memoria\\memoria.exe";

pub fn files(site: &Site) -> Vec<(PathBuf, Vec<u8>)> {
    vec![(file(site), utf16(&task(site)))]
}

fn file(site: &Site) -> PathBuf {
    site.paths.config_dir.join("memoriad.xml")
}

fn task(site: &Site) -> String {
    let name = |variable| std::env::var(variable).unwrap_or_default();
    let user = format!("{}\\{}", name("USERDOMAIN"), name("USERNAME"));
    TASK.replace(USER, &xml(&user)).replace(PROGRAM, &xml(&site.memoria.display().to_string()))
}

/// The encoding that the task scheduler reads, with its mark.
fn utf16(text: &str) -> Vec<u8> {
    std::iter::once(0xfeff).chain(text.replace('\n', "\r\n").encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

pub fn start(site: &Site) -> Result<()> {
    tool("schtasks", &["/Create", "/F", "/TN", NAME, "/XML", &file(site).display().to_string()])?;
    tool("schtasks", &["/Run", "/TN", NAME]).map(drop)
}

pub fn disable() -> Result<()> {
    tool("schtasks", &["/Delete", "/F", "/TN", NAME]).map(drop)
}

/// The task ends as soon as it has started the daemon: being there is all that it can be.
pub fn state() -> State {
    let is_there = tool("schtasks", &["/Query", "/TN", NAME]).is_ok();
    State { is_enabled: is_there, is_active: is_there }
}

#[cfg(test)]
mod tests {
    use super::super::site;
    use super::*;

    #[test]
    fn the_task_names_the_installed_program() {
        let task = task(&site());
        assert!(task.contains("<Command>/home/a b&amp;c/bin/memoria</Command>"));
        assert!(!task.contains(USER) && !task.contains(PROGRAM));
        assert_eq!(utf16("a\n"), [0xff, 0xfe, b'a', 0, b'\r', 0, b'\n', 0]);
    }
}
