//! The loops of [`crate::probe`] for AVX2 and FMA, and for AVX-512 where that multiplies faster. The peaks are in
//! assembler: a compiler would hoist or drop work whose result nobody reads.

use std::arch::asm;
use std::arch::x86_64::*;

use crate::probe::{Peak, Peaks, Read};

/// Reads without prefetch and with it, so many bytes ahead, into the L1 cache and into the L2 cache, and at so many places by
/// turns; those that the processor has the features for.
pub(crate) fn reads() -> Vec<Read> {
    if !is_x86_feature_detected!("avx2") {
        return Vec::new();
    }
    let mut reads: Vec<Read> = vec![
        // SAFETY: here and below, the feature is there.
        |data| unsafe { read::<0, 0, 1>(data) },
        // SAFETY: as above.
        |data| unsafe { read::<512, 0, 1>(data) },
        // SAFETY: as above.
        |data| unsafe { read::<1024, 0, 1>(data) },
        // SAFETY: as above.
        |data| unsafe { read::<4096, 0, 1>(data) },
        // SAFETY: as above.
        |data| unsafe { read::<2048, 8192, 1>(data) },
        // SAFETY: as above.
        |data| unsafe { read::<0, 12288, 1>(data) },
        // SAFETY: as above.
        |data| unsafe { read::<512, 2048, 4>(data) },
    ];
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: as above.
        reads.push(|data| unsafe { read_512::<0>(data) });
        // SAFETY: as above.
        reads.push(|data| unsafe { read_512::<12288>(data) });
    }
    reads
}

/// As [`read`] at one place, with prefetches into the L2 cache, in vectors of 512 bits.
#[target_feature(enable = "avx512f")]
fn read_512<const L2: usize>(data: &[u8]) -> u64 {
    let mut sums = [_mm512_setzero_si512(); 4];
    for step in data.as_chunks::<256>().0 {
        for (sum, bytes) in sums.iter_mut().zip(step.as_chunks::<64>().0) {
            if L2 > 0 {
                // Any address will do, also one beyond the end.
                _mm_prefetch::<_MM_HINT_T1>(bytes.as_ptr().wrapping_add(L2).cast());
            }
            // SAFETY: an unaligned load of 64 bytes.
            let words = unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) };
            *sum = _mm512_xor_si512(*sum, words);
        }
    }
    let mut words = [0u64; 8];
    let sum = sums.into_iter().fold(_mm512_setzero_si512(), |all, sum| _mm512_xor_si512(all, sum));
    // SAFETY: an unaligned store to 64 bytes.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), sum) };
    words.into_iter().fold(0, |all, word| all ^ word)
}

/// Exclusive-or of all 64-bit words.
#[target_feature(enable = "avx2")]
fn read<const L1: usize, const L2: usize, const STREAMS: usize>(data: &[u8]) -> u64 {
    let mut sums = [_mm256_setzero_si256(); 8];
    let steps = data.as_chunks::<256>().0;
    let steps_a_stream = steps.len().div_ceil(STREAMS);
    for step in (0..steps_a_stream).flat_map(|first| steps[first..].iter().step_by(steps_a_stream)) {
        let step = step.as_chunks::<32>().0;
        for (i, (sum, bytes)) in sums.iter_mut().zip(step).enumerate() {
            // Any address will do, also one beyond the end.
            if L1 > 0 && i % 2 == 0 {
                _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().wrapping_add(L1).cast());
            }
            if L2 > 0 && i % 2 == 0 {
                _mm_prefetch::<_MM_HINT_T1>(bytes.as_ptr().wrapping_add(L2).cast());
            }
            // SAFETY: an unaligned load of 32 bytes.
            let words = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
            *sum = _mm256_xor_si256(*sum, words);
        }
    }
    let sum = sums.into_iter().fold(_mm256_setzero_si256(), |all, sum| _mm256_xor_si256(all, sum));
    let sum = _mm_xor_si128(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    (_mm_cvtsi128_si64(sum) ^ _mm_extract_epi64(sum, 1)) as u64
}

/// The loops, where the processor has the features.
pub(crate) fn peaks() -> Option<Peaks> {
    if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
        return None;
    }
    // SAFETY: here and below, the features are there.
    let mut integer: Peak = (|rounds| unsafe { integer_rounds(rounds) }, 6 * 32);
    // SAFETY: as above.
    let mut float: Peak = (|rounds| unsafe { float_rounds(rounds) }, 12 * 8);
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
        // SAFETY: as above.
        float = (|rounds| unsafe { float_rounds_512(rounds) }, 12 * 16);
        if is_x86_feature_detected!("avx512vnni") {
            // SAFETY: as above.
            integer = (|rounds| unsafe { dpbusd_rounds(rounds) }, 12 * 64);
        }
    }
    Some(Peaks { integer, float })
}

/// Rounds of one instruction on independent sums: more of them than latency times units. All start as zeros, since subnormal
/// numbers left in registers would be slow.
macro_rules! rounds {
    ($name:ident, $features:literal, $instruction:literal, $a:tt $b:tt, $($sum:tt)*) => {
        #[target_feature(enable = $features)]
        fn $name(rounds: u64) {
            // SAFETY: registers alone, all of them named.
            unsafe {
                asm!(
                    $(concat!("vxorps ", $sum, ", ", $sum, ", ", $sum),)*
                    concat!("vxorps ", $a, ", ", $a, ", ", $a),
                    concat!("vxorps ", $b, ", ", $b, ", ", $b),
                    ".p2align 6",
                    "2:",
                    $(concat!($instruction, " ", $sum, ", ", $a, ", ", $b),)*
                    "dec {rounds}",
                    "jnz 2b",
                    rounds = inout(reg) rounds.max(1) => _,
                    $(out($sum) _,)*
                    out($a) _,
                    out($b) _,
                    options(nomem, nostack),
                );
            }
        }
    };
}

rounds!(dpbusd_rounds, "avx512f,avx512dq,avx512vnni", "vpdpbusd", "zmm14" "zmm15",
    "zmm0" "zmm1" "zmm2" "zmm3" "zmm4" "zmm5" "zmm6" "zmm7" "zmm8" "zmm9" "zmm10" "zmm11");
rounds!(float_rounds, "avx2,fma", "vfmadd231ps", "ymm14" "ymm15",
    "ymm0" "ymm1" "ymm2" "ymm3" "ymm4" "ymm5" "ymm6" "ymm7" "ymm8" "ymm9" "ymm10" "ymm11");
rounds!(float_rounds_512, "avx512f,avx512dq", "vfmadd231ps", "zmm14" "zmm15",
    "zmm0" "zmm1" "zmm2" "zmm3" "zmm4" "zmm5" "zmm6" "zmm7" "zmm8" "zmm9" "zmm10" "zmm11");

/// Six pairs of `maddubs` and `paddw` a round, 32 products each; in this order they keep the multipliers busiest.
#[target_feature(enable = "avx2")]
fn integer_rounds(rounds: u64) {
    // SAFETY: registers alone, all of them named.
    unsafe {
        asm!(
            "vpxor xmm14, xmm14, xmm14",
            "vpxor xmm15, xmm15, xmm15",
            ".p2align 6",
            "2:",
            "vpmaddubsw ymm8, ymm14, ymm15",
            "vpmaddubsw ymm9, ymm14, ymm15",
            "vpmaddubsw ymm10, ymm14, ymm15",
            "vpmaddubsw ymm11, ymm14, ymm15",
            "vpmaddubsw ymm12, ymm14, ymm15",
            "vpmaddubsw ymm13, ymm14, ymm15",
            "vpaddw ymm0, ymm0, ymm8",
            "vpaddw ymm1, ymm1, ymm9",
            "vpaddw ymm2, ymm2, ymm10",
            "vpaddw ymm3, ymm3, ymm11",
            "vpaddw ymm4, ymm4, ymm12",
            "vpaddw ymm5, ymm5, ymm13",
            "dec {rounds}",
            "jnz 2b",
            rounds = inout(reg) rounds.max(1) => _,
            out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _, out("ymm5") _,
            out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _, out("ymm12") _, out("ymm13") _,
            out("ymm14") _, out("ymm15") _,
            options(nomem, nostack),
        );
    }
}
