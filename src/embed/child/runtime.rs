//! ONNX Runtime, in the process that is there for it: the library is loaded once and never let go of, one session, one
//! thread. The only file that names `ort`.

use std::path::Path;

use ort::session::{Session, SessionInputValue};
use ort::value::{Tensor, TensorElementType, ValueType};

use super::library::SYSTEM_NAMES;
use super::recipe::{Pool, Recipe};

/// A loaded model.
pub struct Model {
    session: Session,
    recipe: Recipe,
    output: String,
    /// The library, and where it lies.
    pub runtime: String,
}

/// Which of several outputs holds one vector for each piece of a text, by the names that exporters give it.
const OUTPUTS: &[&str] = &["last_hidden_state", "token_embeddings", "sentence_embedding"];
/// What people do about a missing or broken library.
const REMEDY: &str = "`memoria model install onnxruntime` installs one that fits";

impl Model {
    /// Loads library and model.
    ///
    /// # Errors
    /// A sentence.
    pub fn load(recipe: Recipe, library: Option<&Path>) -> Result<Self, String> {
        let (environment, library) = match library {
            Some(path) => (ort::init_from(path).map_err(|e| unusable(&e))?, path.display().to_string()),
            None => {
                let found = SYSTEM_NAMES.iter().find_map(|name| Some((ort::init_from(name).ok()?, (*name).to_owned())));
                found.ok_or_else(|| format!("ONNX Runtime is not installed: {REMEDY}"))?
            }
        };
        let shown = recipe.model.display().to_string();
        let failed = |e: &dyn std::fmt::Display| format!("ONNX Runtime cannot load {shown}: {}", one_line(e));
        let environment = environment.with_name("memoria").with_telemetry(false).build().map_err(|e| failed(&e))?;
        let session = Session::builder(&environment)
            .map_err(|e| failed(&e))?
            .with_intra_threads(1)
            .and_then(|builder| builder.with_inter_threads(1))
            // Texts have many lengths: memory that was planned for one is no use for the next.
            .and_then(|builder| builder.with_memory_pattern(false))
            .map_err(|e| failed(&e))?
            .commit_from_file(&recipe.model)
            .map_err(|e| failed(&e))?;
        let strange = session.inputs().iter().find(|input| !is_known(input.name(), input.dtype()));
        if let Some(input) = strange {
            return Err(format!(
                "{shown} wants the input `{}` ({}), which Memoria does not know how to fill: export it as a model for \
                 sentence embeddings",
                input.name(),
                input.dtype()
            ));
        }
        let names: Vec<&str> = session.outputs().iter().map(|output| output.name()).collect();
        let known = OUTPUTS.iter().copied().find(|name| names.contains(name)).or_else(|| names.first().copied());
        let output = known.ok_or_else(|| format!("{shown} has no output"))?.to_owned();
        let runtime = format!("ONNX Runtime in {library}");
        Ok(Self { session, recipe, output, runtime })
    }

    /// Numbers of a text at most.
    pub fn pieces_max(&self) -> usize {
        self.recipe.pieces_max
    }

    /// The vector of one text: `recipe.model_dims` numbers, of any length.
    ///
    /// # Errors
    /// A sentence.
    pub fn vector(&mut self, numbers: &[u32]) -> Result<Vec<f32>, String> {
        let pieces = numbers.len();
        let tensor = |values: Vec<i64>| Tensor::from_array(([1, pieces], values)).map_err(|e| one_line(&e));
        let mut inputs: Vec<(String, SessionInputValue<'_>)> = Vec::new();
        for input in self.session.inputs() {
            let values: Vec<i64> = match input.name() {
                "attention_mask" => vec![1; pieces],
                "token_type_ids" => vec![0; pieces],
                "position_ids" => (0..pieces as i64).collect(),
                _ => numbers.iter().map(|number| i64::from(*number)).collect(),
            };
            inputs.push((input.name().to_owned(), tensor(values)?.into()));
        }
        let shown = self.recipe.model.display().to_string();
        let outputs = self.session.run(inputs).map_err(|e| format!("{shown} failed: {}", one_line(&e)))?;
        let output = outputs.get(&self.output).ok_or_else(|| format!("{shown} has no output `{}`", self.output))?;
        let (shape, values) = output.try_extract_tensor::<f32>().map_err(|e| {
            format!("the output `{}` of {shown} is not made of 32-bit numbers: {}", self.output, one_line(&e))
        })?;
        let dims = usize::from(self.recipe.model_dims);
        let shape: Vec<usize> = shape.iter().map(|size| usize::try_from(*size).unwrap_or_default()).collect();
        match shape.as_slice() {
            [1, length, width] if *length == pieces && *width == dims && pieces > 0 => {
                Ok(pooled(values, dims, self.recipe.pool))
            }
            [1, width] if *width == dims => Ok(values.to_vec()),
            _ => Err(format!(
                "the output `{}` of {shown} has the shape {shape:?}, where [1, {pieces}, {dims}] was to be expected: \
                 its config.json is another model's",
                self.output
            )),
        }
    }
}

fn is_known(name: &str, kind: &ValueType) -> bool {
    let is_named = matches!(name, "input_ids" | "attention_mask" | "token_type_ids" | "position_ids");
    is_named && matches!(kind, ValueType::Tensor { ty: TensorElementType::Int64, .. })
}

fn pooled(values: &[f32], dims: usize, pool: Pool) -> Vec<f32> {
    let mut rows = values.chunks_exact(dims);
    match pool {
        Pool::First => rows.next().unwrap_or_default().to_vec(),
        Pool::Last => rows.next_back().unwrap_or_default().to_vec(),
        Pool::Mean => {
            let mut sum = vec![0.0; dims];
            rows.for_each(|row| sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
            sum
        }
    }
}

fn unusable(error: &dyn std::fmt::Display) -> String {
    format!("ONNX Runtime cannot be loaded: {}. {REMEDY}", one_line(error))
}

fn one_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
