//! Every form of every noun and verb, written out: what the tests compare with.

/// Every noun: nominative, accusative, dative, singular and plural, with the definite article.
pub(super) const NOUN_FORMS: &str = "\
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

/// Every verb: ich, er, wir in the present; er in the perfect; the infinitive with a modal verb.
pub(super) const VERB_FORMS: &str = "\
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
