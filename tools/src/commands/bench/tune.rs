//! `brooklet bench --tune`: which numbers of threads are best on this machine.

use super::own::Own;
use super::stats::Figure;
use super::test::Test;
use crate::terminal::print_json;
use crate::threads::{Threads, available, store};
use crate::ui::{print_line, step_bar, table};
use anyhow::Result;
use brooklet::{Model, SessionOptions};
use brooklet_kernels::TensorType;
use std::sync::Arc;

/// What is measured with every number of threads.
const TESTS: [Test; 2] = [
    Test { n_prompt: 128, n_gen: 0, n_depth: 0, n_parallel: 1, n_threads: None },
    Test { n_prompt: 0, n_gen: 32, n_depth: 0, n_parallel: 1, n_threads: None },
];
/// A number of threads must be so much faster than a smaller one to be worth it.
const WORTH: f64 = 1.02;

/// Speeds with a number of threads.
#[derive(Debug, serde::Serialize)]
struct Tried {
    n_threads: usize,
    prefill_ts: Figure,
    decode_ts: Figure,
}

/// Measures, in turn over and over, and stores the best.
pub fn tune(
    model: &Arc<Model>,
    kv_type: TensorType,
    repetitions: usize,
    seed: u64,
    json: bool,
) -> Result<()> {
    let counts = candidates(available());
    let bar = step_bar((counts.len() * repetitions * TESTS.len()) as u64, "Measuring");
    let mut tried = TESTS.map(|_| Vec::new());
    for (test, speeds) in TESTS.into_iter().zip(&mut tried) {
        let context = test.context().min(model.config().context_length);
        let set_up = |threads: &usize| {
            let options = SessionOptions {
                context: Some(context),
                kv_type,
                threads: Some(*threads),
                ..Default::default()
            };
            Own::new(model, options, test, seed)
        };
        let mut all = counts.iter().map(set_up).collect::<Result<Vec<_>>>()?;
        let mut samples = vec![Vec::new(); all.len()];
        for _ in 0..repetitions {
            for (own, samples) in all.iter_mut().zip(&mut samples) {
                samples.push(test.speed(own.sample()?));
                bar.inc(1);
            }
        }
        speeds.extend(samples.iter().map(|s| Figure::of(s)));
    }
    bar.finish_and_clear();
    let [prefill, decode] = tried;
    let best = Threads { prefill: best(&counts, &prefill), decode: best(&counts, &decode) };
    let path = store(best)?;
    let tried: Vec<Tried> = counts
        .iter()
        .zip(prefill.iter().zip(&decode))
        .map(|(n, (prefill, decode))| Tried { n_threads: *n, prefill_ts: *prefill, decode_ts: *decode })
        .collect();
    if json {
        return print_json(&serde_json::json!({ "best": best, "tried": tried, "stored": path }));
    }
    let mut rows = vec![["threads".to_string(), TESTS[0].name(), TESTS[1].name()]];
    for t in &tried {
        rows.push([t.n_threads.to_string(), t.prefill_ts.to_string(), t.decode_ts.to_string()]);
    }
    print_line(&table(&rows))?;
    print_line(&format!(
        "Best: {} for prompts, {} for generation. Stored in {}; all commands use it where -t is not given.",
        best.prefill,
        best.decode,
        path.display()
    ))
}

/// The numbers of threads to try, smallest first: every one up to 8, then an eighth more each time, and all.
fn candidates(available: usize) -> Vec<usize> {
    let mut counts: Vec<usize> =
        std::iter::successors(Some(1), |n| Some(n + (n / 8).max(1))).take_while(|n| *n < available).collect();
    counts.push(available);
    counts
}

/// The fastest, or the smallest number of threads that is as good as that.
fn best(counts: &[usize], speeds: &[Figure]) -> usize {
    let fastest = speeds.iter().map(|s| s.median).fold(0.0, f64::max);
    let enough = speeds.iter().position(|s| s.median * WORTH >= fastest);
    enough.map_or(1, |i| counts[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_end_with_all() {
        assert_eq!(candidates(1), [1]);
        assert_eq!(candidates(4), [1, 2, 3, 4]);
        let many = candidates(64);
        assert!(many.is_sorted() && many.ends_with(&[64]) && many.len() < 32, "{many:?}");
    }

    #[test]
    fn more_threads_must_be_worth_it() {
        let speeds = |medians: &[f64]| -> Vec<Figure> {
            medians.iter().map(|m| Figure { median: *m, spread: 0.0 }).collect()
        };
        assert_eq!(best(&[1, 2, 4], &speeds(&[50.0, 100.0, 101.0])), 2);
        assert_eq!(best(&[1, 2, 4], &speeds(&[50.0, 100.0, 110.0])), 4);
        assert_eq!(best(&[1, 2, 4], &speeds(&[50.0, 100.0, 80.0])), 2);
    }
}
