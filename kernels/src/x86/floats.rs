//! Products of float weights with a few tokens, in vectors of 256 and of 512 bits.

use std::arch::x86_64::*;

use super::avx2::{load_bf16, load_f16};
use super::gemv::{Distances, look_ahead};
use crate::floats::{BF16, F16, F32, LINE, Lanes, ROWS, Weight, few_tokens, one_token};
use crate::format::TensorType;
use crate::gemm::fetch;
use crate::isa::{FloatGemv, Gemv};

type Unsafe = unsafe fn(&[u8], &[f32], &mut [&mut [f32]]);

/// The functions of a level by type.
macro_rules! table {
    ($set:ident, $products:ident) => {
        pub(super) fn $set(ty: TensorType) -> Option<Gemv> {
            let products: Unsafe = match ty {
                TensorType::F32 => $products::<F32>,
                TensorType::F16 => $products::<F16>,
                TensorType::BF16 => $products::<BF16>,
                _ => return None,
            };
            // SAFETY: the types differ in `unsafe` alone, and a call is sound: a set is handed out only where the features are
            // there.
            Some(Gemv::Float(unsafe { std::mem::transmute::<Unsafe, FloatGemv>(products) }))
        }
    };
}

table!(avx2, products_256);
table!(avx512, products_512);

#[target_feature(enable = "avx2,fma,f16c")]
fn products_256<W: Weight>(w: &[u8], x: &[f32], out: &mut [&mut [f32]]) {
    // SAFETY: this function has the features.
    unsafe { products::<__m256, W>(w, x, out) }
}

#[target_feature(enable = "avx2,fma,f16c,avx512f")]
fn products_512<W: Weight>(w: &[u8], x: &[f32], out: &mut [&mut [f32]]) {
    // SAFETY: this function has the features.
    unsafe { products::<__m512, W>(w, x, out) }
}

// What follows is inlined into the two functions above.

/// # Safety
/// As of [`few_tokens`].
#[inline(always)]
unsafe fn products<V: Lanes, W: Weight>(w: &[u8], x: &[f32], out: &mut [&mut [f32]]) {
    let [out] = out else {
        // SAFETY: by the contract.
        return unsafe { few_tokens::<V, W>(w, x, out) };
    };
    // Rows are read at one place, as those of several tokens are.
    let ahead = Distances::of::<LINE>(false);
    // SAFETY: by the contract.
    unsafe {
        if ahead.near == 0 {
            // No more instructions than this takes, as it is done with every line.
            one_token::<V, W>(w, x, out, |line| fetch(line.as_ptr().wrapping_add(ahead.far), 1));
        } else {
            one_token::<V, W>(w, x, out, |line| look_ahead(line, ahead));
        }
    }
}

impl Lanes for __m256 {
    const N: usize = 8;
    // Twelve sums, three vectors of activations and one of weights.
    const TOKENS: usize = 3;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: here and below, by the contract.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(x: *const f32) -> Self {
        // SAFETY: as above.
        unsafe { _mm256_loadu_ps(x) }
    }

    #[inline(always)]
    unsafe fn f16s(w: *const [u8; 2]) -> Self {
        // SAFETY: as above.
        unsafe { load_f16(&*w.cast()) }
    }

    #[inline(always)]
    unsafe fn bf16s(w: *const [u8; 2]) -> Self {
        // SAFETY: as above.
        unsafe { load_bf16(&*w.cast()) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { _mm256_add_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn add_product(self, w: Self, x: Self) -> Self {
        // SAFETY: as above.
        unsafe { _mm256_fmadd_ps(w, x, self) }
    }

    #[inline(always)]
    unsafe fn sums([a, b, c, d]: [Self; ROWS]) -> [f32; ROWS] {
        let mut sums = [0.0; ROWS];
        // SAFETY: as above; an unaligned store of four floats.
        unsafe {
            let of_halves = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
            let of_all = _mm_add_ps(_mm256_castps256_ps128(of_halves), _mm256_extractf128_ps::<1>(of_halves));
            _mm_storeu_ps(sums.as_mut_ptr(), of_all);
        }
        sums
    }
}

impl Lanes for __m512 {
    const N: usize = 16;
    const TOKENS: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: here and below, by the contract.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(x: *const f32) -> Self {
        // SAFETY: as above.
        unsafe { _mm512_loadu_ps(x) }
    }

    #[inline(always)]
    unsafe fn f16s(w: *const [u8; 2]) -> Self {
        // SAFETY: as above.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(w.cast())) }
    }

    #[inline(always)]
    unsafe fn bf16s(w: *const [u8; 2]) -> Self {
        // SAFETY: as above.
        unsafe {
            let words = _mm512_cvtepu16_epi32(_mm256_loadu_si256(w.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32(words, 16))
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { _mm512_add_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn add_product(self, w: Self, x: Self) -> Self {
        // SAFETY: as above.
        unsafe { _mm512_fmadd_ps(w, x, self) }
    }

    #[inline(always)]
    unsafe fn sums(v: [Self; ROWS]) -> [f32; ROWS] {
        // SAFETY: as above.
        unsafe {
            let mut halves = [_mm256_setzero_ps(); ROWS];
            for (half, v) in halves.iter_mut().zip(v) {
                let upper = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(v)));
                *half = _mm256_add_ps(_mm512_castps512_ps256(v), upper);
            }
            Lanes::sums(halves)
        }
    }
}
