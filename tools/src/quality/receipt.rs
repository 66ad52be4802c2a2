//! The receipt: what a quantized model lost against the weights that it was made of, measured when it was made and kept in
//! its file, with texts and their ids by which its tokenizer can be checked.

use super::divergence::Comparison;
use super::perplexity::Estimate;
use crate::terminal::printable;
use brooklet::gguf::{GgufWriter, TensorPlan, Value};
use brooklet::tokenizer::Special;
use brooklet::{Gguf, Tokenizer};
use sha2::{Digest, Sha256};
use std::path::Path;

/// What can go wrong with a receipt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// A key that is there and is not what a receipt has.
    #[error("metadata {key}: expected {expected}, found {found}: the receipt is damaged; make the file anew")]
    Key {
        /// The key.
        key: String,
        /// What a receipt has there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// The file says nothing of how its tokenizer should work.
    #[error(
        "the file has no self-test of its tokenizer (brooklet.self_test.*): make it with `brooklet convert --receipt TEXT`"
    )]
    NoSelfTest,
    /// A text that becomes other tokens than it should.
    #[error(
        "the tokenizer is not the one that the file was made with: {text:?} should be tokens {expected:?}, but is {found:?}"
    )]
    OtherIds {
        /// The text.
        text: String,
        /// Its ids when the file was made.
        expected: Vec<u32>,
        /// Its ids now.
        found: Vec<u32>,
    },
    /// A file that cannot be read or written.
    #[error(transparent)]
    Gguf(#[from] brooklet::Error),
}

type Result<T> = std::result::Result<T, ReceiptError>;

/// A figure of a receipt: its key below [`RECEIPT`], its name for people, and where it comes from.
struct Figure {
    key: &'static str,
    name: &'static str,
    decimals: usize,
    percent: bool,
    of: fn(&Comparison) -> (f64, Option<f64>),
}

const RECEIPT: &str = "brooklet.receipt.";
const SELF_TEST: &str = "brooklet.self_test.";

const FIGURES: [Figure; 7] = [
    figure("perplexity", "perplexity", 4, false, |c| estimate(c.perplexity)),
    figure("base_perplexity", "perplexity of the float weights", 4, false, |c| estimate(c.base_perplexity)),
    figure("perplexity_ratio", "ratio of the two", 5, false, |c| estimate(c.ratio)),
    figure("kl_divergence", "KL divergence, mean", 6, false, |c| estimate(c.kl_divergence.mean)),
    figure("kl_divergence.median", "KL divergence, median", 6, false, |c| (c.kl_divergence.median, None)),
    figure("kl_divergence.p99", "KL divergence, 99 %", 6, false, |c| (c.kl_divergence.p99, None)),
    figure("same_top", "same top token", 3, true, |c| estimate(c.same_top)),
];

const fn figure(
    key: &'static str,
    name: &'static str,
    decimals: usize,
    percent: bool,
    of: fn(&Comparison) -> (f64, Option<f64>),
) -> Figure {
    Figure { key, name, decimals, percent, of }
}

fn estimate(e: Estimate) -> (f64, Option<f64>) {
    (e.value, Some(e.error))
}

/// What was measured of a file when it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// The name of the text's file.
    pub text: String,
    /// The SHA-256 of the text, in hexadecimal digits.
    pub sha256: String,
    /// Windows of it that were taken.
    pub windows: u32,
    /// Tokens of a window.
    pub context: u32,
    /// Tokens that were predicted.
    pub scored: u32,
    /// The value of each of the figures, with its standard error where it has one.
    figures: [(f64, Option<f64>); FIGURES.len()],
}

impl Receipt {
    /// Of a comparison on the text of a file of this name.
    pub fn new(name: &str, text: &str, comparison: &Comparison) -> Receipt {
        let extent = comparison.extent;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Receipt {
            text: name.to_string(),
            sha256: Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect(),
            windows: count(extent.windows),
            context: count(extent.context),
            scored: count(extent.scored),
            figures: FIGURES.map(|figure| (figure.of)(comparison)),
        }
    }

    /// Sets its keys.
    pub fn write(&self, writer: &mut GgufWriter) {
        let mut set = |key: &str, value: Value<'_>| writer.set(&format!("{RECEIPT}{key}"), value);
        set("text", Value::String(&self.text));
        set("text.sha256", Value::String(&self.sha256));
        set("windows", Value::U32(self.windows));
        set("context", Value::U32(self.context));
        set("scored", Value::U32(self.scored));
        for (figure, (value, error)) in FIGURES.iter().zip(self.figures) {
            set(figure.key, Value::F64(value));
            if let Some(error) = error {
                set(&format!("{}.error", figure.key), Value::F64(error));
            }
        }
    }

    /// The receipt of a file, where it has one.
    ///
    /// # Errors
    /// A key that lacks or has another type.
    pub fn read(gguf: &Gguf) -> Result<Option<Receipt>> {
        if gguf.get(&format!("{RECEIPT}text")).is_none() {
            return Ok(None);
        }
        let text = |key: &str| match get(gguf, RECEIPT, key) {
            (_, Some(Value::String(text))) => Ok(text.to_string()),
            (key, found) => Err(other(key, "a text", found)),
        };
        let count = |key: &str| match get(gguf, RECEIPT, key) {
            (_, Some(Value::U32(n))) => Ok(n),
            (key, found) => Err(other(key, "a u32", found)),
        };
        let number = |key: &str| match get(gguf, RECEIPT, key) {
            (_, Some(Value::F64(x))) => Ok(x),
            (key, found) => Err(other(key, "an f64", found)),
        };
        let mut figures = [(0.0, None); FIGURES.len()];
        for (figure, (value, error)) in FIGURES.iter().zip(&mut figures) {
            let error_key = format!("{}.error", figure.key);
            *value = number(figure.key)?;
            *error = gguf.get(&format!("{RECEIPT}{error_key}")).map(|_| number(&error_key)).transpose()?;
        }
        Ok(Some(Receipt {
            text: text("text")?,
            sha256: text("text.sha256")?,
            windows: count("windows")?,
            context: count("context")?,
            scored: count("scored")?,
            figures,
        }))
    }

    /// What it was measured on, on a line.
    pub fn extent(&self) -> String {
        let Receipt { text, sha256, windows, context, scored, .. } = self;
        let sha256: String = printable(sha256).chars().take(12).collect();
        format!(
            "{windows} windows of {context} tokens of {} (SHA-256 {sha256}…), {scored} tokens scored, beside the float weights",
            printable(text)
        )
    }

    /// Its figures, a row each.
    pub fn rows(&self) -> Vec<[String; 2]> {
        FIGURES
            .iter()
            .zip(self.figures)
            .map(|(Figure { name, decimals, percent, .. }, (value, error))| {
                let (scale, unit) = if *percent { (100.0, " %") } else { (1.0, "") };
                let error = error.map_or(String::new(), |e| format!(" ± {:.decimals$}", scale * e));
                [name.to_string(), format!("{:.decimals$}{error}{unit}", scale * value)]
            })
            .collect()
    }
}

fn get<'a>(gguf: &'a Gguf, prefix: &str, key: &str) -> (String, Option<Value<'a>>) {
    let key = format!("{prefix}{key}");
    let value = gguf.get(&key);
    (key, value)
}

fn other(key: String, expected: &'static str, found: Option<Value<'_>>) -> ReceiptError {
    let found = found.map_or("no such key".into(), |value| format!("{value:?}").chars().take(60).collect());
    ReceiptError::Key { key, expected, found }
}

/// Texts with the ids that they should become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfTest {
    cases: Vec<(String, Vec<u32>)>,
}

/// What tokenizers are known to get wrong: blanks and line ends, contractions, digits, accents composed and decomposed,
/// scripts without blanks, emoji of several characters.
const TEXTS: [&str; 8] = [
    "Hello, world!",
    "  two blanks,\n\n\ta tab \r\nand an end ",
    "I'm sure they'll SAY IT'S we've",
    "1234567 3.14 0x1F 12:45",
    "naïve café, nai\u{308}ve cafe\u{301}",
    "日本語のテキスト и русский, العربية",
    "👩‍🚀🇫🇷 ✓ – “quoted” … €5",
    "fn main() { println!(\"{}\", x[0] != y); } // done",
];

impl SelfTest {
    /// Of a file's tokenizer as it is now.
    ///
    /// # Errors
    /// A file without a tokenizer that brooklet takes.
    pub fn of(gguf: &Gguf) -> Result<SelfTest> {
        let tokenizer = Tokenizer::from_gguf(gguf)?;
        let case = |text: &str| Ok((text.to_string(), tokenizer.encode(text, Special::Plain)?));
        Ok(SelfTest { cases: TEXTS.into_iter().map(case).collect::<Result<_>>()? })
    }

    /// How many texts there are.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Sets its keys: the texts, and the ids of each as decimal numbers with blanks between them.
    pub fn write(&self, writer: &mut GgufWriter) {
        let ids = |ids: &[u32]| ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        writer.set_strings(&format!("{SELF_TEST}texts"), self.cases.iter().map(|(text, _)| text));
        writer.set_strings(&format!("{SELF_TEST}ids"), self.cases.iter().map(|(_, i)| ids(i)));
    }

    /// The self-test of a file, where it has one.
    ///
    /// # Errors
    /// A key that lacks or has another type; lists of different lengths.
    pub fn read(gguf: &Gguf) -> Result<Option<SelfTest>> {
        if gguf.get(&format!("{SELF_TEST}texts")).is_none() {
            return Ok(None);
        }
        let strings = |key: &str| -> Result<Vec<String>> {
            let (key, found) = get(gguf, SELF_TEST, key);
            let Some(Value::Array(array)) = found else { return Err(other(key, "texts", found)) };
            let text = |value| match value {
                Value::String(text) => Ok(text.to_string()),
                value => Err(other(key.clone(), "texts", Some(value))),
            };
            array.iter().map(text).collect()
        };
        let (texts, ids) = (strings("texts")?, strings("ids")?);
        if texts.len() != ids.len() {
            let found = format!("{} texts and {} lists of ids", texts.len(), ids.len());
            return Err(ReceiptError::Key { key: format!("{SELF_TEST}ids"), expected: "one a text", found });
        }
        let numbers = |ids: String| -> Result<Vec<u32>> {
            let id = |id: &str| {
                id.parse().map_err(|_| other(format!("{SELF_TEST}ids"), "ids", Some(Value::String(id))))
            };
            ids.split_whitespace().map(id).collect()
        };
        let cases = texts.into_iter().zip(ids).map(|(text, ids)| Ok((text, numbers(ids)?)));
        Ok(Some(SelfTest { cases: cases.collect::<Result<_>>()? }))
    }

    /// Checks a tokenizer.
    ///
    /// # Errors
    /// The first text that becomes other tokens.
    pub fn check(&self, tokenizer: &Tokenizer) -> Result<()> {
        for (text, expected) in &self.cases {
            let found = tokenizer.encode(text, Special::Plain)?;
            if found != *expected {
                return Err(ReceiptError::OtherIds { text: text.clone(), expected: expected.clone(), found });
            }
        }
        Ok(())
    }
}

/// Checks the tokenizer of a file against the self-test in it; gives the number of texts.
///
/// # Errors
/// A file without a self-test, or that does not pass it.
pub fn verify(gguf: &Gguf, tokenizer: &Tokenizer) -> Result<usize> {
    let self_test = SelfTest::read(gguf)?.ok_or(ReceiptError::NoSelfTest)?;
    self_test.check(tokenizer)?;
    Ok(self_test.len())
}

/// Writes `gguf` to `out` with a receipt and a self-test; all else stays as it is.
///
/// # Errors
/// A file that cannot be written.
pub fn stamp(gguf: &Gguf, out: &Path, receipt: &Receipt, self_test: &SelfTest) -> Result<()> {
    let mut writer = GgufWriter::new();
    writer.copy_metadata(gguf);
    receipt.write(&mut writer);
    self_test.write(&mut writer);
    let plan = |t: &brooklet::gguf::TensorInfo| TensorPlan {
        name: t.name.clone(),
        ty: t.ty,
        shape: t.shape.clone(),
    };
    let plans: Vec<_> = gguf.tensors().iter().map(plan).collect();
    let mut stream = writer.create(out, &plans)?;
    for tensor in gguf.tensors() {
        stream.write(gguf.data(tensor))?;
    }
    Ok(stream.finish()?)
}
