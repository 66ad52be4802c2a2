//! `general.*`: what the model is called and under which licence it stands.
//!
//! Names are taken apart as llama.cpp's converter does (`gguf-py/gguf/metadata.py`), so that files carry the
//! same `general.name`, `general.basename`, `general.size_label`, …. Of the model card's front matter the
//! licence, tags, languages and base models are read, where they are written as plain scalars and lists.

use super::json;
use crate::error::Result;
use brooklet::gguf::{GgufWriter, Value as Gguf};
use std::path::Path;

/// Sets `general.*` for the checkpoint in `dir`; `stated_name` is config.json's `_name_or_path`.
pub(super) fn write(
    writer: &mut GgufWriter,
    dir: &Path,
    stated_name: Option<&str>,
    params: u64,
) -> Result<()> {
    let card = match json::read_text_optional(&dir.join("README.md"))? {
        Some(text) => front_matter(&text),
        None => Vec::new(),
    };
    let list = |key: &str| -> Vec<String> {
        card.iter().filter(|(k, _)| k == key).flat_map(|(_, v)| v).cloned().collect()
    };
    let first = |key: &str| list(key).into_iter().next();

    let mut id = Id::default();
    let stated = stated_name.filter(|n| !n.is_empty() && n.matches('/').count() <= 1);
    let directory = std::path::absolute(dir).ok();
    let directory = directory.as_deref().and_then(Path::file_name).map(|n| n.to_string_lossy());
    for source in stated.into_iter().chain(directory.as_deref()) {
        id.fill(Id::parse(source, params));
    }
    let size_label = id.size_label.unwrap_or_else(|| rounded(params));
    let text = [
        ("name", Some(title(&id.name.unwrap_or_else(|| "model".into())))),
        ("version", id.version),
        ("organization", id.organization.as_deref().map(title)),
        ("finetune", id.finetune),
        ("basename", id.basename),
        ("size_label", Some(size_label)),
        ("license", first("license")),
        ("license.name", first("license_name")),
        ("license.link", first("license_link")),
    ];
    for (key, value) in text {
        if let Some(value) = value {
            writer.set(&format!("general.{key}"), Gguf::String(&value));
        }
    }
    let bases = list("base_model");
    if !bases.is_empty() {
        writer.set("general.base_model.count", Gguf::U32(bases.len() as u32));
    }
    for (i, base) in bases.iter().enumerate() {
        let mut set = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                writer.set(&format!("general.base_model.{i}.{key}"), Gguf::String(&value));
            }
        };
        let url = base.contains("://").then(|| base.clone());
        let path = base.trim_start_matches("https://huggingface.co/");
        if url.is_some() && path.contains("://") {
            set("repo_url", url);
            continue;
        }
        let id = Id::parse(path, params);
        let repo = path.contains('/').then(|| format!("https://huggingface.co/{path}"));
        set("name", id.name.as_deref().map(title));
        set("version", id.version);
        set("organization", id.organization.as_deref().map(title));
        set("repo_url", url.or(repo));
    }
    for (key, fields) in [("tags", ["tags", "pipeline_tag"]), ("languages", ["languages", "language"])] {
        let values: Vec<String> = fields.iter().flat_map(|f| list(f)).collect();
        if !values.is_empty() {
            writer.set_strings(&format!("general.{key}"), values);
        }
    }
    Ok(())
}

/// A name such as `LiquidAI/LFM2-1.2B-Extract`, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
struct Id {
    name: Option<String>,
    organization: Option<String>,
    basename: Option<String>,
    finetune: Option<String>,
    version: Option<String>,
    size_label: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Unknown,
    Version,
    Type,
    Size,
    Finetune,
}

impl Id {
    /// Takes what is still missing from `other`.
    fn fill(&mut self, other: Id) {
        for (mine, theirs) in [
            (&mut self.name, other.name),
            (&mut self.organization, other.organization),
            (&mut self.basename, other.basename),
            (&mut self.finetune, other.finetune),
            (&mut self.version, other.version),
            (&mut self.size_label, other.size_label),
        ] {
            if mine.is_none() {
                *mine = theirs;
            }
        }
    }

    fn parse(id: &str, params: u64) -> Id {
        if id.contains(' ') {
            return Id { name: Some(id.to_string()), ..Id::default() };
        }
        let (organization, full) = id.split_once('/').map_or((None, id), |(o, n)| (Some(o), n));
        let organization = organization.filter(|o| !o.is_empty() && !o.starts_with('.'));
        let mut parts: Vec<(String, Part)> = full
            .split('-')
            .filter(|p| !p.is_empty())
            .enumerate()
            .map(|(i, part)| classify(part, i, params))
            .collect();
        // A size in words is no size beside one in numbers.
        let has_digits = |p: &str| p.chars().any(|c| c.is_ascii_digit());
        if parts.iter().any(|(p, kind)| *kind == Part::Size && has_digits(p)) {
            for (part, kind) in &mut parts {
                if *kind == Part::Size && part.chars().all(char::is_alphabetic) {
                    *kind = Part::Unknown;
                }
            }
        }
        // The base name is what leads: words, and versions that words follow.
        let leading = parts
            .iter()
            .take_while(|(part, kind)| {
                *kind == Part::Version
                    || (*kind == Part::Unknown && part.starts_with(|c: char| c.is_alphabetic()))
            })
            .count();
        let base = if leading == parts.len() {
            parts.iter().rposition(|(_, kind)| *kind != Part::Version).map_or(0, |i| i + 1)
        } else {
            leading
        };
        let join = |keep: &dyn Fn(usize, Part) -> bool| {
            let mut kept: Vec<&str> = Vec::new();
            for (i, (part, kind)) in parts.iter().enumerate() {
                if keep(i, *kind) {
                    kept.push(part);
                }
            }
            (!kept.is_empty()).then(|| kept.join("-"))
        };
        let finetune = join(&|i, kind| kind == Part::Finetune || (kind == Part::Unknown && i >= leading));
        let version = join(&|i, kind| kind == Part::Version && i >= base);
        let size_label = join(&|_, kind| kind == Part::Size);
        let ambiguous = finetune.is_none() && version.is_none() && size_label.is_none();
        let basename = join(&|i, _| i < base).filter(|_| !ambiguous);
        Id {
            name: Some(full.to_string()),
            organization: organization.map(str::to_string),
            basename,
            finetune,
            version,
            size_label,
        }
    }
}

fn classify(part: &str, index: usize, params: u64) -> (String, Part) {
    let lower = part.to_ascii_lowercase();
    if is_version(&lower) {
        return (part.to_string(), Part::Version);
    }
    if is_quant(&lower) {
        return (part.to_ascii_uppercase(), Part::Type);
    }
    if index > 0 && matches!(lower.as_str(), "chat" | "instruct" | "vision" | "lora") {
        return (part.to_string(), Part::Finetune);
    }
    if index > 0 && matches!(lower.as_str(), "small" | "mini" | "medium" | "large" | "xl" | "xxl") {
        return (part.to_string(), Part::Size);
    }
    if index > 0 && is_size(&lower) {
        return size(part, params);
    }
    (part.to_string(), Part::Unknown)
}

/// `350M` as a size, unless it is far from the model's: then it counts a context (`128k`).
fn size(part: &str, params: u64) -> (String, Part) {
    let mut text = part.replace('_', ".");
    if text.ends_with(|c: char| c.is_ascii_digit()) {
        // 7b1 is 7.1b.
        let digit = text.pop().unwrap_or('0');
        let unit = text.pop().unwrap_or('B');
        text.extend(['.', digit, unit]);
    }
    let unit = text.pop().unwrap_or('B').to_ascii_uppercase();
    let exponent = "KMBT".find(unit).map_or(0, |i| i as i32 + 1);
    let stated = text.parse::<f64>().map(|n| n * 1000f64.powi(exponent));
    let far = stated.is_ok_and(|n| params > 0 && (n - params as f64).abs() > (7 * params / 8) as f64);
    match far {
        true => (format!("{text}{}", unit.to_ascii_lowercase()), Part::Finetune),
        false => (format!("{text}{unit}"), Part::Size),
    }
}

/// `2`, `v1.5`, `iter3`, in small letters.
fn is_version(text: &str) -> bool {
    let rest = text.strip_prefix("iter").or_else(|| text.strip_prefix('v')).unwrap_or(text);
    rest.split('.').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// `q4_k_m`, `iq4_n`, `bf16`, `fp32`.
fn is_quant(text: &str) -> bool {
    let float = matches!(text, "f16" | "f32" | "fp16" | "fp32" | "bf16" | "bf32" | "bfp16" | "bfp32");
    let quant = text.strip_prefix('i').unwrap_or(text).strip_prefix('q').is_some_and(|rest| {
        let mut fields = rest.split('_');
        let one = |f: &str| f.chars().count() == 1;
        fields.next().is_some_and(|n| one(n) && n.bytes().all(|b| b.is_ascii_digit())) && fields.all(one)
    });
    float || quant
}

/// `350m`, `1.2b`, `8x7b`, `a1b`, `7b1`.
fn is_size(text: &str) -> bool {
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let text = match text.strip_prefix('a') {
        Some(rest) => rest,
        None => text.split_once('x').filter(|(n, _)| digits(n)).map_or(text, |(_, rest)| rest),
    };
    let Some(unit) = text.find(['k', 'm', 'b', 't']) else { return false };
    let (number, tail) = (&text[..unit], &text[unit + 1..]);
    let plain = match number.split_once(['.', '_']) {
        Some((whole, part)) => digits(whole) && digits(part),
        None => digits(number),
    };
    plain && tail.len() <= 1 && (tail.is_empty() || digits(tail))
}

/// `lfm2-my-tune` as `Lfm2 My Tune`; words that hold a capital, and versions, stay.
fn title(name: &str) -> String {
    let word = |w: &str| {
        let version =
            w.strip_prefix('v').is_some_and(is_version) || w.starts_with(|c: char| c.is_ascii_digit());
        if version || w.chars().any(char::is_uppercase) {
            return w.to_string();
        }
        let mut after_letter = false;
        w.chars()
            .flat_map(|c| {
                let first = !std::mem::replace(&mut after_letter, c.is_alphabetic());
                let upper: Vec<char> = if first { c.to_uppercase().collect() } else { vec![c] };
                upper
            })
            .collect()
    };
    name.replace('-', " ").split_whitespace().map(word).collect::<Vec<String>>().join(" ")
}

/// `354M`, `1.2B`: at least two digits.
fn rounded(params: u64) -> String {
    let (scale, unit) = match params {
        n if n > 1_000_000_000_000 => (1e-12, "T"),
        n if n > 1_000_000_000 => (1e-9, "B"),
        n if n > 1_000_000 => (1e-6, "M"),
        _ => (1e-3, "K"),
    };
    let value = params as f64 * scale;
    let digits = format!("{value:.0}").trim_start_matches('0').len();
    format!("{value:.*}{unit}", 2usize.saturating_sub(digits))
}

/// Plain scalars and lists of plain scalars of a model card's YAML; anything else is passed over.
fn front_matter(text: &str) -> Vec<(String, Vec<String>)> {
    let mut lines = text.lines();
    let mut out: Vec<(String, Vec<String>)> = Vec::new();
    if lines.next() != Some("---") {
        return out;
    }
    // Whether list items belong to the last key.
    let mut open = false;
    for line in lines.take_while(|l| *l != "---") {
        if let Some(item) = line.trim_start().strip_prefix("- ") {
            if let (true, Some(value), Some((_, values))) = (open, scalar(item), out.last_mut()) {
                values.push(value);
            }
            continue;
        }
        open = false;
        if line.starts_with([' ', '\t', '#']) {
            continue;
        }
        let Some((key, rest)) = line.split_once(':') else { continue };
        let inline = rest.trim().strip_prefix('[').and_then(|r| r.strip_suffix(']'));
        let values = match inline {
            Some(items) => items.split(',').filter_map(scalar).collect(),
            None => scalar(rest).into_iter().collect(),
        };
        open = rest.trim().is_empty();
        out.push((key.trim().to_string(), values));
    }
    out
}

/// A plain or quoted scalar; `None` for anything that YAML would read as something else.
fn scalar(text: &str) -> Option<String> {
    let text = text.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)) {
            return (!inner.contains(['\\', quote])).then(|| inner.to_string());
        }
    }
    let plain = !text.is_empty()
        && !text.starts_with(['|', '>', '&', '*', '!', '{', '[', '%', '@', '#', '"', '\'', '`'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !matches!(text, "~" | "null");
    plain.then(|| text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str, params: u64) -> [Option<String>; 4] {
        let id = Id::parse(text, params);
        [id.basename, id.size_label, id.finetune, id.version]
    }

    fn parts(expected: [&str; 4]) -> [Option<String>; 4] {
        expected.map(|p| (!p.is_empty()).then(|| p.to_string()))
    }

    /// Expected values: `gguf.Metadata.get_model_id_components` of gguf-py.
    #[test]
    fn names_come_apart() {
        for (name, params, expected) in [
            ("LFM2-350M", 354_483_968, ["LFM2", "350M", "", ""]),
            ("LFM2-1.2B", 1_170_340_608, ["LFM2", "1.2B", "", ""]),
            ("LFM2-1.2B-Extract", 1_170_340_608, ["LFM2", "1.2B", "Extract", ""]),
            ("LFM2.5-1.2B-Instruct", 1_170_340_608, ["LFM2.5", "1.2B", "Instruct", ""]),
            ("LFM2-A256", 5_000_000, ["", "", "", ""]),
            ("LFM2-350M-PII-v2-128k", 354_483_968, ["LFM2", "350M", "PII-128k", "v2"]),
            ("my-tune-v1.5", 1000, ["my-tune", "", "", "v1.5"]),
            ("tiny", 1000, ["", "", "", ""]),
            ("LFM2-350M-q4_K_M", 354_483_968, ["LFM2", "350M", "", ""]),
        ] {
            assert_eq!(id(name, params), parts(expected), "{name}");
        }
    }

    #[test]
    fn titles_and_sizes() {
        assert_eq!(title("LFM2-350M"), "LFM2 350M");
        assert_eq!(title("my-tune-v1.5"), "My Tune v1.5");
        assert_eq!(rounded(354_483_968), "354M");
        assert_eq!(rounded(1_170_340_608), "1.2B");
        assert_eq!(rounded(5_100_000), "5.1M");
        assert_eq!(rounded(999), "1.0K");
    }

    #[test]
    fn front_matter_reads_plain_values_only() {
        let card = "---\nlicense: other\nname: 'x y'\nlanguage:\n- en\n- ar\ntags: [a, b]\n\
                    nested:\n  key: value\ntext: |\n  more\n---\nlicense: no\n";
        let card = front_matter(card);
        let get = |key: &str| card.iter().find(|(k, _)| k == key).map(|(_, v)| v.join(","));
        assert_eq!(get("license").as_deref(), Some("other"));
        assert_eq!(get("name").as_deref(), Some("x y"));
        assert_eq!(get("language").as_deref(), Some("en,ar"));
        assert_eq!(get("tags").as_deref(), Some("a,b"));
        assert_eq!(get("nested").as_deref(), Some(""));
        assert_eq!(get("text").as_deref(), Some(""));
        assert!(front_matter("no front matter").is_empty());
    }
}
