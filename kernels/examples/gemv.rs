//! How fast the one-token kernels read: `cargo run --release -p brooklet-kernels --example gemv -- FILE [THREADS [TYPE…]]`.
//!
//! FILE, best a model of 500 MB or more, is mapped and read as if it held weights of each type, in turns with plain
//! vector loads of the same bytes. Printed are the median and the best of the rounds in GB/s, the median as a part of
//! that of the plain loads, and the speed on weights that lie in the cache.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

use brooklet_kernels::{Activations, Kernels, Q8Buffer, TensorType, all};

/// Activations a row.
const K: usize = 2048;
const ROUNDS: usize = 12;
/// Rows a call, as in a decoder's tasks.
const ROWS: usize = 16;

type Reader = (String, Box<dyn Fn(&[u8]) + Sync>);

fn main() {
    let mut args = std::env::args().skip(1);
    let file = args.next().expect("a file");
    let threads: usize = args.next().map_or(1, |n| n.parse().expect("threads"));
    let names: Vec<String> = args.collect();
    let file = std::fs::File::open(file).expect("a file");
    // SAFETY: nobody changes the file meanwhile.
    let map = unsafe { memmap2::MmapOptions::new().populate().map(&file).expect("a map") };

    let kernels = all()[0];
    let mut readers: Vec<Reader> = Vec::new();
    for ahead in [0, 512, 2048] {
        readers.push((format!("loads, {ahead} ahead"), Box::new(move |w| plain(w, ahead))));
    }
    let plain_readers = readers.len();
    for ty in TensorType::ALL {
        if names.is_empty() || names.contains(&ty.to_string()) {
            readers.push((ty.to_string(), reader(kernels, ty)));
        }
    }

    let slice = (96 << 20).min(map.len());
    let barrier = Barrier::new(threads);
    // Seconds: by thread, by reader, by round.
    let times: Vec<Vec<Vec<f64>>> = std::thread::scope(|scope| {
        let run = |thread: usize| {
            let mut times = vec![Vec::new(); readers.len()];
            for round in 0..ROUNDS {
                for (i, (_, read)) in readers.iter().enumerate() {
                    let slice_start = (round * 7 + i) % (map.len() / slice) * slice;
                    let part = slice / threads;
                    let w = &map[slice_start + thread * part..][..part];
                    barrier.wait();
                    let start = Instant::now();
                    read(w);
                    times[i].push(start.elapsed().as_secs_f64());
                }
            }
            times
        };
        let others: Vec<_> = (1..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        let mut times = vec![run(0)];
        times.extend(others.into_iter().map(|thread| thread.join().expect("a result")));
        times
    });

    let speeds: Vec<Vec<f64>> = (0..readers.len())
        .map(|i| {
            let slowest = |round: usize| times.iter().map(|t| t[i][round]).fold(0.0, f64::max);
            let mut speeds: Vec<f64> = (0..ROUNDS).map(|r| slice as f64 / slowest(r) / 1e9).collect();
            speeds.sort_by(f64::total_cmp);
            speeds
        })
        .collect();
    let median = |speeds: &[f64]| speeds[ROUNDS / 2];
    let bandwidth = speeds[..plain_readers].iter().map(|s| median(s)).fold(0.0, f64::max);
    for ((name, read), speeds) in readers.iter().zip(&speeds) {
        let small = &map[..1 << 18];
        let cached = (0..200).map(|_| {
            let start = Instant::now();
            read(small);
            small.len() as f64 / start.elapsed().as_secs_f64() / 1e9
        });
        println!(
            "{threads} threads, {name:16} median {:5.1}  best {:5.1} GB/s  {:3.0} %  in cache {:5.1}",
            median(speeds),
            speeds[ROUNDS - 1],
            100.0 * median(speeds) / bandwidth,
            cached.fold(0.0, f64::max),
        );
    }
}

/// Multiplies all rows of this type that the bytes hold.
fn reader(kernels: &'static Kernels, ty: TensorType) -> Box<dyn Fn(&[u8]) + Sync> {
    let x: Vec<f32> = (0..K).map(|i| (i % 7) as f32 - 3.0).collect();
    let mut q8 = Q8Buffer::with_capacity(K);
    q8.quantize(kernels, &x, K);
    let row_bytes = ty.bytes_for(K).expect("whole blocks");
    Box::new(move |w| {
        let x = if ty.is_quantized() { Activations::Q8(&q8) } else { Activations::Float { x: &x } };
        let mut out = [0.0; ROWS];
        for w in w.chunks_exact(ROWS * row_bytes) {
            kernels.matvec(ty, w, K, x, &mut out);
            black_box(&out);
        }
    })
}

#[cfg(target_arch = "x86_64")]
fn plain(w: &[u8], ahead: usize) {
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx2")]
    fn sum(w: &[u8], ahead: usize) -> __m256i {
        let mut sums = [_mm256_setzero_si256(); 8];
        for w in w.as_chunks::<256>().0 {
            for line in (0..256).step_by(64).filter(|_| ahead > 0) {
                _mm_prefetch::<_MM_HINT_T0>(w.as_ptr().wrapping_add(ahead + line).cast());
            }
            for (sum, w) in sums.iter_mut().zip(w.as_chunks::<32>().0) {
                // SAFETY: an unaligned load of 32 bytes.
                *sum = _mm256_add_epi32(*sum, unsafe { _mm256_loadu_si256(w.as_ptr().cast()) });
            }
        }
        sums.into_iter().fold(_mm256_setzero_si256(), |a, b| _mm256_add_epi32(a, b))
    }
    assert!(is_x86_feature_detected!("avx2"));
    // SAFETY: the processor has the feature.
    black_box(unsafe { sum(w, ahead) });
}

#[cfg(not(target_arch = "x86_64"))]
fn plain(w: &[u8], _ahead: usize) {
    black_box(w.as_chunks::<8>().0.iter().fold(0, |sum, &w| sum ^ u64::from_le_bytes(w)));
}
