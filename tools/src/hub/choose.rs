//! Which of a repository's files make the model that was asked for.

use super::list::{FileList, RemoteFile};
use super::name::HubName;
use crate::convert::FileType;
use crate::hint::HintExt;
use anyhow::{Result, anyhow, ensure};

/// What to fetch.
#[derive(Debug, PartialEq, Eq)]
pub enum Choice<'a> {
    /// A GGUF file, which runs as it is.
    Gguf(&'a RemoteFile),
    /// A checkpoint, to be converted to this type.
    Checkpoint(FileType),
}

/// The types taken where none is asked for, the first that is there.
const DEFAULTS: [&str; 2] = ["Q4_K_M", "Q4_0"];

/// What beside the weights makes a checkpoint.
const CHECKPOINT: [&str; 9] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "README.md",
    INDEX,
];
const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";

/// Chooses.
///
/// # Errors
/// Nothing fits, or more than one thing does; the file is split.
pub fn choose<'a>(list: &'a FileList, name: &HubName) -> Result<Choice<'a>> {
    let ggufs: Vec<&RemoteFile> = list.files.iter().filter(|f| is_model(&f.name)).collect();
    let has_weights = list.get(SINGLE).or(list.get(INDEX)).is_some();
    let fits = |ty: &str| ggufs.iter().copied().filter(|f| has_type(&f.name, ty)).collect::<Vec<_>>();
    let found = match &name.file_type {
        Some(ty) => fits(ty),
        None => {
            let default = DEFAULTS.into_iter().map(fits).find(|found| !found.is_empty());
            default.unwrap_or_else(|| ggufs.clone())
        }
    };
    if found.is_empty() && has_weights {
        let Some(ty) = &name.file_type else {
            return Ok(Choice::Checkpoint(crate::convert::Options::default().file_type));
        };
        let ty = ty
            .parse()
            .map_err(|e| anyhow!("{} holds no GGUF file of type {ty}, only a checkpoint: {e}", name.id()));
        return Ok(Choice::Checkpoint(ty?));
    }
    let [file] = found[..] else {
        return Err(anyhow!("{}: {}", name.id(), unclear(name, &ggufs, found.len(), &list.others))).hint(
            || {
                format!(
                    "ask for a type, as {}:Q4_0; the files are listed on the repository's page",
                    name.id()
                )
            },
        );
    };
    ensure!(
        !is_split(&file.name),
        "{}: {} is one part of a split GGUF file; brooklet reads models of one file",
        name.id(),
        file.name
    );
    Ok(Choice::Gguf(file))
}

/// The files of a checkpoint, config.json first.
///
/// # Errors
/// The repository has no config.json or no safetensors.
pub fn checkpoint<'a>(list: &'a FileList, name: &HubName) -> Result<Vec<&'a RemoteFile>> {
    let sharded = list.get(INDEX).is_some();
    let is_weights = |n: &str| match sharded {
        true => n.starts_with("model-") && n.ends_with(".safetensors"),
        false => n == SINGLE,
    };
    let mut files: Vec<&RemoteFile> = CHECKPOINT.iter().filter_map(|n| list.get(n)).collect();
    let small = files.len();
    files.extend(list.files.iter().filter(|f| is_weights(&f.name)));
    ensure!(
        files.len() > small && files[0].name == "config.json",
        "{} is no checkpoint: expected config.json and {SINGLE} or its parts, found {}",
        name.id(),
        names(list.files.iter().map(|f| &*f.name))
    );
    Ok(files)
}

/// Why there is not one file.
fn unclear(name: &HubName, ggufs: &[&RemoteFile], found: usize, others: &[String]) -> String {
    let wanted = name.file_type.as_ref().map_or(String::new(), |ty| format!(" of type {ty}"));
    let there = names(ggufs.iter().map(|f| &*f.name));
    let others = match others {
        [] => String::new(),
        [first, ..] => format!(
            "; not counting {} in folders or with characters beside letters, digits, '.', '_', '-', as '{first}'",
            others.len()
        ),
    };
    match found {
        0 => format!("expected a GGUF file{wanted}, found {there}{others}"),
        n => format!("expected one GGUF file{wanted}, found {n} of {there}"),
    }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 20;
    let all: Vec<&str> = names.collect();
    match all.len() {
        0 => "none".into(),
        n if n > MOST => format!("{}, and {} more", all[..MOST].join(", "), n - MOST),
        _ => all.join(", "),
    }
}

/// A GGUF file that is not the part of a model that looks at images.
fn is_model(name: &str) -> bool {
    name.to_lowercase().ends_with(".gguf") && !name.to_lowercase().starts_with("mmproj")
}

/// `LFM2-350M-Q4_0.gguf` and `lfm2.q4_0.gguf` have the type Q4_0; so have the parts of a split file.
fn has_type(name: &str, ty: &str) -> bool {
    let (stem, ty) = (unsplit(stem(name)).to_lowercase(), ty.to_lowercase());
    stem.strip_suffix(&ty).is_some_and(|front| front.is_empty() || front.ends_with(['-', '.']))
}

fn stem(name: &str) -> &str {
    &name[..name.len() - ".gguf".len()]
}

fn is_split(name: &str) -> bool {
    unsplit(stem(name)) != stem(name)
}

/// Without `-00001-of-00003`.
fn unsplit(stem: &str) -> &str {
    let number = |n: &str| n.len() == 5 && n.bytes().all(|b| b.is_ascii_digit());
    let parts = stem.rsplit_once("-of-").and_then(|(front, count)| {
        let (front, index) = front.rsplit_once('-')?;
        (number(count) && number(index)).then_some(front)
    });
    parts.unwrap_or(stem)
}

#[cfg(test)]
mod tests {
    use super::super::list::Digest;
    use super::*;

    fn list(names: &[&str]) -> FileList {
        let file =
            |n: &&str| RemoteFile { name: n.to_string(), size: 1, digest: Digest::GitBlob("0".repeat(40)) };
        FileList {
            commit: "0".repeat(40),
            files: names.iter().map(file).collect(),
            others: vec!["Q8_0/a.gguf".into()],
        }
    }

    #[track_caller]
    fn chosen(names: &[&str], wanted: &str) -> Result<String> {
        let list = list(names);
        choose(&list, &wanted.parse()?).map(|choice| match choice {
            Choice::Gguf(file) => file.name.clone(),
            Choice::Checkpoint(ty) => format!("convert to {ty}"),
        })
    }

    const FILES: [&str; 4] =
        ["LFM2-350M-F16.gguf", "LFM2-350M-Q4_0.gguf", "LFM2-350M-Q4_K_M.gguf", "mmproj-F16.gguf"];
    const WEIGHTS: [&str; 2] = ["config.json", "model.safetensors"];

    #[test]
    fn the_type_is_the_end_of_the_name() {
        assert_eq!(chosen(&FILES, "a/b:q4_0").unwrap(), "LFM2-350M-Q4_0.gguf");
        assert_eq!(chosen(&FILES, "a/b:F16").unwrap(), "LFM2-350M-F16.gguf");
        assert_eq!(chosen(&["m.q8_0.gguf"], "a/b:Q8_0").unwrap(), "m.q8_0.gguf");
        for missing in ["a/b:Q8_0", "a/b:0", "a/b:K_M", "a/b:BF16"] {
            let error = format!("{:#}", chosen(&FILES, missing).unwrap_err());
            assert!(error.contains("LFM2-350M-Q4_K_M.gguf") && error.contains("Q8_0/a.gguf"), "{error}");
        }
    }

    #[test]
    fn without_a_type_a_default_or_the_only_one() {
        assert_eq!(chosen(&FILES, "a/b").unwrap(), "LFM2-350M-Q4_K_M.gguf");
        assert_eq!(chosen(&FILES[..2], "a/b").unwrap(), "LFM2-350M-Q4_0.gguf");
        assert_eq!(chosen(&FILES[..1], "a/b").unwrap(), "LFM2-350M-F16.gguf");
        assert!(chosen(&["a-Q5_0.gguf", "a-Q8_0.gguf"], "a/b").is_err());
        assert!(chosen(&["b-Q4_0.gguf", "a-Q4_0.gguf"], "a/b:Q4_0").is_err());
    }

    #[test]
    fn checkpoints_are_converted_where_no_file_fits() {
        assert_eq!(chosen(&WEIGHTS, "a/b").unwrap(), "convert to q4_0");
        assert_eq!(chosen(&WEIGHTS, "a/b:Q4_K_M").unwrap(), "convert to q4_k_m");
        assert_eq!(chosen(&[&FILES[..], &WEIGHTS].concat(), "a/b:q8_0").unwrap(), "convert to q8_0");
        assert_eq!(chosen(&[&FILES[..], &WEIGHTS].concat(), "a/b").unwrap(), "LFM2-350M-Q4_K_M.gguf");
        assert!(chosen(&WEIGHTS, "a/b:q2_k").unwrap_err().to_string().contains("q4_k_m"));
        assert!(chosen(&["README.md"], "a/b").is_err());
    }

    #[test]
    fn split_files_are_refused() {
        let error = chosen(&["a-Q4_0-00001-of-00001.gguf"], "a/b:Q4_0").unwrap_err();
        assert!(error.to_string().contains("split"), "{error}");
    }

    #[test]
    fn a_checkpoint_is_its_config_tokenizer_and_weights() {
        let name = "a/b".parse().unwrap();
        let pick = |names: &[&str]| {
            let list = list(names);
            checkpoint(&list, &name).map(|files| files.iter().map(|f| f.name.clone()).collect::<Vec<_>>())
        };
        let all = ["x.bin", "model.safetensors", "other.safetensors", "tokenizer.json", "config.json"];
        assert_eq!(pick(&all).unwrap(), ["config.json", "tokenizer.json", "model.safetensors"]);
        let shards = ["config.json", INDEX, "model-00001-of-00002.safetensors", "model.safetensors"];
        assert_eq!(pick(&shards).unwrap(), ["config.json", INDEX, "model-00001-of-00002.safetensors"]);
        assert!(pick(&["model.safetensors"]).is_err() && pick(&["config.json"]).is_err());
    }
}
