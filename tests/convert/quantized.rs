//! Every type, from the checkpoint and from a float file.

use crate::checkpoint::{Checkpoint, HIDDEN, VOCAB};
use crate::checkpoints::{convert, different_keys, values};
use brooklet::Gguf;
use brooklet::gguf::{GgufWriter, TensorPlan, Value as Meta};
use brooklet_kernels::TensorType;
use brooklet_tools::convert::{self, Choice, FileType, Options};
use serde_json::json;
use std::fs;
use std::path::Path;

fn quantize(input: &Path, output: &Path, file_type: FileType) -> convert::Result<convert::Report> {
    convert::quantize(input, output, &Options { file_type, ..Default::default() })
}

/// Rows of 256 and of 96, an attention layer with 4 query heads a key/value head first, a head of its own.
fn checkpoint() -> Checkpoint {
    let mut out = Checkpoint::small()
        .set("hidden_size", json!(256))
        .set("num_attention_heads", json!(8))
        .set("full_attn_idxs", json!([0]))
        .set("tie_embedding", json!(false));
    out.tensors.clear();
    for name in ["model.embed_tokens.weight", "lm_head.weight"] {
        out.add(name, &[VOCAB, 256]);
    }
    out.add("model.embedding_norm.weight", &[256]);
    for layer in 0..3 {
        let mut add = |name: &str, shape: &[usize]| {
            out.add(&format!("model.layers.{layer}.{name}.weight"), shape);
        };
        add("operator_norm", &[256]);
        add("ffn_norm", &[256]);
        add("feed_forward.w1", &[96, 256]);
        add("feed_forward.w3", &[96, 256]);
        add("feed_forward.w2", &[256, 96]);
        if layer == 0 {
            add("self_attn.q_proj", &[256, 256]);
            add("self_attn.k_proj", &[64, 256]);
            add("self_attn.v_proj", &[64, 256]);
            add("self_attn.out_proj", &[256, 256]);
            add("self_attn.q_layernorm", &[32]);
            add("self_attn.k_layernorm", &[32]);
        } else {
            add("conv.in_proj", &[768, 256]);
            add("conv.conv", &[256, 1, 3]);
            add("conv.out_proj", &[256, 256]);
        }
    }
    out
}

/// The root mean square error of a type on values uniform in -1..1, as measured: a type that is encoded wrongly
/// is off by far more.
fn rms_bound(ty: TensorType) -> f64 {
    match ty {
        TensorType::F32 | TensorType::BF16 => 0.0,
        TensorType::F16 => 1e-4,
        TensorType::Q8_0 => 0.003,
        TensorType::Q6_K => 0.012,
        TensorType::Q5_K | TensorType::Q5_1 | TensorType::Q5_0 => 0.025,
        TensorType::Q4_K => 0.045,
        _ => 0.065,
    }
}

#[test]
fn every_type_stores_what_the_checkpoint_holds() {
    let source = convert(&checkpoint(), FileType::F32).gguf;
    let gqa = vec![4, 0, 0];
    for file_type in FileType::ALL {
        let converted = convert(&checkpoint(), file_type);
        let choice = Choice { file_type, tied: false, gqa: gqa.clone() };
        let mut checked = 0;
        for info in converted.gguf.tensors() {
            let float = info.shape.len() == 1 || info.name.contains("shortconv.conv");
            let expected = if float { TensorType::F32 } else { choice.matrix(&info.name, info.shape[0]) };
            assert_eq!(info.ty, expected, "{file_type} {}", info.name);
            let (x, y) = (values(&source, &info.name), values(&converted.gguf, &info.name));
            let squares: f64 = x.iter().zip(&y).map(|(a, b)| f64::from(a - b).powi(2)).sum();
            let rms = (squares / x.len() as f64).sqrt();
            assert!(rms <= rms_bound(info.ty), "{file_type} {} {}: {rms}", info.name, info.ty);
            checked += 1;
        }
        assert_eq!(checked, source.tensors().len());
        assert_eq!(converted.gguf.get_usize("general.file_type").unwrap(), Some(file_type.id() as usize));
        let report = converted.report;
        assert_eq!(report.bytes_out, converted.gguf.tensors().iter().map(|t| t.len as u64).sum::<u64>());
    }
}

/// From F32, and from BF16, which holds a BF16 checkpoint exactly.
#[test]
fn quantize_equals_convert() {
    let dir = tempfile::tempdir().expect("a directory");
    let (float, out) = (dir.path().join("float.gguf"), dir.path().join("out.gguf"));
    for from in [FileType::F32, FileType::BF16] {
        fs::write(&float, convert(&checkpoint(), from).bytes).expect("written");
        for to in FileType::ALL {
            let direct = convert(&checkpoint(), to);
            quantize(&float, &out, to).expect("it quantizes");
            let quantized = Gguf::open(&out).expect("it opens");
            assert!(different_keys(&quantized, &direct.gguf).is_empty(), "{from} {to}");
            assert_eq!(quantized.tensors(), direct.gguf.tensors(), "{from} {to}");
            assert!(fs::read(&out).expect("it reads") == direct.bytes, "{from} {to}");
        }
    }
}

#[test]
fn foreign_metadata_is_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let (float, out) = (dir.path().join("float.gguf"), dir.path().join("out.gguf"));
    let source = convert(&Checkpoint::small(), FileType::BF16).gguf;
    let mut writer = GgufWriter::new();
    writer.copy_metadata(&source);
    writer.set("some.vendor.key", Meta::F64(0.5));
    writer.set("general.alignment", Meta::U32(64));
    writer.set_strings("some.list", ["a", "b"]);
    writer.set("split.count", Meta::U16(1));
    // llama.cpp sorts tensors by name; any order will do.
    let mut infos: Vec<_> = source.tensors().iter().collect();
    infos.sort_by(|a, b| a.name.cmp(&b.name));
    let plans: Vec<TensorPlan> =
        infos.iter().map(|i| TensorPlan { name: i.name.clone(), ty: i.ty, shape: i.shape.clone() }).collect();
    let mut stream = writer.create(&float, &plans).expect("created");
    for info in &infos {
        stream.write(source.data(info)).expect("written");
    }
    stream.finish().expect("finished");

    quantize(&float, &out, FileType::Q8_0).expect("it quantizes");
    let (float, out) = (Gguf::open(&float).expect("it opens"), Gguf::open(&out).expect("it opens"));
    assert_eq!(different_keys(&float, &out), ["general.file_type", "split.count"]);
    assert_eq!(out.get_f32("some.vendor.key").unwrap(), Some(0.5));
    let direct = convert(&Checkpoint::small(), FileType::Q8_0).gguf;
    for info in direct.tensors() {
        assert_eq!(out.tensor(&info.name).unwrap().data, direct.data(info), "{}", info.name);
    }
}

#[test]
fn a_quantized_file_is_refused_unless_it_stays_what_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let (q8, out) = (dir.path().join("q8.gguf"), dir.path().join("out.gguf"));
    let bytes = convert(&Checkpoint::small(), FileType::Q8_0).bytes;
    fs::write(&q8, &bytes).expect("written");
    let error = quantize(&q8, &out, FileType::Q4_0).expect_err("it is quantized").to_string();
    assert!(
        error.contains("quantized already") && error.contains("token_embd") || error.contains("Q8_0"),
        "{error}"
    );
    assert!(!out.exists());
    quantize(&q8, &out, FileType::Q8_0).expect("nothing changes");
    assert!(fs::read(&out).expect("it reads") == bytes);
}

#[test]
fn a_file_of_something_else_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let (input, out) = (dir.path().join("in.gguf"), dir.path().join("out.gguf"));
    let source = convert(&Checkpoint::small(), FileType::BF16).gguf;
    type Edit = fn(&mut GgufWriter, &mut Vec<TensorPlan>);
    let cases: [(&str, Edit); 6] = [
        ("lfm2moe", |w, _| w.set("general.architecture", Meta::String("lfm2moe"))),
        ("parts", |w, _| w.set("split.count", Meta::U16(3))),
        ("blk.9.attn_norm.weight", |_, t| t[1].name = "blk.9.attn_norm.weight".into()),
        ("token_embd_norm.weight", |_, t| drop(t.pop())),
        ("expected shape [64, 300]", |_, t| t[0].shape = vec![HIDDEN, VOCAB - 1]),
        ("shortconv.l_cache", |w, _| w.remove("lfm2.shortconv.l_cache")),
    ];
    for (expected, edit) in cases {
        let mut writer = GgufWriter::new();
        writer.copy_metadata(&source);
        let mut plans: Vec<TensorPlan> = source
            .tensors()
            .iter()
            .map(|i| TensorPlan { name: i.name.clone(), ty: i.ty, shape: i.shape.clone() })
            .collect();
        edit(&mut writer, &mut plans);
        let mut stream = writer.create(&input, &plans).expect("created");
        for plan in &plans {
            let len = plan.ty.bytes_for(plan.shape.iter().product()).expect("a size");
            stream.write(&vec![0; len]).expect("written");
        }
        stream.finish().expect("finished");
        let error = quantize(&input, &out, FileType::Q4_0).expect_err(expected).to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(!out.exists());
    }
}
