//! Sentences, words and languages. The authors' program takes these from NLTK and langdetect; what stands here decides
//! alike for plain text, not in every case: see docs/quality.md.

use anyhow::{Result, bail};
use whatlang::{Detector, Lang};

/// Words that a full stop belongs to, in lower case, without the last one: of Punkt's, those that English texts hold.
const ABBREVIATIONS: [&str; 51] = [
    "mr", "mrs", "ms", "messrs", "dr", "prof", "rep", "reps", "sen", "gen", "adm", "maj", "col", "lt", "jr",
    "sr", "st", "ave", "inc", "ltd", "co", "cos", "corp", "bros", "vs", "ft", "mg", "yr", "ph.d", "a.m",
    "p.m", "a.d", "u.s", "u.k", "u.n", "u.s.a", "u.s.s.r", "d.c", "n.y", "l.a", "jan", "feb", "aug", "sept",
    "sep", "oct", "nov", "dec", "tues", "wed", "fri",
];

/// What may close a sentence after its last mark.
const CLOSING: [char; 10] = ['"', '\'', ')', ']', '}', '”', '’', '»', '*', '_'];

/// Sentences: each ends at a full stop, question mark or exclamation mark before white space, or where the text ends. A full
/// stop after an abbreviation or a single letter ends none; after a number, and as the last of several, only before a capital
/// letter.
pub fn sentences(text: &str) -> usize {
    let words: Vec<&str> = text.split_whitespace().collect();
    let ends = |at: usize| {
        let Some(next) = words.get(at + 1) else { return true };
        let word = words[at].trim_end_matches(CLOSING);
        let Some(stem) = word.strip_suffix('.') else { return word.ends_with(['?', '!']) };
        let bare = stem.trim_start_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        if stem.ends_with('.') || !bare.is_empty() && bare.chars().all(|c| c.is_ascii_digit()) {
            return next.starts_with(char::is_uppercase);
        }
        let is_initial = bare.len() == 1 && bare != "i";
        !is_initial && !ABBREVIATIONS.contains(&bare.as_str())
    };
    (0..words.len()).filter(|at| ends(*at)).count()
}

/// Tokens in capitals as NLTK's word tokenizer splits: words lose the punctuation around and between them but for hyphens,
/// slashes and full stops, and contractions are two.
pub fn capital_words(text: &str) -> usize {
    const SEPARATORS: &str = "*;@#$%&?!()[]{}<>\"“”«»…‒–—―";
    let text = text.replace("--", " ").replace("..", " ").replace(|c| SEPARATORS.contains(c), " ");
    let chars: Vec<char> = text.chars().collect();
    let is_separator = |at: usize| {
        // Within a number, commas and colons stay.
        let within = || chars.get(at + 1).is_some_and(char::is_ascii_digit);
        chars[at].is_whitespace() || matches!(chars[at], ',' | ':') && !within()
    };
    let text: String = (0..chars.len()).map(|at| if is_separator(at) { ' ' } else { chars[at] }).collect();
    text.split_whitespace()
        .map(|word| parts_of(word).into_iter().filter(|part| is_uppercase(part)).count())
        .sum()
}

/// A contraction's two parts; any other word.
fn parts_of(word: &str) -> Vec<&str> {
    const ENDS: [&str; 7] = ["n't", "'ll", "'re", "'ve", "'s", "'m", "'d"];
    const JOINED: [&str; 6] = ["cannot", "gimme", "gonna", "gotta", "lemme", "wanna"];
    let lower = word.to_ascii_lowercase();
    let end = ENDS.iter().find(|end| lower.len() > end.len() && lower.ends_with(**end));
    let at = match end {
        Some(end) => word.len() - end.len(),
        None if JOINED.contains(&lower.as_str()) => 3,
        None => return vec![word],
    };
    let (first, second) = word.split_at(at);
    vec![first, second]
}

/// Whether there are letters with case, all of them upper.
pub fn is_uppercase(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
}

/// Whether there are letters with case, all of them lower.
pub fn is_lowercase(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)
}

/// A language that an answer is to be in; none of whatlang's where it is Swahili.
#[derive(Clone, Copy, Debug)]
pub struct Language(Option<Lang>);

impl Language {
    /// Of an ISO 639-1 code.
    ///
    /// # Errors
    /// A code that is none of IFEval's.
    pub fn new(code: &str) -> Result<Language> {
        match LANGUAGES.iter().find(|(known, _)| *known == code) {
            Some((_, language)) => Ok(Language(*language)),
            None => bail!("the language {code} is none of {}", LANGUAGES.map(|(code, _)| code).join(", ")),
        }
    }

    /// Whether a text is in it: `None` where the text has no letters.
    pub fn is_that_of(self, text: &str) -> Option<bool> {
        match self.0 {
            Some(language) => Some(detect(text)? == language),
            None => is_swahili(text),
        }
    }
}

/// Whether a text is English.
pub fn is_english(text: &str) -> Option<bool> {
    Some(detect(text)? == Lang::Eng)
}

/// Whether a text is Swahili: whether four of five words are spelt as Swahili's are. `None` without letters.
fn is_swahili(text: &str) -> Option<bool> {
    let text = text.to_lowercase();
    let words = || text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    let (all, like) = (words().count(), words().filter(|word| is_like_swahili(word)).count());
    (all > 0).then_some(5 * like >= 4 * all)
}

/// Whether a word, in lower case, ends in a vowel, and has single consonants between vowels, with a nasal before or w or y
/// behind: so do Swahili's own words.
fn is_like_swahili(word: &str) -> bool {
    let vowel = |c: char| "aeiou".contains(c);
    let consonant = |part: &str| {
        let part = part.strip_suffix(['w', 'y']).unwrap_or(part);
        let part = part.strip_prefix(['m', 'n']).unwrap_or(part);
        ["sh", "ch", "th", "dh", "gh", "kh"].contains(&part) || part.len() <= 1 && part != "c"
    };
    let letters = word.chars().all(|c| c.is_ascii_lowercase() && c != 'q' && c != 'x');
    letters && word.ends_with(vowel) && word.split(vowel).all(consonant)
}

/// The likeliest of the languages that langdetect knows.
fn detect(text: &str) -> Option<Lang> {
    Detector::with_allowlist(DETECTED.to_vec()).detect_lang(text)
}

/// IFEval's languages.
const LANGUAGES: [(&str, Option<Lang>); 30] = [
    ("en", Some(Lang::Eng)),
    ("es", Some(Lang::Spa)),
    ("pt", Some(Lang::Por)),
    ("ar", Some(Lang::Ara)),
    ("hi", Some(Lang::Hin)),
    ("fr", Some(Lang::Fra)),
    ("ru", Some(Lang::Rus)),
    ("de", Some(Lang::Deu)),
    ("ja", Some(Lang::Jpn)),
    ("it", Some(Lang::Ita)),
    ("bn", Some(Lang::Ben)),
    ("uk", Some(Lang::Ukr)),
    ("th", Some(Lang::Tha)),
    ("ur", Some(Lang::Urd)),
    ("ta", Some(Lang::Tam)),
    ("te", Some(Lang::Tel)),
    ("bg", Some(Lang::Bul)),
    ("ko", Some(Lang::Kor)),
    ("pl", Some(Lang::Pol)),
    ("he", Some(Lang::Heb)),
    ("fa", Some(Lang::Pes)),
    ("vi", Some(Lang::Vie)),
    ("ne", Some(Lang::Nep)),
    ("sw", None),
    ("kn", Some(Lang::Kan)),
    ("mr", Some(Lang::Mar)),
    ("gu", Some(Lang::Guj)),
    ("pa", Some(Lang::Pan)),
    ("ml", Some(Lang::Mal)),
    ("fi", Some(Lang::Fin)),
];

/// Those of langdetect's languages that whatlang recognises.
const DETECTED: [Lang; 51] = [
    Lang::Afr,
    Lang::Ara,
    Lang::Bul,
    Lang::Ben,
    Lang::Cat,
    Lang::Ces,
    Lang::Cmn,
    Lang::Cym,
    Lang::Dan,
    Lang::Deu,
    Lang::Ell,
    Lang::Eng,
    Lang::Spa,
    Lang::Est,
    Lang::Pes,
    Lang::Fin,
    Lang::Fra,
    Lang::Guj,
    Lang::Heb,
    Lang::Hin,
    Lang::Hrv,
    Lang::Hun,
    Lang::Ind,
    Lang::Ita,
    Lang::Jpn,
    Lang::Kan,
    Lang::Kor,
    Lang::Lit,
    Lang::Lav,
    Lang::Mkd,
    Lang::Mal,
    Lang::Mar,
    Lang::Nep,
    Lang::Nld,
    Lang::Nob,
    Lang::Pan,
    Lang::Pol,
    Lang::Por,
    Lang::Ron,
    Lang::Rus,
    Lang::Slk,
    Lang::Slv,
    Lang::Swe,
    Lang::Tam,
    Lang::Tel,
    Lang::Tgl,
    Lang::Tha,
    Lang::Tur,
    Lang::Ukr,
    Lang::Urd,
    Lang::Vie,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_at_marks_before_white_space() {
        for (text, number) in [
            ("", 0),
            (" \n", 0),
            ("One", 1),
            ("One.", 1),
            ("One. Two! Three? four", 4),
            ("He said \"Go!\" Then (so they say.) he left.", 3),
            ("Dr. Smith of the U.S. Army met J. Doe at 3.5 p.m. today.", 1),
            ("1. one 2. Two", 2),
            ("So am I. You too.", 2),
            ("Wait... what? No... Yes.", 3),
            ("- a\n- b\n- c", 1),
            ("See example.com for more.Now", 1),
            ("**Bold.** Next.", 2),
        ] {
            assert_eq!(sentences(text), number, "{text:?}");
        }
    }

    #[test]
    fn words_in_capitals() {
        for (text, number) in [
            ("", 0),
            ("NASA and the FBI", 2),
            ("A-B C/D E.F.", 3),
            ("HELLO,WORLD at 10:30AM", 3),
            ("DON'T SAY IT'S \"OK\"", 6),
            ("I CANNOT (NOW)", 4),
            ("H2O 123 Ok É", 2),
        ] {
            assert_eq!(capital_words(text), number, "{text:?}");
        }
    }

    #[test]
    fn letters_have_case() {
        assert!(is_uppercase("A1!") && !is_uppercase("1!") && !is_uppercase("Aa"));
        assert!(is_lowercase("ñ 1") && !is_lowercase("1") && !is_lowercase("aA"));
    }

    #[test]
    fn no_letters_are_no_language() {
        assert_eq!(is_english("1234 !?"), None);
        assert!(Language::new("zz").is_err());
        assert!(
            LANGUAGES
                .iter()
                .filter_map(|(_, language)| *language)
                .all(|language| DETECTED.contains(&language))
        );
    }
}
