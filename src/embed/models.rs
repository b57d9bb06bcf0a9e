//! Which models there are, which one a name means, and which was chosen. It opens models and loads none: that is an
//! embedder's first use.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::Embedder;
use super::builtin::Builtin;
use super::http::Http;
use super::minilm::{self, Minilm};
use super::onnx::Onnx;
use crate::config::Embedding;
use crate::error::{Error, Result};

/// The table inside the program.
pub const BUILTIN: &str = "builtin";
/// Our own encoder's model.
pub const MINILM: &str = "minilm";
/// An endpoint.
pub const HTTP: &str = "http";
/// What was chosen, else `minilm` where it is installed, else `builtin`.
pub const AUTO: &str = "auto";
/// The folder of the runtime, which is no model.
pub const RUNTIME: &str = "onnxruntime";

const HEADER: &str = "memoria embedding 1";

/// Where models lie, and the file that remembers the choice.
pub struct Models {
    folder: PathBuf,
    choice_file: PathBuf,
    /// Held while the choice is changed.
    changing: Mutex<()>,
}

/// What is remembered from one life of the daemon to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// By `memoria model use`.
    pub chosen: Option<String>,
    /// Whose vectors were complete.
    pub serving: Option<String>,
}

/// A model in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    pub name: String,
    /// On disk.
    pub bytes: u64,
}

impl Models {
    /// Touches no file yet.
    pub fn new(folder: &Path, choice_file: &Path) -> Self {
        Self { folder: folder.to_owned(), choice_file: choice_file.to_owned(), changing: Mutex::default() }
    }

    /// Where they are installed.
    pub fn folder<'a>(&'a self, settings: &'a Embedding) -> &'a Path {
        if settings.models_dir.is_empty() { &self.folder } else { Path::new(&settings.models_dir) }
    }

    /// The name of the model that is wanted: as the settings say, as it was chosen, or as it follows.
    pub fn wanted(&self, settings: &Embedding, choice: &Choice) -> String {
        if settings.model != AUTO {
            return settings.model.clone();
        }
        if let Some(chosen) = &choice.chosen {
            return chosen.clone();
        }
        let is_there = self.folder(settings).join(MINILM).is_dir();
        if is_there { MINILM } else { BUILTIN }.to_owned()
    }

    /// The model that a name, or a folder, means. It may ask an endpoint, so it blocks.
    ///
    /// # Errors
    /// A sentence: what is missing or does not fit, and what to do.
    pub fn open(&self, name: &str, settings: &Embedding) -> Result<Arc<dyn Embedder>> {
        match name {
            HTTP => Ok(Arc::new(Http::open(settings)?)),
            BUILTIN => Ok(Arc::new(Builtin::new()?)),
            MINILM => {
                let folder = self.path_of(MINILM, settings).ok_or_else(|| {
                    Error::not_found("minilm is not installed: `memoria model install minilm` fetches it")
                })?;
                Ok(Arc::new(Minilm::open(&folder.join(minilm::FILE))?))
            }
            _ => {
                let path = self.path_of(name, settings).ok_or_else(|| self.unknown(name, settings))?;
                let runtime = self.folder(settings).join(RUNTIME);
                Ok(Arc::new(Onnx::open(&path, Some(&runtime), settings)?))
            }
        }
    }

    fn unknown(&self, name: &str, settings: &Embedding) -> Error {
        let installed: Vec<String> = self.installed(settings).into_iter().map(|model| model.name).collect();
        let there: Vec<&str> = std::iter::once(BUILTIN).chain(installed.iter().map(String::as_str)).collect();
        Error::not_found(format!(
            "there is no model `{name}`; there are {}. `memoria model install` lists what can be installed, and the \
             folder of an ONNX model is given with a `/`",
            there.join(", ")
        ))
    }

    /// The folder of a model: an installed one's, or any other that is given by its path.
    fn path_of(&self, name: &str, settings: &Embedding) -> Option<PathBuf> {
        let path = match name.contains(['/', '\\']) {
            true => PathBuf::from(name),
            false => self.folder(settings).join(name),
        };
        path.is_dir().then_some(path)
    }

    /// What lies in the folder, by name.
    pub fn installed(&self, settings: &Embedding) -> Vec<Installed> {
        let Ok(folders) = fs::read_dir(self.folder(settings)) else { return Vec::new() };
        let model = |folder: fs::DirEntry| {
            let name = folder.file_name().into_string().ok()?;
            let is_model = folder.path().is_dir() && name != RUNTIME && !name.starts_with('.');
            is_model.then(|| Installed { bytes: bytes_in(&folder.path()), name })
        };
        let mut all: Vec<Installed> = folders.flatten().filter_map(model).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// What was remembered; nothing where there is no file, or no sense in it.
    pub fn choice(&self) -> Choice {
        let text = fs::read_to_string(&self.choice_file).unwrap_or_default();
        let mut lines = text.lines();
        let mut choice = Choice::default();
        if lines.next() != Some(HEADER) {
            return choice;
        }
        for line in lines {
            match line.split_once(' ') {
                Some(("chosen", name)) => choice.chosen = Some(name.to_owned()),
                Some(("serving", name)) => choice.serving = Some(name.to_owned()),
                _ => {}
            }
        }
        choice
    }

    /// Changes what is remembered, one change after the other: the file is there as a whole or as it was.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn remember(&self, change: impl FnOnce(&mut Choice)) -> Result<()> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.choice();
        let mut choice = before.clone();
        change(&mut choice);
        if choice == before {
            return Ok(());
        }
        let failed = |e: std::io::Error| Error::io(format_args!("write {}", self.choice_file.display()), &e);
        let mut text = format!("{HEADER}\n");
        for (key, name) in [("chosen", &choice.chosen), ("serving", &choice.serving)] {
            if let Some(name) = name {
                text.push_str(&format!("{key} {name}\n"));
            }
        }
        let unready = self.choice_file.with_extension("unready");
        let mut file = fs::File::create(&unready).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&unready, &self.choice_file).map_err(failed)
    }
}

/// Of all files in a folder, its folders' included.
fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(there) if there.is_dir() => bytes_in(&entry.path()),
        Ok(there) => there.len(),
        Err(_) => 0,
    };
    entries.map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_what_was_chosen_else_minilm_where_it_is_else_builtin() {
        let folder = tempfile::tempdir().unwrap();
        let models = Models::new(&folder.path().join("models"), &folder.path().join("choice"));
        let mut settings = crate::config::Config::default().embedding;
        let wanted = |settings: &Embedding| models.wanted(settings, &models.choice());
        assert_eq!(wanted(&settings), BUILTIN);
        fs::create_dir_all(folder.path().join("models/minilm")).unwrap();
        fs::create_dir_all(folder.path().join("models/onnxruntime")).unwrap();
        assert_eq!(wanted(&settings), MINILM);
        assert_eq!(models.installed(&settings).len(), 1, "the runtime is no model");
        let choice = Choice { chosen: Some("/models/of mine".to_owned()), serving: Some(BUILTIN.to_owned()) };
        models.remember(|remembered| *remembered = choice.clone()).unwrap();
        assert_eq!(models.choice(), choice);
        assert_eq!(wanted(&settings), "/models/of mine");
        settings.model = HTTP.to_owned();
        assert_eq!(wanted(&settings), HTTP, "what the settings say comes first");
    }

    #[test]
    fn a_name_that_means_nothing_is_refused_with_what_there_is() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("mine")).unwrap();
        let models = Models::new(folder.path(), &folder.path().join("choice"));
        let settings = crate::config::Config::default().embedding;
        let Err(error) = models.open("yours", &settings) else { panic!("there is no such model") };
        assert!(error.message.contains("`yours`") && error.message.contains("builtin, mine"), "{error}");
    }
}
