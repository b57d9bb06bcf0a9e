//! The installed models that all these tests share: fetched once by `memoria model install`, into the folder that
//! `MEMORIA_TEST_MODELS` names, else into one below the target folder, and kept there from run to run.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use crate::support::Home;

/// Small, and as good as any to see whether there is a registry.
const PROBE: &str = "iniconfig==2.0.0";

/// What came of each; also keeps two tests from installing at once.
static TRIED: Mutex<BTreeMap<&str, bool>> = Mutex::new(BTreeMap::new());

/// The folder, with these models in it. `None` where there is no registry to be reached, which is said aloud.
pub fn with(names: &[&'static str]) -> Option<PathBuf> {
    let named = std::env::var_os("MEMORIA_TEST_MODELS").map(PathBuf::from);
    let is_promised = named.is_some();
    let folder = named.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("models"));
    let mut tried = TRIED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for name in names {
        let is_there = *tried.entry(name).or_insert_with(|| install(name, &folder, is_promised));
        if !is_there {
            return None;
        }
    }
    Some(folder)
}

fn install(name: &str, folder: &Path, is_promised: bool) -> bool {
    let home = home(folder);
    let output = loop {
        let output = home.run(&["model", "install", name]);
        // Somebody else's tests use the same folder.
        if !said(&output).contains("another command is installing") {
            break output;
        }
        std::thread::sleep(Duration::from_millis(500));
    };
    if output.status.success() {
        return true;
    }
    let why = said(&output);
    assert!(!is_promised, "MEMORIA_TEST_MODELS is set, and {name} cannot be installed there: {why}");
    assert!(!is_registry_reachable(), "the package registry answers, and {name} cannot be installed: {why}");
    // Past the harness, which swallows what a passing test says.
    let text = format!("\n*** NOT TESTED: no package registry can be reached, and {name} is not installed: {why}\n");
    std::io::stderr().write_all(text.as_bytes()).unwrap();
    false
}

/// By another way than ours: a package that every index has.
fn is_registry_reachable() -> bool {
    let scratch = tempfile::tempdir().unwrap();
    [&["pip"][..], &["pip3"], &["python3", "-m", "pip"]].iter().any(|pip| {
        let mut command = Command::new(pip[0]);
        command.args(&pip[1..]).args(["download", "--quiet", "--no-deps", "--no-cache-dir", "--dest"]);
        command.arg(scratch.path()).arg(PROBE).stdin(Stdio::null());
        command.output().is_ok_and(|output| output.status.success())
    })
}

/// A home of its own whose models lie in `folder`. Questions wait for their vector, however busy the machine is.
pub fn home(folder: &Path) -> Home {
    let home = Home::new();
    let config = home.path().join("config");
    std::fs::create_dir(&config).unwrap();
    let text = format!("[embedding]\nmodels_dir = \"{}\"\nwait_ms = 60000\n", folder.display());
    std::fs::write(config.join("config.toml"), text).unwrap();
    home
}

pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
