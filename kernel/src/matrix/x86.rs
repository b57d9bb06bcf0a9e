//! The products of `matrix.rs` for x86-64: SSE2 and AVX2 widen to 16 bits, the two VNNI paths multiply bytes.
//! `unsafe` because vector instructions exist as intrinsics only, which read through pointers and must not run on a CPU
//! that lacks them: `matrix.rs` checks the lengths and the CPU. A tile keeps its sums in registers throughout.

use std::arch::x86_64::*;

use super::{GROUP, PANEL, for_tiles};

/// Bytes of one group of inputs in a panel.
const STEP: usize = PANEL * GROUP;

/// The four values of a row that a step multiplies.
#[inline(always)]
unsafe fn group_of(rows: *const u8, at: usize) -> i32 {
    unsafe { rows.add(at).cast::<i32>().read_unaligned() }
}

/// Four rows by 4 outputs: eight sums, two registers of weights and one row's values of 16 registers.
#[target_feature(enable = "sse2")]
pub unsafe fn sse2(rows: &[u8], weights: &[u8], inputs: usize, out: &mut [i32]) {
    for place in 0..PANEL / 4 {
        let weights = unsafe { weights.as_ptr().add(place * 4 * GROUP) };
        let out = &mut out[place * 4..];
        unsafe { for_tiles!(rows, inputs, out, tile_sse2, 4, [1 2 3 4], weights) }
    }
}

#[target_feature(enable = "sse2")]
unsafe fn tile_sse2<const ROWS: usize>(rows: *const u8, inputs: usize, weights: *const u8, out: *mut i32) {
    let zero = _mm_setzero_si128();
    // Each sum is in two halves, which are added at the end.
    let mut sums = [[zero; 2]; ROWS];
    for group in 0..inputs / GROUP {
        let weights = unsafe { _mm_loadu_si128(weights.add(group * STEP).cast()) };
        let signs = _mm_cmpgt_epi8(zero, weights);
        let (low, high) = (_mm_unpacklo_epi8(weights, signs), _mm_unpackhi_epi8(weights, signs));
        for (row, sums) in sums.iter_mut().enumerate() {
            let values = _mm_set1_epi32(unsafe { group_of(rows, row * inputs + group * GROUP) });
            let values = _mm_unpacklo_epi8(values, zero);
            sums[0] = _mm_add_epi32(sums[0], _mm_madd_epi16(values, low));
            sums[1] = _mm_add_epi32(sums[1], _mm_madd_epi16(values, high));
        }
    }
    for (row, [low, high]) in sums.into_iter().enumerate() {
        let (low, high) = (_mm_castsi128_ps(low), _mm_castsi128_ps(high));
        let first = _mm_castps_si128(_mm_shuffle_ps::<0b10_00_10_00>(low, high));
        let second = _mm_castps_si128(_mm_shuffle_ps::<0b11_01_11_01>(low, high));
        unsafe { _mm_storeu_si128(out.add(row * PANEL).cast(), _mm_add_epi32(first, second)) };
    }
}

/// Five rows by 8 outputs: ten sums, two registers of weights and one row's values make 13 of 16 registers.
#[target_feature(enable = "avx2")]
pub unsafe fn avx2(rows: &[u8], weights: &[u8], inputs: usize, out: &mut [i32]) {
    for place in 0..PANEL / 8 {
        let weights = unsafe { weights.as_ptr().add(place * 8 * GROUP) };
        let out = &mut out[place * 8..];
        unsafe { for_tiles!(rows, inputs, out, tile_avx2, 5, [1 2 3 4 5], weights) }
    }
}

#[target_feature(enable = "avx2")]
unsafe fn tile_avx2<const ROWS: usize>(rows: *const u8, inputs: usize, weights: *const u8, out: *mut i32) {
    // Each sum is in two halves, which are added at the end.
    let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
    for group in 0..inputs / GROUP {
        let (low, high) = unsafe {
            let at = weights.add(group * STEP).cast::<__m128i>();
            (_mm256_cvtepi8_epi16(_mm_loadu_si128(at)), _mm256_cvtepi8_epi16(_mm_loadu_si128(at.add(1))))
        };
        for (row, sums) in sums.iter_mut().enumerate() {
            let values = _mm_set1_epi32(unsafe { group_of(rows, row * inputs + group * GROUP) });
            let values = _mm256_cvtepu8_epi16(values);
            sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(values, low));
            sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(values, high));
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        // Within each half of a register: outputs 0 1 4 5 and 2 3 6 7.
        let added = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(sums[0], sums[1]));
        unsafe { _mm256_storeu_si256(out.add(row * PANEL).cast(), added) };
    }
}

/// Six rows by 16 outputs: twelve sums, two registers of weights, one row's values.
#[target_feature(enable = "avx2,avxvnni")]
pub unsafe fn avx_vnni(rows: &[u8], weights: &[u8], inputs: usize, out: &mut [i32]) {
    for half in 0..2 {
        let weights = unsafe { weights.as_ptr().add(half * STEP / 2) };
        let out = &mut out[half * PANEL / 2..];
        unsafe { for_tiles!(rows, inputs, out, tile_avx_vnni, 6, [1 2 3 4 5 6], weights) }
    }
}

#[target_feature(enable = "avx2,avxvnni")]
unsafe fn tile_avx_vnni<const ROWS: usize>(rows: *const u8, inputs: usize, weights: *const u8, out: *mut i32) {
    let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
    for group in 0..inputs / GROUP {
        let (low, high) = unsafe {
            let at = weights.add(group * STEP).cast::<__m256i>();
            (_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1)))
        };
        for (row, sums) in sums.iter_mut().enumerate() {
            let values = _mm256_set1_epi32(unsafe { group_of(rows, row * inputs + group * GROUP) });
            sums[0] = _mm256_dpbusd_avx_epi32(sums[0], values, low);
            sums[1] = _mm256_dpbusd_avx_epi32(sums[1], values, high);
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        unsafe {
            let out = out.add(row * PANEL).cast::<__m256i>();
            _mm256_storeu_si256(out, sums[0]);
            _mm256_storeu_si256(out.add(1), sums[1]);
        }
    }
}

/// Eight rows by 32 outputs: sixteen sums of 32 registers. More rows were no faster, and each count is code of its own.
#[target_feature(enable = "avx512f,avx512vnni")]
pub unsafe fn avx512_vnni(rows: &[u8], weights: &[u8], inputs: usize, out: &mut [i32]) {
    let weights = weights.as_ptr();
    unsafe { for_tiles!(rows, inputs, out, tile_avx512_vnni, 8, [1 2 3 4 5 6 7 8], weights) }
}

#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn tile_avx512_vnni<const ROWS: usize>(rows: *const u8, inputs: usize, weights: *const u8, out: *mut i32) {
    let mut sums = [[_mm512_setzero_si512(); 2]; ROWS];
    for group in 0..inputs / GROUP {
        let (low, high) = unsafe {
            let at = weights.add(group * STEP).cast::<__m512i>();
            (_mm512_loadu_si512(at), _mm512_loadu_si512(at.add(1)))
        };
        for (row, sums) in sums.iter_mut().enumerate() {
            let values = _mm512_set1_epi32(unsafe { group_of(rows, row * inputs + group * GROUP) });
            sums[0] = _mm512_dpbusd_epi32(sums[0], values, low);
            sums[1] = _mm512_dpbusd_epi32(sums[1], values, high);
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        unsafe {
            let out = out.add(row * PANEL).cast::<__m512i>();
            _mm512_storeu_si512(out, sums[0]);
            _mm512_storeu_si512(out.add(1), sums[1]);
        }
    }
}
