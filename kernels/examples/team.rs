//! What a task list of a team costs: `cargo run --release -p brooklet-kernels --example team -- [THREADS]`.

use std::hint::black_box;
use std::time::Instant;

use brooklet_kernels::Team;

const RUNS: u32 = 10_000;

fn main() {
    let threads = std::env::args().nth(1).map_or(2, |n| n.parse().expect("a number of threads"));
    let team = Team::new(threads).expect("threads");
    let mut out = vec![0u64; 8 * threads];
    // As much arithmetic as this by each thread, or by one.
    for work in [0, 500, 5000] {
        let spin =
            |out: &mut [u64]| out.iter_mut().for_each(|v| (0..work).for_each(|i| *v = black_box(*v + i)));
        let start = Instant::now();
        for _ in 0..RUNS {
            spin(&mut out[..8]);
        }
        let alone = start.elapsed() / (RUNS);
        let mut times: Vec<_> = (0..RUNS)
            .map(|_| {
                let start = Instant::now();
                team.fill(&mut out, 8, |_, out| spin(out));
                start.elapsed()
            })
            .collect();
        times.sort();
        let (median, late) = (times[times.len() / 2], times[times.len() * 990]);
        println!("{threads} threads, {alone:?} of work each: median {median:?}, 99th percentile {late:?}");
    }
}
