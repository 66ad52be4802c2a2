//! Products of the weights of a row with a token's activations, summed a group of elements at a time, in the way of each
//! instruction set level.
//!
//! Signed weights are of 8 bits; AVX2 multiplies them as they are, VNNI moved by 128 to become unsigned, which is taken
//! out through the sums of the activations.

use std::arch::x86_64::*;

use super::bits::{load_i8, load_i16};
use super::unpack::by_64;
use crate::q8::Q8x256;

pub(super) mod avx2 {
    use super::*;
    use crate::x86::bits::signed;

    /// Signed weights as [`signed_blocks`] takes them.
    #[inline(always)]
    pub(in crate::x86) fn moved(w: __m256i) -> __m256i {
        w
    }

    /// The sums of eight blocks of unsigned weights, of which `q[i]` is the first halves of blocks i and i + 4 and `q[i + 4]`
    /// the second. An i16 has room for PER sums of two products.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in crate::x86) fn unsigned_blocks<const PER: usize>(q: &[__m256i; 8], x: &Q8x256) -> __m256i {
        let sums = |i: usize| {
            let [first, second] = Q8x256::pair(i).map(|at| load_i8(&x.paired[at]));
            _mm256_add_epi16(_mm256_maddubs_epi16(q[i], first), _mm256_maddubs_epi16(q[i + 4], second))
        };
        sums_of_lanes([sums(0), sums(1), sums(2), sums(3)], PER / 2)
    }

    /// As [`unsigned_blocks`], of weights as [`Q8x256::columns`].
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in crate::x86) fn unsigned_columns<const PER: usize>(q: &[__m256i; 8], x: &Q8x256) -> __m256i {
        let half = |i| sums_of_columns(q, &x.columns, i);
        if PER >= 8 {
            return in_twos(_mm256_add_epi16(half(0), half(4)));
        }
        _mm256_add_epi32(in_twos(half(0)), in_twos(half(4)))
    }

    /// As [`unsigned_blocks`], of signed weights.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in crate::x86) fn signed_blocks(q: &[__m256i; 8], x: &Q8x256) -> __m256i {
        let sums = |i: usize| {
            let [first, second] = Q8x256::pair(i);
            _mm256_add_epi32(signed(q[i], &x.paired[first]), signed(q[i + 4], &x.paired[second]))
        };
        super::sums_of_lanes([sums(0), sums(1), sums(2), sums(3)])
    }

    /// As [`unsigned_columns`], of signed weights.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in crate::x86) fn signed_columns(q: &[__m256i; 8], x: &Q8x256) -> __m256i {
        let mut sum = _mm256_setzero_si256();
        for (q, x) in q.iter().zip(&x.columns) {
            sum = _mm256_add_epi32(sum, signed(*q, x));
        }
        sum
    }

    /// The sums of the halves of eight blocks of unsigned weights: of the first four blocks the first halves in the lower lane
    /// and the second in the upper, then of the last four. PER as for [`unsigned_blocks`].
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in crate::x86) fn unsigned_halves<const PER: usize>(q: &[__m256i; 8], x: &Q8x256) -> [__m256i; 2] {
        let sums = |i: usize| _mm256_maddubs_epi16(q[i], load_i8(&x.qs[i]));
        let four = |i: usize| sums_of_lanes([sums(i), sums(i + 1), sums(i + 2), sums(i + 3)], PER);
        [four(0), four(4)]
    }

    /// As [`unsigned_halves`], of weights as [`Q8x256::half_columns`].
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in crate::x86) fn unsigned_half_columns<const PER: usize>(
        q: &[__m256i; 8],
        x: &Q8x256,
    ) -> [__m256i; 2] {
        let products = |i: usize| _mm256_maddubs_epi16(q[i], load_i8(&x.half_columns[i]));
        let two = |i: usize| in_twos(_mm256_add_epi16(products(i), products(i + 1)));
        let four = |i: usize| {
            if PER >= 4 {
                in_twos(sums_of_columns(q, &x.half_columns, i))
            } else {
                _mm256_add_epi32(two(i), two(i + 2))
            }
        };
        [four(0), four(4)]
    }

    /// The sums of two products of columns `i` to `i + 3`, added up.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn sums_of_columns(q: &[__m256i; 8], x: &[[i8; 32]; 8], i: usize) -> __m256i {
        let products = |i: usize| _mm256_maddubs_epi16(q[i], load_i8(&x[i]));
        let two = |i: usize| _mm256_add_epi16(products(i), products(i + 1));
        _mm256_add_epi16(two(i), two(i + 2))
    }

    /// The sums of two neighbours.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn in_twos(v: __m256i) -> __m256i {
        _mm256_madd_epi16(v, _mm256_set1_epi16(1))
    }

    /// As [`super::sums_of_lanes`], of i16s, which have room for so many, two at least.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn sums_of_lanes(v: [__m256i; 4], room: usize) -> __m256i {
        let add = |[a, b]: [__m256i; 2]| _mm256_add_epi16(a, b);
        let (first, second) = (add(by_64(v[0], v[1])), add(by_64(v[2], v[3])));
        if room >= 4 {
            return in_twos(add(by_32(first, second)));
        }
        let [first, second] = by_32(in_twos(first), in_twos(second));
        _mm256_add_epi32(first, second)
    }
}

/// The same for the levels that have `dpbusd`.
macro_rules! with_dpbusd {
    ($set:ident, $features:literal, $dpbusd:ident) => {
        pub(super) mod $set {
            use super::*;
            use std::arch::x86_64::$dpbusd as dpbusd;

            #[inline]
            #[target_feature(enable = "avx2")]
            pub(in crate::x86) fn moved(w: __m256i) -> __m256i {
                _mm256_xor_si256(w, _mm256_set1_epi8(-128))
            }

            #[inline]
            #[target_feature(enable = $features)]
            pub(in crate::x86) fn unsigned_blocks<const PER: usize>(q: &[__m256i; 8], x: &Q8x256) -> __m256i {
                let sums = |i: usize| {
                    let [first, second] = Q8x256::pair(i).map(|at| load_i8(&x.paired[at]));
                    dpbusd(dpbusd(_mm256_setzero_si256(), q[i], first), q[i + 4], second)
                };
                sums_of_lanes([sums(0), sums(1), sums(2), sums(3)])
            }

            #[inline]
            #[target_feature(enable = $features)]
            pub(in crate::x86) fn unsigned_columns<const PER: usize>(
                q: &[__m256i; 8],
                x: &Q8x256,
            ) -> __m256i {
                _mm256_add_epi32(four_columns(q, &x.columns, 0), four_columns(q, &x.columns, 4))
            }

            #[inline]
            #[target_feature(enable = $features)]
            pub(in crate::x86) fn signed_blocks(q: &[__m256i; 8], x: &Q8x256) -> __m256i {
                less(unsigned_blocks::<1>(q, x), x, 128)
            }

            #[inline]
            #[target_feature(enable = $features)]
            pub(in crate::x86) fn signed_columns(q: &[__m256i; 8], x: &Q8x256) -> __m256i {
                less(unsigned_columns::<1>(q, x), x, 128)
            }

            #[inline]
            #[target_feature(enable = $features)]
            pub(in crate::x86) fn unsigned_halves<const PER: usize>(
                q: &[__m256i; 8],
                x: &Q8x256,
            ) -> [__m256i; 2] {
                let sums = |i: usize| dpbusd(_mm256_setzero_si256(), q[i], load_i8(&x.qs[i]));
                let four = |i: usize| sums_of_lanes([sums(i), sums(i + 1), sums(i + 2), sums(i + 3)]);
                [four(0), four(4)]
            }

            #[inline]
            #[target_feature(enable = $features)]
            pub(in crate::x86) fn unsigned_half_columns<const PER: usize>(
                q: &[__m256i; 8],
                x: &Q8x256,
            ) -> [__m256i; 2] {
                [four_columns(q, &x.half_columns, 0), four_columns(q, &x.half_columns, 4)]
            }

            /// The sums of the products of columns `i` to `i + 3`.
            #[inline]
            #[target_feature(enable = $features)]
            fn four_columns(q: &[__m256i; 8], x: &[[i8; 32]; 8], i: usize) -> __m256i {
                let mut sum = _mm256_setzero_si256();
                for (q, x) in q[i..i + 4].iter().zip(&x[i..]) {
                    sum = dpbusd(sum, *q, load_i8(x));
                }
                sum
            }
        }
    };
}

with_dpbusd!(avxvnni, "avx2,avxvnni", _mm256_dpbusd_avx_epi32);
with_dpbusd!(avx512vnni, "avx2,avx512vl,avx512vnni", _mm256_dpbusd_epi32);

/// The sums of the i32s of either lane of four vectors, in the same lane.
#[inline]
#[target_feature(enable = "avx2")]
fn sums_of_lanes(v: [__m256i; 4]) -> __m256i {
    let add = |[a, b]: [__m256i; 2]| _mm256_add_epi32(a, b);
    add(by_32(add(by_64(v[0], v[1])), add(by_64(v[2], v[3]))))
}

/// Takes `middle` times the sums of the activations off the sums of eight blocks.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn less(products: __m256i, x: &Q8x256, middle: i16) -> __m256i {
    _mm256_sub_epi32(products, _mm256_madd_epi16(load_i16(&x.sums), _mm256_set1_epi16(middle)))
}

/// Of every 64 bits of the lanes of `a` and `b` the low 32, and the high ones.
#[inline]
#[target_feature(enable = "avx2")]
fn by_32(a: __m256i, b: __m256i) -> [__m256i; 2] {
    let (a, b) = (_mm256_castsi256_ps(a), _mm256_castsi256_ps(b));
    let (low, high) = (_mm256_shuffle_ps::<0b10_00_10_00>(a, b), _mm256_shuffle_ps::<0b11_01_11_01>(a, b));
    [_mm256_castps_si256(low), _mm256_castps_si256(high)]
}
