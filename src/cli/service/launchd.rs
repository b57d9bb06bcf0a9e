//! A launch agent of this user.

use std::path::PathBuf;

use crate::error::Result;

use super::{Site, State, tool, xml};

const PLIST: &str = include_str!("../../../launchd/dev.memoria.memoriad.plist");
const LABEL: &str = "dev.memoria.memoriad";
/// What the template names in place of the installed program.
const PROGRAM: &str = "/usr/local/bin/memoriad";
const END: &str = "</dict>\n</plist>";

pub fn files(site: &Site) -> Vec<(PathBuf, Vec<u8>)> {
    vec![(file(site), plist(site).into_bytes())]
}

fn file(site: &Site) -> PathBuf {
    site.home.join("Library/LaunchAgents").join(format!("{LABEL}.plist"))
}

fn plist(site: &Site) -> String {
    let plist = PLIST.replace(PROGRAM, &xml(&site.memoriad.display().to_string()));
    if site.environment.is_empty() {
        return plist;
    }
    let variable = |(name, value): &(String, String)| {
        format!("\t\t<key>{}</key>\n\t\t<string>{}</string>\n", xml(name), xml(value))
    };
    let variables: String = site.environment.iter().map(variable).collect();
    plist.replace(END, &format!("\t<key>EnvironmentVariables</key>\n\t<dict>\n{variables}\t</dict>\n{END}"))
}

/// `gui/501`: the user's login session.
fn domain() -> Result<String> {
    Ok(format!("gui/{}", tool("id", &["-u"])?))
}

pub fn stop() -> Result<()> {
    if state().is_active {
        tool("launchctl", &["bootout", &format!("{}/{LABEL}", domain()?)])?;
    }
    Ok(())
}

pub fn start(site: &Site) -> Result<()> {
    let domain = domain()?;
    let service = format!("{domain}/{LABEL}");
    tool("launchctl", &["enable", &service])?;
    tool("launchctl", &["bootstrap", &domain, &file(site).display().to_string()])?;
    tool("launchctl", &["kickstart", &service]).map(drop)
}

pub fn state() -> State {
    let is_loaded = domain().is_ok_and(|domain| tool("launchctl", &["print", &format!("{domain}/{LABEL}")]).is_ok());
    State { is_enabled: is_loaded, is_active: is_loaded }
}

#[cfg(test)]
mod tests {
    use super::super::site;
    use super::*;

    #[test]
    fn the_plist_names_the_installed_program_and_its_home() {
        let plist = plist(&site());
        assert!(plist.contains("<string>/home/a b&amp;c/bin/memoriad</string>") && !plist.contains(PROGRAM));
        assert!(plist.contains("<string>/home/a b&amp;c/100% &quot;m&quot;</string>"));
    }
}
