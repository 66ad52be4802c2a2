//! W + B·A·scale, a piece of the weights at a time.

use super::{Adapter, AdapterTensor};
use crate::error::{ConvertError, Result};
use brooklet_kernels::format;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What one adapter does to one matrix.
///
/// Applied to every element once a pass, in pieces, in any order and by any thread.
pub struct Step<'a> {
    pub(super) adapter: &'a Adapter,
    /// `[out, rank]` of the matrix `[out, in]`; of an embedding A, which is stored as `[rank, vocabulary]`.
    pub(super) rows: AdapterTensor<'a>,
    /// `[rank, in]`; of an embedding B, which is stored as `[hidden, rank]`.
    pub(super) columns: AdapterTensor<'a>,
    /// Whether both are stored the other way round.
    pub(super) embedding: bool,
    pub(super) rank: usize,
    /// Of the matrix: rows and row length.
    pub(super) shape: [usize; 2],
    pub(super) scale: f32,
    pub(super) dora: Option<Dora<'a>>,
    /// Read when a pass begins, dropped when it ends.
    pub(super) factors: Mutex<Option<Arc<Factors>>>,
    /// Elements that the pass is through with.
    pub(super) done: AtomicUsize,
}

/// Weight-decomposed LoRA: rows, of an embedding columns, take a learned length.
pub(super) struct Dora<'a> {
    pub magnitude: AdapterTensor<'a>,
    /// The learned length over the length after the step.
    pub factors: OnceLock<Vec<f32>>,
}

/// A and B in f32, so that element (i, j) of their product is Σ rows[i][k] · columns[k][j].
#[derive(PartialEq)]
pub(super) struct Factors {
    rows: Vec<f32>,
    columns: Vec<f32>,
}

impl Step<'_> {
    /// Whether it needs [`Step::set_lengths`] before its first pass.
    pub fn wants_lengths(&self) -> bool {
        self.dora.is_some()
    }

    /// Whether the lengths are those of columns.
    pub fn by_column(&self) -> bool {
        self.embedding
    }

    /// DoRA: takes the lengths of the rows (of an embedding, columns) that [`Step::add`] leaves.
    ///
    /// # Errors
    /// The adapter's learned lengths cannot be read or are not finite.
    pub fn set_lengths(&self, lengths: &[f64]) -> Result<()> {
        let Some(dora) = &self.dora else { return Ok(()) };
        let magnitude = self.adapter.read(&dora.magnitude)?;
        let factors = magnitude.iter().zip(lengths).map(|(m, length)| (f64::from(*m) / length) as f32);
        let _ = dora.factors.set(factors.collect());
        Ok(())
    }

    /// Applies the step to the elements `w` that begin with number `start`.
    ///
    /// # Errors
    /// The adapter cannot be read or holds something that is not finite.
    pub fn apply(&self, start: usize, w: &mut [f32]) -> Result<()> {
        self.add(start, w)?;
        let Some(factors) = self.dora.as_ref().and_then(|dora| dora.factors.get()) else { return Ok(()) };
        for (row, column, w) in by_rows(w, start, self.shape[1]) {
            if self.embedding {
                w.iter_mut().zip(&factors[column..]).for_each(|(w, factor)| *w *= factor);
            } else {
                w.iter_mut().for_each(|w| *w *= factors[row]);
            }
        }
        Ok(())
    }

    /// Adds B·A·scale, as [`Step::apply`] does first.
    ///
    /// # Errors
    /// As [`Step::apply`].
    pub fn add(&self, start: usize, w: &mut [f32]) -> Result<()> {
        let factors = self.factors()?;
        let [rows, row_len] = self.shape;
        let len = w.len();
        let mut products = vec![0.0; row_len.min(len)];
        for (row, column, w) in by_rows(w, start, row_len) {
            let products = &mut products[..w.len()];
            products.fill(0.0);
            for k in 0..self.rank {
                let b = factors.rows[row * self.rank + k];
                let a = &factors.columns[k * row_len + column..];
                products.iter_mut().zip(a).for_each(|(product, a)| *product += b * a);
            }
            w.iter_mut().zip(products).for_each(|(w, product)| *w += *product * self.scale);
        }
        if self.done.fetch_add(len, Ordering::Relaxed) + len == rows * row_len {
            self.done.store(0, Ordering::Relaxed);
            *self.factors.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        Ok(())
    }

    /// Whether both add the same to the same kind of matrix.
    ///
    /// # Errors
    /// As [`Step::apply`].
    pub fn equals(&self, other: &Step) -> Result<bool> {
        let alike = self.scale == other.scale && self.shape == other.shape && self.rank == other.rank;
        Ok(alike && self.dora.is_none() && other.dora.is_none() && self.load()? == other.load()?)
    }

    fn factors(&self) -> Result<Arc<Factors>> {
        let mut slot = self.factors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(factors) = &*slot {
            return Ok(Arc::clone(factors));
        }
        let factors = Arc::new(self.load()?);
        *slot = Some(Arc::clone(&factors));
        Ok(factors)
    }

    fn load(&self) -> Result<Factors> {
        let (rows, columns) = (self.adapter.read(&self.rows)?, self.adapter.read(&self.columns)?);
        if !self.embedding {
            return Ok(Factors { rows, columns });
        }
        Ok(Factors { rows: transposed(&rows, self.shape[0]), columns: transposed(&columns, self.rank) })
    }
}

/// The parts of rows in the elements that begin with number `start`: row, first column, elements.
fn by_rows(w: &mut [f32], start: usize, row_len: usize) -> impl Iterator<Item = (usize, usize, &mut [f32])> {
    let (mut at, mut rest) = (start, w);
    std::iter::from_fn(move || {
        let (row, column) = (at / row_len, at % row_len);
        let len = (row_len - column).min(rest.len());
        let (now, later) = std::mem::take(&mut rest).split_at_mut(len);
        at += now.len();
        rest = later;
        (!now.is_empty()).then_some((row, column, now))
    })
}

/// A matrix with rows of `len`, by columns.
fn transposed(x: &[f32], len: usize) -> Vec<f32> {
    (0..len).flat_map(|j| x[j..].iter().step_by(len)).copied().collect()
}

impl Adapter {
    /// A tensor's values.
    pub(super) fn read(&self, (tensor, ty): &AdapterTensor) -> Result<Vec<f32>> {
        let file = &self.file;
        // Both as long as the file's own data, which is there.
        let mut bytes = vec![0; tensor.len() as usize];
        file.read_at(tensor, 0, &mut bytes)?;
        let mut out = vec![0.0; tensor.shape.iter().product()];
        format::decode(*ty, &bytes, &mut out);
        match out.iter().find(|v| !v.is_finite()) {
            None => Ok(out),
            Some(v) => {
                let name = file.name_of(tensor).unwrap_or_default();
                Err(ConvertError::tensor(file.path_of(tensor), name, "finite values", v.to_string()))
            }
        }
    }
}
