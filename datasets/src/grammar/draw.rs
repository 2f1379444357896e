//! Drawing sentences at random.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::clause::{Clause, Front, Person, Phrase, Tense, Texts, words};
use super::inflect::{Case, Determiner, Pronoun, contracted};
use super::lexicon::*;

pub(super) struct Draw<'a> {
    pub(super) rng: &'a mut ChaCha8Rng,
}

impl Draw<'_> {
    /// Whether something with this percentage happens.
    fn percent(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100u32) < percent
    }

    fn one<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.index(from.len())]
    }

    fn index(&mut self, len: usize) -> usize {
        self.rng.random_range(0..len as u32) as usize // u32: the same on every machine
    }

    fn one_of<'t, T>(&mut self, from: &'t [T], fits: impl Fn(&T) -> bool) -> &'t T {
        let fitting: Vec<&T> = from.iter().filter(|item| fits(item)).collect();
        fitting[self.index(fitting.len())]
    }

    /// A noun with one of the tags, with its article and perhaps an adjective.
    fn noun_phrase(&mut self, tags: Tags) -> (&'static Noun, Phrase) {
        let noun = self.one_of(NOUNS, |noun| noun.tags & tags != 0);
        let plural = self.percent(25);
        let determiner = *self.one(&[
            Determiner::Definite,
            Determiner::Definite,
            Determiner::Definite,
            Determiner::Indefinite,
            Determiner::Indefinite,
            Determiner::This,
            Determiner::My,
            Determiner::His,
            Determiner::Her,
            Determiner::Our,
        ]);
        let adjective =
            self.percent(40).then(|| self.one_of(ADJECTIVES, |adjective| adjective.tags & noun.tags != 0));
        (noun, Phrase::of_noun(determiner, adjective, noun, plural))
    }

    fn subject(&mut self, animals: bool) -> Phrase {
        if self.percent(30) {
            let pronouns = [Pronoun::I, Pronoun::He, Pronoun::She, Pronoun::We, Pronoun::They];
            return Phrase::of_pronoun(*self.one(&pronouns));
        }
        let tags = if animals && self.percent(30) { ANIMAL } else { PERSON };
        self.noun_phrase(tags).1
    }

    /// An object; a pronoun only where it can be a person, and not mich or uns beside ich or wir.
    fn object(&mut self, tags: Tags, subject: &Phrase) -> Phrase {
        if tags & PERSON == 0 || !self.percent(30) {
            return self.noun_phrase(tags).1;
        }
        let first = ["I", "we"].contains(&subject.english[0].as_str());
        let pronouns = [Pronoun::He, Pronoun::She, Pronoun::They, Pronoun::I, Pronoun::We];
        Phrase::of_pronoun(*self.one(if first { &pronouns[..3] } else { &pronouns[..] }))
    }

    fn tense(&mut self) -> Tense {
        match self.rng.random_range(0..100u32) {
            0..35 => Tense::Present,
            35..70 => Tense::Past,
            _ => Tense::Modal(self.one(MODALS)),
        }
    }

    /// A place or a companion, if the verb goes with one.
    fn extra(&mut self, extras: Extras) -> Option<Texts> {
        let kinds: Vec<Extras> =
            [AT, WITH, FOR, WITHOUT, THROUGH].into_iter().filter(|kind| extras & kind != 0).collect();
        if kinds.is_empty() || !self.percent(50) {
            return None;
        }
        let of = |english: &str, german: &str, phrase: &Phrase, case| {
            (words(&[english, &phrase.english[1]]), contracted(german, phrase.german(case)))
        };
        Some(match *self.one(&kinds) {
            AT if self.percent(60) => {
                let (noun, phrase) = self.noun_phrase(PLACE);
                of(noun.inside[0], noun.inside[1], &phrase, Case::Dative)
            }
            AT => {
                let (english, german) = *self.one(BESIDE);
                let (_, phrase) = self.noun_phrase(LARGE | OPENABLE);
                of(english, german, &phrase, Case::Dative)
            }
            WITH => of("with", "mit", &self.noun_phrase(PERSON | ANIMAL).1, Case::Dative),
            FOR => of("for", "für", &self.noun_phrase(PERSON).1, Case::Accusative),
            WITHOUT => of("without", "ohne", &self.noun_phrase(PERSON | ANIMAL).1, Case::Accusative),
            _ => of("through", "durch", &self.noun_phrase(PLACE).1, Case::Accusative),
        })
    }

    fn clause(&mut self, tense: Tense) -> Clause {
        let verb = self.one(VERBS);
        // "They read it" may be either: no past where English does not show it.
        let is_plain = verb.english[0] == verb.english[2];
        let tense = if is_plain && matches!(tense, Tense::Past) { Tense::Present } else { tense };
        let subject = self.subject(verb.animals);
        let dative = match verb.frame {
            Frame::Dative | Frame::Both => Some(self.object(PERSON, &subject)),
            Frame::Intransitive | Frame::Accusative(_) => None,
        };
        let accusative = match verb.frame {
            Frame::Accusative(tags) => Some(self.object(tags, &subject)),
            Frame::Both => Some(self.noun_phrase(PORTABLE).1),
            Frame::Intransitive | Frame::Dative => None,
        };
        let is_past = matches!(tense, Tense::Past);
        let time = self.percent(35).then(|| {
            let time = self.one_of(TIMES, |time| if is_past { time.3 } else { time.2 });
            (time.0, time.1)
        });
        let place = self.extra(verb.extras);
        Clause { subject, verb, tense, dative, accusative, time, place }
    }

    /// One sentence in both languages.
    pub(super) fn sentence(&mut self) -> Texts {
        let (english, german, end) = match self.rng.random_range(0..100u32) {
            0..45 => self.main(),
            45..55 => self.question(),
            55..70 => self.because(),
            70..85 => self.when(),
            85..95 => self.that(),
            _ => self.because_it_is(),
        };
        (capital(&english) + end, capital(&german) + end)
    }

    fn main(&mut self) -> (String, String, &'static str) {
        let tense = self.tense();
        let clause = self.clause(tense);
        let mut fronts = vec![Front::Subject];
        fronts.extend(clause.time.map(|_| Front::Time));
        fronts.extend(clause.place.as_ref().map(|_| Front::Place));
        let front = *self.one(&fronts);
        (clause.english(front), clause.german_main(front), ".")
    }

    fn question(&mut self) -> (String, String, &'static str) {
        let tense = self.tense();
        let clause = self.clause(tense);
        (clause.english_question(), clause.german_question(), "?")
    }

    /// ..., weil er die Tür aufmacht.
    fn because(&mut self) -> (String, String, &'static str) {
        let (first, second) = (self.tense(), self.tense());
        let (main, reason) = (self.clause(first), self.clause(second));
        let english = format!("{} because {}", main.english(Front::Subject), reason.english(Front::Subject));
        let german = format!("{}, weil {}", main.german_main(Front::Subject), reason.german_subordinate());
        (english, german, ".")
    }

    /// Wenn er die Tür aufmacht, lacht sie. Or the other way round.
    fn when(&mut self) -> (String, String, &'static str) {
        let (condition, main) = (self.clause(Tense::Present), self.clause(Tense::Present));
        let (english, german) = (condition.english(Front::Subject), condition.german_subordinate());
        if self.percent(60) {
            let english = format!("when {english}, {}", main.english(Front::Outside));
            (english, format!("wenn {german}, {}", main.german_main(Front::Outside)), ".")
        } else {
            let english = format!("{} when {english}", main.english(Front::Subject));
            (english, format!("{}, wenn {german}", main.german_main(Front::Subject)), ".")
        }
    }

    /// Sie weiß, dass er die Tür aufgemacht hat.
    fn that(&mut self) -> (String, String, &'static str) {
        let saying = self.one(SAYINGS);
        let subject = self.subject(false);
        let tense = self.tense();
        let content = self.clause(tense);
        let verb = saying.english[usize::from(subject.person == Person::Third)];
        let english = words(&[&subject.english[0], verb, "that", &content.english(Front::Subject)]);
        let verb = saying.german[subject.person as usize];
        let german =
            format!("{} {verb}, dass {}", subject.german(Case::Nominative), content.german_subordinate());
        (english, german, ".")
    }

    /// Er kauft den Tisch, weil er neu ist: "it" is er, sie or es.
    fn because_it_is(&mut self) -> (String, String, &'static str) {
        let verb = self.one_of(VERBS, |verb| {
            let plain_past = verb.english[0] == verb.english[2];
            !plain_past && matches!(verb.frame, Frame::Accusative(tags) if tags & PERSON == 0)
        });
        let Frame::Accusative(tags) = verb.frame else { unreachable!("the verb was chosen by its frame") };
        let is_past = self.percent(50);
        let tense = if is_past { Tense::Past } else { Tense::Present };
        let subject = self.subject(false);
        let (noun, object) = self.noun_phrase(tags);
        let form = object.form;
        let clause =
            Clause { subject, verb, tense, dative: None, accusative: Some(object), time: None, place: None };
        let adjective = self.one_of(ADJECTIVES, |adjective| adjective.tags & noun.tags != 0);
        let plural = usize::from(form.is_none());
        let it = if form.is_none() { "they" } else { "it" };
        let (is, ist) = match is_past {
            true => (["was", "were"][plural], ["war", "waren"][plural]),
            false => (["is", "are"][plural], ["ist", "sind"][plural]),
        };
        let english = format!("{} because {it} {is} {}", clause.english(Front::Subject), adjective.english);
        let pronoun = Pronoun::for_thing(form).german(Case::Nominative);
        let german =
            format!("{}, weil {pronoun} {} {ist}", clause.german_main(Front::Subject), adjective.predicate);
        (english, german, ".")
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}
