//! The loops of a transformer encoder around its matrix products: quantised rows, linear layers, normalisation,
//! attention. Plain Rust with sums in a fixed order, so the same bits come out on every CPU. It knows no file and no
//! text.

use crate::matrix::{PANEL, Packed, Path, widely};

/// Numbers of one attention head. The models this is made for (MiniLM, e5-small, bge-small) have 32.
pub const HEAD: usize = 32;
/// Sums that do not wait for each other; every width is a multiple of it.
const LANES: usize = 16;
/// Added to a small number it leaves the nearest whole one in the low bits (1.5 * 2^23).
const ROUNDER: f32 = 12_582_912.0;
/// As BERT's configuration has it (`layer_norm_eps`).
const NORM_EPSILON: f32 = 1e-12;

/// Rows of numbers as bytes: `number = (byte - zero) * scale`, with a zero and a scale for each row.
#[derive(Default)]
pub struct Rows {
    bytes: Vec<u8>,
    scales: Vec<f32>,
    zeros: Vec<i32>,
}

impl Rows {
    /// Quantises rows of `width` finite numbers, each number times its factor if there are `factors`.
    pub fn quantise(&mut self, path: Path, values: &[f32], width: usize, factors: Option<&[f32]>) {
        let count = values.len() / width;
        self.bytes.resize(values.len(), 0);
        self.scales.resize(count, 0.0);
        self.zeros.resize(count, 0);
        quantise_rows(path, self, values, width, factors);
    }
}

widely! {
    fn quantise_rows(rows: &mut Rows, values: &[f32], width: usize, factors: Option<&[f32]>) {
        let mut scaled = factors.map(|_| vec![0.0; width]).unwrap_or_default();
        for (at, (values, bytes)) in values.chunks_exact(width).zip(rows.bytes.chunks_exact_mut(width)).enumerate() {
            let mut values = values;
            if let Some(factors) = factors {
                scaled.iter_mut().zip(values).zip(factors).for_each(|((out, value), factor)| *out = value * factor);
                values = &scaled;
            }
            (rows.scales[at], rows.zeros[at]) = quantise(values, bytes);
        }
    }
}

/// One row: from its smallest to its largest number in 255 steps, such that zero is a whole step.
#[inline(always)]
fn quantise(values: &[f32], bytes: &mut [u8]) -> (f32, i32) {
    let (mut low, mut high) = ([0.0f32; LANES], [0.0f32; LANES]);
    for values in values.chunks_exact(LANES) {
        for ((low, high), value) in low.iter_mut().zip(&mut high).zip(values) {
            *low = if *value < *low { *value } else { *low };
            *high = if *value > *high { *value } else { *high };
        }
    }
    let (low, high) = (low.into_iter().fold(0.0, f32::min), high.into_iter().fold(0.0, f32::max));
    let scale = if high > low { (high - low) / 255.0 } else { 1.0 };
    let (steps, zero) = (1.0 / scale, (-low / scale + ROUNDER) - ROUNDER);
    for (byte, value) in bytes.iter_mut().zip(values) {
        let step = value * steps + zero;
        let step = if step > 255.0 { 255.0 } else { step };
        let step = if step < 0.0 { 0.0 } else { step };
        *byte = (step + ROUNDER).to_bits() as u8;
    }
    (scale, zero as i32)
}

/// One layer `x W + b` with quantised weights: for each output its scale, the sum of its weights, its bias.
#[derive(Clone, Copy)]
pub struct Linear<'a> {
    /// The weights, as bytes.
    pub matrix: Packed<'a>,
    /// What a weight's byte is worth, for each output.
    pub scales: &'a [f32],
    /// The sum of the weights' bytes, for each output: what a row's zero adds to it, times that zero.
    pub sums: &'a [i32],
    /// For each output.
    pub biases: &'a [f32],
}

/// What is done to each output of a layer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `x * Φ(x)`, the exact form (Hendrycks and Gimpel, 2016).
    Gelu,
}

impl Linear<'_> {
    /// Puts the layer's outputs for these rows into `out`, row after row.
    ///
    /// # Panics
    /// If `rows`, the layer and `out` are not of one size.
    pub fn apply(&self, path: Path, rows: &Rows, activation: Activation, out: &mut [f32]) {
        let (count, outputs) = (rows.scales.len(), self.matrix.outputs());
        assert_eq!(out.len(), count * outputs);
        let mut products = vec![0i32; count * PANEL];
        for panel in 0..outputs / PANEL {
            self.matrix.multiply(path, &rows.bytes, panel, &mut products);
            finish(path, self, rows, panel, &products, out);
            if activation == Activation::Gelu {
                activate(path, &mut out[panel * PANEL..], outputs);
            }
        }
    }
}

widely! {
    /// What the products of one panel stand for.
    fn finish(layer: &Linear, rows: &Rows, panel: usize, products: &[i32], out: &mut [f32]) {
        let (outputs, first) = (layer.matrix.outputs(), panel * PANEL);
        let of_panel = first..first + PANEL;
        let (scales, sums) = (&layer.scales[of_panel.clone()], &layer.sums[of_panel.clone()]);
        let biases = &layer.biases[of_panel];
        let rows = rows.scales.iter().zip(&rows.zeros).zip(products.as_chunks::<PANEL>().0);
        for (((scale, zero), products), out) in rows.zip(out.chunks_exact_mut(outputs)) {
            let of_weights = scales.iter().zip(sums).zip(biases);
            for ((out, product), ((weight, sum), bias)) in out[first..].iter_mut().zip(products).zip(of_weights) {
                *out = product.wrapping_sub(zero.wrapping_mul(*sum)) as f32 * (scale * weight) + bias;
            }
        }
    }
}

widely! {
    /// GELU of the first panel of each row.
    fn activate(rows: &mut [f32], width: usize) {
        for row in rows.chunks_mut(width) {
            row[..PANEL].iter_mut().for_each(|value| *value = gelu(*value));
        }
    }
}

/// e to the power of `x`, to about 2 units in the last place, for `x` between -87 and 88 (Cephes' `expf`).
#[inline(always)]
fn exp(x: f32) -> f32 {
    let x = if x < -87.0 { -87.0 } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUNDER;
    let power = rounded - ROUNDER;
    let rest = x - power * 0.693_359_4 + power * 2.121_944_4e-4;
    let mut sum = 1.987_569_1e-4;
    for factor in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        sum = sum * rest + factor;
    }
    let value = sum * rest * rest + rest + 1.0;
    f32::from_bits(value.to_bits().wrapping_add(rounded.to_bits() << 23))
}

/// `x * Φ(x)`, the error function after Abramowitz and Stegun 7.1.26, which is off by 1.5e-7 at most.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let mut sum = 1.061_405_4;
    for factor in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        sum = sum * t + factor;
    }
    let erf = 1.0 - sum * t * exp(-z * z);
    0.5 * x * (1.0 + erf.copysign(x))
}

/// The sum of what `of` makes of the numbers, in a fixed order.
#[inline(always)]
fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    for values in values.chunks_exact(LANES) {
        lanes.iter_mut().zip(values).for_each(|(lane, value)| *lane += of(*value));
    }
    lanes.iter().sum()
}

widely! {
    /// Layer normalisation of each row, in place, after adding `others` (rows of the same shape) to it:
    /// `(x - mean) / deviation * weight + bias`. A row is as long as `weights` and `biases`.
    pub fn add_and_normalise(rows: &mut [f32], others: Option<&[f32]>, weights: &[f32], biases: &[f32]) {
        let width = weights.len();
        for (at, row) in rows.chunks_exact_mut(width).enumerate() {
            if let Some(others) = others {
                row.iter_mut().zip(&others[at * width..]).for_each(|(value, other)| *value += other);
            }
            let mean = sum(row, |value| value) / width as f32;
            let variance = sum(row, |value| (value - mean) * (value - mean)) / width as f32;
            let factor = 1.0 / (variance + NORM_EPSILON).sqrt();
            for ((value, weight), bias) in row.iter_mut().zip(weights).zip(biases) {
                *value = (*value - mean) * factor * weight + bias;
            }
        }
    }
}

/// What attention needs besides its input; kept from call to call.
#[derive(Default)]
pub struct Attention {
    /// The keys of one head: for each [`PANEL`] of tokens, number by number, that of every token.
    keys: Vec<[f32; PANEL]>,
    /// For two tokens, how much each attends to every token, padded to whole panels.
    shares: Vec<[f32; PANEL]>,
}

impl Attention {
    /// Attention among the tokens of one text. `joined` has for each token the query, the key and the value of every
    /// head (`3 * width` numbers; queries divided by the root of [`HEAD`]), `out` gets `width` numbers for each token.
    ///
    /// # Panics
    /// If the two are not of one size, or there is no token.
    pub fn apply(&mut self, path: Path, joined: &[f32], width: usize, out: &mut [f32]) {
        let tokens = out.len() / width;
        assert!(tokens > 0 && joined.len() == tokens * 3 * width && width.is_multiple_of(HEAD));
        let panels = tokens.div_ceil(PANEL);
        self.keys.resize(panels * HEAD, [0.0; PANEL]);
        self.shares.resize(panels * 2, [0.0; PANEL]);
        for head in (0..width).step_by(HEAD) {
            attend(path, &OfHead { joined, width, head }, self, out);
        }
    }
}

widely! {
    /// Attention of one head, for two tokens at a time, which share what they read; an odd last one is done twice.
    fn attend(of: &OfHead, room: &mut Attention, out: &mut [f32]) {
        let Attention { keys, shares } = room;
        for (token, joined) in of.joined.chunks_exact(3 * of.width).enumerate() {
            let keys = &mut keys[token / PANEL * HEAD..][..HEAD];
            let key = &joined[of.width + of.head..][..HEAD];
            keys.iter_mut().zip(key).for_each(|(keys, number)| keys[token % PANEL] = *number);
        }
        let tokens = out.len() / of.width;
        let (first_shares, second_shares) = shares.split_at_mut(keys.len() / HEAD);
        for first in (0..tokens).step_by(2) {
            let second = (first + 1).min(tokens - 1);
            let queries = [first, second].map(|token| &of.joined[token * 3 * of.width + of.head..][..HEAD]);
            for ((keys, first), second) in
                keys.as_chunks::<HEAD>().0.iter().zip(first_shares.iter_mut()).zip(second_shares.iter_mut())
            {
                (*first, *second) = compare(queries, keys);
            }
            for shares in [first_shares.as_flattened_mut(), second_shares.as_flattened_mut()] {
                shares[tokens..].fill(f32::MIN);
                soften(shares);
            }
            let values = of.joined[2 * of.width + of.head..].chunks(3 * of.width);
            let (of_first, of_second) = blend([first_shares.as_flattened(), second_shares.as_flattened()], values);
            out[first * of.width + of.head..][..HEAD].copy_from_slice(&of_first);
            out[second * of.width + of.head..][..HEAD].copy_from_slice(&of_second);
        }
    }
}

/// What one head attends to.
struct OfHead<'a> {
    joined: &'a [f32],
    width: usize,
    /// Its first number among the queries, the keys and the values.
    head: usize,
}

/// The products of two queries with the keys of a panel of tokens.
#[inline(always)]
fn compare(queries: [&[f32]; 2], keys: &[[f32; PANEL]; HEAD]) -> ([f32; PANEL], [f32; PANEL]) {
    let (mut first, mut second) = ([0.0; PANEL], [0.0; PANEL]);
    for ((keys, of_first), of_second) in keys.iter().zip(queries[0]).zip(queries[1]) {
        add(&mut first, *of_first, keys);
        add(&mut second, *of_second, keys);
    }
    (first, second)
}

/// The tokens' values, each as much as two tokens attend to it.
#[inline(always)]
fn blend<'a>(shares: [&[f32]; 2], values: impl Iterator<Item = &'a [f32]>) -> ([f32; HEAD], [f32; HEAD]) {
    let (mut first, mut second) = ([0.0; HEAD], [0.0; HEAD]);
    for ((values, of_first), of_second) in values.zip(shares[0]).zip(shares[1]) {
        let Some(values) = values.first_chunk() else { continue };
        add(&mut first, *of_first, values);
        add(&mut second, *of_second, values);
    }
    (first, second)
}

/// Adds a multiple of some numbers to sums. Sums of a fixed length stay in registers.
#[inline(always)]
fn add<const LENGTH: usize>(sums: &mut [f32; LENGTH], factor: f32, numbers: &[f32; LENGTH]) {
    for at in 0..LENGTH {
        sums[at] += factor * numbers[at];
    }
}

/// Softmax in place: `e^x` over the sum of all of them.
#[inline(always)]
fn soften(values: &mut [f32]) {
    let mut lanes = [f32::MIN; LANES];
    for values in values.chunks_exact(LANES) {
        lanes.iter_mut().zip(values).for_each(|(lane, value)| *lane = if *value > *lane { *value } else { *lane });
    }
    let highest = lanes.into_iter().fold(f32::MIN, f32::max);
    values.iter_mut().for_each(|value| *value = exp(*value - highest));
    let factor = 1.0 / sum(values, |value| value);
    values.iter_mut().for_each(|value| *value *= factor);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By a series that converges everywhere (Abramowitz and Stegun 7.1.6), in 64 bits.
    fn exact_gelu(x: f64) -> f64 {
        let z = x / std::f64::consts::SQRT_2;
        let (mut term, mut sum) = (z, z);
        for n in 1..200 {
            term *= 2.0 * z * z / f64::from(2 * n + 1);
            sum += term;
        }
        0.5 * x * (1.0 + 2.0 / std::f64::consts::PI.sqrt() * (-z * z).exp() * sum)
    }

    #[test]
    fn gelu_and_exp_are_what_they_approximate() {
        for step in -60_000..60_000 {
            let x = step as f32 / 10_000.0;
            assert!((f64::from(gelu(x)) - exact_gelu(f64::from(x))).abs() < 1e-6, "gelu({x}) = {}", gelu(x));
            let (near, exact) = (f64::from(exp(x * 10.0)), f64::from(x * 10.0).exp());
            assert!((near - exact).abs() <= exact * 3e-7, "exp({}) = {near}, not {exact}", x * 10.0);
        }
    }

    #[test]
    fn a_quantised_row_is_off_by_one_step_at_most() {
        let values: Vec<f32> = (0..64).map(|at| (at as f32 * 1.7).sin() * 3.0 + 1.0).collect();
        let mut rows = Rows::default();
        rows.quantise(Path::PORTABLE, &values, 64, None);
        for (value, byte) in values.iter().zip(&rows.bytes) {
            let back = (f32::from(*byte) - rows.zeros[0] as f32) * rows.scales[0];
            assert!((back - value).abs() <= rows.scales[0] * 1.01, "{value} became {back}");
        }
        rows.quantise(Path::PORTABLE, &[0.0; 32], 32, None);
        assert_eq!((rows.scales[0], rows.zeros[0]), (1.0, 0), "a row of zeros");
    }

    #[test]
    fn shares_are_positive_and_sum_to_one() {
        let mut values: Vec<f32> = (0..48).map(|at| (at as f32).cos() * 20.0).collect();
        soften(&mut values);
        assert!(values.iter().all(|share| *share >= 0.0));
        assert!((values.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
}
