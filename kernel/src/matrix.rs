//! Rows of unsigned bytes times a matrix of signed bytes, exactly, in 32-bit integers; and the one place that decides
//! which instructions of this CPU are used for it. Every path gives the same numbers, so a text has the same vector on
//! every machine. It knows no layer, no file and no model.
//! `unsafe` only to enter code that was compiled for instructions which the CPU was seen to have.

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "x86_64")]
mod x86;

/// Outputs that lie together in a packed matrix: the outputs of a matrix are a multiple of it.
pub const PANEL: usize = 32;
/// Inputs that one instruction takes at a time: the inputs of a matrix are a multiple of it.
pub const GROUP: usize = 4;

/// Which instructions are used. Only those that this CPU has can be had: see [`Path::available`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Sse2,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_arch = "aarch64")]
    NeonDot,
}

impl Path {
    /// Plain Rust, for every CPU.
    pub const PORTABLE: Self = Self(Kind::Portable);

    /// What this CPU can do, the slowest first.
    pub fn available() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        let found = [
            (Kind::Sse2, true),
            (Kind::Avx2, is_x86_feature_detected!("avx2")),
            (Kind::AvxVnni, is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni")),
            (
                Kind::Avx512Vnni,
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vnni"),
            ),
        ];
        #[cfg(target_arch = "aarch64")]
        let found = [(Kind::Neon, true), (Kind::NeonDot, std::arch::is_aarch64_feature_detected!("dotprod"))];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let found: [(Kind, bool); 0] = [];
        let usable = found.into_iter().filter(|(_, is_there)| *is_there).map(|(kind, _)| Self(kind));
        std::iter::once(Self::PORTABLE).chain(usable).collect()
    }

    /// The fastest that this CPU can do.
    pub fn best() -> Self {
        Self::available().pop().unwrap_or(Self::PORTABLE)
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Sse2 => "SSE2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Kind::AvxVnni => "AVX-VNNI",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Vnni => "AVX-512 VNNI",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "NEON",
            #[cfg(target_arch = "aarch64")]
            Kind::NeonDot => "NEON dot product",
        }
    }

    /// Whether plain loops are to be run as they were compiled for AVX2.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn has_avx2(self) -> bool {
        matches!(self.0, Kind::Avx2 | Kind::AvxVnni | Kind::Avx512Vnni)
    }
}

/// A function of plain loops, with the path as one argument more: its code is there for the vectors of every CPU and
/// for AVX2. Its results are the same on every path: the compiler neither reorders sums nor fuses products.
macro_rules! widely {
    ($(#[$about:meta])* $sight:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$about])*
        $sight fn $name(path: $crate::matrix::Path, $($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn plain($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn avx2($($argument: $type),*) $(-> $result)? {
                    plain($($argument),*)
                }
                if path.has_avx2() {
                    // SAFETY: `Path::available` has seen AVX2, and nobody else makes such a path.
                    return unsafe { avx2($($argument),*) };
                }
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = path;
            plain($($argument),*)
        }
    };
}
pub(crate) use widely;

/// A matrix of signed bytes as the kernels read it: for each [`PANEL`] of outputs, for each [`GROUP`] of inputs, for
/// each output of the panel, its weights for the inputs of the group.
#[derive(Clone, Copy)]
pub struct Packed<'a> {
    bytes: &'a [u8],
    inputs: usize,
}

impl<'a> Packed<'a> {
    /// `bytes` hold `inputs * outputs` weights, already packed. Nothing if they do not fit each other.
    pub fn new(bytes: &'a [u8], inputs: usize, outputs: usize) -> Option<Self> {
        let fits = inputs > 0
            && inputs.is_multiple_of(GROUP)
            && outputs.is_multiple_of(PANEL)
            && bytes.len() == inputs * outputs;
        fits.then_some(Self { bytes, inputs })
    }

    /// Where the weight of this input for this output lies in a packed matrix.
    pub fn place(input: usize, output: usize, inputs: usize) -> usize {
        output / PANEL * PANEL * inputs + input / GROUP * PANEL * GROUP + output % PANEL * GROUP + input % GROUP
    }

    /// Numbers in a row that it is multiplied with.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Numbers in a row of the product.
    pub fn outputs(&self) -> usize {
        self.bytes.len() / self.inputs
    }

    /// The product of some rows with one panel: `rows` are `n` times `inputs` bytes, `out` becomes `n` times [`PANEL`]
    /// sums. With 0 to 255 for the rows and -127 to 127 for the weights, sums of up to 66,000 inputs cannot overflow.
    ///
    /// # Panics
    /// If a length is not what was said, or there is no such panel.
    pub fn multiply(&self, path: Path, rows: &[u8], panel: usize, out: &mut [i32]) {
        let weights = &self.bytes[panel * PANEL * self.inputs..][..PANEL * self.inputs];
        assert_eq!(rows.len() % self.inputs, 0);
        assert_eq!(rows.len() / self.inputs * PANEL, out.len());
        match path.0 {
            Kind::Portable => portable(rows, weights, self.inputs, out),
            // SAFETY: `available` has seen these instructions; the lengths were checked above.
            #[cfg(target_arch = "x86_64")]
            Kind::Sse2 => unsafe { x86::sse2(rows, weights, self.inputs, out) },
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { x86::avx2(rows, weights, self.inputs, out) },
            #[cfg(target_arch = "x86_64")]
            Kind::AvxVnni => unsafe { x86::avx_vnni(rows, weights, self.inputs, out) },
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Vnni => unsafe { x86::avx512_vnni(rows, weights, self.inputs, out) },
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => unsafe { arm::neon(rows, weights, self.inputs, out) },
            #[cfg(target_arch = "aarch64")]
            Kind::NeonDot => unsafe { arm::neon_dot(rows, weights, self.inputs, out) },
        }
    }
}

/// What every path must give.
fn portable(rows: &[u8], weights: &[u8], inputs: usize, out: &mut [i32]) {
    for (row, out) in rows.chunks_exact(inputs).zip(out.chunks_exact_mut(PANEL)) {
        let mut sums = [0i32; PANEL];
        for (values, weights) in row.chunks_exact(GROUP).zip(weights.chunks_exact(PANEL * GROUP)) {
            for (sum, weights) in sums.iter_mut().zip(weights.chunks_exact(GROUP)) {
                for (value, weight) in values.iter().zip(weights) {
                    *sum += i32::from(*value) * i32::from(weight.cast_signed());
                }
            }
        }
        out.copy_from_slice(&sums);
    }
}

/// Calls a tile of as many rows as there are, so that each weight is loaded once for all of them.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! for_tiles {
    ($rows:expr, $inputs:expr, $out:expr, $tile:ident, $most:literal, [$($count:literal)*], $weights:expr) => {{
        let count = $rows.len() / $inputs;
        let mut at = 0;
        while at < count {
            let left = count - at;
            // As even as can be: 9 rows are 5 and 4, not 8 and a single one.
            let taken = left.div_ceil(left.div_ceil($most));
            let (rows, out) = ($rows.as_ptr().add(at * $inputs), $out.as_mut_ptr().add(at * PANEL));
            match taken {
                $($count => $tile::<$count>(rows, $inputs, $weights, out),)*
                _ => unreachable!("a tile has at most {} rows", $most),
            }
            at += taken;
        }
    }};
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use for_tiles;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_path_of_this_cpu_gives_what_the_portable_one_gives(
            (count, groups, panels) in (1usize..30, 1usize..40, 1usize..4),
            seed in any::<u64>(),
            is_extreme in any::<bool>(),
        ) {
            let (inputs, outputs) = (groups * GROUP, panels * PANEL);
            let mut state = seed | 1;
            let mut next = || { state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1); (state >> 56) as u8 };
            let rows: Vec<u8> = (0..count * inputs).map(|_| if is_extreme { 255 } else { next() }).collect();
            let weight = |byte: u8| if is_extreme { 127 } else { byte.cast_signed().max(-127) };
            let bytes: Vec<u8> = (0..inputs * outputs).map(|_| weight(next()).cast_unsigned()).collect();
            let matrix = Packed::new(&bytes, inputs, outputs).unwrap();
            for panel in 0..panels {
                let mut expected = vec![0; count * PANEL];
                matrix.multiply(Path::PORTABLE, &rows, panel, &mut expected);
                for path in Path::available() {
                    let mut sums = vec![-1; count * PANEL];
                    matrix.multiply(path, &rows, panel, &mut sums);
                    prop_assert_eq!(&sums, &expected, "{}", path.name());
                }
            }
        }

        #[test]
        fn a_packed_matrix_is_the_matrix((groups, panels) in (1usize..5, 1usize..3), seed in any::<u32>()) {
            let (inputs, outputs) = (groups * GROUP, panels * PANEL);
            let weight = |input: usize, output: usize| {
                ((input * 31 + output * 17 + seed as usize % 97) % 255) as i32 - 127
            };
            let mut bytes = vec![0; inputs * outputs];
            for (input, output) in (0..inputs).flat_map(|input| (0..outputs).map(move |output| (input, output))) {
                bytes[Packed::place(input, output, inputs)] = (weight(input, output) as i8).cast_unsigned();
            }
            let matrix = Packed::new(&bytes, inputs, outputs).unwrap();
            let row: Vec<u8> = (0..inputs).map(|input| (input * 7 % 256) as u8).collect();
            for output in 0..outputs {
                let mut sums = vec![0; PANEL];
                matrix.multiply(Path::PORTABLE, &row, output / PANEL, &mut sums);
                let expected: i32 = (0..inputs).map(|input| i32::from(row[input]) * weight(input, output)).sum();
                prop_assert_eq!(sums[output % PANEL], expected);
            }
        }
    }
}
