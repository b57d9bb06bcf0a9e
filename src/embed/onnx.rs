//! Any other model: a folder with an ONNX file and its tokenizer. Here is what the daemon knows of it, which is little:
//! the work is done by a process of its own (`child/`), since its runtime can never be unloaded and may crash.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use super::child::frame::Start;
use super::child::{Patience, Worker, library, recipe};
use super::{Embedder, Side, calibrate, name};
use crate::config;
use crate::error::{Error, Result};
use crate::model::{Calibration, Space};

/// Texts that are sent at once: a question waits for no more than these.
const BATCH_TEXTS: usize = 8;
/// The process ends by itself when nobody told it to in time: a daemon that hangs must not leave it behind.
const IDLE_MORE: Duration = Duration::from_secs(30);

/// A model of the user's choice.
pub struct Onnx {
    space: Space,
    prefixes: [String; 2],
    model_dims: usize,
    /// As people know it.
    about: String,
    worker: Worker,
    calibration: OnceLock<Calibration>,
}

impl Onnx {
    /// Reads what the folder says; loads and starts nothing. `runtime` is where Memoria installs ONNX Runtime: the
    /// library, or its folder, which need not exist.
    ///
    /// # Errors
    /// A sentence that names the file that is missing or cannot be used.
    pub fn open(folder: &Path, runtime: Option<&Path>, settings: &config::Embedding) -> Result<Self> {
        Self::open_with(folder, runtime, settings, own_program()?, Patience::default())
    }

    /// The same with another program that knows `embed`, and other patience.
    ///
    /// # Errors
    /// Those of [`Onnx::open`].
    pub fn open_with(
        folder: &Path,
        runtime: Option<&Path>,
        settings: &config::Embedding,
        program: PathBuf,
        patience: Patience,
    ) -> Result<Self> {
        let found = recipe::read(folder, settings)?;
        let recipe = found.recipe;
        let named = recipe.folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let model = name::id(&format!("onnx:{named}"), &[&found.fingerprint])?;
        let file = recipe.model.strip_prefix(&recipe.folder).unwrap_or(&recipe.model).display();
        let about = format!("{file}, {:?} of up to {} pieces", recipe.pool, recipe.pieces_max).to_lowercase();
        let idle = Duration::from_secs(60) * settings.idle_min + IDLE_MORE;
        let (dims, model_dims) = (recipe.dims, recipe.model_dims.into());
        let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        let start = Start { recipe, runtime: library::found(runtime), idle_ms };
        Ok(Self {
            space: Space { model, dims },
            prefixes: found.prefixes,
            model_dims,
            about,
            worker: Worker::new(program, start, patience),
            calibration: OnceLock::new(),
        })
    }

    fn vectors(&self, side: Side, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let prefix = &self.prefixes[side as usize];
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(BATCH_TEXTS) {
            let inputs: Vec<String> = batch.iter().map(|text| format!("{prefix}{text}")).collect();
            let numbers = self.worker.vectors(&inputs)?;
            if numbers.len() != inputs.len() * self.model_dims {
                return Err(Error::internal(format!(
                    "{} numbers came for {} vectors of {} dimensions",
                    numbers.len(),
                    inputs.len(),
                    self.model_dims
                )));
            }
            let kept = numbers.chunks_exact(self.model_dims).map(|vector| self.unit(vector));
            vectors.extend(kept.collect::<Result<Vec<_>>>()?);
        }
        Ok(vectors)
    }

    /// The dimensions that are kept, of length one.
    fn unit(&self, vector: &[f32]) -> Result<Vec<f32>> {
        let kept = &vector[..usize::from(self.space.dims)];
        let length = kept.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        if !length.is_finite() {
            return Err(Error::invalid(format!(
                "{} made a vector with numbers that are none (infinite, or not a number): its file does not fit this \
                 runtime, or is broken",
                self.space.model
            )));
        }
        Ok(kept.iter().map(|x| if length > 0.0 { (f64::from(*x) / length) as f32 } else { 0.0 }).collect())
    }
}

/// This program, also when its file was replaced by a newer one since it started.
fn own_program() -> Result<PathBuf> {
    let itself = Path::new("/proc/self/exe");
    if cfg!(target_os = "linux") && itself.exists() {
        return Ok(itself.to_owned());
    }
    std::env::current_exe().map_err(|e| Error::io("find this program's own file", &e))
}

impl Embedder for Onnx {
    fn space(&self) -> &Space {
        &self.space
    }

    fn calibration(&self) -> Calibration {
        self.calibration.get().copied().unwrap_or(calibrate::UNKNOWN)
    }

    fn embed(&self, side: Side, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        if self.calibration.get().is_none() {
            let calibration = calibrate::measured(|side, texts| self.vectors(side, texts))?;
            // Another thread that measured at the same time found the same.
            let _ = self.calibration.set(calibration);
        }
        self.vectors(side, texts)
    }

    fn describe(&self) -> String {
        let [question, passage] = &self.prefixes;
        let prefixes = match question.is_empty() && passage.is_empty() {
            true => String::new(),
            false => format!(", questions after {question:?}, memories after {passage:?}"),
        };
        format!("{}{prefixes}; {}", self.about, self.worker.describe())
    }

    fn rest(&self) {
        self.worker.rest();
    }
}
