//! An independent reader, gguf-rs, holds the files that brooklet writes against what went into them.
//!
//! Beside every `NAME.gguf` in the folder lies a `NAME.json`:
//!
//! ```json
//! {"version": 3, "metadata": {"key": value, …},
//!  "tensors": [{"name": …, "type": "Q4_0", "shape": […], "offset": from the start of the file,
//!               "bytes": …, "fnv1a": a hash of the data in hexadecimal, which may be absent}, …]}
//! ```
//!
//! `brooklet inspect NAME.gguf --json --full` prints these fields too, among others.
//!
//! gguf-rs forgets the kind of a value, and its `Tensor::size` is wrong for several types: neither is
//! compared.

use gguf_rs::{ByteOrder, GGMLType, GGUFContainer, GGUFModel};
use serde_json::Value;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Compares a file with its expectations; the error says where they part.
pub fn compare(path: &Path) -> Result<(), String> {
    let expected = File::open(path.with_extension("json")).map_err(|e| format!("expectations: {e}"))?;
    let expected: Value = serde_json::from_reader(BufReader::new(expected)).map_err(|e| e.to_string())?;
    let model = read(path).map_err(|e| format!("gguf-rs: {e}"))?;

    same("version", &model.get_version(), &format!("v{}", expected["version"]))?;
    let metadata = expected["metadata"].as_object().ok_or("expectations lack metadata")?;
    same("keys", &model.metadata().len(), &metadata.len())?;
    for (key, expected) in metadata {
        let found = model.metadata().get(key).ok_or_else(|| format!("key '{key}' is missing"))?;
        if !same_value(found, expected) {
            return Err(format!("key '{key}': found {found}, expected {expected}"));
        }
    }

    let tensors = expected["tensors"].as_array().ok_or("expectations lack tensors")?;
    same("tensors", &model.tensors().len(), &tensors.len())?;
    let mut file = File::open(path).map_err(|e| e.to_string())?;
    for (found, expected) in model.tensors().iter().zip(tensors) {
        let what = |field: &str| format!("{field} of tensor '{}'", found.name);
        same(&what("name"), &Value::from(found.name.as_str()), &expected["name"])?;
        let ty = GGMLType::try_from(found.kind).map_err(|e| e.to_string())?;
        same(&what("type"), &Value::from(ty.to_string()), &expected["type"])?;
        same(&what("shape"), &Value::from(found.shape.clone()), &expected["shape"])?;
        let offset = model.data_offset() + found.offset;
        same(&what("offset"), &Value::from(offset), &expected["offset"])?;
        if let Some(hash) = expected["fnv1a"].as_str() {
            let len = expected["bytes"].as_u64().ok_or_else(|| what("bytes"))?;
            let mut data = vec![];
            file.seek(SeekFrom::Start(offset)).map_err(|e| e.to_string())?;
            Read::by_ref(&mut file).take(len).read_to_end(&mut data).map_err(|e| e.to_string())?;
            same(&what("bytes"), &(data.len() as u64), &len)?;
            same(&what("data"), &format!("{:016x}", fnv1a(&data)).as_str(), &hash)?;
        }
    }
    Ok(())
}

/// Reads all of every array, which gguf-rs's own functions do not, and buffered.
fn read(path: &Path) -> Result<GGUFModel, Box<dyn std::error::Error>> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut magic = [0; 4];
    reader.read_exact(&mut magic)?;
    if magic != *b"GGUF" {
        return Err(format!("magic {magic:?}").into());
    }
    Ok(GGUFContainer::new(ByteOrder::LE, Box::new(reader), u64::MAX).decode()?)
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: found {found:?}, expected {expected:?}")) }
}

/// Equal, floats to the precision of an f32: its shortest form has fewer digits than an f64's.
fn same_value(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => {
            if found.is_f64() || expected.is_f64() {
                found.as_f64().map(|v| v as f32) == expected.as_f64().map(|v| v as f32)
            } else {
                found == expected
            }
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| same_value(f, e))
        }
        _ => found == expected,
    }
}

fn fnv1a(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
