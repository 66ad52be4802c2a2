//! Whether a text follows an instruction, as the authors' program decides it.

use super::instruction::Instruction;
use super::text::{capital_words, is_english, is_lowercase, is_uppercase, sentences};
use regex::Regex;
use std::sync::LazyLock;

const CONSTRAINED_RESPONSES: [&str; 3] = ["My answer is yes.", "My answer is no.", "My answer is maybe."];

static WORD: LazyLock<Regex> = LazyLock::new(|| fixed(r"\w+"));
static DIVIDER: LazyLock<Regex> = LazyLock::new(|| fixed(r"\s?\*\*\*\s?"));
static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| fixed(r"\[.*?\]"));
static STAR_BULLET: LazyLock<Regex> = LazyLock::new(|| fixed(r"(?m)^\s*\*[^\*].*$"));
static DASH_BULLET: LazyLock<Regex> = LazyLock::new(|| fixed(r"(?m)^\s*-.*$"));
static TITLE: LazyLock<Regex> = LazyLock::new(|| fixed(r"<<[^\n]+>>"));
static SINGLE: LazyLock<Regex> = LazyLock::new(|| fixed(r"\*[^\n\*]*\*"));
static DOUBLE: LazyLock<Regex> = LazyLock::new(|| fixed(r"\*\*[^\n\*]*\*\*"));

fn fixed(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is one")
}

fn count(pattern: &Regex, text: &str) -> usize {
    pattern.find_iter(text).count()
}

impl Instruction {
    /// Whether a text follows it; `None` where that cannot be decided here.
    pub fn is_followed(&self, text: &str) -> Option<bool> {
        Some(match self {
            Instruction::Keywords(words) => words.iter().all(|word| word.is_match(text)),
            Instruction::KeywordFrequency(word, bound) => bound.holds(count(word, text)),
            Instruction::ForbiddenWords(words) => !words.iter().any(|word| word.is_match(text)),
            Instruction::LetterFrequency(letter, bound) => {
                bound.holds(text.to_lowercase().chars().filter(|c| c == letter).count())
            }
            Instruction::ResponseLanguage(language) => return language.is_that_of(text),
            Instruction::Paragraphs(number) => divided(text) == Some(*number),
            Instruction::Words(bound) => bound.holds(count(&WORD, text)),
            Instruction::Sentences(bound) => bound.holds(sentences(text)),
            Instruction::FirstWord { paragraphs, nth, word } => {
                let (number, first) = nth_paragraph(text, *nth);
                number as u64 == *paragraphs && first.as_ref() == Some(word)
            }
            Instruction::Postscript(marker) => marker.is_match(&text.to_lowercase()),
            Instruction::Placeholders(number) => count(&PLACEHOLDER, text) as u64 >= *number,
            Instruction::Bullets(number) => {
                let stars = count(&STAR_BULLET, text);
                let dashes = count(&DASH_BULLET, text);
                (stars + dashes) as u64 == *number
            }
            Instruction::Title => TITLE
                .find_iter(text)
                .any(|title| !title.as_str().trim_start_matches('<').trim_end_matches('>').trim().is_empty()),
            Instruction::ConstrainedResponse => {
                CONSTRAINED_RESPONSES.iter().any(|answer| text.contains(answer))
            }
            Instruction::Highlights(number) => highlights(text) as u64 >= *number,
            Instruction::Sections(splitter, number) => count(splitter, text) as u64 >= *number,
            Instruction::Json => is_json(text),
            Instruction::RepeatPrompt(prompt) => text.trim().to_lowercase().starts_with(prompt),
            Instruction::TwoResponses => are_two_responses(text),
            Instruction::End(phrase) => text.trim().trim_matches('"').to_lowercase().ends_with(phrase),
            Instruction::Quotation => {
                let text = text.trim();
                text.len() > 1 && text.starts_with('"') && text.ends_with('"')
            }
            Instruction::CapitalWords(bound) => bound.holds(capital_words(text)),
            Instruction::Uppercase if is_uppercase(text) => return is_english(text),
            Instruction::Lowercase if is_lowercase(text) => return is_english(text),
            Instruction::Uppercase | Instruction::Lowercase => false,
            Instruction::NoComma => !text.contains(','),
        })
    }
}

/// Paragraphs between dividers `***`; nothing where one in the middle is empty.
fn divided(text: &str) -> Option<u64> {
    let parts: Vec<&str> = DIVIDER.split(text).collect();
    let last = parts.len() - 1;
    let mut number = 0;
    for (at, part) in parts.iter().enumerate() {
        match part.trim().is_empty() {
            false => number += 1,
            true if at == 0 || at == last => {}
            true => return None,
        }
    }
    Some(number)
}

/// How many paragraphs with something in them empty lines make, and the first word of the n-th of all, in lower case up to
/// its first punctuation mark; none where that one is empty or lies beyond their number.
fn nth_paragraph(text: &str, nth: usize) -> (usize, Option<String>) {
    let paragraphs: Vec<&str> = text.split("\n\n").collect();
    let number = paragraphs.iter().filter(|paragraph| !paragraph.trim().is_empty()).count();
    if nth > number {
        return (number, None);
    }
    let word = paragraphs.get(nth - 1).and_then(|paragraph| paragraph.split_whitespace().next());
    let word = word.map(|word| {
        let word = word.trim_start_matches('\'').trim_start_matches('"');
        word.split(['.', ',', '?', '!', '\'', '"']).next().unwrap_or_default().to_lowercase()
    });
    (number, word)
}

/// Texts between single asterisks and between double ones, of which each counts for both as the authors count.
fn highlights(text: &str) -> usize {
    let filled = |found: &str, marks: &str| {
        let inside = found.strip_prefix(marks).unwrap_or(found);
        !inside.strip_suffix(marks).unwrap_or(inside).trim().is_empty()
    };
    let single = SINGLE.find_iter(text).filter(|found| filled(found.as_str(), "*"));
    let double = DOUBLE.find_iter(text).filter(|found| filled(found.as_str(), "**"));
    single.count() + double.count()
}

fn is_json(text: &str) -> bool {
    let mut text = text.trim();
    for fence in ["```json", "```Json", "```JSON", "```"] {
        text = text.strip_prefix(fence).unwrap_or(text);
    }
    let text = text.strip_suffix("```").unwrap_or(text).trim();
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Two different texts with six asterisks between them.
fn are_two_responses(text: &str) -> bool {
    let parts: Vec<&str> = text.split("******").map(str::trim).collect();
    let last = parts.len() - 1;
    if parts.iter().enumerate().any(|(at, part)| part.is_empty() && at != 0 && at != last) {
        return false;
    }
    let filled: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    matches!(filled[..], [first, second] if first != second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Texts that follow the instruction, and texts that do not.
    fn check(id: &str, kwargs: Value, follow: &[&str], miss: &[&str]) {
        let instruction = Instruction::new(id, kwargs.as_object().unwrap().clone()).unwrap();
        for (texts, expected) in [(follow, true), (miss, false)] {
            for text in texts {
                assert_eq!(instruction.is_followed(text), Some(expected), "{id} {kwargs}: {text:?}");
            }
        }
    }

    /// tests/fixtures/eval/make_ifeval.py: 1040 verdicts of the checkers in lm-evaluation-harness.
    #[test]
    fn verdicts_are_those_of_the_authors_program() {
        #[derive(serde::Deserialize)]
        struct Line {
            text: String,
            checks: Vec<(String, serde_json::Map<String, Value>, bool)>,
        }
        let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/eval/ifeval.jsonl");
        let mut count = 0;
        for line in std::fs::read_to_string(fixture).unwrap().lines() {
            let Line { text, checks } = serde_json::from_str(line).unwrap();
            for (id, kwargs, verdict) in checks {
                let instruction = Instruction::new(&id, kwargs.clone()).unwrap();
                assert_eq!(instruction.is_followed(&text), Some(verdict), "{id} {kwargs:?}: {text:?}");
                count += 1;
            }
        }
        assert_eq!(count, 1040);
    }

    #[test]
    fn keywords() {
        let kwargs = json!({"keywords": ["cat", "Dog"]});
        check("keywords:existence", kwargs, &["A dog, a CAT.", "dogcatcher"], &["A cat.", "god tac"]);
        let kwargs = json!({"keyword": " cat ", "frequency": 2, "relation": "at least"});
        check("keywords:frequency", kwargs, &["cat Cat", "concatenate cat"], &["cat", "none"]);
        let kwargs = json!({"keyword": "cat", "frequency": 2, "relation": "less than"});
        check("keywords:frequency", kwargs, &["cat", "none"], &["cat Cat"]);
        let kwargs = json!({"forbidden_words": ["cat", "no way"]});
        check("keywords:forbidden_words", kwargs, &["concatenate", "no"], &["A Cat!", "No way."]);
        let kwargs = json!({"letter": "E", "let_frequency": 2, "let_relation": "at least"});
        check("keywords:letter_frequency", kwargs, &["eE", "tree"], &["e", ""]);
        let kwargs = json!({"letter": "#", "let_frequency": 2, "let_relation": "less than"});
        check("keywords:letter_frequency", kwargs, &["#a"], &["#a #b"]);
    }

    #[test]
    fn language() {
        let english = "The weather was lovely this morning, and we went for a long walk along the river.";
        let german = "Das Wetter war heute Morgen herrlich, und wir sind lange am Fluss spazieren gegangen.";
        let hindi = "आज सुबह मौसम बहुत अच्छा था और हम नदी के किनारे टहलने गए।";
        check("language:response_language", json!({"language": "de"}), &[german], &[english, hindi]);
        check("language:response_language", json!({"language": "en"}), &[english], &[german]);
        check("language:response_language", json!({"language": "hi"}), &[hindi], &[english]);
        let swahili = [
            "Habari ya asubuhi, rafiki yangu",
            "Mimi ninapenda kusoma vitabu vingi nyumbani.",
            "Tafadhali niambie unahitaji msaada gani leo ili nikusaidie kupata majibu mazuri.",
            "Hali ya hewa ilikuwa nzuri sana asubuhi hii, na tulitembea kwa muda mrefu kando ya mto.",
            "Binadamu wote wamezaliwa huru, hadhi na haki zao ni sawa. Wote wamejaliwa akili na dhamiri, hivyo yapasa \
             watendeane kindugu.",
        ];
        let others = [
            "Svi ljudi rađaju se slobodni i jednaki u dostojanstvu i pravima. Ona su obdarena razumom i sviješću i treba \
             da jedno prema drugom postupaju u duhu bratstva.",
            "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
            "Todos los seres humanos nacen libres e iguales en dignidad y derechos, y la razón y la conciencia los guían.",
            "Si tu vas au marché, achète la viande.",
            "Il tempo era bellissimo stamattina e abbiamo fatto una lunga passeggiata lungo il fiume.",
            "Semua orang dilahirkan merdeka dan mempunyai martabat dan hak-hak yang sama.",
        ];
        let others = [&others[..], &[english, german, hindi]].concat();
        check("language:response_language", json!({"language": "sw"}), &swahili, &others);
    }

    #[test]
    fn lengths() {
        let three = json!({"num_paragraphs": 3});
        let follow = ["a ***b\n***\nc", "*** a *** b *** c ***"];
        check(
            "length_constraints:number_paragraphs",
            three,
            &follow,
            &["a *** b", "a *** *** c *** d", "a\n\nb\n\nc"],
        );
        let kwargs = json!({"num_words": 3, "relation": "at least"});
        check("length_constraints:number_words", kwargs, &["it's two", "a b_c d"], &["a-b", "one two"]);
        let kwargs = json!({"num_words": 3, "relation": "less than"});
        check("length_constraints:number_words", kwargs, &["one two"], &["one two three"]);
        let kwargs = json!({"num_sentences": 2, "relation": "at least"});
        check(
            "length_constraints:number_sentences",
            kwargs,
            &["One. Two", "Really? \"Yes!\""],
            &["Mr. Smith came.", "a\nb"],
        );
        let kwargs = json!({"num_sentences": 2, "relation": "less than"});
        check("length_constraints:number_sentences", kwargs, &["One at 3.5 percent."], &["One. Two."]);
        let kwargs = json!({"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Second"});
        check(
            "length_constraints:nth_paragraph_first_word",
            kwargs,
            &["First\n\nsecond, then", "First.\n\n\"Second\" it is", "a\n\nSECOND\n\n"],
            &[
                "second\n\nfirst",
                "a\n\nb\n\nsecond",
                "a\n\nseconds",
                "second",
                "a\n\nsecond\n\nc",
                "a\n\n\n\nsecond",
            ],
        );
    }

    #[test]
    fn content() {
        let kwargs = json!({"num_placeholders": 2});
        check(
            "detectable_content:number_placeholders",
            kwargs,
            &["[a] [b]", "[]x[] []"],
            &["[a\n] [b]", "(a) (b)"],
        );
        let kwargs = json!({"postscript_marker": "P.S."});
        check(
            "detectable_content:postscript",
            kwargs,
            &["Bye.\nP.S. more", "p. s. more"],
            &["PS more", "P.S more"],
        );
        let kwargs = json!({"postscript_marker": "P.P.S"});
        check("detectable_content:postscript", kwargs, &["P.P.S more", "p. p. s"], &["P.S. more"]);
    }

    #[test]
    fn format() {
        let kwargs = json!({"num_bullets": 2});
        let follow = ["* a\n* b", "Points:\n  - a\n* b", "- a\n-b\n"];
        check(
            "detectable_format:number_bullet_lists",
            kwargs,
            &follow,
            &["* a", "* a\n* b\n* c", "**a**\n**b**", "1. a\n2. b"],
        );
        check(
            "detectable_format:title",
            json!({}),
            &["<<Joy>>\nText", "a <<b>> c"],
            &["<< >>", "<Joy>", "<<Jo\ny>>", "<<>>"],
        );
        let answer = ["My answer is no.", "Well: My answer is maybe. So"];
        check("detectable_format:constrained_response", json!({}), &answer, &["my answer is no.", "No."]);
        let kwargs = json!({"num_highlights": 2});
        check(
            "detectable_format:number_highlighted_sections",
            kwargs.clone(),
            &["*a* and *b*", "**a**, *b*"],
            &["*a*", "* *", "*a\nb*"],
        );
        // The outer asterisks of a double one pair as empty single ones: it counts once.
        check("detectable_format:number_highlighted_sections", kwargs, &["**a** **b**"], &["**a**"]);
        let kwargs = json!({"section_spliter": "SECTION", "num_sections": 2});
        let follow = ["SECTION 1\na\nSECTION 2\nb", "SECTION1 SECTION 2 SECTION 3"];
        check(
            "detectable_format:multiple_sections",
            kwargs,
            &follow,
            &["SECTION 1", "Section 1 Section 2", "SECTION a SECTION b"],
        );
        let follow = ["{\"a\": [1]}", "```json\n{}\n```", "```JSON\n[]```", "3"];
        check(
            "detectable_format:json_format",
            json!({}),
            &follow,
            &["{'a': 1}", "Here: {}", "```json\n{\n```"],
        );
    }

    #[test]
    fn combinations_starts_and_ends() {
        let kwargs = json!({"prompt_to_repeat": "Write a POEM. "});
        check(
            "combination:repeat_prompt",
            kwargs,
            &["write a poem. Roses", "\nWrite a poem."],
            &["Sure: write a poem.", "Write a song."],
        );
        let follow = ["a\n******\nb", "******a******b******"];
        let miss = ["a", "a ****** a", "a ****** ****** b", "a ****** b ****** c", "a *** b"];
        check("combination:two_responses", json!({}), &follow, &miss);
        let kwargs = json!({"end_phrase": "Any other questions?"});
        check(
            "startend:end_checker",
            kwargs,
            &["So.\nAny other questions? ", "\"any other questions?\""],
            &["Any other questions? No."],
        );
        check("startend:quotation", json!({}), &[" \"a\" ", "\"\""], &["\"", "\"a\".", "'a'", "“a”"]);
    }

    #[test]
    fn cases_and_commas() {
        let kwargs = json!({"capital_frequency": 2, "capital_relation": "at least"});
        check(
            "change_case:capital_word_frequency",
            kwargs,
            &["ONE and TWO", "I am A-B", "DON'T"],
            &["ONE two", "One Two"],
        );
        let kwargs = json!({"capital_frequency": 2, "capital_relation": "less than"});
        check("change_case:capital_word_frequency", kwargs, &["ONE two"], &["ONE, TWO"]);
        let english = "The weather was lovely this morning and we went for a long walk along the river.";
        let german = "Das Wetter war heute Morgen herrlich und wir sind lange am Fluss spazieren gegangen.";
        let (upper, lower) = (english.to_uppercase(), english.to_lowercase());
        let (german_upper, german_lower) = (german.to_uppercase(), german.to_lowercase());
        check("change_case:english_capital", json!({}), &[&upper], &[english, &lower, &german_upper, "123"]);
        check(
            "change_case:english_lowercase",
            json!({}),
            &[&lower],
            &[english, &upper, &german_lower, "123"],
        );
        check("punctuation:no_comma", json!({}), &["one; two، three"], &["one, two"]);
    }
}
