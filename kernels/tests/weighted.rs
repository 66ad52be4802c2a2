//! Encoding with weights, and the grid of a block's scales.

use brooklet_kernels::TensorType::{self, *};
use brooklet_kernels::format::{decode, encode, encode_weighted, grid, nearest, put_integers};
use proptest::prelude::*;

const SEARCHED: [TensorType; 10] = [Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL];

fn quantized() -> impl Iterator<Item = TensorType> {
    TensorType::ALL.into_iter().filter(|ty| ty.is_quantized())
}

fn decoded(ty: TensorType, data: &[u8]) -> Vec<f32> {
    let mut out = vec![f32::NAN; data.len() / ty.block_bytes() * ty.block_len()];
    decode(ty, data, &mut out);
    out
}

fn plain(ty: TensorType, x: &[f32]) -> Vec<u8> {
    let mut out = vec![0; ty.bytes_for(x.len()).unwrap()];
    encode(ty, x, &mut out);
    out
}

fn weighted(ty: TensorType, x: &[f32], w: &[f32]) -> Vec<u8> {
    let mut out = vec![0; ty.bytes_for(x.len()).unwrap()];
    encode_weighted(ty, x, w, &mut out);
    out
}

fn error(x: &[f32], w: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).zip(w).map(|((x, y), w)| f64::from(*w) * f64::from(x - y).powi(2)).sum()
}

/// Numbers between 0 and 1, the same every time.
fn uniform(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 40) as f32 + 0.5) / (1 << 24) as f32
    }
}

/// Gaussian and heavy-tailed values, and a ramp with a wave; 2^14 of each.
fn samples() -> [Vec<f32>; 3] {
    let mut uniform = uniform(1);
    let mut gaussian = || (-2.0 * uniform().ln()).sqrt() * (std::f32::consts::TAU * uniform()).cos();
    let gauss = (0..1 << 14).map(|_| 0.02 * gaussian()).collect();
    let heavy = (0..1 << 14).map(|_| 0.02 * gaussian() / (gaussian().abs() + 0.3)).collect();
    let wave = (0..1 << 14).map(|i| (i as f32 * 0.37).sin() + (i % 256) as f32 / 64.0 - 1.0).collect();
    [gauss, heavy, wave]
}

/// Weights a column of 256 as activations have them: some orders of magnitude, a few columns far above the rest.
fn weights() -> Vec<f32> {
    let mut uniform = uniform(2);
    let columns: Vec<f32> =
        (0..256).map(|i| 10f32.powf(3.0 * uniform()) * if i % 50 == 7 { 100.0 } else { 1.0 }).collect();
    (0..1 << 14).map(|i| columns[i % 256]).collect()
}

/// The squared error, weighted, relative to that of encoding without weights: what was measured, plus 1 %.
#[test]
fn weights_lower_the_weighted_error() {
    let bounds: [(TensorType, [f64; 3]); 10] = [
        (Q4_0, [0.346, 0.392, 0.301]),
        (Q4_1, [0.192, 0.182, 0.196]),
        (Q5_0, [0.315, 0.385, 0.285]),
        (Q5_1, [0.174, 0.209, 0.180]),
        (Q2_K, [0.228, 0.202, 0.272]),
        (Q3_K, [0.301, 0.334, 0.353]),
        (Q4_K, [0.267, 0.261, 0.295]),
        (Q5_K, [0.257, 0.275, 0.291]),
        (Q6_K, [0.313, 0.309, 0.304]),
        (IQ4_NL, [0.300, 0.361, 0.331]),
    ];
    let w = weights();
    for (ty, bounds) in bounds {
        let ratios = samples().map(|x| {
            let before = error(&x, &w, &decoded(ty, &plain(ty, &x)));
            error(&x, &w, &decoded(ty, &weighted(ty, &x, &w))) / before
        });
        for (ratio, bound) in ratios.into_iter().zip(bounds) {
            assert!(ratio <= bound, "{ty}: {ratios:.3?}, bounds {bounds:?}");
        }
    }
}

/// With equal weights it is the search alone that helps.
#[test]
fn the_search_alone_is_no_worse() {
    for ty in SEARCHED {
        for x in samples() {
            let ones = vec![1.0; x.len()];
            let before = error(&x, &ones, &decoded(ty, &plain(ty, &x)));
            let after = error(&x, &ones, &decoded(ty, &weighted(ty, &x, &ones)));
            assert!(after <= before, "{ty}: {after:e} after {before:e}");
        }
    }
}

#[test]
fn only_ratios_of_weights_count() {
    let ([x, ..], w) = (samples(), weights());
    for ty in quantized() {
        let expected = weighted(ty, &x, &w);
        for factor in [2f32.powi(-100), 2f32.powi(100)] {
            let scaled: Vec<f32> = w.iter().map(|w| w * factor).collect();
            assert!(weighted(ty, &x, &scaled) == expected, "{ty}, {factor:e}");
        }
    }
}

/// A column that never was used does not come out as anything.
#[test]
fn columns_without_weight_do_no_harm() {
    let [x, ..] = samples();
    let ones = vec![1.0; x.len()];
    let largest = x.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    for ty in quantized() {
        let expected = weighted(ty, &x, &ones);
        for none in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(weighted(ty, &x, &vec![none; x.len()]) == expected, "{ty}: all {none}");
            let w: Vec<f32> = (0..x.len()).map(|i| if i % 3 == 0 { none } else { 1.0 }).collect();
            let y = decoded(ty, &weighted(ty, &x, &w));
            for (x, y) in x.iter().zip(y) {
                assert!((x - y).abs() <= 2.0 * largest, "{ty}: {x} became {y}");
            }
        }
    }
}

#[test]
fn integers_put_back_decode_as_the_grid_says() {
    let ([x, ..], w) = (samples(), weights());
    let mut uniform = uniform(3);
    for ty in quantized() {
        let mut data = weighted(ty, &x, &w);
        let (mut scale, mut min) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        grid(ty, &data, &mut scale, &mut min);
        // Any integers, the ends of the range among them.
        let q: Vec<i8> = (0..x.len()).map(|_| nearest(ty, 400.0 * uniform() - 200.0)).collect();
        put_integers(ty, &q, &mut data);
        for (i, y) in decoded(ty, &data).into_iter().enumerate() {
            let expected = scale[i] * f32::from(q[i]) - min[i];
            assert!(y == expected, "{ty}, element {i}: {y}, expected {expected}");
        }
        let (mut scale_after, mut min_after) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        grid(ty, &data, &mut scale_after, &mut min_after);
        assert!(scale == scale_after && min == min_after, "{ty}");
    }
}

proptest! {
    #[test]
    fn any_bits_encode(
        x in prop::collection::vec(any::<u32>(), 256),
        w in prop::collection::vec(any::<u32>(), 256),
    ) {
        let floats = |v: Vec<u32>| v.into_iter().map(f32::from_bits).collect::<Vec<f32>>();
        let (x, w) = (floats(x), floats(w));
        for ty in TensorType::ALL {
            prop_assert_eq!(decoded(ty, &weighted(ty, &x, &w)).len(), 256);
        }
    }
}
