//! adapter_config.json: which modules an adapter changes, and how strongly.
//!
//! Fields, defaults and matching are those of PEFT's `LoraConfig`. What PEFT would compute otherwise than
//! W + B·A·scale, or DoRA's rescaling of that, is refused by its name.

use crate::convert::json;
use crate::error::{ConvertError, Result, short};
use fancy_regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Ranks beyond this are no low rank.
const MAX_RANK: u64 = 4096;

/// Entries of a list or of a table of patterns.
const MAX_ENTRIES: usize = 1024;

/// Bytes of a regular expression, of what it compiles to, and steps back that matching it may take.
const MAX_PATTERN: usize = 4096;
const MAX_COMPILED: usize = 256 << 10;
const MAX_STEPS: usize = 100_000;

/// What adapter_config.json says.
#[derive(Debug)]
pub struct AdapterConfig {
    /// The model that it was trained on, as far as it is stated.
    pub base_model: Option<String>,
    /// The rank where no pattern says otherwise.
    pub r: usize,
    /// What is divided by the rank, or with `use_rslora` by its root, to give the scale.
    pub lora_alpha: f64,
    /// Whether rows are rescaled to a learned length.
    pub use_dora: bool,
    /// Whether embedding and output head were adapted as one.
    pub ensure_weight_tying: bool,
    /// What the user should know.
    pub warnings: Vec<String>,
    use_rslora: bool,
    rank_pattern: Vec<(Pattern, usize)>,
    alpha_pattern: Vec<(Pattern, f64)>,
    target: Option<Names>,
    exclude: Option<Names>,
    layers: Option<Vec<u64>>,
    layers_pattern: Vec<Pattern>,
    save: Vec<String>,
}

/// Module names, as `target_modules` gives them.
#[derive(Debug)]
enum Names {
    /// The last parts of their paths.
    Ends(Vec<String>),
    /// Whole paths.
    Pattern(Pattern),
    /// Every linear layer but the output head.
    AllLinear,
}

/// A regular expression and where it comes from.
#[derive(Debug)]
struct Pattern {
    regex: Regex,
    path: PathBuf,
    field: String,
}

/// Settings under which PEFT computes something else. They may be absent, null, false or empty.
const REFUSED: &[(&str, &str)] = &[
    ("lora_bias", "a bias has no place in LFM2, and PEFT does not merge it either"),
    ("target_parameters", "LFM2 has no bare parameters to adapt"),
    ("layer_replication", "the result would have other layers than the checkpoint"),
    ("alora_invocation_tokens", "an Activated LoRA holds for a part of the text and cannot be merged"),
    ("trainable_token_indices", "merge it with PEFT's merge_and_unload, save, and convert the result"),
    ("use_qalora", "PEFT does not merge QALoRA either"),
    ("use_bdlora", "merge it with PEFT's merge_and_unload, save, and convert the result"),
    ("arrow_config", "it chooses between adapters as it runs and cannot be merged"),
    (
        "kasa_config",
        "it changes the base weights: merge it with PEFT's merge_and_unload, save, and convert the result",
    ),
    ("velora_config", "merge it with PEFT's merge_and_unload, save, and convert the result"),
    ("monteclora_config", "merge it with PEFT's merge_and_unload, save, and convert the result"),
    ("megatron_config", "its layers are not those of the checkpoint"),
];

/// Fields that say nothing about the result of a merge.
const IGNORED: &[&str] = &[
    "auto_mapping",
    "peft_version",
    "revision",
    "task_type",
    "inference_mode",
    "lora_dropout",
    "megatron_core",
    "qalora_group_size",
    "runtime_config",
    "loftq_config",
    "eva_config",
    "corda_config",
    "lora_ga_config",
];

/// Initializations that leave the base weights as they are.
const PLAIN_INITS: [&str; 4] = ["gaussian", "eva", "orthogonal", "mica"];

impl AdapterConfig {
    /// Reads `dir/adapter_config.json`.
    ///
    /// # Errors
    /// No such file, JSON that does not parse, another kind of adapter than LoRA, a field of the wrong kind
    /// or out of range, or a setting that cannot be merged or is not known.
    pub fn read(dir: &Path) -> Result<AdapterConfig> {
        let path = dir.join("adapter_config.json");
        AdapterConfig::from_json(&path, &json::read(&path)?)
    }

    /// Validates a parsed adapter_config.json; `path` is for messages.
    ///
    /// # Errors
    /// As [`AdapterConfig::read`].
    pub fn from_json(path: &Path, value: &Value) -> Result<AdapterConfig> {
        let Value::Object(map) = value else {
            return Err(ConvertError::field(path, "file", "a JSON object", short(&value.to_string())));
        };
        let fields = Fields { path: path.to_path_buf(), map };
        match fields.get("peft_type").map(|v| v.as_str()) {
            Some(Some("LORA")) => {}
            Some(Some(other)) => {
                return Err(ConvertError::unsupported(
                    path,
                    format!("peft_type {other}: only LORA is merged, which"),
                ));
            }
            _ => return Err(ConvertError::field(path, "peft_type", "\"LORA\"", fields.shown("peft_type"))),
        }
        fields.check_settings()?;
        let mut warnings = Vec::new();
        if fields.boolean("fan_in_fan_out")? {
            warnings.push(
                "fan_in_fan_out holds for no layer of LFM2: PEFT takes it for false, and so does this".into(),
            );
        }
        let layers = match fields.get("layers_to_transform") {
            None => None,
            Some(Value::Array(list)) if list.is_empty() => None,
            Some(value) => Some(fields.numbers("layers_to_transform", value)?),
        };
        let target = fields.names("target_modules")?;
        if layers.is_some() && matches!(target, Some(Names::Pattern(_) | Names::AllLinear)) {
            let found = fields.shown("layers_to_transform");
            return Err(ConvertError::field(
                path,
                "layers_to_transform",
                "it only where target_modules is a list",
                found,
            ));
        }
        Ok(AdapterConfig {
            base_model: fields.get("base_model_name_or_path").and_then(Value::as_str).map(short),
            r: fields.rank("r", fields.get("r"))?.unwrap_or(8),
            lora_alpha: fields.number("lora_alpha", fields.get("lora_alpha"))?.unwrap_or(8.0),
            use_rslora: fields.boolean("use_rslora")?,
            use_dora: fields.boolean("use_dora")?,
            ensure_weight_tying: fields.boolean("ensure_weight_tying")?,
            rank_pattern: fields.patterns("rank_pattern", Fields::rank)?,
            alpha_pattern: fields.patterns("alpha_pattern", Fields::number)?,
            target,
            exclude: fields.names("exclude_modules")?,
            layers,
            layers_pattern: fields.layers_pattern()?,
            save: fields.list("modules_to_save")?,
            warnings,
        })
    }

    /// The rank and the scale of a module, by its path: `model.layers.0.conv.in_proj`.
    ///
    /// # Errors
    /// A pattern that takes too long to match.
    pub fn rank_and_scale(&self, module: &str) -> Result<(usize, f32)> {
        let r = first_match(&self.rank_pattern, module)?.unwrap_or(self.r);
        let alpha = first_match(&self.alpha_pattern, module)?.unwrap_or(self.lora_alpha);
        let divisor = if self.use_rslora { (r as f64).sqrt() } else { r as f64 };
        Ok((r, (alpha / divisor) as f32))
    }

    /// Whether LoRA changes the module of this path. `linear` is false for embeddings and the output head.
    ///
    /// # Errors
    /// As [`AdapterConfig::rank_and_scale`].
    pub fn targets(&self, module: &str, linear: bool) -> Result<bool> {
        let Some(target) = &self.target else { return Ok(false) };
        let saved = |outer: &str| self.save.iter().any(|name| ends_with_name(outer, name));
        if lies_within(module, saved) || matches!(&self.exclude, Some(names) if names.hold(module, linear)?) {
            return Ok(false);
        }
        let by_layer = matches!(target, Names::Ends(_)) && self.layers.is_some();
        Ok(target.hold(module, linear)? && (!by_layer || self.layer_is_meant(module)?))
    }

    /// Whether the module of this path, or one that it lies in, is replaced as a whole.
    ///
    /// As PEFT has it, a name is the end of a path, in the middle of a word too: `norm` is every norm.
    pub fn saves(&self, module: &str) -> bool {
        self.save.iter().any(|name| lies_within(module, |outer| outer.ends_with(name.as_str())))
    }

    /// A name of `modules_to_save` that none of these modules has.
    pub fn unsaved(&self, modules: &[&str]) -> Option<&str> {
        let names = self.save.iter().map(String::as_str);
        names
            .into_iter()
            .find(|name| !modules.iter().any(|module| lies_within(module, |outer| outer.ends_with(name))))
    }

    /// Whether `layers_to_transform` has the layer of this module.
    fn layer_is_meant(&self, module: &str) -> Result<bool> {
        let mut index = None;
        for pattern in &self.layers_pattern {
            index = pattern.captured(module)?;
            if index.is_some() {
                break;
            }
        }
        if self.layers_pattern.is_empty() {
            // As in `model.layers.7.conv.in_proj`.
            index = module.split('.').nth(2);
        }
        let layers = self.layers.as_deref().unwrap_or_default();
        Ok(index.and_then(|index| index.parse().ok()).is_some_and(|index| layers.contains(&index)))
    }
}

impl Pattern {
    fn matches(&self, module: &str) -> Result<bool> {
        self.regex.is_match(module).map_err(|e| self.error(e))
    }

    /// What the group `idx` matches.
    fn captured<'a>(&self, module: &'a str) -> Result<Option<&'a str>> {
        let captures = self.regex.captures(module).map_err(|e| self.error(e))?;
        Ok(captures.and_then(|c| c.name("idx")).map(|m| m.as_str()))
    }

    fn error(&self, e: fancy_regex::Error) -> ConvertError {
        let found = format!("{}: {e}", self.regex.as_str());
        ConvertError::field(&self.path, &self.field, "a regular expression that matches in short time", found)
    }
}

/// PEFT's `get_pattern_key`: the first pattern that matches the end of the path.
fn first_match<T: Copy>(patterns: &[(Pattern, T)], module: &str) -> Result<Option<T>> {
    for (pattern, value) in patterns {
        if pattern.matches(module)? {
            return Ok(Some(*value));
        }
    }
    Ok(None)
}

/// Whether `path` is `name` or ends in `.name`.
fn ends_with_name(path: &str, name: &str) -> bool {
    path.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Whether `holds` for the module `path` or one that it lies in.
fn lies_within(path: &str, holds: impl Fn(&str) -> bool) -> bool {
    let mut ends = path.match_indices('.').map(|(i, _)| i).chain([path.len()]);
    ends.any(|end| holds(&path[..end]))
}

impl Names {
    fn hold(&self, module: &str, linear: bool) -> Result<bool> {
        match self {
            Names::Ends(names) => Ok(names.iter().any(|name| ends_with_name(module, name))),
            Names::Pattern(pattern) => pattern.matches(module),
            Names::AllLinear => Ok(linear),
        }
    }
}

/// The fields of the config.
struct Fields<'a> {
    path: PathBuf,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// A field that is there and not null.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|v| !v.is_null())
    }

    fn shown(&self, name: &str) -> String {
        self.map.get(name).map_or("none".into(), |v| short(&v.to_string()))
    }

    fn error(&self, name: &str, expected: impl Into<String>, found: &Value) -> ConvertError {
        ConvertError::field(&self.path, name, expected, found)
    }

    /// Refuses what cannot be merged and what is not known, unless it is off.
    fn check_settings(&self) -> Result<()> {
        const READ: [&str; 16] = [
            "peft_type",
            "base_model_name_or_path",
            "r",
            "lora_alpha",
            "use_rslora",
            "use_dora",
            "rank_pattern",
            "alpha_pattern",
            "target_modules",
            "exclude_modules",
            "layers_to_transform",
            "layers_pattern",
            "modules_to_save",
            "fan_in_fan_out",
            "init_lora_weights",
            "ensure_weight_tying",
        ];
        for (name, value) in self.map {
            let off = match value {
                Value::Null | Value::Bool(false) => true,
                Value::Array(list) => list.is_empty(),
                Value::Object(map) => map.is_empty(),
                _ => false,
            };
            if off || READ.contains(&name.as_str()) || IGNORED.contains(&name.as_str()) {
                continue;
            }
            let shown = short(&value.to_string());
            if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| refused == name) {
                return Err(ConvertError::unsupported(&self.path, format!("{name} = {shown} ({why})")));
            }
            if name == "bias" {
                if value.as_str() != Some("none") {
                    let what = format!("bias = {shown} (LFM2's layers have none)");
                    return Err(ConvertError::unsupported(&self.path, what));
                }
                continue;
            }
            return Err(ConvertError::unsupported(
                &self.path,
                format!(
                    "the field {name} = {shown}, which brooklet does not know and which may change the result,"
                ),
            ));
        }
        self.check_init()
    }

    /// Some initializations take their first A and B out of the base weights.
    fn check_init(&self) -> Result<()> {
        let Some(init) = self.get("init_lora_weights") else { return Ok(()) };
        let plain = match init {
            Value::Bool(_) => true,
            Value::String(name) => PLAIN_INITS.contains(&name.as_str()),
            _ => return Err(self.error("init_lora_weights", "true, false or a name", init)),
        };
        if plain {
            return Ok(());
        }
        Err(ConvertError::unsupported(
            &self.path,
            format!(
                "init_lora_weights = {init}, which changes the base weights too (merge it with PEFT's \
                 merge_and_unload, save, and convert the result),"
            ),
        ))
    }

    fn boolean(&self, name: &str) -> Result<bool> {
        let Some(value) = self.get(name) else { return Ok(false) };
        value.as_bool().ok_or_else(|| self.error(name, "true or false", value))
    }

    fn rank(&self, name: &str, value: Option<&Value>) -> Result<Option<usize>> {
        let Some(value) = value else { return Ok(None) };
        match value.as_u64().filter(|n| (1..=MAX_RANK).contains(n)) {
            Some(n) => Ok(Some(n as usize)),
            None => Err(self.error(name, format!("a whole number from 1 to {MAX_RANK}"), value)),
        }
    }

    fn number(&self, name: &str, value: Option<&Value>) -> Result<Option<f64>> {
        let Some(value) = value else { return Ok(None) };
        match value.as_f64().filter(|x| (*x as f32).is_finite()) {
            Some(x) => Ok(Some(x)),
            None => Err(self.error(name, "a number", value)),
        }
    }

    fn numbers(&self, name: &str, value: &Value) -> Result<Vec<u64>> {
        let list = match value {
            Value::Array(list) => list.iter().map(Value::as_u64).collect(),
            one => one.as_u64().map(|n| vec![n]),
        };
        list.filter(|l: &Vec<u64>| l.len() <= MAX_ENTRIES)
            .ok_or_else(|| self.error(name, "a whole number or a list of them", value))
    }

    /// A list of texts; empty where the field is absent.
    fn list(&self, name: &str) -> Result<Vec<String>> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        let texts = value.as_array().filter(|l| l.len() <= MAX_ENTRIES).and_then(|list| {
            list.iter().map(|v| v.as_str().filter(|s| !s.is_empty()).map(String::from)).collect()
        });
        texts.ok_or_else(|| self.error(name, "a list of names", value))
    }

    fn names(&self, name: &str) -> Result<Option<Names>> {
        Ok(match self.get(name) {
            None => None,
            Some(Value::String(text))
                if name == "target_modules" && text.eq_ignore_ascii_case("all-linear") =>
            {
                Some(Names::AllLinear)
            }
            Some(Value::String(text)) => Some(Names::Pattern(self.regex(name, &format!("^(?:{text})$"))?)),
            Some(_) => Some(Names::Ends(self.list(name)?)),
        })
    }

    fn layers_pattern(&self) -> Result<Vec<Pattern>> {
        const NAME: &str = "layers_pattern";
        let names = match self.get(NAME) {
            Some(Value::String(text)) if text.is_empty() => Vec::new(),
            Some(Value::String(text)) => vec![text.clone()],
            _ => self.list(NAME)?,
        };
        names
            .iter()
            .map(|name| self.regex(NAME, &format!(r"^(?:(?:^|.*?\.){name}\.(?P<idx>\d+)\.)")))
            .collect()
    }

    fn patterns<T>(
        &self,
        name: &str,
        value_of: impl Fn(&Self, &str, Option<&Value>) -> Result<Option<T>>,
    ) -> Result<Vec<(Pattern, T)>> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        let map = value.as_object().filter(|m| m.len() <= MAX_ENTRIES);
        let map = map.ok_or_else(|| self.error(name, "an object of patterns", value))?;
        let mut out = Vec::new();
        for (pattern, value) in map {
            let regex = self.regex(name, &format!(r"^(.*\.)?({pattern})$"))?;
            let field = format!("{name}.{pattern}");
            let Some(value) = value_of(self, &field, Some(value))? else { continue };
            out.push((regex, value));
        }
        Ok(out)
    }

    fn regex(&self, name: &str, pattern: &str) -> Result<Pattern> {
        let expected = format!("a regular expression of up to {MAX_PATTERN} bytes");
        if pattern.len() > MAX_PATTERN {
            return Err(ConvertError::field(&self.path, name, expected, format!("{} bytes", pattern.len())));
        }
        let mut builder = RegexBuilder::new(pattern);
        builder
            .delegate_size_limit(MAX_COMPILED)
            .delegate_dfa_size_limit(MAX_COMPILED)
            .backtrack_limit(MAX_STEPS);
        match builder.build() {
            Ok(regex) => Ok(Pattern { regex, path: self.path.clone(), field: name.to_string() }),
            Err(e) => Err(ConvertError::field(&self.path, name, expected, format!("{pattern}: {e}"))),
        }
    }
}
