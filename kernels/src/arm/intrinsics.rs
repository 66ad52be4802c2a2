//! NEON's intrinsics as safe functions. The compiler wants each call marked, or every function that calls one, which a
//! trait's cannot be; but NEON is part of the target, and what is listed here computes on registers alone.

use std::arch::aarch64 as arch;

use arch::*;
pub(super) use arch::{
    float32x4_t, int8x16_t, int16x8_t, int32x4_t, uint8x16_t, uint16x4_t, vld1_s16, vld1q_dup_f32,
    vld1q_dup_s64, vld1q_f32, vld1q_s8, vld1q_u8, vst1q_f32, vst1q_s8,
};

macro_rules! safe {
    ($($name:ident $(<$n:ident>)? ($($arg:ident: $ty:ty),*) -> $out:ty;)*) => {$(
        #[inline(always)]
        pub(super) fn $name$(<const $n: i32>)?($($arg: $ty),*) -> $out {
            // SAFETY: see above.
            unsafe { arch::$name$(::<$n>)?($($arg),*) }
        }
    )*};
}

safe! {
    vaddq_f32(a: float32x4_t, b: float32x4_t) -> float32x4_t;
    vaddvq_f32(a: float32x4_t) -> f32;
    vandq_u8(a: uint8x16_t, b: uint8x16_t) -> uint8x16_t;
    vcombine_u8(a: uint8x8_t, b: uint8x8_t) -> uint8x16_t;
    vcreate_u8(a: u64) -> uint8x8_t;
    vcvt_f32_f16(a: float16x4_t) -> float32x4_t;
    vcvtq_f32_s32(a: int32x4_t) -> float32x4_t;
    vcvtq_f32_u32(a: uint32x4_t) -> float32x4_t;
    vdup_n_u16(a: u16) -> uint16x4_t;
    vdup_n_u8(a: u8) -> uint8x8_t;
    vdupq_n_f32(a: f32) -> float32x4_t;
    vdupq_n_s32(a: i32) -> int32x4_t;
    vdupq_n_s8(a: i8) -> int8x16_t;
    vdupq_n_u32(a: u32) -> uint32x4_t;
    vdupq_n_u64(a: u64) -> uint64x2_t;
    vdupq_n_u8(a: u8) -> uint8x16_t;
    vfmaq_f32(sum: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t;
    vfmaq_laneq_f32<LANE>(sum: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t;
    vfmaq_n_f32(sum: float32x4_t, a: float32x4_t, b: f32) -> float32x4_t;
    vget_low_s16(a: int16x8_t) -> int16x4_t;
    vget_low_s8(a: int8x16_t) -> int8x8_t;
    vget_low_u16(a: uint16x8_t) -> uint16x4_t;
    vmlal_high_s8(sum: int16x8_t, a: int8x16_t, b: int8x16_t) -> int16x8_t;
    vmlal_s8(sum: int16x8_t, a: int8x8_t, b: int8x8_t) -> int16x8_t;
    vmovl_high_s16(a: int16x8_t) -> int32x4_t;
    vmovl_high_s8(a: int8x16_t) -> int16x8_t;
    vmovl_high_u16(a: uint16x8_t) -> uint32x4_t;
    vmovl_s16(a: int16x4_t) -> int32x4_t;
    vmovl_s8(a: int8x8_t) -> int16x8_t;
    vmovl_u16(a: uint16x4_t) -> uint32x4_t;
    vmovl_u8(a: uint8x8_t) -> uint16x8_t;
    vmull_s8(a: int8x8_t, b: int8x8_t) -> int16x8_t;
    vmulq_f32(a: float32x4_t, b: float32x4_t) -> float32x4_t;
    vmulq_laneq_f32<LANE>(a: float32x4_t, b: float32x4_t) -> float32x4_t;
    vmulq_n_f32(a: float32x4_t, b: f32) -> float32x4_t;
    vorrq_u8(a: uint8x16_t, b: uint8x16_t) -> uint8x16_t;
    vpadalq_s16(sum: int32x4_t, a: int16x8_t) -> int32x4_t;
    vpaddlq_s16(a: int16x8_t) -> int32x4_t;
    vpaddq_s32(a: int32x4_t, b: int32x4_t) -> int32x4_t;
    vqtbl1q_u8(table: uint8x16_t, at: uint8x16_t) -> uint8x16_t;
    vreinterpret_f16_u16(a: uint16x4_t) -> float16x4_t;
    vreinterpretq_s32_s8(a: int8x16_t) -> int32x4_t;
    vreinterpretq_s64_s32(a: int32x4_t) -> int64x2_t;
    vreinterpretq_s64_s8(a: int8x16_t) -> int64x2_t;
    vreinterpretq_s8_s64(a: int64x2_t) -> int8x16_t;
    vreinterpretq_s8_u8(a: uint8x16_t) -> int8x16_t;
    vreinterpretq_u8_u32(a: uint32x4_t) -> uint8x16_t;
    vreinterpretq_u8_u64(a: uint64x2_t) -> uint8x16_t;
    vset_lane_u16<LANE>(a: u16, b: uint16x4_t) -> uint16x4_t;
    vshlq_u8(a: uint8x16_t, left: int8x16_t) -> uint8x16_t;
    vshrq_n_u8<N>(a: uint8x16_t) -> uint8x16_t;
    vsubq_s8(a: int8x16_t, b: int8x16_t) -> int8x16_t;
    vtrn1q_s32(a: int32x4_t, b: int32x4_t) -> int32x4_t;
    vtrn1q_s64(a: int64x2_t, b: int64x2_t) -> int64x2_t;
    vtrn2q_s32(a: int32x4_t, b: int32x4_t) -> int32x4_t;
    vtrn2q_s64(a: int64x2_t, b: int64x2_t) -> int64x2_t;
    vtstq_u8(a: uint8x16_t, b: uint8x16_t) -> uint8x16_t;
    vuzp1q_f32(a: float32x4_t, b: float32x4_t) -> float32x4_t;
    vuzp2q_f32(a: float32x4_t, b: float32x4_t) -> float32x4_t;
    vzip1q_f32(a: float32x4_t, b: float32x4_t) -> float32x4_t;
    vzip1q_s64(a: int64x2_t, b: int64x2_t) -> int64x2_t;
    vzip2q_f32(a: float32x4_t, b: float32x4_t) -> float32x4_t;
    vzip2q_s64(a: int64x2_t, b: int64x2_t) -> int64x2_t;
}
