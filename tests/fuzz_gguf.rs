//! Mutated GGUF files: no panic, no huge allocation, and an accepted file keeps its promises.

#[path = "common/alloc.rs"]
mod alloc;
#[path = "common/mutate.rs"]
mod mutate;
#[path = "common/raw_gguf.rs"]
mod raw_gguf;
#[path = "common/target_gguf.rs"]
mod target;

use brooklet::gguf::{GgufWriter, TensorPlan, Value};
use brooklet_kernels::TensorType;
use raw_gguf::{Raw, kind, string};

#[global_allocator]
static ALLOC: alloc::Counting = alloc::Counting;

#[test]
fn mutated_files_are_refused_or_sound() {
    let words: [&[u8]; 7] =
        [b"GGUF", b"general.alignment", b"tok", b"\xff\xfe", &[9, 0, 0, 0], &[8, 0, 0, 0], &[0; 8]];
    let mut largest = 0;
    let (cases, accepted) = mutate::run(&seeds(), &words, |bytes| {
        let (accepted, peak) = alloc::peak_during(|| target::gguf(bytes));
        // The copy of the input, its index, and messages.
        assert!(peak <= (1 << 20) + 32 * bytes.len(), "{peak} bytes allocated for {}", bytes.len());
        largest = largest.max(peak);
        accepted
    });
    println!("{cases} cases, {accepted} accepted, at most {largest} bytes allocated");
    if cases >= 1000 {
        // Neither noise that never gets past the header nor edits that never matter.
        assert!((cases / 50..cases / 2).contains(&accepted), "{accepted} of {cases} accepted");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let all_kinds = Raw::new()
        .key("u8", kind::U8, &[1])
        .key("i8", kind::I8, &[1])
        .key("u16", kind::U16, &[1; 2])
        .key("i16", kind::I16, &[1; 2])
        .key("u32", kind::U32, &[1; 4])
        .key("i32", kind::I32, &[1; 4])
        .key("f32", kind::F32, &[1; 4])
        .key("bool", kind::BOOL, &[1])
        .key("string", kind::STRING, &string("text"))
        .key("u64", kind::U64, &[1; 8])
        .key("i64", kind::I64, &[1; 8])
        .key("f64", kind::F64, &[1; 8])
        .array("u8s", kind::U8, 3, &[1; 3])
        .array("f64s", kind::F64, 2, &[1; 16])
        .array("bools", kind::BOOL, 4, &[0, 1, 1, 0])
        .array("strings", kind::STRING, 3, &[string(""), string("é"), string("tok")].concat());
    let version_2 = Raw { version: 2, alignment: 64, ..Raw::new() }
        .key("general.alignment", kind::U32, &64u32.to_le_bytes())
        .tensor("a", &[5, 1, 2, 2], 0, 64)
        .tensor("b", &[7], 1, 0)
        .data([0; 144]);
    vec![model(), all_kinds.bytes(), version_2.bytes(), Raw::new().bytes()]
}

/// What the converter writes, in small.
fn model() -> Vec<u8> {
    let mut writer = GgufWriter::new();
    writer.set("general.architecture", Value::String("lfm2"));
    writer.set("lfm2.block_count", Value::U32(3));
    writer.set("lfm2.rope.freq_base", Value::F32(1e6));
    writer.set_u32s("lfm2.attention.head_count_kv", &[0, 0, 2]);
    writer.set_strings("tokenizer.ggml.tokens", (0..32).map(|i| format!("Ġ{i}")));
    writer.set_i32s("tokenizer.ggml.token_type", &[1; 32]);
    writer.set_bools("flags", &[true, false]);
    let plans: Vec<_> = TensorType::ALL
        .into_iter()
        .map(|ty| TensorPlan { name: format!("blk.0.{ty}.weight"), ty, shape: vec![ty.block_len(), 2] })
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("seed.gguf");
    let mut stream = writer.create(&path, &plans).unwrap();
    for plan in &plans {
        stream.write(&vec![7; 2 * plan.ty.block_bytes()]).unwrap();
    }
    stream.finish().unwrap();
    std::fs::read(&path).unwrap()
}
