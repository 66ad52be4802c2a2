//! The way of the weights: read a piece, decode it to f32, encode it, write it; never a whole tensor at once.
//!
//! A tensor is cut into pieces of whole blocks. Workers read and encode a batch of them while the batch
//! before is being written, so that memory is a few pieces a thread, whatever the model's size.

use super::lora::Step;
use super::safetensors::{Checkpoint, Tensor};
use super::{Options, Progress};
use crate::error::{ConvertError, Result};
use crate::quality::gptq::Feedback;
use brooklet::gguf::{Gguf, GgufStream, TensorInfo, TensorPlan};
use brooklet_kernels::{TensorType, format};
use rayon::prelude::*;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Elements of a piece: large enough to keep a worker busy, small enough that its f32 copy (512 KiB)
/// stays in the cache. A multiple of every block.
const PIECE: usize = 128 << 10;

/// Elements whose errors stand for a tensor's.
const SAMPLE: usize = 1 << 18;

/// Where a tensor's elements come from: F32, F16 or BF16 in row-major order.
pub(super) enum Source<'a> {
    /// A checkpoint, read piece by piece.
    Checkpoint(&'a Checkpoint, &'a Tensor, TensorType),
    /// A mapped GGUF file.
    Gguf(&'a Gguf, &'a TensorInfo),
}

impl Source<'_> {
    fn ty(&self) -> TensorType {
        match self {
            Source::Checkpoint(_, _, ty) => *ty,
            Source::Gguf(_, info) => info.ty,
        }
    }

    /// Calls `with` on the bytes from `offset` on, `len` of them; `buffer` is there to read into.
    fn with_bytes<T>(
        &self,
        offset: usize,
        len: usize,
        buffer: &mut Vec<u8>,
        with: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<T> {
        match self {
            Source::Checkpoint(checkpoint, tensor, _) => {
                buffer.resize(len, 0);
                checkpoint.read_at(tensor, offset as u64, buffer)?;
                with(buffer)
            }
            Source::Gguf(gguf, info) => with(&gguf.data(info)[offset..offset + len]),
        }
    }
}

/// The weights of the columns of a matrix that is quantized to `ty`.
///
/// # Errors
/// The importance matrix lacks the matrix, or is of another model.
pub(super) fn weights(
    options: &Options,
    name: &str,
    ty: TensorType,
    width: usize,
) -> Result<Option<Vec<f32>>> {
    if !ty.is_quantized() || !(options.search || options.imatrix.is_some()) {
        return Ok(None);
    }
    let measured = options.imatrix.map(|imatrix| imatrix.weights(name, width)).transpose()?.flatten();
    Ok(Some(measured.map_or_else(|| vec![1.0; width], Vec::from)))
}

/// One tensor on its way.
pub(super) struct Job<'a> {
    pub plan: TensorPlan,
    pub source: Source<'a>,
    /// For messages: the file that the tensor comes from, and its name there.
    pub path: PathBuf,
    pub name: String,
    /// How much an error in each column counts; without, the quick way of encoding is taken.
    pub weights: Option<Vec<f32>>,
    /// How errors of its columns make up for each other; then pieces are whole rows.
    pub feedback: Option<Arc<Feedback>>,
    /// What adapters do to it, in turn.
    pub steps: Vec<Step<'a>>,
    /// Set when a weight has come out of Q4_0 as another than went in.
    pub changed: AtomicBool,
}

impl Job<'_> {
    pub fn elements(&self) -> usize {
        self.plan.shape.iter().product()
    }

    /// Whether it is rounded to another type's grid.
    pub fn is_quantized(&self) -> bool {
        self.plan.ty.is_quantized() && self.source.ty() != self.plan.ty
    }

    pub fn input_bytes(&self) -> u64 {
        self.source.ty().bytes_for(self.elements()).unwrap_or(0) as u64
    }

    pub fn output_bytes(&self) -> u64 {
        self.plan.ty.bytes_for(self.elements()).unwrap_or(0) as u64
    }

    /// Encodes `len` elements from element `start` on.
    fn encode(&self, start: usize, len: usize, out: &mut Vec<u8>) -> Result<()> {
        thread_local! {
            static SCRATCH: RefCell<(Vec<u8>, [Vec<f32>; 2])> =
                const { RefCell::new((Vec::new(), [Vec::new(), Vec::new()])) };
        }
        let (from, to) = (self.source.ty(), self.plan.ty);
        let bytes = |ty: TensorType, n: usize| ty.bytes_for(n).expect("pieces are whole blocks");
        SCRATCH.with_borrow_mut(|(buffer, [floats, weights])| {
            self.source.with_bytes(bytes(from, start), bytes(from, len), buffer, |data| {
                floats.resize(len, 0.0);
                format::decode(from, data, floats);
                self.steps.iter().try_for_each(|step| step.apply(start, floats))?;
                check_range(&self.path, &self.name, floats, to)?;
                out.resize(bytes(to, len), 0);
                match &self.weights {
                    _ if from == to && self.steps.is_empty() => out.copy_from_slice(data),
                    _ if let Some(feedback) = &self.feedback => feedback.encode(to, floats, out),
                    None => format::encode(to, floats, out),
                    Some(columns) => {
                        weights.clear();
                        weights.extend(columns.iter().cycle().skip(start % columns.len()).take(len));
                        favour_large(floats, weights, to.block_len());
                        format::encode_weighted(to, floats, weights, out);
                    }
                }
                if from != to && to == TensorType::Q4_0 && !self.changed.load(Ordering::Relaxed) {
                    self.changed.fetch_or(!self.gives_back(out, floats), Ordering::Relaxed);
                }
                Ok(())
            })
        })
    }

    /// The sum of the weighed squared errors of some whole rows.
    fn rounding_error(&self, start: usize, len: usize) -> Result<f64> {
        let mut encoded = Vec::new();
        self.encode(start, len, &mut encoded)?;
        let (mut before, mut after) = (vec![0.0; len], vec![0.0; len]);
        format::decode(self.plan.ty, &encoded, &mut after);
        let from = self.source.ty();
        let bytes = |n: usize| from.bytes_for(n).expect("float types have blocks of one");
        self.source.with_bytes(bytes(start), bytes(len), &mut encoded, |data| {
            format::decode(from, data, &mut before);
            Ok(())
        })?;
        let width = self.plan.shape[0];
        let ones = vec![1.0; width];
        let columns = self.weights.as_deref().unwrap_or(&ones);
        let of_row = |(before, after): (&[f32], &[f32])| -> f64 {
            let errors = before.iter().zip(after).zip(columns);
            errors.map(|((x, y), w)| f64::from(*w) * f64::from(x - y).powi(2)).sum()
        };
        Ok(before.chunks(width).zip(after.chunks(width)).map(of_row).sum())
    }

    /// Whether `encoded`, in the type of the source again, is what was read: `floats`.
    fn gives_back(&self, encoded: &[u8], floats: &[f32]) -> bool {
        if !self.steps.is_empty() {
            return false;
        }
        let from = self.source.ty();
        let mut back = vec![0.0; floats.len()];
        format::decode(self.plan.ty, encoded, &mut back);
        let mut stored = vec![0; from.bytes_for(back.len()).expect("float types have blocks of one")];
        format::encode(from, &back, &mut stored);
        format::decode(from, &stored, &mut back);
        // As numbers: a negative scale makes zeros negative, which Q4_0 does not keep.
        back == *floats
    }

    /// Whether a tensor that went to Q4_0 was on a Q4_0 grid, so that it comes back as it was.
    pub fn kept(&self) -> bool {
        let encoded = self.plan.ty == TensorType::Q4_0 && self.source.ty() != TensorType::Q4_0;
        encoded && !self.changed.load(Ordering::Relaxed)
    }

    /// Measures the rows or columns that steps rescale to a learned length, by a pass over the tensor for each.
    fn measure(&self) -> Result<()> {
        let (Some(&row_len), elements) = (self.plan.shape.first(), self.elements()) else { return Ok(()) };
        // Whole rows at a time, about a piece.
        let len = row_len * (PIECE / row_len).max(1);
        for (i, step) in self.steps.iter().enumerate().filter(|(_, step)| step.wants_lengths()) {
            let starts: Vec<usize> = (0..elements).step_by(len).collect();
            let mut squares = Vec::new();
            for batch in starts.chunks(2 * rayon::current_num_threads()) {
                let parts: Vec<Vec<f64>> = batch
                    .par_iter()
                    .map(|&start| self.squares(start, len.min(elements - start), i))
                    .collect::<Result<_>>()?;
                for part in parts {
                    if step.by_column() && !squares.is_empty() {
                        squares.iter_mut().zip(part).for_each(|(sum, x): (&mut f64, f64)| *sum += x);
                    } else {
                        squares.extend(part);
                    }
                }
            }
            squares.iter_mut().for_each(|x| *x = x.sqrt());
            step.set_lengths(&squares)?;
        }
        Ok(())
    }

    /// Sums of squares of rows, or of columns, in some whole rows, before step `i` rescales them.
    fn squares(&self, start: usize, len: usize, i: usize) -> Result<Vec<f64>> {
        let row_len = self.plan.shape[0];
        let from = self.source.ty();
        let bytes = |n: usize| from.bytes_for(n).expect("float types have blocks of one");
        let mut w = vec![0.0; len];
        self.source.with_bytes(bytes(start), bytes(len), &mut Vec::new(), |data| {
            format::decode(from, data, &mut w);
            Ok(())
        })?;
        self.steps[..i].iter().try_for_each(|step| step.apply(start, &mut w))?;
        self.steps[i].add(start, &mut w)?;
        let square = |v: &f32| f64::from(*v).powi(2);
        if !self.steps[i].by_column() {
            return Ok(w.chunks(row_len).map(|row| row.iter().map(square).sum()).collect());
        }
        let mut sums = vec![0.0; row_len];
        for row in w.chunks(row_len) {
            sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += square(v));
        }
        Ok(sums)
    }
}

/// Raises the weights of the large values of a block: those of equal mean squares of inputs, they matter more to the
/// model's output, as the divergence from the float model shows (docs/quality.md).
fn favour_large(x: &[f32], weights: &mut [f32], block: usize) {
    for (x, weights) in x.chunks(block).zip(weights.chunks_mut(block)) {
        let mean = x.iter().map(|v| v * v).sum::<f32>() / block as f32;
        weights.iter_mut().zip(x).for_each(|(w, v)| *w *= (mean + v * v).sqrt());
    }
}

/// Refuses NaN and infinity, and what overflows the F16 numbers or scales of `to`.
fn check_range(path: &Path, name: &str, x: &[f32], to: TensorType) -> Result<()> {
    let limit = if matches!(to, TensorType::F32 | TensorType::BF16) { f32::MAX } else { 65504.0 };
    // As integers, magnitudes order as floats do, with infinity and NaN above all. Many at once are compared sooner than
    // one after the other up to the first that is out of range, which is rare.
    let largest = x.iter().fold(0, |max, v| (v.to_bits() & 0x7fff_ffff).max(max));
    let first = || x.iter().find(|v| v.is_nan() || v.abs() > limit);
    match (largest > limit.to_bits()).then(first).flatten() {
        None => Ok(()),
        Some(v) if v.is_finite() => {
            let expected = format!("values up to 65504, as {to} holds them (convert to bf16 or f32)");
            Err(ConvertError::tensor(path, name, expected, v.to_string()))
        }
        Some(v) => Err(ConvertError::tensor(path, name, "finite values", v.to_string())),
    }
}

/// Encodes all tensors in order into the stream and finishes it.
pub(super) fn run(jobs: &[Job], mut stream: GgufStream, options: &Options) -> Result<()> {
    for job in jobs {
        if options.cancelled() {
            return Err(ConvertError::Cancelled);
        }
        job.measure()?;
    }
    let total = jobs.iter().map(Job::input_bytes).sum();
    encode_all(jobs, &mut stream, options, &mut Progress { done: 0, total })?;
    Ok(stream.finish()?)
}

/// Encodes tensors in order into the stream.
pub(super) fn encode_all(
    jobs: &[Job],
    stream: &mut GgufStream,
    options: &Options,
    progress: &mut Progress,
) -> Result<()> {
    let pieces: Vec<Piece> = jobs
        .iter()
        .flat_map(|job| {
            let len = job.elements();
            let piece = if job.feedback.is_some() { whole_rows(job.plan.shape[0]) } else { PIECE };
            (0..len).step_by(piece).map(move |start| Piece { job, start, len: piece.min(len - start) })
        })
        .collect();

    // So many that threads wait little for the last of them.
    let width = 16 * rayon::current_num_threads();
    let mut encoded: Vec<Vec<u8>> = vec![Vec::new(); width];
    let mut written: Vec<Vec<u8>> = vec![Vec::new(); width];
    let mut ready = 0;
    // One round more than there are batches: the last only writes.
    for batch in pieces.chunks(width).chain([&[][..]]) {
        if options.cancelled() {
            return Err(ConvertError::Cancelled);
        }
        let (write, encode) = rayon::join(
            || written[..ready].iter().try_for_each(|bytes| stream.write(bytes)),
            || {
                batch
                    .par_iter()
                    .zip(&mut encoded)
                    .try_for_each(|(piece, out)| piece.job.encode(piece.start, piece.len, out))
            },
        );
        write?;
        encode?;
        std::mem::swap(&mut encoded, &mut written);
        ready = batch.len();
        progress.done += batch.iter().map(Piece::input_bytes).sum::<u64>();
        if let Some(tell) = options.progress {
            tell(*progress);
        }
    }
    Ok(())
}

/// The sum of the squared errors of a tensor's elements, each weighed by its column. Of a large one a sample is
/// encoded: pieces from all over it, [`SAMPLE`] elements at least.
pub(super) fn rounding_error(job: &Job, options: &Options) -> Result<f64> {
    let (len, piece) = (job.elements(), whole_rows(job.plan.shape[0]));
    let step = (len / SAMPLE).max(1);
    let starts: Vec<usize> = (0..len).step_by(piece).step_by(step).collect();
    let sampled: usize = starts.iter().map(|start| piece.min(len - start)).sum();
    let error = |&start: &usize| match options.cancelled() {
        true => Err(ConvertError::Cancelled),
        false => job.rounding_error(start, piece.min(len - start)),
    };
    let errors: Vec<f64> = starts.par_iter().map(error).collect::<Result<_>>()?;
    Ok(errors.iter().sum::<f64>() * len as f64 / sampled as f64)
}

/// The largest piece of whole rows.
fn whole_rows(width: usize) -> usize {
    (PIECE / width).max(1) * width
}

/// A run of whole blocks of one tensor.
#[derive(Clone, Copy)]
struct Piece<'a> {
    job: &'a Job<'a>,
    start: usize,
    len: usize,
}

impl Piece<'_> {
    fn input_bytes(&self) -> u64 {
        self.job.source.ty().bytes_for(self.len).unwrap_or(0) as u64
    }
}
