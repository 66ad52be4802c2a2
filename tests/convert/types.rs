//! Tensor types against llama-quantize's own choices, recorded by fixtures/types/make.py.

use brooklet_kernels::TensorType;
use brooklet_tools::convert::{Choice, FileType};
use serde_json::Value;
use std::path::Path;

fn fixtures() -> Vec<(String, Value)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/types");
    let mut out: Vec<(String, Value)> = std::fs::read_dir(dir)
        .expect("the fixtures are there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let text = std::fs::read_to_string(path).expect("it reads");
            (name, serde_json::from_str(&text).expect("it parses"))
        })
        .collect();
    out.sort_by(|a, b| a.0.cmp(&b.0));
    out
}

fn choice(fixture: &Value, file_type: FileType) -> Choice {
    let gqa = fixture["gqa"].as_array().expect("a list");
    Choice {
        file_type,
        tied: fixture["tied"].as_bool().expect("a bool"),
        gqa: gqa.iter().map(|g| g.as_u64().expect("a number") as usize).collect(),
    }
}

/// Norms and convolution kernels, which are F32 whatever the file's type.
fn is_float(name: &str) -> bool {
    name.ends_with("_norm.weight") || name.ends_with("shortconv.conv.weight")
}

#[test]
fn every_tensor_gets_llama_cpp_s_type() {
    let mut checked = 0;
    for (shape, fixture) in fixtures() {
        for (file_type, by_type) in fixture["types"].as_object().expect("an object") {
            let choice = choice(&fixture, file_type.parse().expect("a type"));
            // Null where llama-quantize refuses the shape.
            for (expected, names) in by_type.as_object().into_iter().flatten() {
                for name in names.as_array().expect("a list") {
                    let name = name.as_str().expect("a name");
                    let row_len = fixture["row_lengths"][name].as_u64().expect("a length") as usize;
                    let found = match is_float(name) {
                        true => TensorType::F32,
                        false => choice.matrix(name, row_len),
                    };
                    assert_eq!(found.name(), expected, "{shape} {file_type} {name}");
                    checked += 1;
                }
            }
        }
    }
    // Seven shapes of 8 types and one of 2, of 32 to 269 tensors.
    assert_eq!(checked, 7024, "the fixtures have changed: write down their number");
}

/// llama-quantize gives up on rows that are no multiple of 32; its converter takes F16, and so do we.
#[test]
fn rows_that_no_block_divides_become_f16() {
    let (_, fixture) = fixtures().into_iter().find(|(name, _)| name == "hidden-40").expect("it is there");
    for file_type in FileType::ALL {
        let choice = choice(&fixture, file_type);
        let expected = if file_type.base().is_quantized() { TensorType::F16 } else { file_type.base() };
        assert_eq!(choice.matrix("token_embd.weight", 40), expected);
        assert_eq!(choice.matrix("blk.0.attn_v.weight", 40), expected);
    }
}

#[test]
fn names_read_back() {
    for file_type in FileType::ALL {
        assert_eq!(file_type.name().parse(), Ok(file_type));
        assert_eq!(file_type.name().to_uppercase().parse(), Ok(file_type));
    }
    let error = "q3_k".parse::<FileType>().expect_err("there is no such type");
    assert!(error.contains("q3_k") && error.contains("q4_k_m"), "{error}");
}
