use proptest::prelude::*;

use super::clause::{Clause, Front, Phrase, Tense};
use super::inflect::{Case, Determiner, Gender, Pronoun, adjective, article, contracted, noun};
use super::lexicon::*;
use super::*;

const CASES: [Case; 3] = [Case::Nominative, Case::Accusative, Case::Dative];

/// Every noun: nominative, accusative, dative, singular and plural, with the definite article.
const NOUN_FORMS: &str = "\
der Mann, den Mann, dem Mann; die Männer, die Männer, den Männern
die Frau, die Frau, der Frau; die Frauen, die Frauen, den Frauen
das Kind, das Kind, dem Kind; die Kinder, die Kinder, den Kindern
der Junge, den Jungen, dem Jungen; die Jungen, die Jungen, den Jungen
das Mädchen, das Mädchen, dem Mädchen; die Mädchen, die Mädchen, den Mädchen
der Lehrer, den Lehrer, dem Lehrer; die Lehrer, die Lehrer, den Lehrern
der Nachbar, den Nachbarn, dem Nachbarn; die Nachbarn, die Nachbarn, den Nachbarn
der Student, den Studenten, dem Studenten; die Studenten, die Studenten, den Studenten
die Ärztin, die Ärztin, der Ärztin; die Ärztinnen, die Ärztinnen, den Ärztinnen
der Freund, den Freund, dem Freund; die Freunde, die Freunde, den Freunden
die Großmutter, die Großmutter, der Großmutter; die Großmütter, die Großmütter, den Großmüttern
der Onkel, den Onkel, dem Onkel; die Onkel, die Onkel, den Onkeln
der Hund, den Hund, dem Hund; die Hunde, die Hunde, den Hunden
die Katze, die Katze, der Katze; die Katzen, die Katzen, den Katzen
das Pferd, das Pferd, dem Pferd; die Pferde, die Pferde, den Pferden
der Vogel, den Vogel, dem Vogel; die Vögel, die Vögel, den Vögeln
das Buch, das Buch, dem Buch; die Bücher, die Bücher, den Büchern
der Brief, den Brief, dem Brief; die Briefe, die Briefe, den Briefen
die Zeitung, die Zeitung, der Zeitung; die Zeitungen, die Zeitungen, den Zeitungen
das Bild, das Bild, dem Bild; die Bilder, die Bilder, den Bildern
der Apfel, den Apfel, dem Apfel; die Äpfel, die Äpfel, den Äpfeln
der Ball, den Ball, dem Ball; die Bälle, die Bälle, den Bällen
der Schlüssel, den Schlüssel, dem Schlüssel; die Schlüssel, die Schlüssel, den Schlüsseln
die Tasse, die Tasse, der Tasse; die Tassen, die Tassen, den Tassen
der Koffer, den Koffer, dem Koffer; die Koffer, die Koffer, den Koffern
die Tasche, die Tasche, der Tasche; die Taschen, die Taschen, den Taschen
die Lampe, die Lampe, der Lampe; die Lampen, die Lampen, den Lampen
die Tür, die Tür, der Tür; die Türen, die Türen, den Türen
das Fenster, das Fenster, dem Fenster; die Fenster, die Fenster, den Fenstern
das Fahrrad, das Fahrrad, dem Fahrrad; die Fahrräder, die Fahrräder, den Fahrrädern
das Auto, das Auto, dem Auto; die Autos, die Autos, den Autos
der Tisch, den Tisch, dem Tisch; die Tische, die Tische, den Tischen
der Stuhl, den Stuhl, dem Stuhl; die Stühle, die Stühle, den Stühlen
der Garten, den Garten, dem Garten; die Gärten, die Gärten, den Gärten
das Haus, das Haus, dem Haus; die Häuser, die Häuser, den Häusern
die Küche, die Küche, der Küche; die Küchen, die Küchen, den Küchen
die Straße, die Straße, der Straße; die Straßen, die Straßen, den Straßen
der Park, den Park, dem Park; die Parks, die Parks, den Parks
die Schule, die Schule, der Schule; die Schulen, die Schulen, den Schulen
die Stadt, die Stadt, der Stadt; die Städte, die Städte, den Städten
das Zimmer, das Zimmer, dem Zimmer; die Zimmer, die Zimmer, den Zimmern
der Wald, den Wald, dem Wald; die Wälder, die Wälder, den Wäldern
der Bahnhof, den Bahnhof, dem Bahnhof; die Bahnhöfe, die Bahnhöfe, den Bahnhöfen
";

#[test]
fn every_noun_has_its_forms() {
    let mut found = String::new();
    for head in NOUNS {
        let form = |case, plural: bool| {
            let gender = (!plural).then_some(head.gender);
            format!("{} {}", article(Determiner::Definite, case, gender), noun(head, case, plural))
        };
        let [singular, plural] = [false, true].map(|plural| CASES.map(|case| form(case, plural)).join(", "));
        found.push_str(&format!("{singular}; {plural}\n"));
    }
    assert_eq!(found, NOUN_FORMS);
}

/// Article, adjective and noun: masculine, feminine, neuter, plural in each case.
#[test]
fn articles_and_adjectives_agree() {
    let [dog, cat, horse] =
        ["dog", "cat", "horse"].map(|name| NOUNS.iter().find(|noun| noun.english[0] == name).unwrap());
    let small = ADJECTIVES.iter().find(|adjective| adjective.english == "small").unwrap();
    for (determiner, expected) in [
        (
            Determiner::Definite,
            [
                "der kleine Hund, die kleine Katze, das kleine Pferd, die kleinen Katzen",
                "den kleinen Hund, die kleine Katze, das kleine Pferd, die kleinen Katzen",
                "dem kleinen Hund, der kleinen Katze, dem kleinen Pferd, den kleinen Katzen",
            ],
        ),
        (
            Determiner::This,
            [
                "dieser kleine Hund, diese kleine Katze, dieses kleine Pferd, diese kleinen Katzen",
                "diesen kleinen Hund, diese kleine Katze, dieses kleine Pferd, diese kleinen Katzen",
                "diesem kleinen Hund, dieser kleinen Katze, diesem kleinen Pferd, diesen kleinen Katzen",
            ],
        ),
        (
            Determiner::Indefinite,
            [
                "ein kleiner Hund, eine kleine Katze, ein kleines Pferd, kleine Katzen",
                "einen kleinen Hund, eine kleine Katze, ein kleines Pferd, kleine Katzen",
                "einem kleinen Hund, einer kleinen Katze, einem kleinen Pferd, kleinen Katzen",
            ],
        ),
        (
            Determiner::My,
            [
                "mein kleiner Hund, meine kleine Katze, mein kleines Pferd, meine kleinen Katzen",
                "meinen kleinen Hund, meine kleine Katze, mein kleines Pferd, meine kleinen Katzen",
                "meinem kleinen Hund, meiner kleinen Katze, meinem kleinen Pferd, meinen kleinen Katzen",
            ],
        ),
        (
            Determiner::His,
            [
                "sein kleiner Hund, seine kleine Katze, sein kleines Pferd, seine kleinen Katzen",
                "seinen kleinen Hund, seine kleine Katze, sein kleines Pferd, seine kleinen Katzen",
                "seinem kleinen Hund, seiner kleinen Katze, seinem kleinen Pferd, seinen kleinen Katzen",
            ],
        ),
        (
            Determiner::Her,
            [
                "ihr kleiner Hund, ihre kleine Katze, ihr kleines Pferd, ihre kleinen Katzen",
                "ihren kleinen Hund, ihre kleine Katze, ihr kleines Pferd, ihre kleinen Katzen",
                "ihrem kleinen Hund, ihrer kleinen Katze, ihrem kleinen Pferd, ihren kleinen Katzen",
            ],
        ),
        (
            Determiner::Our,
            [
                "unser kleiner Hund, unsere kleine Katze, unser kleines Pferd, unsere kleinen Katzen",
                "unseren kleinen Hund, unsere kleine Katze, unser kleines Pferd, unsere kleinen Katzen",
                "unserem kleinen Hund, unserer kleinen Katze, unserem kleinen Pferd, unseren kleinen Katzen",
            ],
        ),
    ] {
        let phrases = [(dog, false), (cat, false), (horse, false), (cat, true)]
            .map(|(noun, plural)| Phrase::of_noun(determiner, Some(small), noun, plural));
        for (case, expected) in CASES.into_iter().zip(expected) {
            let found: Vec<&str> = phrases.iter().map(|phrase| phrase.german(case)).collect();
            assert_eq!(found.join(", "), expected, "{determiner:?} {case:?}");
        }
    }
    let tired = ADJECTIVES.iter().find(|adjective| adjective.english == "tired").unwrap();
    assert_eq!(adjective(tired, Determiner::Our, Case::Nominative, Some(Gender::Masculine)), "müder");
}

#[test]
fn pronouns_and_contractions() {
    let forms = [Pronoun::I, Pronoun::He, Pronoun::She, Pronoun::It, Pronoun::We, Pronoun::They]
        .map(|pronoun| CASES.map(|case| pronoun.german(case)).join(" "));
    assert_eq!(
        forms,
        ["ich mich mir", "er ihn ihm", "sie sie ihr", "es es ihm", "wir uns uns", "sie sie ihnen"]
    );
    for (preposition, phrase, expected) in [
        ("in", "dem Garten", "im Garten"),
        ("an", "dem alten Bahnhof", "am alten Bahnhof"),
        ("in", "der Küche", "in der Küche"),
        ("in", "den Gärten", "in den Gärten"),
        ("in", "diesem Garten", "in diesem Garten"),
        ("hinter", "dem Auto", "hinter dem Auto"),
        ("mit", "dem Hund", "mit dem Hund"),
    ] {
        assert_eq!(contracted(preposition, phrase), expected);
    }
}

/// Every verb: ich, er, wir in the present; er in the perfect; the infinitive with a modal verb.
const VERB_FORMS: &str = "\
ich schlafe, er schläft, wir schlafen, er hat geschlafen, er kann schlafen
ich lache, er lacht, wir lachen, er hat gelacht, er kann lachen
ich arbeite, er arbeitet, wir arbeiten, er hat gearbeitet, er kann arbeiten
ich warte, er wartet, wir warten, er hat gewartet, er kann warten
ich spiele, er spielt, wir spielen, er hat gespielt, er kann spielen
ich laufe, er läuft, wir laufen, er ist gelaufen, er kann laufen
ich komme an, er kommt an, wir kommen an, er ist angekommen, er kann ankommen
ich stehe auf, er steht auf, wir stehen auf, er ist aufgestanden, er kann aufstehen
ich komme zurück, er kommt zurück, wir kommen zurück, er ist zurückgekommen, er kann zurückkommen
ich gehe weg, er geht weg, wir gehen weg, er ist weggegangen, er kann weggehen
ich mache auf, er macht auf, wir machen auf, er hat aufgemacht, er kann aufmachen
ich mache zu, er macht zu, wir machen zu, er hat zugemacht, er kann zumachen
ich hebe auf, er hebt auf, wir heben auf, er hat aufgehoben, er kann aufheben
ich bringe mit, er bringt mit, wir bringen mit, er hat mitgebracht, er kann mitbringen
ich rufe an, er ruft an, wir rufen an, er hat angerufen, er kann anrufen
ich hole ab, er holt ab, wir holen ab, er hat abgeholt, er kann abholen
ich lade ein, er lädt ein, wir laden ein, er hat eingeladen, er kann einladen
ich kaufe, er kauft, wir kaufen, er hat gekauft, er kann kaufen
ich verkaufe, er verkauft, wir verkaufen, er hat verkauft, er kann verkaufen
ich sehe, er sieht, wir sehen, er hat gesehen, er kann sehen
ich finde, er findet, wir finden, er hat gefunden, er kann finden
ich suche, er sucht, wir suchen, er hat gesucht, er kann suchen
ich trage, er trägt, wir tragen, er hat getragen, er kann tragen
ich lese, er liest, wir lesen, er hat gelesen, er kann lesen
ich repariere, er repariert, wir reparieren, er hat repariert, er kann reparieren
ich putze, er putzt, wir putzen, er hat geputzt, er kann putzen
ich besuche, er besucht, wir besuchen, er hat besucht, er kann besuchen
ich helfe, er hilft, wir helfen, er hat geholfen, er kann helfen
ich danke, er dankt, wir danken, er hat gedankt, er kann danken
ich folge, er folgt, wir folgen, er ist gefolgt, er kann folgen
ich gebe, er gibt, wir geben, er hat gegeben, er kann geben
ich zeige, er zeigt, wir zeigen, er hat gezeigt, er kann zeigen
ich schicke, er schickt, wir schicken, er hat geschickt, er kann schicken
ich bringe, er bringt, wir bringen, er hat gebracht, er kann bringen
";

fn bare(pronoun: Pronoun, verb: &'static Verb, tense: Tense) -> Clause {
    let subject = Phrase::of_pronoun(pronoun);
    Clause { subject, verb, tense, dative: None, accusative: None, time: None, place: None }
}

#[test]
fn every_verb_has_its_forms() {
    let mut found = String::new();
    for verb in VERBS {
        let forms = [
            (Pronoun::I, Tense::Present),
            (Pronoun::He, Tense::Present),
            (Pronoun::We, Tense::Present),
            (Pronoun::He, Tense::Past),
            (Pronoun::He, Tense::Modal(&MODALS[0])),
        ];
        let forms = forms.map(|(pronoun, tense)| bare(pronoun, verb, tense).german_main(Front::Subject));
        found.push_str(&(forms.join(", ") + "\n"));
    }
    assert_eq!(found, VERB_FORMS);
    let all = |tense: Tense| {
        [Pronoun::I, Pronoun::She, Pronoun::They]
            .map(|pronoun| bare(pronoun, &VERBS[5], tense).german_subordinate())
    };
    assert_eq!(all(Tense::Past), ["ich gelaufen bin", "sie gelaufen ist", "sie gelaufen sind"]);
    let modals: Vec<String> = MODALS.iter().map(|modal| all(Tense::Modal(modal)).join(", ")).collect();
    assert_eq!(
        modals,
        [
            "ich laufen kann, sie laufen kann, sie laufen können",
            "ich laufen muss, sie laufen muss, sie laufen müssen",
            "ich laufen soll, sie laufen soll, sie laufen sollen",
            "ich laufen will, sie laufen will, sie laufen wollen",
        ]
    );
    let haben =
        [Pronoun::I, Pronoun::He, Pronoun::We].map(|p| bare(p, &VERBS[0], Tense::Past).german_subordinate());
    assert_eq!(haben, ["ich geschlafen habe", "er geschlafen hat", "wir geschlafen haben"]);
}

fn phrase(determiner: Determiner, name: &str, plural: bool) -> Phrase {
    Phrase::of_noun(determiner, None, NOUNS.iter().find(|noun| noun.english[0] == name).unwrap(), plural)
}

fn find_verb(prefix: &str, infinitive: &str) -> &'static Verb {
    VERBS.iter().find(|verb| verb.prefix == prefix && verb.german[2] == infinitive).unwrap()
}

/// One clause in every order.
#[test]
fn words_stand_where_they_belong() {
    let open = |tense| Clause {
        subject: phrase(Determiner::Definite, "man", false),
        verb: find_verb("auf", "machen"),
        tense,
        dative: None,
        accusative: Some(phrase(Determiner::Definite, "door", false)),
        time: Some(("today", "heute")),
        place: Some(("for the boy".to_owned(), "für den Jungen".to_owned())),
    };
    for (tense, english, orders) in [
        (
            Tense::Present,
            "the man opens the door for the boy today",
            [
                "der Mann macht heute die Tür für den Jungen auf",
                "heute macht der Mann die Tür für den Jungen auf",
                "für den Jungen macht der Mann heute die Tür auf",
                "macht der Mann heute die Tür für den Jungen auf",
                "der Mann heute die Tür für den Jungen aufmacht",
            ],
        ),
        (
            Tense::Past,
            "the man opened the door for the boy today",
            [
                "der Mann hat heute die Tür für den Jungen aufgemacht",
                "heute hat der Mann die Tür für den Jungen aufgemacht",
                "für den Jungen hat der Mann heute die Tür aufgemacht",
                "hat der Mann heute die Tür für den Jungen aufgemacht",
                "der Mann heute die Tür für den Jungen aufgemacht hat",
            ],
        ),
        (
            Tense::Modal(&MODALS[3]),
            "the man wants to open the door for the boy today",
            [
                "der Mann will heute die Tür für den Jungen aufmachen",
                "heute will der Mann die Tür für den Jungen aufmachen",
                "für den Jungen will der Mann heute die Tür aufmachen",
                "will der Mann heute die Tür für den Jungen aufmachen",
                "der Mann heute die Tür für den Jungen aufmachen will",
            ],
        ),
    ] {
        let clause = open(tense);
        assert_eq!(clause.english(Front::Subject), english);
        let [first, second, third] =
            [Front::Subject, Front::Time, Front::Place].map(|front| clause.german_main(front));
        assert_eq!([first, second, third, clause.german_question(), clause.german_subordinate()], orders);
    }
    assert_eq!(open(Tense::Present).english(Front::Time), "today the man opens the door for the boy");
    assert_eq!(open(Tense::Past).english_question(), "did the man open the door for the boy today");
    assert_eq!(
        open(Tense::Modal(&MODALS[3])).english_question(),
        "does the man want to open the door for the boy today"
    );
    assert_eq!(
        open(Tense::Modal(&MODALS[1])).english_question(),
        "must the man open the door for the boy today"
    );
}

#[test]
fn pronouns_go_before_times_and_particles_behind_pronouns() {
    let mut give = Clause {
        subject: phrase(Determiner::My, "neighbour", true),
        verb: find_verb("", "geben"),
        tense: Tense::Past,
        dative: Some(Phrase::of_pronoun(Pronoun::She)),
        accusative: Some(phrase(Determiner::Indefinite, "apple", false)),
        time: Some(("yesterday", "gestern")),
        place: None,
    };
    assert_eq!(give.english(Front::Subject), "my neighbours gave her an apple yesterday");
    assert_eq!(give.german_main(Front::Subject), "meine Nachbarn haben ihr gestern einen Apfel gegeben");
    give.dative = Some(phrase(Determiner::Definite, "boy", false));
    assert_eq!(give.german_main(Front::Time), "gestern haben meine Nachbarn dem Jungen einen Apfel gegeben");
    assert_eq!(give.german_subordinate(), "meine Nachbarn gestern dem Jungen einen Apfel gegeben haben");
    let mut bring = Clause {
        verb: find_verb("mit", "bringen"),
        dative: None,
        accusative: Some(Phrase::of_pronoun(Pronoun::He)),
        ..give
    };
    assert_eq!(bring.english(Front::Subject), "my neighbours brought him along yesterday");
    assert_eq!(bring.german_main(Front::Subject), "meine Nachbarn haben ihn gestern mitgebracht");
    bring.accusative = Some(phrase(Determiner::His, "letter", true));
    assert_eq!(bring.english(Front::Subject), "my neighbours brought along his letters yesterday");
    let look =
        Clause { verb: find_verb("", "suchen"), accusative: Some(Phrase::of_pronoun(Pronoun::I)), ..bring };
    assert_eq!(look.english(Front::Subject), "my neighbours looked for me yesterday");
    assert_eq!(look.german_subordinate(), "meine Nachbarn mich gestern gesucht haben");
}

/// Every finite form that can end a subordinate clause.
fn finite_forms() -> HashSet<String> {
    let mut forms: HashSet<String> =
        ["habe", "hat", "haben", "bin", "ist", "sind", "war", "waren"].map(str::to_owned).into();
    forms.extend(MODALS.iter().flat_map(|modal| modal.german).map(str::to_owned));
    for verb in VERBS {
        forms.extend(verb.german.iter().map(|form| format!("{}{form}", verb.prefix)));
    }
    forms
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Of each sentence: capital, end, no double space; a subordinate clause ends with a finite verb, and German
    /// has a comma for each.
    #[test]
    fn sentences_are_well_formed(seed: u64, index in 0u64..1 << 40) {
        let forms = finite_forms();
        for (split, index) in [(Split::Train, index), (Split::Val, index), (Split::Test, index)] {
            let (english, german) = Grammar::new(seed).sentence(split, index);
            prop_assert_eq!(&Grammar::new(seed).sentence(split, index), &(english.clone(), german.clone()));
            prop_assert_eq!(split_of(&english), split);
            for text in [&english, &german] {
                prop_assert!(text.starts_with(char::is_uppercase) && text.ends_with(['.', '?']), "{}", text);
                prop_assert!(!text.contains("  ") && !text.contains(" ,") && !text.contains(" ."), "{}", text);
            }
            prop_assert_eq!(english.ends_with('?'), german.ends_with('?'));
            let body = german.trim_end_matches(['.', '?']);
            let subordinate = match body.split_once(", ") {
                Some((first, _)) if first.starts_with("Wenn ") => Some(first),
                Some((_, second)) => {
                    prop_assert!(["weil ", "dass ", "wenn "].iter().any(|word| second.starts_with(word)), "{}", german);
                    Some(second)
                }
                None => None,
            };
            if let Some(last) = subordinate.and_then(|clause| clause.rsplit(' ').next()) {
                prop_assert!(forms.contains(last), "{}", german);
            }
        }
    }
}

#[test]
fn splits_are_disjoint_and_sentences_many() {
    let (a, b) = (Grammar::new(1), Grammar::new(2));
    let texts = [
        a.text(Split::Train, 8000),
        a.text(Split::Val, 500),
        b.text(Split::Test, 500),
        b.text(Split::Train, 500),
    ];
    let sets: Vec<HashSet<&str>> =
        texts.iter().map(|text| text.source().iter().map(String::as_str).collect()).collect();
    assert_eq!(sets.iter().map(HashSet::len).collect::<Vec<_>>(), [8000, 500, 500, 500]);
    assert!(sets[0].is_disjoint(&sets[1]) && sets[0].is_disjoint(&sets[2]) && sets[1].is_disjoint(&sets[3]));
    assert_ne!(texts[0].source()[..500], texts[3].source()[..]);
    assert_eq!(a.text(Split::Train, 100).source(), &texts[0].source()[..100]);
    // Whoever copies the order of the English words is wrong: a word-by-word German has the same number of words.
    let same =
        texts[0].pairs().filter(|(english, german)| english.split(' ').count() == german.split(' ').count());
    assert!(same.count() < 5000);
    // Every word of the lexicon is used.
    let german: String = texts[0].target().join(" ");
    for verb in VERBS.iter().filter(|verb| verb.english[0] != verb.english[2]) {
        assert!(german.contains(verb.participle), "{}", verb.participle);
    }
    for noun in NOUNS {
        assert!(german.contains(noun.german[0]), "{}", noun.german[0]);
    }
}
