//! The block formats against an independent implementation, and what must hold for any input.
//!
//! The fixtures come from tests/fixtures/formats/make.py, which says what is what.

use std::path::PathBuf;

use brooklet_kernels::TensorType::{self, *};
use brooklet_kernels::format::{decode, encode};
use proptest::prelude::*;

/// The types that gguf encodes too.
const ENCODED: [TensorType; 8] = [F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0];
/// The types whose encoding is our own.
const OURS: [TensorType; 6] = [Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/formats").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn floats(name: &str) -> Vec<f32> {
    bytes(name).as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

fn encoded(ty: TensorType, x: &[f32]) -> Vec<u8> {
    let mut out = vec![0xaa; ty.bytes_for(x.len()).unwrap()];
    encode(ty, x, &mut out);
    out
}

fn decoded(ty: TensorType, data: &[u8]) -> Vec<f32> {
    let mut out = vec![f32::NAN; data.len() / ty.block_bytes() * ty.block_len()];
    decode(ty, data, &mut out);
    out
}

/// Equal to the last bit.
fn assert_same(ty: TensorType, ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert_eq!(a.to_bits(), b.to_bits(), "{ty}, element {i}: ours {a:e}, theirs {b:e}");
    }
}

#[test]
fn random_blocks_decode_as_in_gguf() {
    for ty in TensorType::ALL.into_iter().filter(|ty| ty.is_quantized()) {
        assert_same(ty, &decoded(ty, &bytes(&format!("{ty}.blocks"))), &floats(&format!("{ty}.blocks.f32")));
    }
}

#[test]
fn encoding_is_byte_for_byte_that_of_gguf() {
    for ty in ENCODED {
        let x = floats(if ty.is_quantized() { "block.f32" } else { "float.f32" });
        let theirs = bytes(&format!("{ty}.encoded"));
        assert!(encoded(ty, &x) == theirs, "{ty}");
        if !ty.is_quantized() {
            assert_same(ty, &decoded(ty, &theirs), &floats(&format!("{ty}.encoded.f32")));
        }
    }
}

#[test]
fn gguf_decodes_our_encoding_as_we_do() {
    let x = floats("block.f32");
    for ty in OURS {
        let ours = encoded(ty, &x);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(path(&format!("{ty}.ours")), &ours).unwrap();
            continue;
        }
        assert!(
            ours == bytes(&format!("{ty}.ours")),
            "{ty} encodes differently: if that is meant, see make.py"
        );
        assert_same(ty, &decoded(ty, &ours), &floats(&format!("{ty}.ours.f32")));
    }
}

/// A Gaussian and a heavy-tailed sample of 2^16 values each, the same every time.
fn samples() -> [Vec<f32>; 2] {
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 40) as f32 + 0.5) / (1 << 24) as f32
    };
    let mut gaussian = || (-2.0 * uniform().ln()).sqrt() * (std::f32::consts::TAU * uniform()).cos();
    let gauss: Vec<f32> = (0..1 << 16).map(|_| 0.02 * gaussian()).collect();
    let heavy = (0..1 << 16).map(|_| 0.02 * gaussian() / (gaussian().abs() + 0.3)).collect();
    [gauss, heavy]
}

/// The root mean square error relative to the root mean square. The bounds are what was measured, plus 1 %. On
/// Gaussian values ggml's quantizers without an importance matrix have, in the order of the list, 0.0862, 0.0783,
/// 0.0428, 0.0379, 0.0054, 0.297, 0.151, 0.0715, 0.0362, 0.0178 and 0.0762.
#[test]
fn errors_are_as_small_as_measured() {
    let bounds = [
        (Q4_0, 0.0872, 0.1140),
        (Q4_1, 0.0791, 0.0952),
        (Q5_0, 0.0432, 0.0567),
        (Q5_1, 0.0383, 0.0464),
        (Q8_0, 0.0055, 0.0072),
        (Q2_K, 0.2633, 0.2950),
        (Q3_K, 0.1499, 0.1836),
        (Q4_K, 0.0706, 0.0858),
        (Q5_K, 0.0349, 0.0424),
        (Q6_K, 0.0176, 0.0225),
        (IQ4_NL, 0.0742, 0.0888),
    ];
    let [gauss, heavy] = samples();
    for (ty, gauss_bound, heavy_bound) in bounds {
        for (x, bound) in [(&gauss, gauss_bound), (&heavy, heavy_bound)] {
            let y = decoded(ty, &encoded(ty, x));
            let error = x.iter().zip(&y).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>();
            let relative = (error / x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>()).sqrt();
            assert!(relative < bound, "{ty}: {relative:.5}, bound {bound}");
        }
    }
}

/// How far off a value may be, relative to the largest magnitude of its block: half a step (with a
/// minimum, of twice the magnitude), a whole one at the end that the largest value does not take, and the rounding of
/// the scales.
fn worst(ty: TensorType) -> f32 {
    const F16_ROUNDING: f32 = 1.0 / 2048.0;
    match ty {
        F32 => 0.0,
        F16 => F16_ROUNDING,
        BF16 => 1.0 / 256.0,
        Q4_0 => 1.0 / 8.0 + F16_ROUNDING,
        Q4_1 => 1.0 / 15.0 + 3.0 * F16_ROUNDING,
        Q5_0 => 1.0 / 16.0 + F16_ROUNDING,
        Q5_1 => 1.0 / 31.0 + 3.0 * F16_ROUNDING,
        Q8_0 => 0.5 / 127.0 + F16_ROUNDING,
        // Least squares may give up a lone value for the others' sake.
        Q2_K | Q3_K | Q4_K | Q5_K | Q6_K | IQ4_NL => 1.0,
    }
}

/// Values of one block of the largest kind whose groups of 16 differ in size by up to 10^6.
fn block() -> impl Strategy<Value = Vec<f32>> {
    let group = (-4i32..=2, prop::collection::vec(-1.0f32..1.0, 16));
    prop::collection::vec(group, 16).prop_map(|groups| {
        groups.into_iter().flat_map(|(e, x)| x.into_iter().map(move |v| v * 10f32.powi(e))).collect()
    })
}

proptest! {
    #[test]
    fn round_trips_stay_within_the_step(x in block()) {
        for ty in TensorType::ALL {
            let y = decoded(ty, &encoded(ty, &x));
            for (x, y) in x.chunks(ty.block_len()).zip(y.chunks(ty.block_len())) {
                let amax = x.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                for (x, y) in x.iter().zip(y) {
                    // A subnormal f16 scale is off by up to 2^-25, and multiplied by up to 127.
                    prop_assert!((x - y).abs() <= worst(ty) * amax + 127.0 * 2f32.powi(-25), "{ty}: {x} became {y}");
                }
                let energy: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum();
                let error: f64 = x.iter().zip(y).map(|(x, y)| f64::from(x - y).powi(2)).sum();
                prop_assert!(error <= energy, "{ty}: zeros would have been closer: {error:e} of {energy:e}");
            }
        }
    }

    #[test]
    fn encoding_what_was_decoded_changes_little(x in block()) {
        for ty in OURS {
            let once = decoded(ty, &encoded(ty, &x));
            let twice = decoded(ty, &encoded(ty, &once));
            let energy: f64 = once.iter().map(|&x| f64::from(x).powi(2)).sum();
            let error: f64 = once.iter().zip(&twice).map(|(x, y)| f64::from(x - y).powi(2)).sum();
            prop_assert!(error <= 1e-2 * energy, "{ty}: {error:e} of {energy:e}");
        }
    }

    #[test]
    fn any_bits_encode_and_any_bytes_decode(x in prop::collection::vec(any::<u32>(), 256), bytes in prop::collection::vec(any::<u8>(), 256)) {
        let x: Vec<f32> = x.into_iter().map(f32::from_bits).collect();
        for ty in TensorType::ALL {
            prop_assert_eq!(decoded(ty, &encoded(ty, &x)).len(), 256);
            prop_assert_eq!(decoded(ty, &bytes[..ty.block_bytes()]).len(), ty.block_len());
        }
    }
}

#[test]
fn values_that_are_not_finite_do_not_spread_to_other_blocks() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        let mut x = vec![0.5; 768];
        x[300] = bad;
        for ty in TensorType::ALL {
            let y = decoded(ty, &encoded(ty, &x));
            let error = |y: &[f32]| y.iter().map(|y| (y - 0.5).abs()).fold(0.0, f32::max);
            assert!(error(&y[..256]) < 0.05 && error(&y[512..]) < 0.05, "{ty} with {bad}");
        }
    }
}

#[test]
fn zeros_stay_zeros() {
    for ty in TensorType::ALL {
        assert_eq!(decoded(ty, &encoded(ty, &[0.0; 256])), [0.0; 256], "{ty}");
    }
}

#[test]
#[should_panic(expected = "bytes of 256 elements of Q4_K")]
fn a_wrong_size_panics() {
    encode(Q4_K, &[0.0; 256], &mut [0; 143]);
}
