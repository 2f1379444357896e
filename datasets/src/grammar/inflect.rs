//! German endings.

use super::lexicon::{Adjective, Noun};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gender {
    Masculine,
    Feminine,
    Neuter,
}

/// The three cases that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Nominative,
    Accusative,
    Dative,
}

/// Article or what stands in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Determiner {
    /// the: der
    Definite,
    /// this: dieser
    This,
    /// a: ein; in the plural nothing
    Indefinite,
    /// my: mein
    My,
    /// his: sein
    His,
    /// her: ihr
    Her,
    /// our: unser
    Our,
}

impl Determiner {
    /// The English word for one and for several.
    pub(super) fn english(self) -> [&'static str; 2] {
        match self {
            Self::Definite => ["the", "the"],
            Self::This => ["this", "these"],
            Self::Indefinite => ["a", ""],
            Self::My => ["my", "my"],
            Self::His => ["his", "his"],
            Self::Her => ["her", "her"],
            Self::Our => ["our", "our"],
        }
    }

    /// The stem of a word that is inflected like "ein", if it is one.
    fn stem_like_ein(self) -> Option<&'static str> {
        match self {
            Self::Definite | Self::This => None,
            Self::Indefinite => Some("ein"),
            Self::My => Some("mein"),
            Self::His => Some("sein"),
            Self::Her => Some("ihr"),
            Self::Our => Some("unser"),
        }
    }
}

/// Gender in the singular, the plural.
type Form = Option<Gender>;

/// The row of a table with the columns masculine, feminine, neuter, plural.
fn cell<T: Copy>(table: [[T; 4]; 3], case: Case, form: Form) -> T {
    let column = match form {
        Some(Gender::Masculine) => 0,
        Some(Gender::Feminine) => 1,
        Some(Gender::Neuter) => 2,
        None => 3,
    };
    table[case as usize][column]
}

/// The article; empty where there is none.
pub(super) fn article(determiner: Determiner, case: Case, form: Form) -> String {
    if determiner == Determiner::Definite {
        let table =
            [["der", "die", "das", "die"], ["den", "die", "das", "die"], ["dem", "der", "dem", "den"]];
        return cell(table, case, form).to_owned();
    }
    if determiner == Determiner::Indefinite && form.is_none() {
        return String::new();
    }
    let like_dieser = [["er", "e", "es", "e"], ["en", "e", "es", "e"], ["em", "er", "em", "en"]];
    let like_ein = [["", "e", "", "e"], ["en", "e", "", "e"], ["em", "er", "em", "en"]];
    match determiner.stem_like_ein() {
        Some(stem) => format!("{stem}{}", cell(like_ein, case, form)),
        None => format!("dies{}", cell(like_dieser, case, form)),
    }
}

/// An adjective before its noun: weak after der and dieser, mixed after ein, strong without article.
pub(super) fn adjective(adjective: &Adjective, determiner: Determiner, case: Case, form: Form) -> String {
    let weak = [["e", "e", "e", "en"], ["en", "e", "e", "en"], ["en", "en", "en", "en"]];
    let mixed = [["er", "e", "es", "en"], ["en", "e", "es", "en"], ["en", "en", "en", "en"]];
    let strong_plural = [["", "", "", "e"], ["", "", "", "e"], ["", "", "", "en"]];
    let endings = match determiner {
        Determiner::Definite | Determiner::This => weak,
        Determiner::Indefinite if form.is_none() => strong_plural,
        _ => mixed,
    };
    format!("{}{}", adjective.stem, cell(endings, case, form))
}

/// A noun. The dative plural ends in -n, unless the plural does already or ends in -s.
pub(super) fn noun(noun: &Noun, case: Case, plural: bool) -> String {
    let [singular, plural_form] = noun.german;
    match (plural, case) {
        (false, Case::Nominative) => singular.to_owned(),
        (false, _) => format!("{singular}{}", noun.weak),
        (true, Case::Dative) if !plural_form.ends_with(['n', 's']) => format!("{plural_form}n"),
        (true, _) => plural_form.to_owned(),
    }
}

/// A personal pronoun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pronoun {
    I,
    He,
    She,
    It,
    We,
    They,
}

impl Pronoun {
    /// As the subject and as an object.
    pub(super) fn english(self) -> [&'static str; 2] {
        match self {
            Self::I => ["I", "me"],
            Self::He => ["he", "him"],
            Self::She => ["she", "her"],
            Self::It => ["it", "it"],
            Self::We => ["we", "us"],
            Self::They => ["they", "them"],
        }
    }

    pub(super) fn german(self, case: Case) -> &'static str {
        let forms = match self {
            Self::I => ["ich", "mich", "mir"],
            Self::He => ["er", "ihn", "ihm"],
            Self::She => ["sie", "sie", "ihr"],
            Self::It => ["es", "es", "ihm"],
            Self::We => ["wir", "uns", "uns"],
            Self::They => ["sie", "sie", "ihnen"],
        };
        forms[case as usize]
    }

    /// What German says for a thing of this form where English says "it" or "they".
    pub(super) fn for_thing(form: Form) -> Self {
        match form {
            Some(Gender::Masculine) => Self::He,
            Some(Gender::Feminine) => Self::She,
            Some(Gender::Neuter) => Self::It,
            None => Self::They,
        }
    }
}

/// A preposition and its noun phrase: in dem becomes im, an dem am.
pub(super) fn contracted(preposition: &str, phrase: &str) -> String {
    for (one, two, joined) in [("in", "dem ", "im"), ("an", "dem ", "am")] {
        if let Some(rest) = phrase.strip_prefix(two).filter(|_| preposition == one) {
            return format!("{joined} {rest}");
        }
    }
    format!("{preposition} {phrase}")
}
