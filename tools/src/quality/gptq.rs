//! Rounding with error feedback (GPTQ, arXiv:2210.17323): what is lost by rounding a weight is made up for by the weights
//! of its row that are rounded later, as far as their inputs go together in a calibration text.
//!
//! With X the inputs and H = XᵀX, an error e of a row costs eᵀHe. With H = U Uᵀ, U upper triangular, that is the sum over
//! the columns i of (Σ_{j ≤ i} U_ji e_j)²: once the columns before i are rounded, i is rounded from where its term would
//! be 0. Scales are those of the search with the diagonal of H for weights; columns go from the largest input to the
//! smallest.

use super::calibration;
use crate::convert::{ConvertError, Result};
use brooklet::Session;
use brooklet::model::Inputs;
use brooklet_kernels::{TensorType, format};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What is added to the diagonal, relative to its mean: keeps what the text says of rare inputs from counting too much.
const DAMPING: f64 = 0.01;
/// Columns of a panel of the factorization.
const PANEL: usize = 64;
/// Rows that are rounded side by side: they share a pass over the factor.
const ROWS: usize = 16;
/// Bytes of the matrices XᵀX that are kept at once, if there are several.
pub const MEMORY: usize = 512 << 20;

/// A model and a text to see its inputs with.
pub struct Gptq {
    path: PathBuf,
    session: Mutex<Session>,
    windows: Vec<Vec<u32>>,
}

/// XᵀX by the name of the matrix that reads X.
type Products = BTreeMap<String, Vec<f32>>;

impl Gptq {
    /// The windows of ids are taken through the session's model, which is that of the file `path`, whenever inputs are
    /// wanted.
    pub fn new(path: &Path, session: Session, windows: Vec<Vec<u32>>) -> Gptq {
        Gptq { path: path.to_path_buf(), session: Mutex::new(session), windows }
    }

    /// What the inputs of the named matrices say. `go_on` is asked from time to time.
    ///
    /// # Errors
    /// A window that the session has no room for; an input that is not finite; [`ConvertError::Cancelled`] where it was
    /// not to go on.
    pub fn feedback(
        &self,
        names: &[&str],
        go_on: impl Fn() -> bool,
    ) -> Result<BTreeMap<String, Arc<Feedback>>> {
        let products = self.products(names, &go_on)?;
        let mut out = BTreeMap::new();
        for (name, product) in products {
            if !go_on() {
                return Err(ConvertError::Cancelled);
            }
            let width = product.len().isqrt();
            let feedback = Feedback::new(&product, width).ok_or_else(|| {
                let expected = "finite inputs (the model's weights are damaged)";
                ConvertError::tensor(&self.path, &name, expected, "others")
            })?;
            out.insert(name, Arc::new(feedback));
        }
        Ok(out)
    }

    fn products(&self, names: &[&str], go_on: &impl Fn() -> bool) -> Result<Products> {
        let wanted: Vec<String> = names.iter().map(|name| (*name).to_string()).collect();
        let products = Arc::new(Mutex::new(Products::new()));
        let sums = products.clone();
        let observer = Arc::new(move |inputs: &Inputs<'_>| {
            let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
            for name in wanted.iter().filter(|name| inputs.readers.contains(&name.as_str())) {
                add_products(sums.entry(name.clone()).or_default(), inputs.rows, inputs.width);
            }
        });
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if !calibration::observe(&mut session, &self.windows, observer, |_| go_on())? {
            return Err(ConvertError::Cancelled);
        }
        drop(session);
        let mut products = products.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *products))
    }
}

/// Adds XᵀX, its lower half, of rows of `width`.
fn add_products(sums: &mut Vec<f32>, rows: &[f32], width: usize) {
    sums.resize(width * width, 0.0);
    sums.par_chunks_exact_mut(width).enumerate().for_each(|(i, sums)| {
        for x in rows.chunks_exact(width) {
            sums[..=i].iter_mut().zip(x).for_each(|(sum, v)| *sum += x[i] * v);
        }
    });
}

/// How the columns of a matrix make up for each other.
pub struct Feedback {
    /// The columns, in the order in which they are rounded.
    order: Vec<usize>,
    /// Row i: U_ji / U_ii for the j before i, in that order.
    factors: Vec<f32>,
    /// The diagonal of XᵀX.
    weights: Vec<f32>,
}

impl Feedback {
    /// From the lower half of XᵀX; `None` where it is not finite.
    fn new(product: &[f32], width: usize) -> Option<Feedback> {
        let weights: Vec<f32> = (0..width).map(|i| product[i * width + i]).collect();
        let mean = weights.iter().map(|w| f64::from(*w)).sum::<f64>() / width as f64;
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
        // Lower triangular for the reversed order is upper triangular for the order.
        let reversed: Vec<usize> = order.iter().rev().copied().collect();
        let damping = if mean > 0.0 { DAMPING * mean } else { 1.0 };
        let mut h = vec![0.0; width * width];
        for (i, a) in reversed.iter().enumerate() {
            for (j, b) in reversed[..=i].iter().enumerate() {
                h[i * width + j] = f64::from(product[a.max(b) * width + a.min(b)]);
            }
            h[i * width + i] += damping;
        }
        cholesky(&mut h, width)?;
        let mut factors = vec![0.0; width * width];
        for (i, factors) in factors.chunks_exact_mut(width).enumerate() {
            let column = width - 1 - i;
            let diagonal = h[column * width + column];
            for (j, factor) in factors[..i].iter_mut().enumerate() {
                *factor = (h[(width - 1 - j) * width + column] / diagonal) as f32;
            }
        }
        Some(Feedback { order, factors, weights })
    }

    /// Encodes whole rows.
    pub fn encode(&self, ty: TensorType, x: &[f32], out: &mut [u8]) {
        let width = self.order.len();
        let bytes = out.len() / (x.len() / width);
        for (x, out) in x.chunks(ROWS * width).zip(out.chunks_mut(ROWS * bytes)) {
            self.encode_rows(ty, x, out);
        }
    }

    fn encode_rows(&self, ty: TensorType, x: &[f32], out: &mut [u8]) {
        let width = self.order.len();
        let weights: Vec<f32> = self.weights.iter().cycle().take(x.len()).copied().collect();
        format::encode_weighted(ty, x, &weights, out);
        let (mut scale, mut min) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        format::grid(ty, out, &mut scale, &mut min);
        let mut q = vec![0; x.len()];
        // Errors of the columns so far, in their order.
        let mut errors = vec![0.0; x.len()];
        for (i, (column, factors)) in self.order.iter().zip(self.factors.chunks_exact(width)).enumerate() {
            for row in 0..x.len() / width {
                let (at, errors) = (row * width + column, &mut errors[row * width..][..width]);
                let wanted = x[at] + dot(&factors[..i], &errors[..i]);
                let (scale, min) = (scale[at], min[at]);
                if scale != 0.0 {
                    q[at] = format::nearest(ty, (wanted + min) / scale);
                }
                errors[i] = x[at] - (scale * f32::from(q[at]) - min);
            }
        }
        format::put_integers(ty, &q, out);
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// The lower half of `a` becomes that of L with L Lᵀ = a; `None` where there is none.
fn cholesky(a: &mut [f64], n: usize) -> Option<()> {
    for start in (0..n).step_by(PANEL) {
        let end = (start + PANEL).min(n);
        // What the columns before take off the panel.
        let above = a[start * n..end * n].to_vec();
        a[start * n..].par_chunks_exact_mut(n).for_each(|row| {
            let (before, panel) = row.split_at_mut(start);
            for (v, above) in panel[..end - start].iter_mut().zip(above.chunks_exact(n)) {
                *v -= before.iter().zip(above).map(|(a, b)| a * b).sum::<f64>();
            }
        });
        let (top, below) = a[start * n..].split_at_mut((end - start) * n);
        for j in 0..end - start {
            let (rows, rest) = top.split_at_mut((j + 1) * n);
            let row = &mut rows[j * n + start..][..j + 1];
            let diagonal = row[j] - row[..j].iter().map(|v| v * v).sum::<f64>();
            if !(diagonal > 0.0 && diagonal.is_finite()) {
                return None;
            }
            row[j] = diagonal.sqrt();
            rest.chunks_exact_mut(n).for_each(|below| solve(&mut below[start..], row));
        }
        below.par_chunks_exact_mut(n).for_each(|below| {
            for j in 0..end - start {
                solve(&mut below[start..], &top[j * n + start..][..j + 1]);
            }
        });
    }
    Some(())
}

/// The element of a row below a row of L that ends with its diagonal, the elements before being there.
fn solve(below: &mut [f64], row: &[f64]) {
    let j = row.len() - 1;
    let taken: f64 = below[..j].iter().zip(row).map(|(a, b)| a * b).sum();
    below[j] = (below[j] - taken) / row[j];
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inputs of `width` columns that go together, the same every time.
    fn inputs(width: usize, count: usize) -> Vec<f32> {
        let mut state = 5u64;
        let mut uniform = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        let mut out = Vec::new();
        for _ in 0..count {
            let common = [uniform(), uniform(), uniform()];
            out.extend((0..width).map(|i| common[i % 3] * (1 + i % 5) as f32 + 0.3 * uniform()));
        }
        out
    }

    fn feedback(x: &[f32], width: usize) -> Feedback {
        let mut product = Vec::new();
        add_products(&mut product, x, width);
        Feedback::new(&product, width).expect("finite")
    }

    /// 200: panels, and a last one that is not full.
    #[test]
    fn the_factor_squared_is_the_matrix() {
        let n = 200;
        let x = inputs(n, 400);
        let mut product = Vec::new();
        add_products(&mut product, &x, n);
        let mut a: Vec<f64> = product.iter().map(|v| f64::from(*v)).collect();
        (0..n).for_each(|i| a[i * n + i] += 1.0);
        let before = a.clone();
        cholesky(&mut a, n).expect("it is positive");
        for i in 0..n {
            for j in 0..=i {
                let product: f64 = (0..=j).map(|k| a[i * n + k] * a[j * n + k]).sum();
                assert!((product - before[i * n + j]).abs() <= 1e-9 * before[0].abs(), "{i}, {j}");
            }
        }
        let mut indefinite = vec![1.0, 0.0, 2.0, 1.0];
        assert!(cholesky(&mut indefinite, 2).is_none());
    }

    /// The squared error of the outputs.
    fn output_error(w: &[f32], quantized: &[f32], x: &[f32], width: usize) -> f64 {
        let mut total = 0.0;
        for (w, q) in w.chunks_exact(width).zip(quantized.chunks_exact(width)) {
            for x in x.chunks_exact(width) {
                let error: f32 = w.iter().zip(q).zip(x).map(|((w, q), x)| (w - q) * x).sum();
                total += f64::from(error).powi(2);
            }
        }
        total
    }

    #[test]
    fn outputs_come_out_nearer_than_without() {
        let width = 256;
        let (x, w) = (inputs(width, 600), inputs(width, 17));
        let feedback = feedback(&x, width);
        let weights: Vec<f32> = feedback.weights.iter().cycle().take(w.len()).copied().collect();
        for ty in TensorType::ALL.into_iter().filter(|ty| ty.is_quantized()) {
            let decoded = |data: &[u8]| {
                let mut out = vec![0.0; w.len()];
                format::decode(ty, data, &mut out);
                out
            };
            let mut data = vec![0; ty.bytes_for(w.len()).expect("whole blocks")];
            format::encode_weighted(ty, &w, &weights, &mut data);
            let before = output_error(&w, &decoded(&data), &x, width);
            feedback.encode(ty, &w, &mut data);
            let ratio = output_error(&w, &decoded(&data), &x, width) / before;
            // Measured: up to 0.5.
            assert!(ratio <= 0.6, "{ty}: {ratio}");
        }
    }

    #[test]
    fn columns_that_are_never_used_and_damaged_inputs() {
        let width = 64;
        let mut x = inputs(width, 100);
        x.iter_mut().step_by(2).for_each(|v| *v = 0.0);
        let w = inputs(width, 3);
        let mut data = vec![0; TensorType::Q4_0.bytes_for(w.len()).expect("whole blocks")];
        feedback(&x, width).encode(TensorType::Q4_0, &w, &mut data);
        feedback(&vec![0.0; width], width).encode(TensorType::Q4_0, &w, &mut data);
        x[5] = f32::NAN;
        let mut product = Vec::new();
        add_products(&mut product, &x, width);
        assert!(Feedback::new(&product, width).is_none());
    }
}
