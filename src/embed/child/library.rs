//! Where ONNX Runtime's library is: installed by Memoria, named by the environment, or the system's own. Nothing is
//! loaded here.

use std::fs;
use std::path::{Path, PathBuf};

/// What people of its kind set.
const VARIABLE: &str = "ORT_DYLIB_PATH";

/// What the system's loader is asked for where nothing else is known; the first that loads.
pub const SYSTEM_NAMES: &[&str] = if cfg!(windows) {
    &["onnxruntime.dll"]
} else if cfg!(target_os = "macos") {
    &["libonnxruntime.dylib", "/opt/homebrew/lib/libonnxruntime.dylib", "/usr/local/lib/libonnxruntime.dylib"]
} else {
    &["libonnxruntime.so.1", "libonnxruntime.so"]
};

/// The library's file: `installed` (a file, or a folder that holds it) where there is one, then what the environment
/// names. `None`: the system is asked.
pub fn found(installed: Option<&Path>) -> Option<PathBuf> {
    let in_folder = installed.and_then(|place| if place.is_dir() { in_folder(place) } else { Some(place.to_owned()) });
    let named = || std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    in_folder.filter(|path| path.is_file()).or_else(named)
}

fn in_folder(folder: &Path) -> Option<PathBuf> {
    let is_library = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("libonnxruntime.") || name == "onnxruntime.dll"
    };
    let mut found: Vec<_> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).filter(is_library).collect();
    // Of several, the last by name: the newest version, as a rule.
    found.sort();
    found.pop()
}
