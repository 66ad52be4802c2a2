//! The 25 instructions, made of their names and arguments in the data.

use super::text::Language;
use anyhow::{Context, Result, anyhow, bail, ensure};
use regex::Regex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// An instruction with its arguments, in the order of the paper's table.
#[derive(Debug)]
pub enum Instruction {
    /// keywords:existence
    Keywords(Vec<Regex>),
    /// keywords:frequency
    KeywordFrequency(Regex, Bound),
    /// keywords:forbidden_words
    ForbiddenWords(Vec<Regex>),
    /// keywords:letter_frequency, the letter in lower case
    LetterFrequency(char, Bound),
    /// language:response_language
    ResponseLanguage(Language),
    /// length_constraints:number_paragraphs
    Paragraphs(u64),
    /// length_constraints:number_words
    Words(Bound),
    /// length_constraints:number_sentences
    Sentences(Bound),
    /// length_constraints:nth_paragraph_first_word, the word in lower case
    FirstWord {
        /// Paragraphs there must be.
        paragraphs: u64,
        /// Which is looked at, counted from 1.
        nth: usize,
        /// What it must begin with.
        word: String,
    },
    /// detectable_content:postscript
    Postscript(Regex),
    /// detectable_content:number_placeholders
    Placeholders(u64),
    /// detectable_format:number_bullet_lists
    Bullets(u64),
    /// detectable_format:title
    Title,
    /// detectable_format:constrained_response
    ConstrainedResponse,
    /// detectable_format:number_highlighted_sections
    Highlights(u64),
    /// detectable_format:multiple_sections
    Sections(Regex, u64),
    /// detectable_format:json_format
    Json,
    /// combination:repeat_prompt, in lower case
    RepeatPrompt(String),
    /// combination:two_responses
    TwoResponses,
    /// startend:end_checker, in lower case
    End(String),
    /// startend:quotation
    Quotation,
    /// change_case:capital_word_frequency
    CapitalWords(Bound),
    /// change_case:english_capital
    Uppercase,
    /// change_case:english_lowercase
    Lowercase,
    /// punctuation:no_comma
    NoComma,
}

/// How many there may be.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    relation: Relation,
    count: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Relation {
    #[serde(rename = "less than")]
    LessThan,
    #[serde(rename = "at least")]
    AtLeast,
}

impl Bound {
    /// Whether so many are as many as asked for.
    pub fn holds(self, found: usize) -> bool {
        match self.relation {
            Relation::LessThan => (found as u64) < self.count,
            Relation::AtLeast => found as u64 >= self.count,
        }
    }
}

impl Instruction {
    /// The instruction of this name.
    ///
    /// # Errors
    /// An unknown name; an argument that is missing, unexpected or of another kind.
    pub fn new(id: &str, kwargs: Map<String, Value>) -> Result<Instruction> {
        let mut args = Arguments(kwargs);
        let instruction = match id {
            "keywords:existence" => {
                let keywords: Vec<String> = args.take("keywords")?;
                Instruction::Keywords(keywords.iter().map(|word| pattern(word)).collect::<Result<_>>()?)
            }
            "keywords:frequency" => {
                let keyword: String = args.take("keyword")?;
                Instruction::KeywordFrequency(pattern(keyword.trim())?, args.bound("frequency", "relation")?)
            }
            "keywords:forbidden_words" => {
                let words: Vec<String> = args.take("forbidden_words")?;
                let words = words.iter().map(|word| pattern(&format!(r"\b{word}\b")));
                Instruction::ForbiddenWords(words.collect::<Result<_>>()?)
            }
            "keywords:letter_frequency" => {
                let letter: String = args.take("letter")?;
                let letter = letter.trim().to_lowercase();
                let mut chars = letter.chars();
                match (chars.next(), chars.next()) {
                    (Some(letter), None) => {
                        Instruction::LetterFrequency(letter, args.bound("let_frequency", "let_relation")?)
                    }
                    _ => bail!("letter is {letter:?}: expected one character"),
                }
            }
            "language:response_language" => {
                let code: String = args.take("language")?;
                Instruction::ResponseLanguage(Language::new(&code)?)
            }
            "length_constraints:number_paragraphs" => Instruction::Paragraphs(args.take("num_paragraphs")?),
            "length_constraints:number_words" => Instruction::Words(args.bound("num_words", "relation")?),
            "length_constraints:number_sentences" => {
                Instruction::Sentences(args.bound("num_sentences", "relation")?)
            }
            "length_constraints:nth_paragraph_first_word" => {
                let (paragraphs, nth): (u64, usize) =
                    (args.take("num_paragraphs")?, args.take("nth_paragraph")?);
                ensure!(
                    (1..=paragraphs).contains(&(nth as u64)),
                    "nth_paragraph is {nth}: expected 1 to {paragraphs}, the number of paragraphs"
                );
                let word: String = args.take("first_word")?;
                Instruction::FirstWord { paragraphs, nth, word: word.to_lowercase() }
            }
            "detectable_content:postscript" => {
                let marker: String = args.take("postscript_marker")?;
                Instruction::Postscript(match marker.trim() {
                    "P.P.S" => Regex::new(r"p\.\s?p\.\s?s")?,
                    "P.S." => Regex::new(r"p\.\s?s\.")?,
                    other => pattern(&other.to_lowercase())?,
                })
            }
            "detectable_content:number_placeholders" => {
                Instruction::Placeholders(args.take("num_placeholders")?)
            }
            "detectable_format:number_bullet_lists" => Instruction::Bullets(args.take("num_bullets")?),
            "detectable_format:title" => Instruction::Title,
            "detectable_format:constrained_response" => Instruction::ConstrainedResponse,
            "detectable_format:number_highlighted_sections" => {
                Instruction::Highlights(args.take("num_highlights")?)
            }
            "detectable_format:multiple_sections" => {
                let splitter: String = args.take("section_spliter")?;
                let splitter = format!(r"\s?{}\s?\d+\s?", splitter.trim());
                let splitter = Regex::new(&splitter).with_context(|| format!("the pattern {splitter:?}"))?;
                Instruction::Sections(splitter, args.take("num_sections")?)
            }
            "detectable_format:json_format" => Instruction::Json,
            "combination:repeat_prompt" => {
                Instruction::RepeatPrompt(args.take::<String>("prompt_to_repeat")?.trim().to_lowercase())
            }
            "combination:two_responses" => Instruction::TwoResponses,
            "startend:end_checker" => {
                Instruction::End(args.take::<String>("end_phrase")?.trim().to_lowercase())
            }
            "startend:quotation" => Instruction::Quotation,
            "change_case:capital_word_frequency" => {
                Instruction::CapitalWords(args.bound("capital_frequency", "capital_relation")?)
            }
            "change_case:english_capital" => Instruction::Uppercase,
            "change_case:english_lowercase" => Instruction::Lowercase,
            "punctuation:no_comma" => Instruction::NoComma,
            _ => bail!("unknown instruction: expected one of IFEval's 25"),
        };
        args.finish()?;
        Ok(instruction)
    }
}

/// A keyword is a regular expression in any case, as in the authors' program.
fn pattern(text: &str) -> Result<Regex> {
    Regex::new(&format!("(?i:{text})")).with_context(|| format!("the pattern {text:?}"))
}

/// Arguments that are not taken yet; those that are null are not there.
struct Arguments(Map<String, Value>);

impl Arguments {
    fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<T> {
        let value = self.0.remove(name).filter(|value| !value.is_null());
        let value = value.ok_or_else(|| anyhow!("{name} is missing"))?;
        serde_json::from_value(value.clone()).with_context(|| format!("{name} is {value}"))
    }

    fn bound(&mut self, count: &str, relation: &str) -> Result<Bound> {
        Ok(Bound { count: self.take(count)?, relation: self.take(relation)? })
    }

    fn finish(self) -> Result<()> {
        match self.0.iter().find(|(_, value)| !value.is_null()) {
            Some((name, _)) => bail!("unexpected {name}: the instruction takes no such argument"),
            None => Ok(()),
        }
    }
}
