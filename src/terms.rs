//! Search terms. Databases split text into words by rules of their own, and none of them handles Korean. So the program
//! makes the terms, encodes each as a word that every engine accepts, and leaves only the lookup to the engine.
//!
//! A term is a whole word of letters and digits, after NFKC and case folding. In scripts without spaces, or with
//! endings attached to words (Hangul and other CJK), a term is each character and each pair of neighbouring characters.

use std::{collections::BTreeSet, fmt::Write};

use sha2::{Digest, Sha256};

use crate::{error::Rule, text};

/// The most characters of a search, as in a title.
const LONGEST_SEARCH: usize = 128;
/// The most bytes of a term that is used as it is. InnoDB ignores words of more than 84 characters.
const LONGEST_WORD: usize = 64;
/// The most bytes of a term that is encoded in hexadecimal digits.
const LONGEST_HEX: usize = 40;

/// A run of text between separators.
enum Run {
    Word(String),
    /// In a script without word boundaries.
    Cjk(Vec<char>),
}

/// A search: for texts that contain all of these terms.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Search(BTreeSet<String>);

impl Search {
    /// Parses a search. A blank one is `None`. One without letters and digits has no terms and finds nothing.
    ///
    /// # Errors
    /// `TOO_LONG` above 128 characters.
    pub fn parse(search: &str) -> Result<Option<Self>, Rule> {
        let search = search.trim();
        if search.chars().count() > LONGEST_SEARCH {
            return Err(Rule::TooLong {
                max: LONGEST_SEARCH,
            });
        }
        if search.is_empty() {
            return Ok(None);
        }
        let mut terms = BTreeSet::new();
        for run in runs(search) {
            match run {
                Run::Word(word) => drop(terms.insert(word)),
                // A pair implies both of its characters.
                Run::Cjk(run) if run.len() > 1 => terms.extend(pairs(&run)),
                Run::Cjk(run) => terms.extend(run.into_iter().map(String::from)),
            }
        }
        Ok(Some(Self(terms)))
    }

    /// The words to look up, as made by [`words`], in title and content. Empty when nothing can be found.
    #[must_use]
    pub fn anywhere(&self) -> Vec<String> {
        self.0.iter().map(|term| word(ANYWHERE, term)).collect()
    }

    /// The words to look up in titles.
    #[must_use]
    pub fn in_title(&self) -> Vec<String> {
        self.0.iter().map(|term| word(IN_TITLE, term)).collect()
    }

    /// Whether `text` contains all terms.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_subset(&terms(text))
    }

    /// A hash: equal for searches for the same terms, and hardly ever for others.
    #[must_use]
    pub fn number(&self) -> u64 {
        let mut hash = Sha256::new();
        for term in &self.0 {
            hash.update(term);
            hash.update([0]);
        }
        let digest = hash.finalize();
        digest
            .iter()
            .take(8)
            .fold(0, |n, byte| n << 8 | u64::from(*byte))
    }
}

/// The words to index for a post, separated by spaces.
#[must_use]
pub fn words(title: &str, content: &str) -> String {
    let in_title = terms(title);
    let mut words: Vec<_> = in_title.iter().map(|term| word(IN_TITLE, term)).collect();
    let anywhere = in_title.into_iter().chain(terms(content));
    words.extend(
        anywhere
            .collect::<BTreeSet<_>>()
            .iter()
            .map(|term| word(ANYWHERE, term)),
    );
    words.join(" ")
}

fn terms(text: &str) -> BTreeSet<String> {
    let mut terms = BTreeSet::new();
    for run in runs(text) {
        match run {
            Run::Word(word) => drop(terms.insert(word)),
            Run::Cjk(run) => {
                terms.extend(pairs(&run));
                terms.extend(run.into_iter().map(String::from));
            }
        }
    }
    terms
}

fn pairs(run: &[char]) -> impl Iterator<Item = String> {
    run.windows(2).map(|pair| pair.iter().collect())
}

fn runs(text: &str) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut last_was_separator = true;
    for c in text::fold(text).chars() {
        if !c.is_alphanumeric() {
            last_was_separator = true;
            continue;
        }
        match (runs.last_mut(), is_cjk(c)) {
            (Some(Run::Word(word)), false) if !last_was_separator => word.push(c),
            (Some(Run::Cjk(run)), true) if !last_was_separator => run.push(c),
            (_, false) => runs.push(Run::Word(c.into())),
            (_, true) => runs.push(Run::Cjk(vec![c])),
        }
        last_was_separator = false;
    }
    runs
}

/// Hangul, Han, Kana and Bopomofo, after NFKC.
fn is_cjk(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{11ff}' | '\u{2e80}'..='\u{2fdf}' | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}'
        | '\u{3040}'..='\u{318f}' | '\u{31a0}'..='\u{31bf}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}'
        | '\u{1aff0}'..='\u{1b16f}' | '\u{20000}'..='\u{3ffff}')
}

/// The prefixes of words. No engine has stopwords that begin like this, and none ignores words of three characters.
const ANYWHERE: &str = "xa";
const IN_TITLE: &str = "xt";

/// The term encoded as a word of 3 to 84 lower-case letters and digits.
fn word(place: &str, term: &str) -> String {
    if term.is_ascii() && term.len() <= LONGEST_WORD {
        return format!("{place}w{term}");
    }
    let hash;
    let (kind, bytes) = if term.len() <= LONGEST_HEX {
        ('u', term.as_bytes())
    } else {
        hash = Sha256::digest(term);
        ('h', &hash[..16])
    };
    let mut word = format!("{place}{kind}");
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(word, "{byte:02x}");
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(search: &str) -> Vec<String> {
        Search::parse(search)
            .unwrap()
            .map(|s| s.0.into_iter().collect())
            .unwrap_or_default()
    }

    #[test]
    fn words_are_whole_and_hangul_comes_in_pairs() {
        assert_eq!(asked("Hello, WORLD 42"), ["42", "hello", "world"]);
        assert_eq!(asked("마당집"), ["당집", "마당"]);
        assert_eq!(asked("집"), ["집"]);
        assert_eq!(asked("C언어2"), ["2", "c", "언어"]);
        assert_eq!(asked("ＡＢＣ ﬁsh Straße"), ["abc", "fish", "strasse"]);
        assert_eq!(asked("東京タワー"), ["タワ", "ワー", "京タ", "東京"]);
        assert_eq!(asked("a\u{0}b\"c*-(d)"), ["a", "b", "c", "d"]);
    }

    #[test]
    fn a_text_is_found_by_every_part_of_its_hangul_and_by_its_whole_words_only() {
        let found = |search: &str| {
            Search::parse(search)
                .unwrap()
                .unwrap()
                .matches("Hello 마당집에서")
        };

        assert!(
            [
                "마",
                "집",
                "마당",
                "당집",
                "집에서",
                "마당집에서",
                "HELLO",
                "hello 마당"
            ]
            .into_iter()
            .all(found)
        );
        assert!(
            !["hell", "마집", "마당 world", "hello마당길"]
                .into_iter()
                .any(found)
        );
    }

    #[test]
    fn blank_is_no_search_and_signs_alone_find_nothing() {
        assert_eq!(Search::parse(" \n\u{3000}"), Ok(None));
        for signs in ["!?", "👋", "\u{7}", "* \" ' -"] {
            assert!(
                Search::parse(signs).unwrap().unwrap().anywhere().is_empty(),
                "{signs}"
            );
        }
        assert_eq!(
            Search::parse(&"가".repeat(129)),
            Err(Rule::TooLong { max: 128 })
        );
    }

    #[test]
    fn every_term_is_a_word_that_engines_take() {
        let long = "a".repeat(5_000);
        let odd = "я".repeat(60);
        for term in ["a", "the", "가", "가나", "ﷺ", &long, &odd, "é", "𠀀𠀁"] {
            for word in words(term, term).split(' ') {
                assert!((3..=84).contains(&word.len()), "{word}");
                assert!(
                    word.bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
                    "{word}"
                );
            }
        }
        assert_ne!(word(ANYWHERE, &long), word(ANYWHERE, &"a".repeat(5_001)));
    }
}
