//! The products of `matrix.rs` for 64-bit ARM: NEON, and its dot product where the CPU has it.
//! `unsafe` because vector instructions exist as intrinsics only, which read through pointers and must not run on a CPU
//! that lacks them: `matrix.rs` checks the lengths and the CPU. The instructions multiply signed by signed, so 128 is
//! taken off the rows' values and put back, times the weights, at the end.

use std::arch::aarch64::*;
use std::arch::asm;

use super::{GROUP, PANEL, for_tiles};

/// Bytes of one group of inputs in a panel.
const STEP: usize = PANEL * GROUP;

/// The four values of a row that a step multiplies, four times over, each less 128.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn group_of(rows: *const u8, at: usize) -> int8x16_t {
    let four = unsafe { rows.add(at).cast::<u32>().read_unaligned() };
    vreinterpretq_s8_u32(vdupq_n_u32(four ^ 0x8080_8080))
}

/// Four rows by 8 outputs: sixteen sums of 32 registers.
#[target_feature(enable = "neon")]
pub unsafe fn neon(rows: &[u8], weights: &[u8], inputs: usize, out: &mut [i32]) {
    for place in 0..PANEL / 8 {
        let weights = unsafe { weights.as_ptr().add(place * 8 * GROUP) };
        let out = &mut out[place * 8..];
        unsafe { for_tiles!(rows, inputs, out, tile_neon, 4, [1 2 3 4], weights) }
    }
}

#[target_feature(enable = "neon")]
unsafe fn tile_neon<const ROWS: usize>(rows: *const u8, inputs: usize, weights: *const u8, out: *mut i32) {
    // Each sum is in two halves: a register holds two outputs.
    let mut sums = [[vdupq_n_s32(0); 4]; ROWS];
    let mut offsets = [vdupq_n_s32(0); 4];
    for group in 0..inputs / GROUP {
        let at = unsafe { weights.add(group * STEP).cast::<i8>() };
        let (low, high) = unsafe { (vld1q_s8(at), vld1q_s8(at.add(16))) };
        let weights = [vget_low_s8(low), vget_high_s8(low), vget_low_s8(high), vget_high_s8(high)];
        for (offset, weights) in offsets.iter_mut().zip(weights) {
            *offset = vaddq_s32(*offset, vpaddlq_s16(vmovl_s8(weights)));
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            let values = vget_low_s8(unsafe { group_of(rows, row * inputs + group * GROUP) });
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = vpadalq_s16(*sum, vmull_s8(values, weights));
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        for half in 0..2 {
            let sums = vpaddq_s32(sums[half * 2], sums[half * 2 + 1]);
            let offset = vshlq_n_s32::<7>(vpaddq_s32(offsets[half * 2], offsets[half * 2 + 1]));
            unsafe { vst1q_s32(out.add(row * PANEL + half * 4), vaddq_s32(sums, offset)) };
        }
    }
}

/// `sdot`: to each of four sums the products of four bytes. As assembly, because its intrinsic is not stable yet.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot(sums: int32x4_t, values: int8x16_t, weights: int8x16_t) -> int32x4_t {
    let mut sums = sums;
    // SAFETY: registers in, a register out; no memory, no flags.
    unsafe {
        asm!("sdot {0:v}.4s, {1:v}.16b, {2:v}.16b", inout(vreg) sums, in(vreg) values, in(vreg) weights,
            options(pure, nomem, nostack, preserves_flags));
    }
    sums
}

/// Four rows by 16 outputs: sixteen sums, four offsets and four registers of weights of 32.
#[target_feature(enable = "neon,dotprod")]
pub unsafe fn neon_dot(rows: &[u8], weights: &[u8], inputs: usize, out: &mut [i32]) {
    for half in 0..2 {
        let weights = unsafe { weights.as_ptr().add(half * STEP / 2) };
        let out = &mut out[half * PANEL / 2..];
        unsafe { for_tiles!(rows, inputs, out, tile_neon_dot, 4, [1 2 3 4], weights) }
    }
}

#[target_feature(enable = "neon,dotprod")]
unsafe fn tile_neon_dot<const ROWS: usize>(rows: *const u8, inputs: usize, weights: *const u8, out: *mut i32) {
    let mut sums = [[vdupq_n_s32(0); 4]; ROWS];
    let mut offsets = [vdupq_n_s32(0); 4];
    for group in 0..inputs / GROUP {
        let at = unsafe { weights.add(group * STEP).cast::<i8>() };
        let weights: [int8x16_t; 4] = std::array::from_fn(|quarter| unsafe { vld1q_s8(at.add(quarter * 16)) });
        for (offset, weights) in offsets.iter_mut().zip(weights) {
            *offset = dot(*offset, vdupq_n_s8(1), weights);
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            let values = unsafe { group_of(rows, row * inputs + group * GROUP) };
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = dot(*sum, values, weights);
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        for (quarter, (sum, offset)) in sums.iter().zip(offsets).enumerate() {
            let sum = vaddq_s32(*sum, vshlq_n_s32::<7>(offset));
            unsafe { vst1q_s32(out.add(row * PANEL + quarter * 4), sum) };
        }
    }
}
