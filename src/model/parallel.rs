//! Work over threads.

use rayon::prelude::*;

/// Calls `task(i, chunk)` for the i-th `chunk` elements of `out`, one by one as threads are free.
pub fn for_each_chunk(out: &mut [f32], chunk: usize, task: impl Fn(usize, &mut [f32]) + Sync) {
    out.par_chunks_exact_mut(chunk).with_max_len(1).enumerate().for_each(|(i, out)| task(i, out));
}
