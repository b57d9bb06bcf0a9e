//! One file that is a whole model: header, weights as the kernels read them, vocabulary. This is where its layout is,
//! where it is checked, and where it is mapped. It computes nothing.
//!
//! `unsafe` because a mapping is only as good as its file: were it cut short while it is mapped, reading would end the
//! process (SIGBUS). So the length is checked before anything is read, nobody writes into such a file ([`replace`]
//! puts a whole new one in its place, and the old one lives on under its mapping), and the mapping goes when it is
//! idle.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;
use memoria_kernel::checksum::checksum;
use memoria_kernel::matrix::{PANEL, Packed};
use memoria_kernel::neural::{HEAD, Linear};

use crate::error::{Error, Result};

const MAGIC: &[u8; 16] = b"memoria encoder\n";
/// Of this layout; another one gets another number, and the file is made anew from the original weights.
const FORMAT: u32 = 1;
/// Bytes before the weights.
const HEADER_BYTES: usize = 192;
const MODEL_BYTES: usize = 64;
/// Sections start at multiples of it, so that no load of a vector crosses a line of the CPU's cache.
const ALIGNMENT: usize = 64;
/// Bytes that are read and summed at a time when a file is checked.
const BLOCK_BYTES: usize = 1 << 20;
/// More than any encoder of this family; what a damaged header may not exceed.
const SHAPE_MAX: u32 = 1 << 20;

/// The sizes of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Transformer layers.
    pub layers: usize,
    /// Numbers for each token, and in the vector.
    pub width: usize,
    /// Numbers for each token inside a feed-forward layer.
    pub inner: usize,
    /// Tokens of a text at most.
    pub positions: usize,
    /// Of the vocabulary.
    pub pieces: usize,
    /// Of the vocabulary's text.
    pub vocabulary_bytes: usize,
}

/// Where a quantised linear layer lies.
pub struct LinearAt {
    pub inputs: usize,
    pub outputs: usize,
    pub matrix: Range<usize>,
    pub scales: Range<usize>,
    pub sums: Range<usize>,
    pub biases: Range<usize>,
    /// What its inputs are multiplied with before they are quantised.
    pub factors: Range<usize>,
}

/// Where weights and biases of a layer normalisation lie.
pub struct NormAt {
    pub weights: Range<usize>,
    pub biases: Range<usize>,
}

/// Where a transformer layer lies.
pub struct LayerAt {
    /// Query, key and value of all heads.
    pub joined: LinearAt,
    pub attended: LinearAt,
    pub attended_norm: NormAt,
    pub inner: LinearAt,
    pub outer: LinearAt,
    pub outer_norm: NormAt,
}

/// Where everything lies, in bytes from the start of the file. The sections follow each other in this order.
pub struct Layout {
    /// A signed byte for each number of each piece.
    pub pieces: Range<usize>,
    /// What such a byte is worth, for each piece.
    pub piece_scales: Range<usize>,
    /// Numbers for each position, those of the only token type added.
    pub positions: Range<usize>,
    pub norm: NormAt,
    pub layers: Vec<LayerAt>,
    pub vocabulary: Range<usize>,
}

impl Layout {
    /// Of a file of this shape.
    pub fn of(shape: Shape) -> Self {
        let mut end = HEADER_BYTES;
        let mut section = |bytes: usize| {
            let start = end.next_multiple_of(ALIGNMENT);
            end = start + bytes;
            start..end
        };
        let Shape { width, inner, .. } = shape;
        let norm = |section: &mut dyn FnMut(usize) -> Range<usize>| NormAt {
            weights: section(width * 4),
            biases: section(width * 4),
        };
        let linear = |section: &mut dyn FnMut(usize) -> Range<usize>, inputs: usize, outputs: usize| LinearAt {
            inputs,
            outputs,
            matrix: section(inputs * outputs),
            scales: section(outputs * 4),
            sums: section(outputs * 4),
            biases: section(outputs * 4),
            factors: section(inputs * 4),
        };
        Self {
            pieces: section(shape.pieces * width),
            piece_scales: section(shape.pieces * 4),
            positions: section(shape.positions * width * 4),
            norm: norm(&mut section),
            layers: (0..shape.layers)
                .map(|_| LayerAt {
                    joined: linear(&mut section, width, 3 * width),
                    attended: linear(&mut section, width, width),
                    attended_norm: norm(&mut section),
                    inner: linear(&mut section, width, inner),
                    outer: linear(&mut section, inner, width),
                    outer_norm: norm(&mut section),
                })
                .collect(),
            vocabulary: section(shape.vocabulary_bytes),
        }
    }

    /// Bytes of the whole file.
    pub fn bytes(&self) -> usize {
        self.vocabulary.end
    }
}

/// Puts the finished file in place of whatever is at `path`. `body` writes the sections, in order, through [`Writer`].
pub fn replace(path: &Path, model: &str, shape: Shape, body: impl FnOnce(&mut Writer) -> Result<()>) -> Result<()> {
    if model.len() > MODEL_BYTES {
        return Err(Error::invalid(format!("a model's name has at most {MODEL_BYTES} bytes here")));
    }
    let unfinished = path.with_extension("unfinished");
    let at = unfinished.display().to_string();
    let failed = |source: std::io::Error| Error::io(format!("write {at}"), &source);
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(true).open(&unfinished).map_err(failed)?;
    let mut writer = Writer { file: std::io::BufWriter::new(file), at: 0, path: at.clone() };
    writer.section(0..HEADER_BYTES, &[0; HEADER_BYTES])?;
    body(&mut writer)?;
    let mut file = writer.file.into_inner().map_err(|error| failed(error.into_error()))?;
    let header = Header { shape, model: model.to_owned(), check: check_of(&mut file).map_err(failed)? };
    file.rewind().and_then(|()| file.write_all(&header.to_bytes())).and_then(|()| file.sync_all()).map_err(failed)?;
    drop(file);
    std::fs::rename(&unfinished, path).map_err(|source| Error::io(format!("move {at} into its place"), &source))
}

/// Writes sections, one after the other.
pub struct Writer {
    file: std::io::BufWriter<File>,
    at: usize,
    path: String,
}

impl Writer {
    /// Writes a whole section, or the next part of one: what is skipped before it becomes zeros.
    pub fn section(&mut self, at: Range<usize>, bytes: &[u8]) -> Result<()> {
        let skipped = at.start.checked_sub(self.at).filter(|skipped| *skipped < ALIGNMENT);
        let Some(skipped) = skipped.filter(|_| at.len() == bytes.len()) else {
            return Err(Error::internal(format!("the section at {at:?} of {} is out of turn", self.path)));
        };
        self.at = at.end;
        let written = self.file.write_all(&[0; ALIGNMENT][..skipped]).and_then(|()| self.file.write_all(bytes));
        written.map_err(|source| Error::io(format!("write {}", self.path), &source))
    }

    /// A section of numbers.
    pub fn numbers(&mut self, at: Range<usize>, numbers: &[f32]) -> Result<()> {
        self.section(at, &numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>())
    }
}

/// The checksum of what follows the header: of the checksums of its blocks.
fn check_of(file: &mut File) -> std::io::Result<u64> {
    file.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
    let (mut block, mut sums) = (Vec::with_capacity(BLOCK_BYTES), Vec::new());
    loop {
        block.clear();
        Read::by_ref(file).take(BLOCK_BYTES as u64).read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok(checksum(&sums));
        }
        sums.extend(checksum(&block).to_le_bytes());
    }
}

/// The first bytes of a file, all numbers with the lowest byte first: magic, format, six sizes (4 bytes each), name of
/// the model (padded with zeros), checksum of the body, checksum of what stands before it.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    shape: Shape,
    model: String,
    check: u64,
}

impl Header {
    fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let Shape { layers, width, inner, positions, pieces, vocabulary_bytes } = self.shape;
        bytes[..16].copy_from_slice(MAGIC);
        bytes[16..20].copy_from_slice(&FORMAT.to_le_bytes());
        for (at, size) in [layers, width, inner, positions, pieces, vocabulary_bytes].into_iter().enumerate() {
            bytes[20 + at * 4..][..4].copy_from_slice(&(size as u32).to_le_bytes());
        }
        bytes[48..][..self.model.len()].copy_from_slice(self.model.as_bytes());
        bytes[HEADER_BYTES - 16..HEADER_BYTES - 8].copy_from_slice(&self.check.to_le_bytes());
        let check = checksum(&bytes[..HEADER_BYTES - 8]);
        bytes[HEADER_BYTES - 8..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// Says what is wrong, to complete "the model file ...".
    fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Result<Self, String> {
        let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]));
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]));
        if &bytes[..16] != MAGIC {
            return Err("is none of Memoria's".to_owned());
        }
        if long(HEADER_BYTES - 8) != checksum(&bytes[..HEADER_BYTES - 8]) {
            return Err("is damaged in its header".to_owned());
        }
        if number(16) != FORMAT {
            return Err(format!("has format {}, and this Memoria reads format {FORMAT}", number(16)));
        }
        let sizes: [u32; 6] = std::array::from_fn(|at| number(20 + at * 4));
        let [layers, width, inner, positions, pieces, vocabulary_bytes] = sizes.map(|size| size as usize);
        let fits = |size: usize, unit: usize| size > 0 && size.is_multiple_of(unit);
        let is_whole = fits(width, HEAD) && fits(width, PANEL) && fits(inner, PANEL);
        if !is_whole || layers == 0 || positions < 3 || pieces == 0 || sizes.iter().any(|size| *size > SHAPE_MAX * 16) {
            return Err(format!("has sizes {sizes:?}, which no encoder of this kind has"));
        }
        let name = bytes[48..48 + MODEL_BYTES].split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(Self {
            shape: Shape { layers, width, inner, positions, pieces, vocabulary_bytes },
            model: String::from_utf8_lossy(name).into_owned(),
            check: long(HEADER_BYTES - 16),
        })
    }
}

/// The sizes of this model's file, from its first bytes; its length is right as well. Reads nothing else.
pub fn look(path: &Path, model: &str) -> Result<Shape> {
    open(path, model).map(|(_, header)| header.shape)
}

fn open(path: &Path, model: &str) -> Result<(File, Header)> {
    let name = path.display();
    let mut file = File::open(path).map_err(|source| Error::io(format!("open the model file {name}"), &source))?;
    let failed = |source: std::io::Error| Error::io(format!("read the model file {name}"), &source);
    let wrong = |what: String| {
        Error::corrupt(format!("the model file {name} {what}: install it again with `memoria model install minilm`"))
    };
    let found = file.metadata().map_err(failed)?.len();
    let mut bytes = [0; HEADER_BYTES];
    if found < HEADER_BYTES as u64 {
        return Err(wrong(format!("has {found} bytes, fewer than its header")));
    }
    file.read_exact(&mut bytes).map_err(failed)?;
    let header = Header::from_bytes(&bytes).map_err(wrong)?;
    let expected = Layout::of(header.shape).bytes() as u64;
    if found != expected {
        return Err(wrong(format!("has {found} bytes and should have {expected}")));
    }
    if header.model != model {
        return Err(wrong(format!("holds {}, not {model}", header.model)));
    }
    Ok((file, header))
}

/// A model's file, checked and mapped.
pub struct Mapped {
    map: Mmap,
    pub shape: Shape,
    pub layout: Layout,
}

impl Mapped {
    /// Maps the file after reading it once (which does not map its pages) and comparing its checksum.
    ///
    /// # Errors
    /// If it is missing, damaged, cut short, of another format or another model; the sentence says what to do.
    pub fn open(path: &Path, model: &str) -> Result<Self> {
        let (mut file, header) = open(path, model)?;
        let name = path.display();
        let check = check_of(&mut file).map_err(|source| Error::io(format!("read {name}"), &source))?;
        if check != header.check {
            return Err(Error::corrupt(format!(
                "the model file {name} is damaged: install it again with `memoria model install minilm`"
            )));
        }
        // SAFETY: see the head of this file: the file has its full length, and is replaced, never written.
        let map = unsafe { Mmap::map(&file) }.map_err(|source| Error::io(format!("map {name}"), &source))?;
        let layout = Layout::of(header.shape);
        if map.len() != layout.bytes() {
            return Err(Error::corrupt(format!("the model file {name} changed while it was opened: try again")));
        }
        Ok(Self { map, shape: header.shape, layout })
    }

    /// The bytes of a section.
    pub fn bytes(&self, at: &Range<usize>) -> &[u8] {
        &self.map[at.clone()]
    }

    /// A section of numbers, copied: small ones only.
    pub fn numbers(&self, at: &Range<usize>) -> Vec<f32> {
        self.bytes(at).as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect()
    }

    fn whole_numbers(&self, at: &Range<usize>) -> Vec<i32> {
        self.bytes(at).as_chunks().0.iter().map(|number| i32::from_le_bytes(*number)).collect()
    }
}

/// What of a linear layer is held in memory: all but its matrix.
pub struct LinearParts {
    matrix: Range<usize>,
    inputs: usize,
    scales: Vec<f32>,
    sums: Vec<i32>,
    biases: Vec<f32>,
    /// What its inputs are multiplied with before they are quantised.
    pub factors: Vec<f32>,
}

impl LinearParts {
    pub fn read(file: &Mapped, at: &LinearAt) -> Self {
        Self {
            matrix: at.matrix.clone(),
            inputs: at.inputs,
            scales: file.numbers(&at.scales),
            sums: file.whole_numbers(&at.sums),
            biases: file.numbers(&at.biases),
            factors: file.numbers(&at.factors),
        }
    }

    /// The layer, with its matrix in the mapped file.
    ///
    /// # Errors
    /// Never with a file that was checked.
    pub fn of<'a>(&'a self, file: &'a Mapped) -> Result<Linear<'a>> {
        let matrix = Packed::new(file.bytes(&self.matrix), self.inputs, self.biases.len())
            .ok_or_else(|| Error::internal("a matrix of the model does not fit its layer"))?;
        Ok(Linear { matrix, scales: &self.scales, sums: &self.sums, biases: &self.biases })
    }
}
