//! A seeded mutation driver: what a fuzzer does, on stable, the same every time.
//!
//! `BROOKLET_FUZZ_CASES` sets the number of cases (10,000 where it is not set);
//! `BROOKLET_FUZZ_CASE` runs a single one again.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs `target` on mutations of `seeds`, and returns how many cases there were and how many of
/// them the target accepted. `words` are inserted now and then: keywords, brackets, numbers.
///
/// A panic passes through, after the case's number has been printed and its input kept in a file.
pub fn run(
    seeds: &[Vec<u8>],
    words: &[&[u8]],
    mut target: impl FnMut(&[u8]) -> bool,
) -> (/* cases */ u64, /* accepted */ u64) {
    let from_env = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let cases = match from_env("BROOKLET_FUZZ_CASE") {
        Some(case) => case..case + 1,
        None => 0..from_env("BROOKLET_FUZZ_CASES").unwrap_or(10_000),
    };
    let n = cases.end - cases.start;
    let mut accepted = 0;
    for case in cases {
        let input = mutated(case, seeds, words);
        match catch_unwind(AssertUnwindSafe(|| target(&input))) {
            Ok(ok) => accepted += u64::from(ok),
            Err(panic) => {
                let path = std::env::temp_dir().join(format!("brooklet-fuzz-{}-{case}", std::process::id()));
                let kept = std::fs::write(&path, &input);
                eprintln!("BROOKLET_FUZZ_CASE={case} fails; its input: {} ({kept:?})", path.display());
                resume_unwind(panic);
            }
        }
    }
    (n, accepted)
}

/// The input of one case: a seed with one to sixteen mutations, few more often than many.
pub fn mutated(case: u64, seeds: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
    let mut rng = Rng(case);
    let mut bytes = seeds[rng.below(seeds.len())].clone();
    for _ in 0..1 << rng.below(5) {
        mutate(&mut bytes, &mut rng, seeds, words);
    }
    bytes
}

/// Values at which length checks go wrong.
const EDGES: [u64; 24] = [
    0,
    1,
    2,
    3,
    7,
    8,
    9,
    31,
    32,
    63,
    64,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    i32::MAX as u64,
    u32::MAX as u64,
    1 << 32,
    1 << 61,
    i64::MAX as u64,
    u64::MAX - 31,
    u64::MAX,
];

fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng, seeds: &[Vec<u8>], words: &[&[u8]]) {
    if bytes.is_empty() {
        bytes.push(rng.next() as u8);
    }
    let at = rng.below(bytes.len());
    match rng.below(10) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at] = rng.next() as u8,
        2 => put(bytes, at, EDGES[rng.below(EDGES.len())], 1 << rng.below(4)),
        3 => {
            let at = length_after(bytes, at);
            put(bytes, at, EDGES[rng.below(EDGES.len())], 8);
        }
        4 => {
            // A length a little off.
            let at = length_after(bytes, at);
            let len = bytes[at..].first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk));
            put(bytes, at, len.wrapping_add(rng.below(33) as u64).wrapping_sub(16), 8);
        }
        5 => bytes.truncate(at),
        6 => drop(bytes.drain(at..range_end(at, bytes.len(), rng))),
        7 => {
            let range = bytes[at..range_end(at, bytes.len(), rng)].to_vec();
            let to = rng.below(bytes.len());
            bytes.splice(to..to, range);
        }
        8 => {
            let other = &seeds[rng.below(seeds.len())];
            let from = rng.below(other.len().max(1));
            let range = other.get(from..range_end(from, other.len(), rng)).unwrap_or_default().to_vec();
            let until = range_end(at, bytes.len(), rng);
            bytes.splice(at..until, range);
        }
        _ if words.is_empty() => bytes[at] = bytes[at].wrapping_add(1),
        _ => {
            let until = if rng.below(2) == 0 { at } else { range_end(at, bytes.len(), rng) };
            bytes.splice(at..until, words[rng.below(words.len())].iter().copied());
        }
    }
}

/// The end of a range from `start`, mostly short.
fn range_end(start: usize, len: usize, rng: &mut Rng) -> usize {
    let longest = 1 << rng.below(10);
    len.min(start + 1 + rng.below(longest))
}

/// The next place at or after `at` with eight bytes that look like a length, or else `at`.
fn length_after(bytes: &[u8], at: usize) -> usize {
    let looks_like_a_length = |at: &usize| {
        bytes[*at..].first_chunk().is_some_and(|chunk| (1..65_536).contains(&u64::from_le_bytes(*chunk)))
    };
    (at..bytes.len().min(at + 256)).find(looks_like_a_length).unwrap_or(at)
}

/// Overwrites up to `size` bytes with a little-endian number.
fn put(bytes: &mut [u8], at: usize, value: u64, size: usize) {
    for (byte, new) in bytes[at..].iter_mut().zip(value.to_le_bytes()).take(size) {
        *byte = new;
    }
}

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}
