//! Makes the one file that the encoder maps from a model as it is published: weights of 32 bits (`model.safetensors`)
//! and `vocab.txt`. Each tensor is read, quantised and written by itself, so the memory needed is that of the largest
//! matrix. It fetches nothing.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use memoria_kernel::matrix::{PANEL, Packed};
use memoria_kernel::neural::HEAD;
use serde::Deserialize;

use super::file::{self, LayerAt, Layout, LinearAt, NormAt, Shape, Writer};
use crate::embed::wordpiece::Vocabulary;
use crate::error::{Error, Result};

/// Bytes of the JSON at the start of a safetensors file at most; that of a MiniLM has 11,000.
const HEADER_BYTES_MAX: u64 = 1 << 20;
/// Rows of the table of pieces that are read at a time.
const ROWS_AT_ONCE: usize = 1_024;
/// Smallest range that an input or a weight is taken to have, lest a factor be infinite.
const RANGE_MIN: f32 = 1e-5;

/// Makes `target` from the folder of a published model: `model.safetensors`, `vocab.txt` and, if it is there,
/// `config.json`, which must not contradict. `target` appears whole or not at all.
///
/// # Errors
/// What is missing, or not as the encoder needs it.
pub fn convert(folder: &Path, target: &Path) -> Result<()> {
    convert_as(folder, target, super::MODEL, super::TOKENS_MAX)
}

/// The same under another name, for texts of up to `positions` tokens.
pub(super) fn convert_as(folder: &Path, target: &Path, model: &str, positions: usize) -> Result<()> {
    let at = folder.join("vocab.txt");
    let vocabulary =
        std::fs::read_to_string(&at).map_err(|source| Error::io(format!("read {}", at.display()), &source))?;
    let pieces = Vocabulary::new(vocabulary.clone())?.len();
    let mut tensors = Tensors::open(&folder.join("model.safetensors"))?;
    let shape = tensors.shape(positions, pieces, vocabulary.len())?;
    agree(folder, shape)?;
    let layout = Layout::of(shape);
    file::replace(target, model, shape, |writer| {
        embeddings(&mut tensors, &layout, shape, writer)?;
        for (number, at) in layout.layers.iter().enumerate() {
            layer(&mut tensors, number, at, writer)?;
        }
        writer.section(layout.vocabulary.clone(), vocabulary.as_bytes())
    })
}

/// What the model says of itself, where the weights do not tell.
#[derive(Deserialize)]
struct Config {
    hidden_act: String,
    hidden_size: usize,
    num_attention_heads: usize,
}

fn agree(folder: &Path, shape: Shape) -> Result<()> {
    let at = folder.join("config.json");
    let Ok(text) = std::fs::read_to_string(&at) else { return Ok(()) };
    let config: Config = serde_json::from_str(&text)
        .map_err(|source| Error::corrupt(format!("{} cannot be read: {source}", at.display())))?;
    let fits = config.hidden_act == "gelu"
        && config.hidden_size == shape.width
        && config.num_attention_heads * HEAD == shape.width;
    if fits {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{} describes an encoder that this one cannot stand for: it needs the activation `gelu` and heads of {HEAD} \
         numbers",
        at.display()
    )))
}

/// Pieces, positions, and their normalisation.
fn embeddings(tensors: &mut Tensors, layout: &Layout, shape: Shape, writer: &mut Writer) -> Result<()> {
    let width = shape.width;
    let words = "embeddings.word_embeddings.weight";
    let mut scales = Vec::with_capacity(shape.pieces);
    let mut start = layout.pieces.start;
    for first in (0..shape.pieces).step_by(ROWS_AT_ONCE) {
        let rows = tensors.read(words, first * width, ROWS_AT_ONCE.min(shape.pieces - first) * width)?;
        let mut bytes = Vec::with_capacity(rows.len());
        for row in rows.chunks_exact(width) {
            let scale = scale_of(row.iter().copied());
            bytes.extend(row.iter().map(|number| byte_of(*number, scale)));
            scales.push(scale);
        }
        writer.section(start..start + bytes.len(), &bytes)?;
        start += bytes.len();
    }
    writer.numbers(layout.piece_scales.clone(), &scales)?;
    let mut positions = tensors.read("embeddings.position_embeddings.weight", 0, shape.positions * width)?;
    let token_type = tensors.read("embeddings.token_type_embeddings.weight", 0, width)?;
    for row in positions.chunks_exact_mut(width) {
        row.iter_mut().zip(&token_type).for_each(|(number, of_type)| *number += of_type);
    }
    writer.numbers(layout.positions.clone(), &positions)?;
    norm(tensors, "embeddings.LayerNorm", &layout.norm, writer).map(|_| ())
}

fn layer(tensors: &mut Tensors, number: usize, at: &LayerAt, writer: &mut Writer) -> Result<()> {
    let prefix = format!("encoder.layer.{number}");
    let before = match number {
        0 => "embeddings.LayerNorm".to_owned(),
        _ => format!("encoder.layer.{}.output.LayerNorm", number - 1),
    };
    let between = format!("{prefix}.attention.output.LayerNorm");
    let of_self = |part: &str| format!("{prefix}.attention.self.{part}");
    // Attention compares queries with keys over the root of a head's size: the queries come divided by it.
    let parts = [(of_self("query"), (HEAD as f32).sqrt().recip()), (of_self("key"), 1.0), (of_self("value"), 1.0)];
    let ranges = norm_ranges(tensors, &before)?;
    linear(tensors, &parts, Some(&ranges), &at.joined, writer)?;
    linear(tensors, &[(format!("{prefix}.attention.output.dense"), 1.0)], None, &at.attended, writer)?;
    norm(tensors, &between, &at.attended_norm, writer)?;
    let ranges = norm_ranges(tensors, &between)?;
    linear(tensors, &[(format!("{prefix}.intermediate.dense"), 1.0)], Some(&ranges), &at.inner, writer)?;
    linear(tensors, &[(format!("{prefix}.output.dense"), 1.0)], None, &at.outer, writer)?;
    norm(tensors, &format!("{prefix}.output.LayerNorm"), &at.outer_norm, writer)
}

fn norm(tensors: &mut Tensors, name: &str, at: &NormAt, writer: &mut Writer) -> Result<()> {
    writer.numbers(at.weights.clone(), &tensors.whole(&format!("{name}.weight"))?)?;
    writer.numbers(at.biases.clone(), &tensors.whole(&format!("{name}.bias"))?)
}

/// How large the numbers after a layer normalisation get, about: three deviations.
fn norm_ranges(tensors: &mut Tensors, name: &str) -> Result<Vec<f32>> {
    let (weights, biases) = (tensors.whole(&format!("{name}.weight"))?, tensors.whole(&format!("{name}.bias"))?);
    Ok(weights.iter().zip(&biases).map(|(weight, bias)| bias.abs() + 3.0 * weight.abs()).collect())
}

/// Some linear layers with the same inputs, each with what its outputs are multiplied with, as one.
///
/// Where the ranges of the inputs are known, large inputs are made smaller and their weights larger, by the root of
/// what they differ (SmoothQuant, Xiao et al. 2023, with an exponent of 1/2). It takes the lowest cosine with the
/// published model, of 180 texts, from .9970 to .9973; the mean stays .9987.
fn linear(
    tensors: &mut Tensors,
    parts: &[(String, f32)],
    ranges: Option<&[f32]>,
    at: &LinearAt,
    writer: &mut Writer,
) -> Result<()> {
    let (mut weights, mut biases) = (Vec::with_capacity(at.inputs * at.outputs), Vec::with_capacity(at.outputs));
    for (name, factor) in parts {
        weights.extend(tensors.whole(&format!("{name}.weight"))?.iter().map(|weight| weight * factor));
        biases.extend(tensors.whole(&format!("{name}.bias"))?.iter().map(|bias| bias * factor));
    }
    if weights.len() != at.inputs * at.outputs || biases.len() != at.outputs {
        return Err(Error::corrupt(format!("the tensors of {} do not fit each other", parts[0].0)));
    }
    let mut factors = vec![1.0; at.inputs];
    if let Some(ranges) = ranges {
        let mut largest = vec![RANGE_MIN; at.inputs];
        for row in weights.chunks_exact(at.inputs) {
            largest.iter_mut().zip(row).for_each(|(largest, weight)| *largest = largest.max(weight.abs()));
        }
        for (factor, (range, largest)) in factors.iter_mut().zip(ranges.iter().zip(largest)) {
            *factor = (largest / range.max(RANGE_MIN)).sqrt();
        }
        for row in weights.chunks_exact_mut(at.inputs) {
            row.iter_mut().zip(&factors).for_each(|(weight, factor)| *weight /= factor);
        }
    }
    let mut bytes = vec![0; weights.len()];
    let (mut scales, mut sums) = (Vec::with_capacity(at.outputs), Vec::with_capacity(at.outputs));
    for (output, row) in weights.chunks_exact(at.inputs).enumerate() {
        let scale = scale_of(row.iter().copied());
        let mut sum = 0i32;
        for (input, weight) in row.iter().enumerate() {
            let byte = byte_of(*weight, scale);
            bytes[Packed::place(input, output, at.inputs)] = byte;
            sum += i32::from(byte.cast_signed());
        }
        scales.push(scale);
        sums.push(sum);
    }
    writer.section(at.matrix.clone(), &bytes)?;
    writer.numbers(at.scales.clone(), &scales)?;
    writer.section(at.sums.clone(), &sums.iter().flat_map(|sum| sum.to_le_bytes()).collect::<Vec<_>>())?;
    writer.numbers(at.biases.clone(), &biases)?;
    writer.numbers(at.factors.clone(), &factors)
}

/// What a signed byte stands for, such that the largest of some numbers is 127 of it.
fn scale_of(numbers: impl Iterator<Item = f32>) -> f32 {
    let largest = numbers.fold(0.0, |largest: f32, number| largest.max(number.abs()));
    if largest > 0.0 { largest / 127.0 } else { 1.0 }
}

fn byte_of(number: f32, scale: f32) -> u8 {
    ((number / scale).round().clamp(-127.0, 127.0) as i8).cast_unsigned()
}

/// The tensors of a safetensors file: 8 bytes with the length of a JSON object, that object, then the numbers.
struct Tensors {
    file: File,
    path: String,
    found: HashMap<String, Tensor>,
    /// Where the numbers start.
    start: u64,
}

#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

impl Tensors {
    fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let failed = |source: std::io::Error| Error::io(format!("read {name}"), &source);
        let mut file = File::open(path).map_err(failed)?;
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(failed)?;
        let length = u64::from_le_bytes(length);
        if length > HEADER_BYTES_MAX {
            return Err(Error::corrupt(format!("{name} is no safetensors file")));
        }
        let mut json = vec![0; length as usize];
        file.read_exact(&mut json).map_err(failed)?;
        let wrong =
            |source: serde_json::Error| Error::corrupt(format!("the header of {name} cannot be read: {source}"));
        let mut header: HashMap<String, serde_json::Value> = serde_json::from_slice(&json).map_err(wrong)?;
        header.remove("__metadata__");
        let tensor = |(name, value)| serde_json::from_value(value).map(|tensor| (name, tensor));
        let found = header.into_iter().map(tensor).collect::<std::result::Result<_, _>>().map_err(wrong)?;
        Ok(Self { file, path: name, found, start: 8 + length })
    }

    fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.found.get(name).ok_or_else(|| Error::corrupt(format!("{} holds no tensor {name}", self.path)))
    }

    /// What the tensors' own shapes say.
    fn shape(&self, positions: usize, pieces: usize, vocabulary_bytes: usize) -> Result<Shape> {
        let size =
            |name: &str, axis: usize| -> Result<usize> { Ok(self.tensor(name)?.shape.get(axis).copied().unwrap_or(0)) };
        let width = size("embeddings.word_embeddings.weight", 1)?;
        let inner = size("encoder.layer.0.intermediate.dense.weight", 0)?;
        let layers =
            (0..).take_while(|layer| self.found.contains_key(&format!("encoder.layer.{layer}.output.dense.weight")));
        let fits = [width, inner].iter().all(|size| *size > 0 && size % PANEL == 0) && width % HEAD == 0;
        if !fits || size("embeddings.word_embeddings.weight", 0)? != pieces {
            return Err(Error::invalid(format!(
                "{} is no encoder of the kind of MiniLM, or vocab.txt is not its vocabulary",
                self.path
            )));
        }
        let positions = positions.min(size("embeddings.position_embeddings.weight", 0)?);
        Ok(Shape { layers: layers.count(), width, inner, positions, pieces, vocabulary_bytes })
    }

    fn whole(&mut self, name: &str) -> Result<Vec<f32>> {
        let count = self.tensor(name)?.shape.iter().product();
        self.read(name, 0, count)
    }

    /// `count` numbers of a tensor, from its `first` on.
    fn read(&mut self, name: &str, first: usize, count: usize) -> Result<Vec<f32>> {
        let (start, end) = (self.start, self.tensor(name)?.data_offsets);
        let (from, length) = (end[0].saturating_add(first as u64 * 4), count as u64 * 4);
        if self.tensor(name)?.dtype != "F32" {
            let dtype = &self.tensor(name)?.dtype;
            return Err(Error::invalid(format!("{name} in {} holds {dtype}, and F32 is needed", self.path)));
        }
        if from.checked_add(length).is_none_or(|to| to > end[1]) {
            return Err(Error::corrupt(format!("{name} in {} is shorter than its shape", self.path)));
        }
        let mut bytes = vec![0; length as usize];
        let read = self.file.seek(SeekFrom::Start(start.saturating_add(from)));
        read.and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(|source| Error::io(format!("read {name} from {}", self.path), &source))?;
        let numbers: Vec<f32> = bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect();
        if numbers.iter().any(|number| !number.is_finite()) {
            return Err(Error::corrupt(format!("{name} in {} holds what is no number", self.path)));
        }
        Ok(numbers)
    }
}
