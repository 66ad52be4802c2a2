//! The trained checkpoint, models/demo: logits and greedy answers against transformers' Lfm2ForCausalLM in
//! float32 (fixtures/golden/demo/make.py).

use crate::models::{model, sets};
use brooklet::{Session, SessionOptions};
use brooklet_kernels::TensorType;
use brooklet_tools::convert::FileType;
use safetensors::SafeTensors;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/golden/demo/golden.safetensors");

fn numbers<T>(tensors: &SafeTensors, name: &str, from: fn([u8; 4]) -> T) -> Vec<T> {
    let data = tensors.tensor(name).expect("the tensor is there").data();
    data.chunks_exact(4).map(|b| from([b[0], b[1], b[2], b[3]])).collect()
}

/// Names of the golden values that end in `suffix`, without it.
fn names(tensors: &SafeTensors, suffix: &str) -> Vec<String> {
    let mut names: Vec<_> =
        tensors.names().iter().filter_map(|name| name.strip_suffix(suffix)).map(String::from).collect();
    names.sort();
    names
}

/// The largest and the root mean square difference from the golden logits, as fractions of their spread.
fn differences(tensors: &SafeTensors, session: &mut Session) -> (f32, f32) {
    let (mut largest, mut squares, mut count) = (0f32, 0f64, 0usize);
    for name in names(tensors, ".ids") {
        let ids = numbers(tensors, &format!("{name}.ids"), u32::from_le_bytes);
        let positions = numbers(tensors, &format!("{name}.positions"), u32::from_le_bytes);
        let golden = numbers(tensors, &format!("{name}.logits"), f32::from_le_bytes);
        let spread =
            golden.iter().copied().fold(f32::MIN, f32::max) - golden.iter().copied().fold(f32::MAX, f32::min);
        session.reset();
        let mut rows = golden.chunks_exact(golden.len() / positions.len()).zip(&positions).peekable();
        session
            .prefill_each(&ids, |at, logits| {
                let Some((row, _)) = rows.next_if(|(_, position)| **position as usize == at) else { return };
                assert_eq!(logits.len(), row.len());
                for (a, b) in logits.iter().zip(row) {
                    let difference = (a - b).abs() / spread;
                    assert!(difference.is_finite());
                    largest = largest.max(difference);
                    squares += f64::from(difference).powi(2);
                    count += 1;
                }
            })
            .expect("the prompt fits");
        assert!(rows.peek().is_none(), "{name}: a position was not reached");
    }
    (largest, (squares / count as f64).sqrt() as f32)
}

/// How many greedy answers are transformers', token by token to the end.
fn equal_answers(tensors: &SafeTensors, session: &mut Session) -> usize {
    names(tensors, ".prompt")
        .into_iter()
        .filter(|name| {
            let expected = numbers(tensors, &format!("{name}.answer"), u32::from_le_bytes);
            session.reset();
            session
                .prefill(&numbers(tensors, &format!("{name}.prompt"), u32::from_le_bytes))
                .expect("the prompt fits");
            expected.iter().all(|id| {
                let logits = session.logits();
                let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b]));
                let same = best == Some(*id as usize);
                session.decode(*id).expect("the context suffices");
                same
            })
        })
        .count()
}

/// On every kernel set: logits within (largest, root mean square) of the spread, and at least `answers` of the twelve
/// greedy answers to the last token. Bounds of the rounded types are a quarter above what was measured.
fn check(file_type: FileType, kv_type: TensorType, (most, most_rms): (f32, f32), answers: usize) {
    let file = std::fs::read(GOLDEN).expect("the fixture is there");
    let tensors = SafeTensors::deserialize(&file).expect("the fixture parses");
    assert_eq!((names(&tensors, ".ids").len(), names(&tensors, ".prompt").len()), (3, 12));
    for kernels in sets() {
        let options = SessionOptions { kv_type, threads: Some(2), ..Default::default() };
        let mut session = Session::new(model("demo", file_type, kernels), options).expect("a session");
        let (largest, rms) = differences(&tensors, &mut session);
        let equal = equal_answers(&tensors, &mut session);
        println!("{file_type} {}: largest {largest:.2e}, rms {rms:.2e}, {equal} equal answers", kernels.name);
        assert!(
            largest <= most && rms <= most_rms && equal >= answers,
            "{file_type} {}: {largest:.2e} (rms {rms:.2e}) of the spread, bound {most:.2e} ({most_rms:.2e}); {equal} equal answers, bound {answers}",
            kernels.name
        );
    }
}

/// Only the order of sums differs. Measured: 3.5e-7, root mean square 5.0e-8.
#[test]
fn float32_equals_transformers() {
    check(FileType::F32, TensorType::F32, (5.5e-7, 8e-8), 12);
}

/// The checkpoint is stored in bfloat16: keys and values in F16 alone differ. Measured: 1.4e-4, 1.7e-5.
#[test]
fn bfloat16_stays_within_what_was_measured() {
    check(FileType::BF16, TensorType::F16, (1.8e-4, 2.2e-5), 12);
}

/// Measured: 7.8e-3, 1.2e-3 and 5.3e-2, 9.5e-3.
#[test]
fn quantized_stays_within_what_was_measured() {
    check(FileType::Q8_0, TensorType::F16, (9.8e-3, 1.5e-3), 12);
    check(FileType::Q4_0, TensorType::F16, (6.7e-2, 1.2e-2), 12);
}
