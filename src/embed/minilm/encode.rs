//! The forward pass: pieces of texts to vectors, by the loops of `memoria_kernel::neural` over a mapped model. The
//! model is BERT (Devlin et al. 2018) with mean pooling (Reimers and Gurevych 2019); it knows no text and no file.
//!
//! Texts of a batch lie behind each other as rows of one table, so that each weight is read once for all of them; only
//! attention looks at one text at a time.

use std::ops::Range;

use memoria_kernel::matrix::Path;
use memoria_kernel::neural::{self, Activation, Attention, Rows};

use super::file::{LinearAt, LinearParts, Mapped, NormAt};
use crate::error::{Error, Result};

/// Rows that go through a layer together, unless one text has more: enough to share weights among short texts, and few
/// enough for what is worked on to stay in the CPU's cache.
const ROWS_AT_ONCE: usize = 128;

/// A model that is ready to work. It holds the mapping, what is small of the weights, and room to work in.
pub struct Encoder {
    file: Mapped,
    piece_scales: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    path: Path,
    room: Room,
}

struct Norm {
    weights: Vec<f32>,
    biases: Vec<f32>,
}

impl Norm {
    fn read(file: &Mapped, at: &NormAt) -> Self {
        Self { weights: file.numbers(&at.weights), biases: file.numbers(&at.biases) }
    }

    fn apply(&self, path: Path, rows: &mut [f32], others: Option<&[f32]>) {
        neural::add_and_normalise(path, rows, others, &self.weights, &self.biases);
    }
}

struct Layer {
    joined: LinearParts,
    attended: LinearParts,
    attended_norm: Norm,
    inner: LinearParts,
    outer: LinearParts,
    outer_norm: Norm,
}

/// What is between the weights: grows to what a batch needs, and goes with the encoder.
#[derive(Default)]
struct Room {
    hidden: Vec<f32>,
    /// Queries, keys and values, then what the inner layer makes.
    wide: Vec<f32>,
    /// What a block adds to `hidden`.
    added: Vec<f32>,
    rows: Rows,
    attention: Attention,
}

impl Encoder {
    /// Reads what is small into memory; the rest stays in the file until it is used.
    pub fn new(file: Mapped, path: Path) -> Self {
        let linear = |at: &LinearAt| LinearParts::read(&file, at);
        let norm = |at: &NormAt| Norm::read(&file, at);
        let layers = file.layout.layers.iter().map(|at| Layer {
            joined: linear(&at.joined),
            attended: linear(&at.attended),
            attended_norm: norm(&at.attended_norm),
            inner: linear(&at.inner),
            outer: linear(&at.outer),
            outer_norm: norm(&at.outer_norm),
        });
        Self {
            piece_scales: file.numbers(&file.layout.piece_scales),
            norm: norm(&file.layout.norm),
            layers: layers.collect(),
            file,
            path,
            room: Room::default(),
        }
    }

    /// Numbers in a vector.
    pub fn dims(&self) -> usize {
        self.file.shape.width
    }

    /// One vector of unit length for each text. A text is given as the numbers of its pieces, 1 to `positions` of them,
    /// with those that begin and end it.
    ///
    /// # Errors
    /// If a text has too many pieces or none, or a piece is not in the model.
    pub fn encode(&mut self, texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>> {
        let mut vectors = Vec::with_capacity(texts.len());
        let mut rest = texts;
        while !rest.is_empty() {
            let mut rows = 0;
            let fits = |text: &&Vec<u32>| {
                rows += text.len();
                rows <= ROWS_AT_ONCE
            };
            let taken = rest.iter().take_while(fits).count().max(1);
            let (batch, later) = rest.split_at(taken);
            self.encode_batch(batch, &mut vectors)?;
            rest = later;
        }
        Ok(vectors)
    }

    fn encode_batch(&mut self, texts: &[Vec<u32>], vectors: &mut Vec<Vec<f32>>) -> Result<()> {
        let shape = self.file.shape;
        self.room.hidden.clear();
        let mut spans = Vec::with_capacity(texts.len());
        for text in texts {
            let start = self.room.hidden.len() / shape.width;
            self.look_up(text)?;
            spans.push(start..start + text.len());
        }
        self.norm.apply(self.path, &mut self.room.hidden, None);
        for layer in &self.layers {
            layer.apply(&self.file, self.path, &spans, &mut self.room)?;
        }
        for span in spans {
            vectors.push(pooled(&self.room.hidden[span.start * shape.width..span.end * shape.width], shape.width)?);
        }
        Ok(())
    }

    /// Adds a row for each piece: its own numbers and those of its position.
    fn look_up(&mut self, text: &[u32]) -> Result<()> {
        let (shape, layout) = (self.file.shape, &self.file.layout);
        if text.is_empty() || text.len() > shape.positions {
            return Err(Error::internal(format!(
                "the encoder takes 1 to {} pieces at a time, and was given {}",
                shape.positions,
                text.len()
            )));
        }
        let (pieces, positions) = (self.file.bytes(&layout.pieces), self.file.bytes(&layout.positions));
        for (piece, position) in text.iter().zip(positions.chunks_exact(shape.width * 4)) {
            let piece = *piece as usize;
            let Some(scale) = self.piece_scales.get(piece) else {
                return Err(Error::internal(format!("the model has {} pieces, and no number {piece}", shape.pieces)));
            };
            let bytes = &pieces[piece * shape.width..][..shape.width];
            let numbers = bytes.iter().zip(position.as_chunks().0);
            let number = |(byte, at): (&u8, &[u8; 4])| f32::from(byte.cast_signed()) * scale + f32::from_le_bytes(*at);
            self.room.hidden.extend(numbers.map(number));
        }
        Ok(())
    }
}

impl Layer {
    /// Attention, then the feed-forward network, each added to what it was given and normalised.
    fn apply(&self, file: &Mapped, path: Path, spans: &[Range<usize>], room: &mut Room) -> Result<()> {
        let Room { hidden, wide, added, rows, attention } = room;
        let (width, inner) = (file.shape.width, file.shape.inner);
        let count = hidden.len() / width;
        added.resize(count * width, 0.0);

        rows.quantise(path, hidden, width, Some(&self.joined.factors));
        wide.resize(count * 3 * width, 0.0);
        self.joined.of(file)?.apply(path, rows, Activation::None, wide);
        for span in spans {
            let joined = &wide[span.start * 3 * width..span.end * 3 * width];
            attention.apply(path, joined, width, &mut added[span.start * width..span.end * width]);
        }
        rows.quantise(path, added, width, None);
        self.attended.of(file)?.apply(path, rows, Activation::None, added);
        self.attended_norm.apply(path, hidden, Some(added));

        rows.quantise(path, hidden, width, Some(&self.inner.factors));
        wide.resize(count * inner, 0.0);
        self.inner.of(file)?.apply(path, rows, Activation::Gelu, wide);
        rows.quantise(path, wide, inner, None);
        self.outer.of(file)?.apply(path, rows, Activation::None, added);
        self.outer_norm.apply(path, hidden, Some(added));
        Ok(())
    }
}

/// The mean of a text's rows, at unit length.
fn pooled(rows: &[f32], width: usize) -> Result<Vec<f32>> {
    let mut vector = vec![0.0; width];
    for row in rows.chunks_exact(width) {
        vector.iter_mut().zip(row).for_each(|(sum, number)| *sum += number);
    }
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    if !length.is_normal() {
        return Err(Error::internal("the model made no vector of a text: its weights make no sense"));
    }
    vector.iter_mut().for_each(|number| *number /= length);
    Ok(vector)
}
