//! The sampler against transformers' logits processors, and what it promises of draws.

use brooklet::{Sampler, SamplerConfig};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    repetition_penalty: f32,
    temperature: f32,
    top_k: usize,
    top_p: f32,
    min_p: f32,
    ids: Vec<u32>,
    logits: Vec<f32>,
    left: Vec<(u32, f32)>,
}

/// The same ids are left, with probabilities equal to 2e-6 (the largest difference seen is 9e-7).
#[test]
fn leaves_the_distribution_that_transformers_leaves() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("fixtures/sampler/cases.json")).expect("the fixture parses");
    assert_eq!(cases.len(), 243);
    for (i, case) in cases.iter().enumerate() {
        let config = SamplerConfig {
            temperature: case.temperature,
            top_k: case.top_k,
            top_p: case.top_p,
            min_p: case.min_p,
            repetition_penalty: case.repetition_penalty,
            seed: 0,
        };
        let mut sampler = Sampler::new(config, case.logits.len());
        sampler.observe(&case.ids);
        let mut left: Vec<(u32, f32)> =
            sampler.distribution(&case.logits).iter().map(|(p, id)| (*id, *p)).collect();
        left.sort_by_key(|c| c.0);
        let ids = |left: &[(u32, f32)]| left.iter().map(|c| c.0).collect::<Vec<_>>();
        assert_eq!(ids(&left), ids(&case.left), "case {i}");
        for ((_, p), (id, expected)) in left.iter().zip(&case.left) {
            assert!((p - expected).abs() <= 2e-6, "case {i}, id {id}: {p}, expected {expected}");
        }
    }
}

fn sampler(temperature: f32, seed: u64) -> Sampler {
    let config =
        SamplerConfig { temperature, min_p: 0.0, repetition_penalty: 1.0, seed, ..Default::default() };
    Sampler::new(config, 4)
}

#[test]
fn draws_follow_the_probabilities() {
    let probabilities = [0.5f32, 0.25, 0.125, 0.125];
    let logits = probabilities.map(f32::ln);
    let mut sampler = sampler(1.0, 7);
    let mut counts = [0f64; 4];
    let n = 100_000;
    for _ in 0..n {
        counts[sampler.sample(&logits) as usize] += 1.0;
    }
    for (count, p) in counts.iter().zip(probabilities) {
        // Five standard deviations.
        let (mean, sd) = (n as f64 * f64::from(p), (n as f64 * f64::from(p * (1.0 - p))).sqrt());
        assert!((count - mean).abs() < 5.0 * sd, "{count} draws, expected about {mean}");
    }
}

#[test]
fn the_same_seed_draws_the_same_ids() {
    let logits = [0.1, 0.4, 0.2, 0.3];
    let draw = |seed| {
        let mut sampler = sampler(1.0, seed);
        (0..64).map(|_| sampler.sample(&logits)).collect::<Vec<_>>()
    };
    assert_eq!(draw(3), draw(3));
    assert_ne!(draw(3), draw(4));
}

#[test]
fn greedy_takes_the_likeliest_after_the_penalty() {
    let config = SamplerConfig { temperature: 0.0, repetition_penalty: 2.0, ..Default::default() };
    let mut sampler = Sampler::new(config, 4);
    let logits = [-1.0, 3.0, 2.0, 2.5];
    assert_eq!([sampler.sample(&logits), sampler.sample(&logits), sampler.sample(&logits)], [1, 3, 2]);
}

#[test]
fn logits_that_are_no_numbers_are_never_drawn() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    for temperature in [0.0, 1.0] {
        assert_eq!(sampler(temperature, 0).sample(&[nan, -inf, 1.0, nan]), 2);
        assert_eq!(sampler(temperature, 0).sample(&[0.0, inf, 1.0, nan]), 1);
        let drawn = sampler(temperature, 0).sample(&[nan, nan, nan, nan]);
        assert!(drawn < 4);
    }
}
