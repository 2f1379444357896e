//! The words, with the forms that no rule gives.

use super::inflect::{Gender, Gender::*};

/// What a noun can be, as bits: verbs and prepositions ask for some of them.
pub(super) type Tags = u16;
pub(super) const PERSON: Tags = 1;
pub(super) const ANIMAL: Tags = 2;
pub(super) const PLACE: Tags = 4;
pub(super) const PORTABLE: Tags = 8;
pub(super) const OPENABLE: Tags = 16;
pub(super) const READABLE: Tags = 32;
pub(super) const MACHINE: Tags = 64;
pub(super) const LARGE: Tags = 128;
pub(super) const THING: Tags = PORTABLE | OPENABLE | READABLE | MACHINE | LARGE;

/// A noun.
pub(super) struct Noun {
    pub(super) english: [&'static str; 2],
    pub(super) gender: Gender,
    /// Nominative singular and plural.
    pub(super) german: [&'static str; 2],
    /// The ending of the accusative and dative singular: of the weak declension, else none.
    pub(super) weak: &'static str,
    pub(super) tags: Tags,
    /// How one is there, in English and German: only of places.
    pub(super) inside: [&'static str; 2],
}

const fn noun(
    english: [&'static str; 2],
    gender: Gender,
    german: [&'static str; 2],
    weak: &'static str,
    tags: Tags,
) -> Noun {
    Noun { english, gender, german, weak, tags, inside: ["", ""] }
}

const fn place(
    english: [&'static str; 2],
    gender: Gender,
    german: [&'static str; 2],
    inside: [&'static str; 2],
) -> Noun {
    Noun { english, gender, german, weak: "", tags: PLACE, inside }
}

pub(super) const NOUNS: &[Noun] = &[
    noun(["man", "men"], Masculine, ["Mann", "Männer"], "", PERSON),
    noun(["woman", "women"], Feminine, ["Frau", "Frauen"], "", PERSON),
    noun(["child", "children"], Neuter, ["Kind", "Kinder"], "", PERSON),
    noun(["boy", "boys"], Masculine, ["Junge", "Jungen"], "n", PERSON),
    noun(["girl", "girls"], Neuter, ["Mädchen", "Mädchen"], "", PERSON),
    noun(["teacher", "teachers"], Masculine, ["Lehrer", "Lehrer"], "", PERSON),
    noun(["neighbour", "neighbours"], Masculine, ["Nachbar", "Nachbarn"], "n", PERSON),
    noun(["student", "students"], Masculine, ["Student", "Studenten"], "en", PERSON),
    noun(["doctor", "doctors"], Feminine, ["Ärztin", "Ärztinnen"], "", PERSON),
    noun(["friend", "friends"], Masculine, ["Freund", "Freunde"], "", PERSON),
    noun(["grandmother", "grandmothers"], Feminine, ["Großmutter", "Großmütter"], "", PERSON),
    noun(["uncle", "uncles"], Masculine, ["Onkel", "Onkel"], "", PERSON),
    noun(["dog", "dogs"], Masculine, ["Hund", "Hunde"], "", ANIMAL),
    noun(["cat", "cats"], Feminine, ["Katze", "Katzen"], "", ANIMAL),
    noun(["horse", "horses"], Neuter, ["Pferd", "Pferde"], "", ANIMAL),
    noun(["bird", "birds"], Masculine, ["Vogel", "Vögel"], "", ANIMAL),
    noun(["book", "books"], Neuter, ["Buch", "Bücher"], "", PORTABLE | READABLE),
    noun(["letter", "letters"], Masculine, ["Brief", "Briefe"], "", PORTABLE | READABLE),
    noun(["newspaper", "newspapers"], Feminine, ["Zeitung", "Zeitungen"], "", PORTABLE | READABLE),
    noun(["picture", "pictures"], Neuter, ["Bild", "Bilder"], "", PORTABLE),
    noun(["apple", "apples"], Masculine, ["Apfel", "Äpfel"], "", PORTABLE),
    noun(["ball", "balls"], Masculine, ["Ball", "Bälle"], "", PORTABLE),
    noun(["key", "keys"], Masculine, ["Schlüssel", "Schlüssel"], "", PORTABLE),
    noun(["cup", "cups"], Feminine, ["Tasse", "Tassen"], "", PORTABLE),
    noun(["suitcase", "suitcases"], Masculine, ["Koffer", "Koffer"], "", PORTABLE | OPENABLE),
    noun(["bag", "bags"], Feminine, ["Tasche", "Taschen"], "", PORTABLE | OPENABLE),
    noun(["lamp", "lamps"], Feminine, ["Lampe", "Lampen"], "", PORTABLE | MACHINE),
    noun(["door", "doors"], Feminine, ["Tür", "Türen"], "", OPENABLE),
    noun(["window", "windows"], Neuter, ["Fenster", "Fenster"], "", OPENABLE),
    noun(["bicycle", "bicycles"], Neuter, ["Fahrrad", "Fahrräder"], "", LARGE | MACHINE),
    noun(["car", "cars"], Neuter, ["Auto", "Autos"], "", LARGE | MACHINE),
    noun(["table", "tables"], Masculine, ["Tisch", "Tische"], "", LARGE),
    noun(["chair", "chairs"], Masculine, ["Stuhl", "Stühle"], "", PORTABLE | LARGE),
    place(["garden", "gardens"], Masculine, ["Garten", "Gärten"], ["in", "in"]),
    place(["house", "houses"], Neuter, ["Haus", "Häuser"], ["in", "in"]),
    place(["kitchen", "kitchens"], Feminine, ["Küche", "Küchen"], ["in", "in"]),
    place(["street", "streets"], Feminine, ["Straße", "Straßen"], ["on", "auf"]),
    place(["park", "parks"], Masculine, ["Park", "Parks"], ["in", "in"]),
    place(["school", "schools"], Feminine, ["Schule", "Schulen"], ["in", "in"]),
    place(["city", "cities"], Feminine, ["Stadt", "Städte"], ["in", "in"]),
    place(["room", "rooms"], Neuter, ["Zimmer", "Zimmer"], ["in", "in"]),
    place(["forest", "forests"], Masculine, ["Wald", "Wälder"], ["in", "in"]),
    place(["station", "stations"], Masculine, ["Bahnhof", "Bahnhöfe"], ["at", "an"]),
];

/// An adjective: English, German stem, German predicate, and of what it is said.
pub(super) struct Adjective {
    pub(super) english: &'static str,
    pub(super) stem: &'static str,
    pub(super) predicate: &'static str,
    pub(super) tags: Tags,
}

const fn adjective(english: &'static str, german: &'static str, tags: Tags) -> Adjective {
    Adjective { english, stem: german, predicate: german, tags }
}

pub(super) const ADJECTIVES: &[Adjective] = &[
    adjective("old", "alt", PERSON | ANIMAL | THING | PLACE),
    adjective("small", "klein", PERSON | ANIMAL | THING | PLACE),
    adjective("big", "groß", ANIMAL | THING | PLACE),
    adjective("beautiful", "schön", ANIMAL | THING | PLACE),
    adjective("young", "jung", PERSON | ANIMAL),
    adjective("friendly", "freundlich", PERSON | ANIMAL),
    Adjective { english: "tired", stem: "müd", predicate: "müde", tags: PERSON | ANIMAL },
    adjective("clever", "klug", PERSON | ANIMAL),
    adjective("new", "neu", THING),
    adjective("heavy", "schwer", THING),
    adjective("red", "rot", THING),
    adjective("green", "grün", THING),
    adjective("cheap", "billig", THING),
    adjective("quiet", "ruhig", PLACE),
];

/// What a verb asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// Nothing.
    Intransitive,
    /// An accusative object with one of these tags.
    Accusative(Tags),
    /// A person in the dative.
    Dative,
    /// A person in the dative and a portable thing in the accusative.
    Both,
}
use Frame::{Accusative, Both, Dative, Intransitive};

/// What a verb may have beside its objects, as bits.
pub(super) type Extras = u8;
/// A place where it happens.
pub(super) const AT: Extras = 1;
/// mit + dative
pub(super) const WITH: Extras = 2;
/// für + accusative
pub(super) const FOR: Extras = 4;
/// ohne + accusative
pub(super) const WITHOUT: Extras = 8;
/// durch + accusative
pub(super) const THROUGH: Extras = 16;

/// A verb.
pub(super) struct Verb {
    /// Base, third person, past.
    pub(super) english: [&'static str; 3],
    /// Goes behind an object that is a pronoun, before other objects: picks up the bag, picks it up.
    pub(super) particle: &'static str,
    /// Stays before the object: looks for it.
    pub(super) preposition: &'static str,
    /// The separable prefix, if there is one.
    pub(super) prefix: &'static str,
    /// Present tense of ich, er, wir without the prefix; the last is the infinitive too.
    pub(super) german: [&'static str; 3],
    pub(super) participle: &'static str,
    /// Whether the perfect is made with sein, not haben.
    pub(super) with_sein: bool,
    pub(super) frame: Frame,
    /// Whether animals do it.
    pub(super) animals: bool,
    pub(super) extras: Extras,
}

const fn verb(
    english: [&'static str; 3],
    prefix: &'static str,
    german: [&'static str; 3],
    participle: &'static str,
    frame: Frame,
    extras: Extras,
) -> Verb {
    Verb {
        english,
        particle: "",
        preposition: "",
        prefix,
        german,
        participle,
        with_sein: false,
        frame,
        animals: false,
        extras,
    }
}

impl Verb {
    const fn particle(self, particle: &'static str) -> Self {
        Self { particle, ..self }
    }

    const fn preposition(self, preposition: &'static str) -> Self {
        Self { preposition, ..self }
    }

    const fn sein(self) -> Self {
        Self { with_sein: true, ..self }
    }

    const fn animals(self) -> Self {
        Self { animals: true, ..self }
    }
}

#[rustfmt::skip] // one verb, one line
pub(super) const VERBS: &[Verb] = &[
    verb(["sleep", "sleeps", "slept"], "", ["schlafe", "schläft", "schlafen"], "geschlafen", Intransitive, AT).animals(),
    verb(["laugh", "laughs", "laughed"], "", ["lache", "lacht", "lachen"], "gelacht", Intransitive, AT | WITH),
    verb(["work", "works", "worked"], "", ["arbeite", "arbeitet", "arbeiten"], "gearbeitet", Intransitive, AT | WITH | FOR),
    verb(["wait", "waits", "waited"], "", ["warte", "wartet", "warten"], "gewartet", Intransitive, AT | WITH).animals(),
    verb(["play", "plays", "played"], "", ["spiele", "spielt", "spielen"], "gespielt", Intransitive, AT | WITH).animals(),
    verb(["run", "runs", "ran"], "", ["laufe", "läuft", "laufen"], "gelaufen", Intransitive, THROUGH).sein().animals(),
    verb(["arrive", "arrives", "arrived"], "an", ["komme", "kommt", "kommen"], "angekommen", Intransitive, WITH | WITHOUT).sein(),
    verb(["get", "gets", "got"], "auf", ["stehe", "steht", "stehen"], "aufgestanden", Intransitive, 0).particle("up").sein(),
    verb(["come", "comes", "came"], "zurück", ["komme", "kommt", "kommen"], "zurückgekommen", Intransitive, WITH | WITHOUT).particle("back").sein().animals(),
    verb(["go", "goes", "went"], "weg", ["gehe", "geht", "gehen"], "weggegangen", Intransitive, WITH | WITHOUT).particle("away").sein(),
    verb(["open", "opens", "opened"], "auf", ["mache", "macht", "machen"], "aufgemacht", Accusative(OPENABLE), FOR),
    verb(["close", "closes", "closed"], "zu", ["mache", "macht", "machen"], "zugemacht", Accusative(OPENABLE), 0),
    verb(["pick", "picks", "picked"], "auf", ["hebe", "hebt", "heben"], "aufgehoben", Accusative(PORTABLE), 0).particle("up"),
    verb(["bring", "brings", "brought"], "mit", ["bringe", "bringt", "bringen"], "mitgebracht", Accusative(PORTABLE | PERSON), FOR).particle("along"),
    verb(["call", "calls", "called"], "an", ["rufe", "ruft", "rufen"], "angerufen", Accusative(PERSON), 0),
    verb(["collect", "collects", "collected"], "ab", ["hole", "holt", "holen"], "abgeholt", Accusative(PERSON), AT),
    verb(["invite", "invites", "invited"], "ein", ["lade", "lädt", "laden"], "eingeladen", Accusative(PERSON), 0),
    verb(["buy", "buys", "bought"], "", ["kaufe", "kauft", "kaufen"], "gekauft", Accusative(PORTABLE | LARGE), AT | FOR),
    verb(["sell", "sells", "sold"], "", ["verkaufe", "verkauft", "verkaufen"], "verkauft", Accusative(PORTABLE | LARGE), AT | FOR),
    verb(["see", "sees", "saw"], "", ["sehe", "sieht", "sehen"], "gesehen", Accusative(PERSON | ANIMAL | THING), AT).animals(),
    verb(["find", "finds", "found"], "", ["finde", "findet", "finden"], "gefunden", Accusative(PERSON | ANIMAL | PORTABLE), AT).animals(),
    verb(["look", "looks", "looked"], "", ["suche", "sucht", "suchen"], "gesucht", Accusative(PERSON | ANIMAL | PORTABLE), AT).preposition("for").animals(),
    verb(["carry", "carries", "carried"], "", ["trage", "trägt", "tragen"], "getragen", Accusative(PORTABLE), FOR | THROUGH),
    verb(["read", "reads", "read"], "", ["lese", "liest", "lesen"], "gelesen", Accusative(READABLE), AT),
    verb(["repair", "repairs", "repaired"], "", ["repariere", "repariert", "reparieren"], "repariert", Accusative(MACHINE), AT | FOR),
    verb(["clean", "cleans", "cleaned"], "", ["putze", "putzt", "putzen"], "geputzt", Accusative(OPENABLE | LARGE), FOR),
    verb(["visit", "visits", "visited"], "", ["besuche", "besucht", "besuchen"], "besucht", Accusative(PERSON), WITH),
    verb(["help", "helps", "helped"], "", ["helfe", "hilft", "helfen"], "geholfen", Dative, AT),
    verb(["thank", "thanks", "thanked"], "", ["danke", "dankt", "danken"], "gedankt", Dative, 0),
    verb(["follow", "follows", "followed"], "", ["folge", "folgt", "folgen"], "gefolgt", Dative, THROUGH).sein().animals(),
    verb(["give", "gives", "gave"], "", ["gebe", "gibt", "geben"], "gegeben", Both, 0),
    verb(["show", "shows", "showed"], "", ["zeige", "zeigt", "zeigen"], "gezeigt", Both, AT),
    verb(["send", "sends", "sent"], "", ["schicke", "schickt", "schicken"], "geschickt", Both, 0),
    verb(["bring", "brings", "brought"], "", ["bringe", "bringt", "bringen"], "gebracht", Both, 0),
];

/// A modal verb: English of I and of he, German of ich or er and of wir.
pub(super) struct Modal {
    pub(super) english: [&'static str; 2],
    pub(super) german: [&'static str; 2],
}

pub(super) const MODALS: &[Modal] = &[
    Modal { english: ["can", "can"], german: ["kann", "können"] },
    Modal { english: ["must", "must"], german: ["muss", "müssen"] },
    Modal { english: ["should", "should"], german: ["soll", "sollen"] },
    Modal { english: ["want to", "wants to"], german: ["will", "wollen"] },
];

/// A verb of which a clause with "that" depends: English and German of I, he, we.
pub(super) struct Saying {
    pub(super) english: [&'static str; 2],
    pub(super) german: [&'static str; 3],
}

pub(super) const SAYINGS: &[Saying] = &[
    Saying { english: ["know", "knows"], german: ["weiß", "weiß", "wissen"] },
    Saying { english: ["say", "says"], german: ["sage", "sagt", "sagen"] },
    Saying { english: ["believe", "believes"], german: ["glaube", "glaubt", "glauben"] },
    Saying { english: ["hope", "hopes"], german: ["hoffe", "hofft", "hoffen"] },
];

/// Times: English, German, and whether they go with the present and with the past.
pub(super) const TIMES: &[(&str, &str, bool, bool)] = &[
    ("today", "heute", true, true),
    ("now", "jetzt", true, false),
    ("every day", "jeden Tag", true, false),
    ("in the evening", "am Abend", true, true),
    ("on Monday", "am Montag", true, true),
    ("yesterday", "gestern", false, true),
    ("last week", "letzte Woche", false, true),
    ("last night", "letzte Nacht", false, true),
];

/// Where something is, with the dative: English and German.
pub(super) const BESIDE: &[(&str, &str)] =
    &[("behind", "hinter"), ("in front of", "vor"), ("next to", "neben")];
