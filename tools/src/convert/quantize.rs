//! Float GGUF files to quantized ones.

use super::error::{ConvertError, Result};
use super::file_type::split_layer;
use super::pipeline::{self, Job, Source};
use super::{Choice, Options, QUANTIZATION_VERSION, Report, check_output};
use brooklet::Gguf;
use brooklet::gguf::{GgufWriter, TensorInfo, TensorPlan, Value};
use brooklet::model::tensors::{LFM2, Role};
use brooklet_kernels::TensorType;
use std::path::Path;
use std::time::Instant;

/// Converts the float LFM2 file `input` (F32, F16 or BF16, brooklet's or llama.cpp's) to `out`, which is
/// replaced if it is there. All metadata is kept. A tensor that already has its type is copied.
///
/// # Errors
/// An invalid file, another architecture, an unknown tensor, a tensor that is quantized already, or
/// a file that cannot be read or written.
pub fn quantize(input: &Path, out: &Path, options: &Options) -> Result<Report> {
    let start = Instant::now();
    let gguf = Gguf::open(input)?;
    check_output(out, std::iter::once(input))?;
    match gguf.get_str("general.architecture")? {
        Some("lfm2") => {}
        other => {
            let reason = format!("its general.architecture is {}", other.unwrap_or("missing"));
            return Err(ConvertError::NotLfm2 { path: input.to_path_buf(), reason });
        }
    }
    if let Some(parts @ 2..) = gguf.get_usize("split.count")? {
        let what = format!("one of {parts} parts of a split file");
        return Err(ConvertError::unsupported(input, what + " (merge them with llama-gguf-split --merge)"));
    }
    let choice = Choice {
        file_type: options.file_type,
        tied: gguf.tensor("output.weight").is_none(),
        gqa: gqa(input, &gguf)?,
    };
    let jobs: Vec<Job> = gguf
        .tensors()
        .iter()
        .map(|info| {
            let ty = match role(&info.name) {
                None => {
                    let (expected, found) = ("only tensors of LFM2", "an unknown one");
                    return Err(ConvertError::tensor(input, &info.name, expected, found));
                }
                // Left as they are, as llama-quantize leaves them.
                Some(Role::Float) => info.ty,
                Some(Role::Matrix) => choice.matrix(&info.name, info.shape[0]),
            };
            check_float(input, info, ty)?;
            Ok(Job {
                plan: TensorPlan { name: info.name.clone(), ty, shape: info.shape.clone() },
                source: Source::Gguf(&gguf, info),
                path: input.to_path_buf(),
                name: info.name.clone(),
            })
        })
        .collect::<Result<_>>()?;

    let mut writer = GgufWriter::new();
    writer.copy_metadata(&gguf);
    writer.set("general.file_type", Value::U32(options.file_type.id()));
    writer.set("general.quantization_version", Value::U32(QUANTIZATION_VERSION));
    for key in ["split.no", "split.count", "split.tensors.count"] {
        writer.remove(key);
    }
    let plans: Vec<TensorPlan> = jobs.iter().map(|job| job.plan.clone()).collect();
    pipeline::run(&jobs, writer.create(out, &plans)?, options)?;
    Ok(Report::new(out, &jobs, start, Vec::new()))
}

/// A quantized tensor may stay what it is, but not become another.
fn check_float(path: &Path, info: &TensorInfo, to: TensorType) -> Result<()> {
    if !info.ty.is_quantized() || info.ty == to {
        return Ok(());
    }
    let found = format!("{}: the file is quantized already, start from a float one", info.ty);
    Err(ConvertError::tensor(path, &info.name, "F32, F16 or BF16", found))
}

/// The role of a GGUF tensor by name.
fn role(name: &str) -> Option<Role> {
    let (layer, tensor) = split_layer(name).map_or((false, name), |(_, tensor)| (true, tensor));
    let row = LFM2.iter().find(|row| match row.gguf.strip_prefix("blk.{}.") {
        Some(rest) => layer && rest == tensor,
        None => !layer && row.gguf == tensor,
    })?;
    Some(row.role)
}

/// Query heads a key/value head, a layer, from `lfm2.attention.*`.
fn gqa(path: &Path, gguf: &Gguf) -> Result<Vec<usize>> {
    let require = |key: &str| -> Result<usize> {
        gguf.get_usize(key)?.ok_or_else(|| ConvertError::field(path, key, "a number", "nothing"))
    };
    let layers = require("lfm2.block_count")?;
    let heads = require("lfm2.attention.head_count")?;
    let key = "lfm2.attention.head_count_kv";
    let bad = |found: &dyn std::fmt::Display| {
        ConvertError::field(path, key, format!("a list of {layers} numbers"), found)
    };
    let array = gguf.get_array(key)?.ok_or_else(|| bad(&"nothing"))?;
    if array.len() != layers || layers == 0 {
        return Err(bad(&array.len()));
    }
    let per_layer = |value: Value| match value.as_usize() {
        Some(kv) => Ok(heads.checked_div(kv).unwrap_or(0)),
        None => Err(bad(&"something else")),
    };
    array.iter().map(per_layer).collect()
}
