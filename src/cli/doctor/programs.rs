//! The two programs: where they are, whether they are of one version, and whether agents find them by name.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::client::spawn;
use crate::engine::matrixone::doctor::Finding;

const INSTALL: &str = "install again, so that both programs are of one version: `cargo install --path .`";

pub fn findings() -> Vec<Finding> {
    let own = env!("CARGO_PKG_VERSION");
    let (memoria, memoriad) = (spawn::program("memoria"), spawn::program("memoriad"));
    let of = |program: &Path| version(program).unwrap_or_else(|| "no version".to_owned());
    let (shim, daemon) = (of(&memoria), of(&memoriad));
    let found = format!("{} {shim}, {} {daemon}", memoria.display(), memoriad.display());
    let programs = if shim == own && daemon == own {
        Finding::good("programs", found)
    } else {
        Finding::bad("programs", found, INSTALL)
    };
    vec![programs, by_name(&memoria)]
}

/// What somebody gets who types `memoria`; a project's settings name it so.
fn by_name(memoria: &Path) -> Finding {
    let name = format!("memoria{}", std::env::consts::EXE_SUFFIX);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let first = std::env::split_paths(&path).map(|dir| dir.join(&name)).find(|file| file.is_file());
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| PathBuf::from(path));
    match first {
        Some(first) if real(&first) == real(memoria) => Finding::good("PATH", format!("finds {}", first.display())),
        Some(first) => {
            let found = format!("finds {}, and this is {}", first.display(), memoria.display());
            Finding::weak("PATH", found, format!("remove {}, or put the other folder first", first.display()))
        }
        None => {
            let folder = memoria.parent().unwrap_or(memoria).display().to_string();
            let found = "finds no `memoria`; settings that a project shares name it so";
            Finding::weak("PATH", found, format!("export PATH=\"{folder}:$PATH\" in your shell's profile"))
        }
    }
}

/// `memoria 0.2.0` is `0.2.0`.
fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.split_whitespace().nth(1)?.to_owned())
}
