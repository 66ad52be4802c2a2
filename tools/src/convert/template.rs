//! The checkpoint's chat templates.

use super::json;
use crate::error::{ConvertError, Result};
use brooklet::gguf::{GgufWriter, Value as Gguf};
use serde_json::{Map, Value};
use std::path::Path;

/// A default template and others by name.
#[derive(Debug, Default)]
pub(super) struct ChatTemplates {
    default: Option<String>,
    named: Vec<(String, String)>,
}

/// Reads the templates where transformers finds them: chat_template.jinja (and additional_chat_templates/)
/// counts more than the field in tokenizer_config.json; chat_template.json is the oldest place.
pub(super) fn read(
    dir: &Path,
    config: &Map<String, Value>,
    warnings: &mut Vec<String>,
) -> Result<ChatTemplates> {
    let config_path = dir.join("tokenizer_config.json");
    let mut out = ChatTemplates::default();
    match config.get("chat_template") {
        Some(value) => out.add(&config_path, value)?,
        None => {
            let path = dir.join("chat_template.json");
            if let Some(old) = json::read_optional::<Map<String, Value>>(&path)? {
                out.add(&path, old.get("chat_template").unwrap_or(&Value::Null))?;
            }
        }
    }
    if let Some(text) = json::read_text_optional(&dir.join("chat_template.jinja"))? {
        if out.default.as_ref().is_some_and(|other| *other != text) {
            warnings
                .push("chat_template.jinja is taken; tokenizer_config.json holds another template".into());
        }
        out = ChatTemplates { default: Some(text), named: Vec::new() };
        let extra = dir.join("additional_chat_templates");
        if extra.is_dir() {
            let mut paths: Vec<_> = std::fs::read_dir(&extra)
                .and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect())
                .map_err(ConvertError::io("read", &extra))?;
            paths.sort();
            for path in paths.iter().filter(|p| p.extension().is_some_and(|e| e == "jinja")) {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                if let Some(text) = json::read_text_optional(path)? {
                    out.named.push((key_name(&name), text));
                }
            }
        }
    }
    Ok(out)
}

impl ChatTemplates {
    /// A text, or a list of `{name, template}`.
    fn add(&mut self, path: &Path, value: &Value) -> Result<()> {
        let bad = || ConvertError::field(path, "chat_template", "text or a list of {name, template}", value);
        match value {
            Value::Null => {}
            Value::String(text) => self.default = Some(text.clone()),
            Value::Array(list) => {
                for entry in list {
                    let name = entry["name"].as_str().filter(|n| !n.is_empty()).ok_or_else(bad)?;
                    let text = entry["template"].as_str().ok_or_else(bad)?.to_string();
                    match name {
                        "default" => self.default = Some(text),
                        name => self.named.push((key_name(name), text)),
                    }
                }
            }
            _ => return Err(bad()),
        }
        Ok(())
    }

    /// Sets the keys.
    pub fn write(&self, writer: &mut GgufWriter) {
        for (name, text) in &self.named {
            writer.set(&format!("tokenizer.chat_template.{name}"), Gguf::String(text));
        }
        if !self.named.is_empty() {
            writer.set_strings("tokenizer.chat_templates", self.named.iter().map(|(name, _)| name));
        }
        if let Some(text) = &self.default {
            writer.set("tokenizer.chat_template", Gguf::String(text));
        }
    }
}

/// A name as it may stand in a key.
fn key_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}
