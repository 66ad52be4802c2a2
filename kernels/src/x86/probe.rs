//! The loops of [`crate::probe`] for AVX2 and FMA, and for AVX-512 where that multiplies faster. The peaks are in
//! assembler: a compiler would hoist or drop work whose result nobody reads.

use std::arch::asm;
use std::arch::x86_64::*;

use crate::probe::{Peak, Peaks, Read};

/// Reads without prefetch and with it, so many bytes ahead, into the L1 cache and into the L2 cache, and at so many places by
/// turns; where the processor has the features.
pub(crate) fn reads() -> Option<[Read; 6]> {
    if !is_x86_feature_detected!("avx2") {
        return None;
    }
    Some([
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
        |data| unsafe { read::<512, 2048, 4>(data) },
    ])
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
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
        // SAFETY: as above.
        integer = (|rounds| unsafe { dpbusd_rounds(rounds) }, 12 * 64);
    }
    // SAFETY: as above.
    let float = |rounds| unsafe { float_rounds(rounds) };
    Some(Peaks { integer, float: (float, 10 * 8) })
}

/// Twelve `dpbusd` of 512 bits a round, 64 products each: more than latency times units.
#[target_feature(enable = "avx512f,avx512vnni")]
fn dpbusd_rounds(rounds: u64) {
    // SAFETY: registers alone, all of them named.
    unsafe {
        asm!(
            "vpxor xmm14, xmm14, xmm14",
            "vpxor xmm15, xmm15, xmm15",
            ".p2align 6",
            "2:",
            "vpdpbusd zmm0, zmm14, zmm15",
            "vpdpbusd zmm1, zmm14, zmm15",
            "vpdpbusd zmm2, zmm14, zmm15",
            "vpdpbusd zmm3, zmm14, zmm15",
            "vpdpbusd zmm4, zmm14, zmm15",
            "vpdpbusd zmm5, zmm14, zmm15",
            "vpdpbusd zmm6, zmm14, zmm15",
            "vpdpbusd zmm7, zmm14, zmm15",
            "vpdpbusd zmm8, zmm14, zmm15",
            "vpdpbusd zmm9, zmm14, zmm15",
            "vpdpbusd zmm10, zmm14, zmm15",
            "vpdpbusd zmm11, zmm14, zmm15",
            "dec {rounds}",
            "jnz 2b",
            rounds = inout(reg) rounds.max(1) => _,
            out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _,
            out("zmm4") _, out("zmm5") _, out("zmm6") _, out("zmm7") _,
            out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
            out("zmm14") _, out("zmm15") _,
            options(nomem, nostack),
        );
    }
}

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

/// Ten independent fused multiply-adds a round, eight products each: more than latency times units.
#[target_feature(enable = "avx2,fma")]
fn float_rounds(rounds: u64) {
    // SAFETY: registers alone, all of them named. They start as zeros, since subnormal numbers left in them
    // would be slow.
    unsafe {
        asm!(
            "vxorps xmm0, xmm0, xmm0",
            "vxorps xmm1, xmm1, xmm1",
            "vxorps xmm2, xmm2, xmm2",
            "vxorps xmm3, xmm3, xmm3",
            "vxorps xmm4, xmm4, xmm4",
            "vxorps xmm5, xmm5, xmm5",
            "vxorps xmm6, xmm6, xmm6",
            "vxorps xmm7, xmm7, xmm7",
            "vxorps xmm8, xmm8, xmm8",
            "vxorps xmm9, xmm9, xmm9",
            "vxorps xmm12, xmm12, xmm12",
            "vxorps xmm13, xmm13, xmm13",
            ".p2align 6",
            "2:",
            "vfmadd231ps ymm0, ymm12, ymm13",
            "vfmadd231ps ymm1, ymm12, ymm13",
            "vfmadd231ps ymm2, ymm12, ymm13",
            "vfmadd231ps ymm3, ymm12, ymm13",
            "vfmadd231ps ymm4, ymm12, ymm13",
            "vfmadd231ps ymm5, ymm12, ymm13",
            "vfmadd231ps ymm6, ymm12, ymm13",
            "vfmadd231ps ymm7, ymm12, ymm13",
            "vfmadd231ps ymm8, ymm12, ymm13",
            "vfmadd231ps ymm9, ymm12, ymm13",
            "dec {rounds}",
            "jnz 2b",
            rounds = inout(reg) rounds.max(1) => _,
            out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _,
            out("ymm5") _, out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _,
            out("ymm12") _, out("ymm13") _,
            options(nomem, nostack),
        );
    }
}
