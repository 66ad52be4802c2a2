//! A type for each matrix such that a file keeps to a size and predicts as nearly as may be what the float one does.
//!
//! As long as errors are small, those of a matrix add s·E to the divergence from the float model: E is the sum of their
//! squares, each weighed by what its column reads, and s says how much the matrix matters. s is measured: a text is taken
//! through the model with this one matrix in [`COARSE`] and all others in a type that loses next to nothing, and what the
//! predictions diverge by is divided by the matrix's E in that type. E is known of every type without running the model,
//! so that one run a matrix is enough. What is left is to choose a type for each such that the sum of s·E is smallest and
//! the bytes fit, which dynamic programming does.

use super::{Rounding, Types};
use crate::quality::divergence::divergence;
use crate::quality::windows::{QualityError, Result};
use brooklet::{Gguf, Model, Session, SessionOptions};
use brooklet_kernels::TensorType;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What matrices are tried in: errors large enough to stand out from those of the activations' rounding, and a type that
/// every row of whole blocks has.
pub const COARSE: TensorType = TensorType::Q4_0;

/// Steps into which the size is cut to choose types. Each matrix is taken for up to a step larger than it is.
const STEPS: usize = 100_000;

/// By how much the predictions diverge, in nats a token, when one matrix at a time comes from the file `coarse` and all
/// others from the file `fine`. The second half of each window counts. `go_on` is called after each matrix with how many
/// are done; its `false` ends it.
///
/// # Errors
/// Files of different models; a window longer than the model takes; logits that are not finite;
/// [`QualityError::Cancelled`].
pub fn divergences(
    [fine, coarse]: [&Path; 2],
    names: &[String],
    windows: &[Vec<u32>],
    options: &SessionOptions,
    mut go_on: impl FnMut(usize) -> bool,
) -> Result<BTreeMap<String, f64>> {
    let mut base = Vec::new();
    let fine_model = || Ok::<_, QualityError>(Model::open(fine)?);
    predict(fine_model()?, windows, options, |_, logits| {
        base.push(logits.to_vec());
        Ok(())
    })?;
    let rows: usize = windows.iter().map(|ids| scored(ids).len()).sum();
    let mut out = BTreeMap::new();
    for name in names {
        let model = fine_model()?.with_matrices(Gguf::open(coarse)?, &[name])?;
        let vocab_size = model.config().vocab_size;
        let mut total = 0.0;
        predict(model, windows, options, |window, logits| {
            let rows = logits.par_chunks_exact(vocab_size).zip(base[window].par_chunks_exact(vocab_size));
            let sum: Option<f64> = rows.map(|(logits, base)| divergence(logits, base)).sum();
            total += sum.ok_or(QualityError::NotFinite { window: window + 1 })?;
            Ok(())
        })?;
        out.insert(name.clone(), total / rows as f64);
        if !go_on(out.len()) {
            return Err(QualityError::Cancelled);
        }
    }
    Ok(out)
}

/// The half of a window that counts.
fn scored(ids: &[u32]) -> &[u32] {
    &ids[ids.len() / 2..]
}

/// Calls `each` for every window with the logits after each token of the half that counts.
fn predict(
    model: Model,
    windows: &[Vec<u32>],
    options: &SessionOptions,
    mut each: impl FnMut(usize, &[f32]) -> Result<()>,
) -> Result<()> {
    let mut session = Session::new(Arc::new(model), options.clone())?;
    let mut logits = Vec::new();
    for (window, ids) in windows.iter().enumerate() {
        let scored = scored(ids);
        session.reset();
        session.prefill(&ids[..ids.len() - scored.len()])?;
        logits.clear();
        session.prefill_each(scored, |_, row| logits.extend_from_slice(row))?;
        each(window, &logits)?;
    }
    Ok(())
}

/// The types, one a matrix, with the smallest sum of divergences among those that take at most `budget` bytes, each
/// matrix's rounded up to `align`. `divergences` are those of [`COARSE`].
///
/// # Errors
/// The bytes that the smallest types take, where that is more than `budget`.
pub fn choose(
    roundings: &[Rounding],
    divergences: &BTreeMap<String, f64>,
    budget: u64,
    align: u64,
) -> std::result::Result<Types, u64> {
    let mut matrices: BTreeMap<&str, Vec<&Rounding>> = BTreeMap::new();
    for rounding in roundings {
        matrices.entry(&rounding.name).or_default().push(rounding);
    }
    let bytes = |r: &Rounding| r.bytes.next_multiple_of(align);
    let smallest = matrices.values().filter_map(|choices| choices.iter().map(|r| bytes(r)).min()).sum();
    if smallest > budget {
        return Err(smallest);
    }
    // One step more a matrix, so that what fits exactly is not rounded out of reach.
    let step = (budget / STEPS as u64).max(1);
    let steps = (budget / step) as usize + matrices.len();
    // The smallest cost of the matrices so far in at most so many steps; beyond reach it is infinite.
    let mut best = vec![0.0; steps + 1];
    let mut taken = Vec::new();
    for (name, choices) in &matrices {
        let coarse = choices.iter().find(|r| r.ty == COARSE).map_or(0.0, |r| r.error);
        let scale = if coarse > 0.0 { divergences.get(*name).copied().unwrap_or(0.0) / coarse } else { 0.0 };
        let mut next = vec![f64::INFINITY; steps + 1];
        let mut choice = vec![u8::MAX; steps + 1];
        for (i, rounding) in choices.iter().enumerate() {
            let (cost, size) = (scale * rounding.error, bytes(rounding).div_ceil(step) as usize);
            for at in size..=steps {
                if best[at - size] + cost < next[at] {
                    next[at] = best[at - size] + cost;
                    choice[at] = i as u8;
                }
            }
        }
        best = next;
        taken.push((name, choices, choice));
    }
    // The steps that were added may have been used up: give back until the bytes themselves fit.
    let types_in = |mut at: usize| {
        let mut types = Types::new();
        let mut total = 0;
        for (name, choices, choice) in taken.iter().rev() {
            let rounding = choices.get(usize::from(choice[at]))?;
            at -= bytes(rounding).div_ceil(step) as usize;
            total += bytes(rounding);
            types.insert((**name).to_string(), rounding.ty);
        }
        (total <= budget).then_some(types)
    };
    (0..=steps).rev().find_map(types_in).ok_or(smallest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use TensorType::{Q4_0, Q4_K, Q6_K, Q8_0};

    const TYPES: [(TensorType, u64, f64); 3] = [(Q4_0, 45, 100.0), (Q6_K, 66, 6.0), (Q8_0, 85, 0.4)];

    fn matrices(sizes: &[u64]) -> Vec<Rounding> {
        let of = |(i, size): (usize, &u64)| {
            let size = *size;
            TYPES.map(|(ty, bytes, error)| Rounding {
                name: format!("m{i}"),
                ty,
                error: error * size as f64,
                bytes: bytes * size,
            })
        };
        sizes.iter().enumerate().flat_map(of).collect()
    }

    fn cost(types: &Types, roundings: &[Rounding], divergences: &BTreeMap<String, f64>) -> (f64, u64) {
        let mut sums = (0.0, 0);
        for (name, ty) in types {
            let of = |ty| roundings.iter().find(|r| r.name == *name && r.ty == ty).expect("a matrix");
            sums.0 += divergences[name] * of(*ty).error / of(Q4_0).error;
            sums.1 += of(*ty).bytes;
        }
        sums
    }

    #[test]
    fn the_choice_is_the_best_of_all_that_fit() {
        let roundings = matrices(&[400, 30, 50, 20, 90]);
        let divergences: BTreeMap<String, f64> =
            [0.9, 0.5, 0.1, 0.3, 0.05].iter().enumerate().map(|(i, d)| (format!("m{i}"), *d)).collect();
        let all: Vec<Types> = (0..3usize.pow(5))
            .map(|n| (0..5).map(|i| (format!("m{i}"), TYPES[n / 3usize.pow(i) % 3].0)).collect())
            .collect();
        for budget in [590 * 45, 27_000, 30_000, 31_337, 40_000, 50_149, 590 * 85, 100_000] {
            let types = choose(&roundings, &divergences, budget, 1).expect("it fits");
            let (found, bytes) = cost(&types, &roundings, &divergences);
            assert!(bytes <= budget, "{bytes} of {budget}");
            let fitting = all.iter().map(|t| cost(t, &roundings, &divergences)).filter(|c| c.1 <= budget);
            let best = fitting.map(|c| c.0).fold(f64::INFINITY, f64::min);
            assert!(found <= best * (1.0 + 1e-12), "{found} where {best} fits {budget}");
        }
        assert_eq!(choose(&roundings, &divergences, 590 * 45 - 1, 1), Err(590 * 45));
    }

    #[test]
    fn bytes_are_counted_with_what_lies_between_matrices() {
        let roundings = matrices(&[1, 1]);
        let divergences = [("m0", 1.0), ("m1", 2.0)].map(|(n, d)| (n.to_string(), d)).into();
        // 45, 66 and 85 are 64, 96 and 96 with it.
        let types = choose(&roundings, &divergences, 160, 32).expect("it fits");
        assert_eq!(types, Types::from([("m0".into(), Q4_0), ("m1".into(), Q8_0)]));
        assert_eq!(choose(&roundings, &divergences, 127, 32), Err(128));
    }

    #[test]
    fn a_matrix_that_loses_nothing_is_as_small_as_may_be() {
        let mut roundings = matrices(&[1, 1]);
        roundings.iter_mut().filter(|r| r.name == "m0").for_each(|r| r.error = 0.0);
        let other = roundings[0].clone();
        roundings.push(Rounding { ty: Q4_K, bytes: 40, ..other });
        let divergences = [("m0", 0.0), ("m1", 2.0)].map(|(n, d)| (n.to_string(), d)).into();
        let types = choose(&roundings, &divergences, 126, 1).expect("it fits");
        assert_eq!((types["m0"], types["m1"]), (Q4_K, Q8_0));
    }
}
