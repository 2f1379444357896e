//! Clauses and their word order in both languages.

use super::inflect::{Case, Determiner, Gender, Pronoun, adjective, article, noun};
use super::lexicon::{Adjective, Modal, Noun, Verb};

/// The form of the verb that a subject asks for: an index of the tables of forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Person {
    /// ich
    First,
    /// er, sie, es
    Third,
    /// wir, sie
    Plural,
}

/// A noun phrase or a pronoun in every case.
#[derive(Clone, Debug)]
pub(super) struct Phrase {
    pub(super) person: Person,
    /// As the subject and as an object.
    pub(super) english: [String; 2],
    pub(super) german: [String; 3],
    pub(super) is_pronoun: bool,
    /// Gender in the singular, nothing in the plural.
    pub(super) form: Option<Gender>,
}

impl Phrase {
    pub(super) fn of_pronoun(pronoun: Pronoun) -> Self {
        let person = match pronoun {
            Pronoun::I => Person::First,
            Pronoun::We | Pronoun::They => Person::Plural,
            Pronoun::He | Pronoun::She | Pronoun::It => Person::Third,
        };
        let german =
            [Case::Nominative, Case::Accusative, Case::Dative].map(|case| pronoun.german(case).to_owned());
        let english = pronoun.english().map(str::to_owned);
        Self { person, english, german, is_pronoun: true, form: None }
    }

    pub(super) fn of_noun(
        determiner: Determiner,
        describing: Option<&Adjective>,
        head: &Noun,
        plural: bool,
    ) -> Self {
        let form = (!plural).then_some(head.gender);
        let german = [Case::Nominative, Case::Accusative, Case::Dative].map(|case| {
            let describing =
                describing.map(|word| adjective(word, determiner, case, form)).unwrap_or_default();
            words(&[&article(determiner, case, form), &describing, &noun(head, case, plural)])
        });
        let rest = words(&[describing.map_or("", |word| word.english), head.english[usize::from(plural)]]);
        let mut first = determiner.english()[usize::from(plural)];
        if first == "a" && rest.starts_with(['a', 'e', 'i', 'o', 'u']) {
            first = "an";
        }
        let english = words(&[first, &rest]);
        let person = if plural { Person::Plural } else { Person::Third };
        Self { person, english: [english.clone(), english], german, is_pronoun: false, form }
    }

    fn object(&self) -> &str {
        &self.english[1]
    }

    pub(super) fn german(&self, case: Case) -> &str {
        &self.german[case as usize]
    }
}

/// English present, past, or a modal verb; in German present, perfect, or a modal verb.
#[derive(Clone, Copy)]
pub(super) enum Tense {
    Present,
    Past,
    Modal(&'static Modal),
}

/// Two texts of the same meaning.
pub(super) type Texts = (String, String);

/// A verb with everything that goes with it.
pub(super) struct Clause {
    pub(super) subject: Phrase,
    pub(super) verb: &'static Verb,
    pub(super) tense: Tense,
    pub(super) dative: Option<Phrase>,
    pub(super) accusative: Option<Phrase>,
    pub(super) time: Option<(&'static str, &'static str)>,
    /// Every other adverbial, mostly a place.
    pub(super) place: Option<Texts>,
}

/// What stands before the finite verb of a German main clause, and at the start of the English one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Front {
    Subject,
    Time,
    Place,
    /// Something outside of the clause, as a clause with wenn.
    Outside,
}

impl Clause {
    /// The parts of an English clause behind the subject, the times and places that stand in front left out.
    fn english_rest(&self, verb: &str, front: Front) -> String {
        let mut rest = vec![verb];
        let object = |phrase: &'_ Option<Phrase>| {
            phrase.as_ref().map_or(String::new(), |phrase| phrase.object().to_owned())
        };
        let (dative, accusative) = (object(&self.dative), object(&self.accusative));
        let particle = self.verb.particle;
        let behind = self.accusative.as_ref().is_some_and(|phrase| phrase.is_pronoun);
        match behind {
            true => rest.extend([self.verb.preposition, &dative, &accusative, particle]),
            false => rest.extend([self.verb.preposition, particle, &dative, &accusative]),
        }
        if front != Front::Place {
            rest.push(self.place.as_ref().map_or("", |place| &place.0));
        }
        if front != Front::Time {
            rest.push(self.time.map_or("", |time| time.0));
        }
        words(&rest)
    }

    /// The man buys a book today. Today the man buys a book.
    pub(super) fn english(&self, front: Front) -> String {
        let [base, third, past] = self.verb.english;
        let is_third = self.subject.person == Person::Third;
        let verb = match self.tense {
            Tense::Present => if is_third { third } else { base }.to_owned(),
            Tense::Past => past.to_owned(),
            Tense::Modal(modal) => words(&[modal.english[usize::from(is_third)], base]),
        };
        let first = match front {
            Front::Time => self.time.map_or("", |time| time.0),
            Front::Place => self.place.as_ref().map_or("", |place| &place.0),
            Front::Subject | Front::Outside => "",
        };
        words(&[first, &self.subject.english[0], &self.english_rest(&verb, front)])
    }

    /// Does the man buy a book today
    pub(super) fn english_question(&self) -> String {
        let base = self.verb.english[0];
        let do_form = if self.subject.person == Person::Third { "does" } else { "do" };
        let (first, verb) = match self.tense {
            Tense::Present => (do_form, base.to_owned()),
            Tense::Past => ("did", base.to_owned()),
            Tense::Modal(modal) if modal.english[0] == "want to" => (do_form, words(&["want to", base])),
            Tense::Modal(modal) => (modal.english[0], base.to_owned()),
        };
        words(&[first, &self.subject.english[0], &self.english_rest(&verb, Front::Subject)])
    }

    /// The finite verb, and what stands at the end of a main clause: the prefix, the participle or the infinitive.
    fn german_verb(&self) -> (&'static str, String) {
        let person = self.subject.person as usize;
        let verb = self.verb;
        match self.tense {
            Tense::Present => (verb.german[person], verb.prefix.to_owned()),
            Tense::Past => {
                let forms = if verb.with_sein { ["bin", "ist", "sind"] } else { ["habe", "hat", "haben"] };
                (forms[person], verb.participle.to_owned())
            }
            Tense::Modal(modal) => {
                let finite = modal.german[usize::from(self.subject.person == Person::Plural)];
                (finite, format!("{}{}", verb.prefix, verb.german[2]))
            }
        }
    }

    /// Everything between the finite verb (or the conjunction) and the end, without what stands in front: the subject,
    /// pronouns, the time, the dative before the accusative, the place.
    fn german_middle(&self, front: Front) -> String {
        let pick = |phrase: &Option<Phrase>, case, pronoun| {
            let phrase = phrase.as_ref().filter(|phrase| phrase.is_pronoun == pronoun);
            phrase.map_or(String::new(), |phrase| phrase.german(case).to_owned())
        };
        words(&[
            if front == Front::Subject { "" } else { self.subject.german(Case::Nominative) },
            &pick(&self.accusative, Case::Accusative, true),
            &pick(&self.dative, Case::Dative, true),
            if front == Front::Time { "" } else { self.time.map_or("", |time| time.1) },
            &pick(&self.dative, Case::Dative, false),
            &pick(&self.accusative, Case::Accusative, false),
            if front == Front::Place { "" } else { self.place.as_ref().map_or("", |place| &place.1) },
        ])
    }

    /// The finite verb stands second: Der Mann macht heute die Tür auf. Heute macht der Mann die Tür auf.
    pub(super) fn german_main(&self, front: Front) -> String {
        let (finite, end) = self.german_verb();
        let first = match front {
            Front::Subject => self.subject.german(Case::Nominative),
            Front::Time => self.time.map_or("", |time| time.1),
            Front::Place => self.place.as_ref().map_or("", |place| &place.1),
            Front::Outside => "",
        };
        words(&[first, finite, &self.german_middle(front), &end])
    }

    /// The finite verb stands last: (weil) der Mann heute die Tür aufmacht; (weil) er gekommen ist.
    pub(super) fn german_subordinate(&self) -> String {
        let (finite, end) = self.german_verb();
        let verbs = match self.tense {
            Tense::Present => format!("{end}{finite}"),
            Tense::Past | Tense::Modal(_) => format!("{end} {finite}"),
        };
        words(&[&self.german_middle(Front::Outside), &verbs])
    }

    /// The finite verb stands first: Macht der Mann heute die Tür auf
    pub(super) fn german_question(&self) -> String {
        self.german_main(Front::Outside)
    }
}

/// Parts joined by spaces, empty ones left out.
pub(super) fn words(parts: &[&str]) -> String {
    parts.iter().copied().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}
