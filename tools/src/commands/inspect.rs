//! `brooklet inspect`: show what a GGUF file holds.

use crate::gguf_info::{elements, file_type, n_params, tensor_bytes};
use crate::model_args::{SamplingArgs, describe, open_gguf, parse_model};
use crate::quality::receipt::Receipt;
use crate::terminal::{print_json, printable};
use crate::ui::{human_bytes, human_count, table};
use anyhow::Result;
use brooklet::Gguf;
use brooklet::gguf::{Array, Value};
use brooklet_kernels::TensorType;
use serde_json::{Map, json};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

/// Arguments of `brooklet inspect`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Works on every GGUF file, also on models that brooklet does not run. Shapes are as in the file, \
                  the row length first.\n\n\
                  With --json: version, size_bytes, parameters, tensor_bytes, bits_per_weight, metadata (every key \
                  of the file) and tensors (name, type, shape, offset, bytes). An array of more than 64 values \
                  becomes {\"len\": N, \"first\": [...]} unless --full is given.\n\n\
                  Examples:\n  brooklet inspect model.gguf\n  \
                  brooklet inspect model.gguf --json | jq .metadata"
)]
pub struct Args {
    /// The GGUF file, or hf:ORG/REPO:TYPE, as `brooklet pull` fetches it
    #[arg(value_name = "FILE", value_parser = parse_model)]
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Print long arrays and texts whole
    #[arg(long)]
    full: bool,
}

/// Arrays up to this length are always whole: one value a layer, for example.
const SHORT_ARRAY: usize = 64;
/// Values shown of a longer one.
const FIRST_VALUES: usize = 8;
/// Characters shown of a text, for people.
const SHORT_TEXT: usize = 72;

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let gguf = open_gguf(&args.file)?;
    if args.json {
        return print_json(&as_json(&gguf, args.full));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    for (name, value) in summary(&gguf) {
        writeln!(out, "{name:<16}{value}")?;
    }
    if let Some(receipt) = receipt(&gguf) {
        writeln!(out, "\nReceipt\n{}", indent(&receipt).trim_end_matches('\n'))?;
    }
    writeln!(out, "\nMetadata")?;
    for (key, value) in gguf.metadata() {
        writeln!(out, "  {} = {}", printable(key), for_people(value, args.full))?;
    }
    writeln!(out, "\nTensors by type\n{}", indent(&table(&totals(&gguf))))?;
    writeln!(out, "Tensors\n{}", indent(&table(&tensor_rows(&gguf))).trim_end_matches('\n'))?;
    Ok(out.flush()?)
}

fn as_json(gguf: &Gguf, full: bool) -> serde_json::Value {
    let metadata: Map<_, _> = gguf.metadata().map(|(k, v)| (k.to_string(), to_json(v, full))).collect();
    let tensors: Vec<_> = gguf
        .tensors()
        .iter()
        .map(|t| {
            json!({"name": t.name, "type": t.ty.name(), "shape": t.shape, "offset": t.offset, "bytes": t.len})
        })
        .collect();
    json!({
        "version": gguf.version(),
        "size_bytes": gguf.file_len(),
        "parameters": n_params(gguf),
        "tensor_bytes": tensor_bytes(gguf),
        "bits_per_weight": bits_per_weight(gguf),
        "metadata": metadata,
        "tensors": tensors,
    })
}

/// The lines at the top: what can be said of this file, in its own architecture's words.
fn summary(gguf: &Gguf) -> Vec<(&'static str, String)> {
    let text = |key: &str| gguf.get_str(key).ok().flatten().map(printable);
    let architecture = gguf.get_str("general.architecture").ok().flatten().unwrap_or_default();
    let number = |key: &str| gguf.get_usize(&format!("{architecture}.{key}")).ok().flatten();
    let count = |key: &str| number(key).map(|n| n.to_string());

    let mut size = human_bytes(gguf.file_len() as u64);
    if let Some(bits) = bits_per_weight(gguf) {
        size += &format!(", {bits:.2} bits a weight");
    }
    let tokenizer = text("tokenizer.ggml.model").map(|model| match text("tokenizer.ggml.pre") {
        Some(pre) => format!("{model}, pre-tokenizer {pre}"),
        None => model,
    });
    let template = match gguf.get_str("tokenizer.chat_template").ok().flatten() {
        Some(template) => format!("{} characters", template.chars().count()),
        None => "none".into(),
    };
    let vocab = gguf.get_array("tokenizer.ggml.tokens").ok().flatten().map(|a| a.len());
    let rows = [
        ("Name", text("general.name")),
        ("Architecture", Some(printable(architecture))),
        ("GGUF version", Some(gguf.version().to_string())),
        ("Size", Some(size)),
        ("Parameters", Some(human_count(n_params(gguf)))),
        ("File type", file_type(gguf)),
        ("LoRA", adapters(gguf)),
        ("Context", count("context_length")),
        ("Layers", layers(gguf, architecture)),
        ("Hidden size", count("embedding_length")),
        ("Feed-forward", count("feed_forward_length")),
        ("Heads", heads(gguf, architecture)),
        ("Conv kernel", count("shortconv.l_cache")),
        ("Vocabulary", vocab.or_else(|| number("vocab_size")).map(|n| n.to_string())),
        ("Tokenizer", tokenizer),
        ("Chat template", Some(template)),
        ("Sampling", Some(sampling(gguf))),
    ];
    rows.into_iter().filter_map(|(name, value)| Some((name, value.filter(|v| !v.is_empty())?))).collect()
}

/// The adapters that `convert --lora` merged.
fn adapters(gguf: &Gguf) -> Option<String> {
    let count = gguf.get_usize("brooklet.lora.count").ok()??;
    let name = |i| gguf.get_str(&format!("brooklet.lora.{i}.name")).ok().flatten().map(printable);
    let names: Vec<String> = (0..count).map_while(name).collect();
    (!names.is_empty()).then(|| format!("{}, merged", names.join(", ")))
}

/// What was measured of the file when it was made.
fn receipt(gguf: &Gguf) -> Option<String> {
    match Receipt::read(gguf) {
        Ok(receipt) => receipt.map(|r| format!("{}\n{}", r.extent(), table(&r.rows()))),
        Err(error) => Some(error.to_string()),
    }
}

/// A letter a layer: c for a short convolution, A for attention.
fn layers(gguf: &Gguf, architecture: &str) -> Option<String> {
    let count = gguf.get_usize(&format!("{architecture}.block_count")).ok()??;
    let Some(kv_heads) = kv_heads(gguf, architecture).filter(|k| k.len() == count && count <= 256) else {
        return Some(count.to_string());
    };
    let row: Vec<&str> = kv_heads.iter().map(|n| if *n == 0 { "c" } else { "A" }).collect();
    let attention = kv_heads.iter().filter(|n| **n > 0).count();
    Some(format!(
        "{count}: {} ({} short convolutions, {attention} attention)",
        row.join(" "),
        count - attention
    ))
}

fn heads(gguf: &Gguf, architecture: &str) -> Option<String> {
    let number = |key: &str| gguf.get_usize(&format!("{architecture}.{key}")).ok().flatten();
    let heads = number("attention.head_count")?;
    let kv = match kv_heads(gguf, architecture) {
        Some(list) => list.into_iter().max().map(|n| n.to_string()),
        None => number("attention.head_count_kv").map(|n| n.to_string()),
    };
    let head_dim = number("attention.key_length").or_else(|| number("embedding_length")?.checked_div(heads));
    let mut text = heads.to_string();
    if let Some(kv) = kv {
        text += &format!(" query, {kv} key/value");
    }
    if let Some(head_dim) = head_dim {
        text += &format!(", {head_dim} wide");
    }
    Some(text)
}

/// Key/value heads a layer, where the file lists them.
fn kv_heads(gguf: &Gguf, architecture: &str) -> Option<Vec<u64>> {
    let Value::Array(array) = gguf.get(&format!("{architecture}.attention.head_count_kv"))? else {
        return None;
    };
    array.iter().map(|v| to_json(v, true).as_u64()).collect()
}

fn sampling(gguf: &Gguf) -> String {
    let stated = gguf.metadata().any(|(key, _)| key.starts_with("general.sampling."));
    match SamplingArgs::default().config(gguf, 0) {
        Err(error) => format!("{error:#}"),
        Ok(config) => {
            let settings = describe(&config).replace(" --seed 0", "");
            if stated { settings } else { format!("not stated; brooklet uses {settings}") }
        }
    }
}

fn bits_per_weight(gguf: &Gguf) -> Option<f64> {
    let parameters = n_params(gguf);
    (parameters > 0).then(|| tensor_bytes(gguf) as f64 * 8.0 / parameters as f64)
}

fn totals(gguf: &Gguf) -> Vec<[String; 4]> {
    let mut rows = vec![["type", "tensors", "parameters", "size"].map(String::from)];
    for ty in TensorType::ALL {
        let (mut count, mut parameters, mut bytes) = (0, 0, 0);
        for tensor in gguf.tensors().iter().filter(|t| t.ty == ty) {
            count += 1;
            parameters += elements(&tensor.shape);
            bytes += tensor.len as u64;
        }
        if count > 0 {
            rows.push([ty.name().into(), count.to_string(), human_count(parameters), human_bytes(bytes)]);
        }
    }
    let all =
        [gguf.tensors().len().to_string(), human_count(n_params(gguf)), human_bytes(tensor_bytes(gguf))];
    let [count, parameters, bytes] = all;
    rows.push(["all".into(), count, parameters, bytes]);
    rows
}

fn tensor_rows(gguf: &Gguf) -> Vec<[String; 4]> {
    let header = ["name", "type", "shape", "size"].map(String::from);
    let row = |t: &brooklet::gguf::TensorInfo| {
        let shape: Vec<String> = t.shape.iter().map(usize::to_string).collect();
        [printable(&t.name), t.ty.name().into(), shape.join(" × "), human_bytes(t.len as u64)]
    };
    std::iter::once(header).chain(gguf.tensors().iter().map(row)).collect()
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// A value on one line.
fn for_people(value: Value<'_>, full: bool) -> String {
    match value {
        Value::String(text) if full || text.chars().nth(SHORT_TEXT).is_none() => {
            format!("\"{}\"", printable(text))
        }
        Value::String(text) => {
            let start: String = text.chars().take(SHORT_TEXT).collect();
            format!("\"{}…\" ({} characters)", printable(&start), text.chars().count())
        }
        Value::Array(array) => {
            let shown = shown_of(array, full);
            let items: Vec<String> = array.iter().take(shown).map(|v| for_people(v, full)).collect();
            let more =
                if shown < array.len() { format!(", … ({} in all)", array.len()) } else { String::new() };
            format!("[{}{more}]", items.join(", "))
        }
        scalar => match to_json(scalar, full) {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        },
    }
}

/// Elements of an array to show.
fn shown_of(array: Array<'_>, full: bool) -> usize {
    if full || array.len() <= SHORT_ARRAY { array.len() } else { FIRST_VALUES }
}

fn to_json(value: Value<'_>, full: bool) -> serde_json::Value {
    match value {
        Value::U8(v) => v.into(),
        Value::I8(v) => v.into(),
        Value::U16(v) => v.into(),
        Value::I16(v) => v.into(),
        Value::U32(v) => v.into(),
        Value::I32(v) => v.into(),
        Value::U64(v) => v.into(),
        Value::I64(v) => v.into(),
        Value::Bool(v) => v.into(),
        Value::String(v) => v.into(),
        // Through the shortest decimal form of an f32: 0.15, not 0.15000000596046448.
        Value::F32(v) => float_json(format!("{v:?}")),
        Value::F64(v) => float_json(format!("{v:?}")),
        Value::Array(array) => {
            let shown = shown_of(array, full);
            let items: Vec<_> = array.iter().take(shown).map(|v| to_json(v, full)).collect();
            if shown < array.len() { json!({"len": array.len(), "first": items}) } else { items.into() }
        }
    }
}

/// A JSON number, or a string where JSON has none (NaN, inf).
fn float_json(decimal: String) -> serde_json::Value {
    match decimal.parse().ok().and_then(serde_json::Number::from_f64) {
        Some(number) => number.into(),
        None => decimal.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_printed_short() {
        assert_eq!(for_people(Value::F32(1e-5), false), "0.00001");
        assert_eq!(for_people(Value::F32(0.15), false), "0.15");
        assert_eq!(for_people(Value::F32(f32::NAN), false), "NaN");
        assert_eq!(to_json(Value::F32(f32::INFINITY), false), json!("inf"));
    }

    #[test]
    fn long_and_hostile_texts_are_tamed() {
        assert_eq!(for_people(Value::String("a\u{1b}[31m\n"), false), "\"a\\u{1b}[31m\\n\"");
        let long = "é".repeat(100);
        let shown = for_people(Value::String(&long), false);
        assert_eq!(shown, format!("\"{}…\" (100 characters)", "é".repeat(72)));
        assert_eq!(for_people(Value::String(&long), true), format!("\"{long}\""));
    }
}
