//! The loops of [`crate::probe`] for NEON. The peaks are in assembler: a compiler would hoist or drop work whose
//! result nobody reads.

use std::arch::aarch64::*;
use std::arch::asm;

use super::prefetch;
use crate::probe::{Peaks, Read};

/// Reads without prefetch and with it, so many bytes ahead.
pub(crate) fn reads() -> [Read; 4] {
    [
        // SAFETY: here and below, NEON is part of every AArch64.
        |data| unsafe { read::<0>(data) },
        // SAFETY: as above.
        |data| unsafe { read::<512>(data) },
        // SAFETY: as above.
        |data| unsafe { read::<1024>(data) },
        // SAFETY: as above.
        |data| unsafe { read::<4096>(data) },
    ]
}

/// Exclusive-or of all 64-bit words.
#[target_feature(enable = "neon")]
fn read<const AHEAD: usize>(data: &[u8]) -> u64 {
    let mut sums = [vdupq_n_u64(0); 16];
    for step in data.as_chunks::<256>().0 {
        let step = step.as_chunks::<16>().0;
        for (i, (sum, bytes)) in sums.iter_mut().zip(step).enumerate() {
            if AHEAD > 0 && i % 4 == 0 {
                prefetch::<AHEAD>(bytes.as_ptr());
            }
            // SAFETY: a load of 16 bytes, at any address.
            let words = unsafe { vld1q_u8(bytes.as_ptr()) };
            *sum = veorq_u64(*sum, vreinterpretq_u64_u8(words));
        }
    }
    let sum = sums.into_iter().fold(vdupq_n_u64(0), |all, sum| veorq_u64(all, sum));
    vgetq_lane_u64::<0>(sum) ^ vgetq_lane_u64::<1>(sum)
}

/// The loops.
pub(crate) fn peaks() -> Peaks {
    Peaks { integer: (integer_rounds, 6 * 16), float: (float_rounds, 16 * 4) }
}

/// Six times 16 products a round, as every AArch64 has them: `smull` of eight bytes, `smlal2` of the next eight onto
/// them, and `sadalp`, which adds the pairs up. Processors with `sdot` or `smmla` have more in them than this.
fn integer_rounds(rounds: u64) {
    // SAFETY: registers alone, all of them named, of instructions that every AArch64 has.
    unsafe {
        asm!(
            "movi v30.16b, #0",
            "movi v31.16b, #0",
            ".p2align 6",
            "2:",
            "smull v16.8h, v30.8b, v31.8b",
            "smull v17.8h, v30.8b, v31.8b",
            "smull v18.8h, v30.8b, v31.8b",
            "smull v19.8h, v30.8b, v31.8b",
            "smull v20.8h, v30.8b, v31.8b",
            "smull v21.8h, v30.8b, v31.8b",
            "smlal2 v16.8h, v30.16b, v31.16b",
            "smlal2 v17.8h, v30.16b, v31.16b",
            "smlal2 v18.8h, v30.16b, v31.16b",
            "smlal2 v19.8h, v30.16b, v31.16b",
            "smlal2 v20.8h, v30.16b, v31.16b",
            "smlal2 v21.8h, v30.16b, v31.16b",
            "sadalp v0.4s, v16.8h",
            "sadalp v1.4s, v17.8h",
            "sadalp v2.4s, v18.8h",
            "sadalp v3.4s, v19.8h",
            "sadalp v4.4s, v20.8h",
            "sadalp v5.4s, v21.8h",
            "subs {rounds}, {rounds}, #1",
            "b.ne 2b",
            rounds = inout(reg) rounds.max(1) => _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _,
            out("v30") _, out("v31") _,
            options(nomem, nostack),
        );
    }
}

/// Sixteen independent fused multiply-adds a round, four products each: as many as latency times units.
fn float_rounds(rounds: u64) {
    // SAFETY: registers alone, all of them named. They start as zeros, since subnormal numbers left in them would be
    // slow.
    unsafe {
        asm!(
            "movi v0.16b, #0",
            "movi v1.16b, #0",
            "movi v2.16b, #0",
            "movi v3.16b, #0",
            "movi v4.16b, #0",
            "movi v5.16b, #0",
            "movi v6.16b, #0",
            "movi v7.16b, #0",
            "movi v16.16b, #0",
            "movi v17.16b, #0",
            "movi v18.16b, #0",
            "movi v19.16b, #0",
            "movi v20.16b, #0",
            "movi v21.16b, #0",
            "movi v22.16b, #0",
            "movi v23.16b, #0",
            "movi v30.16b, #0",
            "movi v31.16b, #0",
            ".p2align 6",
            "2:",
            "fmla v0.4s, v30.4s, v31.4s",
            "fmla v1.4s, v30.4s, v31.4s",
            "fmla v2.4s, v30.4s, v31.4s",
            "fmla v3.4s, v30.4s, v31.4s",
            "fmla v4.4s, v30.4s, v31.4s",
            "fmla v5.4s, v30.4s, v31.4s",
            "fmla v6.4s, v30.4s, v31.4s",
            "fmla v7.4s, v30.4s, v31.4s",
            "fmla v16.4s, v30.4s, v31.4s",
            "fmla v17.4s, v30.4s, v31.4s",
            "fmla v18.4s, v30.4s, v31.4s",
            "fmla v19.4s, v30.4s, v31.4s",
            "fmla v20.4s, v30.4s, v31.4s",
            "fmla v21.4s, v30.4s, v31.4s",
            "fmla v22.4s, v30.4s, v31.4s",
            "fmla v23.4s, v30.4s, v31.4s",
            "subs {rounds}, {rounds}, #1",
            "b.ne 2b",
            rounds = inout(reg) rounds.max(1) => _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _, out("v22") _,
            out("v23") _, out("v30") _, out("v31") _,
            options(nomem, nostack),
        );
    }
}
