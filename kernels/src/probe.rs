//! What the machine can do at most, found by loops that do nothing else: the measure for the kernels.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

/// Times each loop is run; the best counts, since everything that disturbs a loop makes it slower.
const TRIES: usize = 5;
/// Bytes that a thread takes at a time: small, so that a slow core does not hold up a fast one.
const PIECE: usize = 1 << 20;
/// The least to read in a try, for a time well above what starting threads costs.
const LEAST_READ: usize = 64 << 20;

/// Reads a multiple of [`READ_STEP`] bytes; what it returns depends on all of them.
pub(crate) type Read = fn(&[u8]) -> u64;
/// Bytes that every [`Read`] takes at a time.
const READ_STEP: usize = 256;

/// The speed at which `threads` threads read `data`, in bytes a second: the best of plain vector loads and of
/// the same with prefetches at several distances, at one place and at four by turns. Data that fits the caches is read
/// from there; 0 where there is none to read.
///
/// # Panics
/// If `threads` is 0.
pub fn read_bandwidth(data: &[u8], threads: usize) -> f64 {
    let data = &data[..data.len() - data.len() % READ_STEP];
    if data.is_empty() {
        return 0.0;
    }
    let pieces: Vec<&[u8]> = data.chunks(PIECE).collect();
    let total = pieces.len() * LEAST_READ.div_ceil(data.len());
    let bytes = (data.len() * LEAST_READ.div_ceil(data.len())) as f64;
    let seconds = |read: Read| {
        let next = AtomicUsize::new(0);
        timed(threads, || {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= total {
                    break;
                }
                black_box(read(pieces[i % pieces.len()]));
            }
        })
    };
    let reads = reads();
    (0..TRIES).flat_map(|_| &reads).map(|read| bytes / seconds(*read)).fold(0.0, f64::max)
}

/// Multiply-adds of small integers a second, `threads` threads together: pairs of `maddubs` and `paddw`, `dpbusd` where
/// there is AVX-512 with VNNI, on AArch64 `smull`, `smlal2` and `sadalp`, the inner loop of a quantized product with all
/// loads and scales left out. `None` where the loop is not written for this processor.
///
/// # Panics
/// If `threads` is 0.
pub fn integer_peak(threads: usize) -> Option<f64> {
    peak(threads, peaks()?.integer)
}

/// Multiply-adds of `f32` a second, `threads` threads together. `None` as in [`integer_peak`].
///
/// # Panics
/// If `threads` is 0.
pub fn float_peak(threads: usize) -> Option<f64> {
    peak(threads, peaks()?.float)
}

/// A loop that takes its number of rounds, and the multiply-adds of a round.
pub(crate) type Peak = (fn(u64), u64);

/// The loops of [`integer_peak`] and [`float_peak`].
pub(crate) struct Peaks {
    pub integer: Peak,
    pub float: Peak,
}

fn peak(threads: usize, (run, macs): Peak) -> Option<f64> {
    // Some milliseconds.
    const ROUNDS: u64 = 2_000_000;
    let rate = |_| (threads as u64 * ROUNDS * macs) as f64 / timed(threads, || run(ROUNDS));
    Some((0..2 * TRIES).map(rate).fold(0.0, f64::max))
}

/// Seconds from when the first of `threads` threads starts on `work` until the last has done it.
fn timed(threads: usize, work: impl Fn() + Sync) -> f64 {
    assert!(threads > 0, "no threads to measure");
    let ready = Barrier::new(threads);
    let run = || {
        ready.wait();
        let start = Instant::now();
        work();
        (start, Instant::now())
    };
    let spans = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut spans = vec![run()];
        for other in others {
            // A loop that panicked has said so; its time is that of no work.
            spans.extend(other.join());
        }
        spans
    });
    let start = spans.iter().map(|s| s.0).min();
    let end = spans.iter().map(|s| s.1).max();
    match (start, end) {
        (Some(start), Some(end)) => (end - start).as_secs_f64().max(1e-9),
        _ => unreachable!("one thread at least"),
    }
}

/// Exclusive-or of all words: whatever vectors the target is sure to have.
#[cfg(any(test, not(target_arch = "aarch64")))]
fn read_portable(data: &[u8]) -> u64 {
    let mut sums = [0u64; READ_STEP / 8];
    for step in data.as_chunks::<READ_STEP>().0 {
        for (sum, word) in sums.iter_mut().zip(step.as_chunks::<8>().0) {
            *sum ^= u64::from_ne_bytes(*word);
        }
    }
    sums.iter().fold(0, |all, sum| all ^ sum)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn reads() -> Vec<Read> {
    vec![read_portable]
}

#[cfg(target_arch = "x86_64")]
fn reads() -> Vec<Read> {
    let mut reads = crate::x86::probe::reads();
    if reads.is_empty() {
        reads.push(read_portable);
    }
    reads
}

#[cfg(target_arch = "aarch64")]
fn reads() -> Vec<Read> {
    crate::arm::probe::reads().to_vec()
}

fn peaks() -> Option<Peaks> {
    #[cfg(target_arch = "x86_64")]
    return crate::x86::probe::peaks();
    #[cfg(target_arch = "aarch64")]
    return Some(crate::arm::probe::peaks());
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_read_takes_all_bytes() {
        let data: Vec<u8> = (0..4 * READ_STEP).map(|i| (i * i + i / 7) as u8).collect();
        for read in reads().into_iter().chain([read_portable as Read]) {
            let before = read(&data);
            assert_eq!(before, read_portable(&data));
            for i in 0..data.len() {
                let mut changed = data.clone();
                changed[i] ^= 0x40;
                assert_ne!(read(&changed), before, "byte {i}");
            }
        }
    }

    #[test]
    fn limits_are_positive_and_shared_out() {
        assert_eq!(read_bandwidth(&[1; READ_STEP - 1], 2), 0.0);
        let data = vec![1; 3 * PIECE + 77];
        for threads in [1, 3] {
            assert!(read_bandwidth(&data, threads).is_normal());
            let (integer, float) = (integer_peak(threads), float_peak(threads));
            assert_eq!(integer.is_some(), peaks().is_some());
            assert!(integer.is_none_or(f64::is_normal) && float.is_none_or(f64::is_normal));
        }
    }
}
