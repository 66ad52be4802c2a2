//! Writes GGUF files, each with a JSON file of what is in it, for the independent reader in
//! `tests/oracle` to check:
//!
//! ```text
//! cargo test --test gguf_oracle && cargo test --manifest-path tests/oracle/Cargo.toml
//! ```
//!
//! They go to `target/oracle`, or to the folder that `BROOKLET_GGUF_DIR` names. What is expected is
//! put down from what went into the writer, not from what our reader finds.

use brooklet::Gguf;
use brooklet::gguf::{GgufWriter, TensorPlan, Value};
use brooklet_kernels::TensorType;
use serde_json::{Map, json};
use std::path::PathBuf;

/// A writer that remembers what it was told.
#[derive(Default)]
struct Witness {
    writer: GgufWriter,
    metadata: Map<String, serde_json::Value>,
    plans: Vec<TensorPlan>,
}

impl Witness {
    fn set(&mut self, key: &str, value: Value<'_>) {
        let json = match value {
            Value::U8(v) => json!(v),
            Value::I8(v) => json!(v),
            Value::U16(v) => json!(v),
            Value::I16(v) => json!(v),
            Value::U32(v) => json!(v),
            Value::I32(v) => json!(v),
            Value::F32(v) => json!(v),
            Value::Bool(v) => json!(v),
            Value::String(v) => json!(v),
            Value::U64(v) => json!(v),
            Value::I64(v) => json!(v),
            Value::F64(v) => json!(v),
            Value::Array(_) => panic!("arrays have setters of their own"),
        };
        self.metadata.insert(key.into(), json);
        self.writer.set(key, value);
    }

    fn set_strings(&mut self, key: &str, values: &[String]) {
        self.metadata.insert(key.into(), json!(values));
        self.writer.set_strings(key, values);
    }

    fn set_i32s(&mut self, key: &str, values: &[i32]) {
        self.metadata.insert(key.into(), json!(values));
        self.writer.set_i32s(key, values);
    }

    fn set_u32s(&mut self, key: &str, values: &[u32]) {
        self.metadata.insert(key.into(), json!(values));
        self.writer.set_u32s(key, values);
    }

    fn set_f32s(&mut self, key: &str, values: &[f32]) {
        self.metadata.insert(key.into(), json!(values));
        self.writer.set_f32s(key, values);
    }

    fn set_bools(&mut self, key: &str, values: &[bool]) {
        self.metadata.insert(key.into(), json!(values));
        self.writer.set_bools(key, values);
    }

    fn tensor(&mut self, name: &str, ty: TensorType, shape: &[usize]) {
        self.plans.push(TensorPlan { name: name.into(), ty, shape: shape.into() });
    }

    /// Writes `NAME.gguf` and `NAME.json`.
    fn write(self, name: &str, alignment: usize) {
        let dir = match std::env::var_os("BROOKLET_GGUF_DIR") {
            Some(dir) => PathBuf::from(dir),
            None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/oracle")),
        };
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join(name).with_extension("gguf");

        let mut stream = self.writer.create(&path, &self.plans).unwrap();
        let (mut data_len, mut tensors) = (0, vec![]);
        for plan in &self.plans {
            let elements: usize = plan.shape.iter().product();
            let len = elements / plan.ty.block_len() * plan.ty.block_bytes();
            let data: Vec<u8> = (0..len).map(|i| (i * 31 + data_len / 32) as u8).collect();
            stream.write(&data).unwrap();
            tensors.push((plan, data_len, data));
            data_len += len.next_multiple_of(alignment);
        }
        stream.finish().unwrap();

        // The data section is the end of the file.
        let data_start = std::fs::metadata(&path).unwrap().len() as usize - data_len;
        let rows: Vec<_> = tensors
            .iter()
            .map(|(plan, offset, data)| {
                json!({
                    "name": plan.name,
                    "type": plan.ty.name(),
                    "shape": plan.shape,
                    "offset": data_start + offset,
                    "bytes": data.len(),
                    "fnv1a": format!("{:016x}", fnv1a(data)),
                })
            })
            .collect();
        let expected = json!({ "version": 3, "metadata": self.metadata, "tensors": rows });
        std::fs::write(path.with_extension("json"), serde_json::to_vec_pretty(&expected).unwrap()).unwrap();

        let gguf = Gguf::open(&path).unwrap();
        assert_eq!(gguf.metadata().count(), self.metadata.len());
        for ((plan, offset, data), info) in tensors.iter().zip(gguf.tensors()) {
            assert_eq!((&info.name, info.offset), (&plan.name, data_start + offset));
            assert_eq!(gguf.data(info), data);
        }
    }
}

fn fnv1a(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[test]
fn every_kind_of_value() {
    let mut file = Witness::default();
    file.set("u8", Value::U8(255));
    file.set("i8", Value::I8(-128));
    file.set("u16", Value::U16(65_535));
    file.set("i16", Value::I16(-32_768));
    file.set("u32", Value::U32(u32::MAX));
    file.set("i32", Value::I32(i32::MIN));
    file.set("f32", Value::F32(1e-5));
    file.set("bool", Value::Bool(true));
    file.set("string", Value::String("ĠÄ \u{0}\n😀"));
    file.set("empty", Value::String(""));
    file.set("u64", Value::U64(u64::MAX));
    file.set("i64", Value::I64(i64::MIN));
    file.set("f64", Value::F64(0.1));
    file.set_strings("strings", &["".into(), "مرحبا".into(), "你好".into()]);
    file.set_strings("no strings", &[]);
    file.set_i32s("i32s", &[i32::MIN, 0, i32::MAX]);
    file.set_u32s("u32s", &[0, u32::MAX]);
    file.set_f32s("f32s", &[0.3, -0.0, 1e6, f32::MIN_POSITIVE]);
    file.set_bools("bools", &[true, false]);
    file.write("kinds", 32);
}

#[test]
fn every_type_of_tensor() {
    let mut file = Witness::default();
    file.set("general.alignment", Value::U32(64));
    for ty in TensorType::ALL {
        let row = ty.block_len() * 3;
        file.tensor(&format!("{ty}.1d"), ty, &[row]);
        file.tensor(&format!("{ty}.3d"), ty, &[row, 3, 2]);
    }
    file.tensor(&"n".repeat(63), TensorType::F32, &[1, 1, 1, 1]);
    file.write("types", 64);
}

/// The keys and names of an LFM2 model, with a vocabulary of the real size.
#[test]
fn a_model() {
    let mut file = Witness::default();
    file.set("general.architecture", Value::String("lfm2"));
    file.set("general.file_type", Value::U32(2));
    file.set("lfm2.block_count", Value::U32(2));
    file.set("lfm2.embedding_length", Value::U32(64));
    file.set_i32s("lfm2.attention.head_count_kv", &[0, 2]);
    file.set("lfm2.attention.layer_norm_rms_epsilon", Value::F32(1e-5));
    file.set("lfm2.rope.freq_base", Value::F32(1e6));
    file.set("lfm2.shortconv.l_cache", Value::U32(3));
    file.set("tokenizer.ggml.model", Value::String("gpt2"));
    file.set("tokenizer.ggml.pre", Value::String("lfm2"));
    file.set_strings("tokenizer.ggml.tokens", &(0..65_536).map(|i| format!("Ġ{i}")).collect::<Vec<_>>());
    file.set_i32s("tokenizer.ggml.token_type", &[1; 65_536]);
    file.set_strings("tokenizer.ggml.merges", &(0..63_683).map(|i| format!("Ġ{i} a")).collect::<Vec<_>>());
    file.set("tokenizer.ggml.add_bos_token", Value::Bool(true));
    file.set("tokenizer.chat_template", Value::String("{{ bos_token }}{% for m in messages %}…{% endfor %}"));
    file.tensor("token_embd.weight", TensorType::Q6_K, &[256, 100]);
    file.tensor("token_embd_norm.weight", TensorType::F32, &[256]);
    file.tensor("blk.0.shortconv.conv.weight", TensorType::F32, &[3, 256]);
    file.tensor("blk.0.shortconv.in_proj.weight", TensorType::Q4_0, &[256, 768]);
    file.tensor("blk.1.attn_q.weight", TensorType::Q4_0, &[256, 256]);
    file.write("model", 32);
}
