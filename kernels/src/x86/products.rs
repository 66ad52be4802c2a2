//! Products of 32 weights and as many activations, eight sums of four each, in the way of each instruction set level.
//!
//! Signed weights are of 8 bits; AVX2 multiplies them as they are, VNNI moved by 128 to become unsigned, which is taken
//! out through the sums of the activations.

use std::arch::x86_64::*;

use super::avx2_dot::load_i8;

pub(super) mod avx2 {
    use super::*;
    pub(in crate::x86) use crate::x86::avx2_dot::{signed, unsigned};

    /// What a sum of activations is multiplied by, for weights that [`moved`] has moved.
    pub(in crate::x86) const MOVED: f32 = 0.0;

    /// Signed weights as [`signed`] takes them.
    #[inline(always)]
    pub(in crate::x86) fn moved(w: __m256i) -> __m256i {
        w
    }

    /// Products of 64 unsigned weights below 32.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in crate::x86) fn unsigned_pairs(w: [__m256i; 2], x: [&[i8; 32]; 2]) -> __m256i {
        let products = [_mm256_maddubs_epi16(w[0], load_i8(x[0])), _mm256_maddubs_epi16(w[1], load_i8(x[1]))];
        _mm256_madd_epi16(_mm256_add_epi16(products[0], products[1]), _mm256_set1_epi16(1))
    }

    /// Products of 64 signed weights, of which four do not fit an i16.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in crate::x86) fn signed_pairs(w: [__m256i; 2], x: [&[i8; 32]; 2]) -> __m256i {
        _mm256_add_epi32(signed(w[0], x[0]), signed(w[1], x[1]))
    }
}

/// The same for the levels that have `dpbusd`.
macro_rules! with_dpbusd {
    ($set:ident, $features:literal, $dpbusd:ident) => {
        pub(super) mod $set {
            use super::*;
            pub(in crate::x86) use std::arch::x86_64::$dpbusd as dpbusd;
            pub(in crate::x86) use {unsigned as signed, unsigned_pairs as signed_pairs};

            pub(in crate::x86) const MOVED: f32 = -128.0;

            #[inline]
            #[target_feature(enable = "avx2")]
            pub(in crate::x86) fn moved(w: __m256i) -> __m256i {
                _mm256_xor_si256(w, _mm256_set1_epi8(-128))
            }

            #[inline]
            #[target_feature(enable = $features)]
            pub(in crate::x86) fn unsigned(w: __m256i, x: &[i8; 32]) -> __m256i {
                dpbusd(_mm256_setzero_si256(), w, load_i8(x))
            }

            #[inline]
            #[target_feature(enable = $features)]
            pub(in crate::x86) fn unsigned_pairs(w: [__m256i; 2], x: [&[i8; 32]; 2]) -> __m256i {
                dpbusd(unsigned(w[0], x[0]), w[1], load_i8(x[1]))
            }
        }
    };
}

with_dpbusd!(avxvnni, "avx2,avxvnni", _mm256_dpbusd_avx_epi32);
with_dpbusd!(avx512vnni, "avx2,avx512vl,avx512vnni", _mm256_dpbusd_epi32);
