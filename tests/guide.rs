//! What the documents say is so: quoted code stands in the named files, links and paths lead somewhere, commands are
//! understood, pictures are what the program draws, and the report of a wrong gradient is the one that is shown.
#![cfg(feature = "cli")]

#[path = "guide/documents.rs"]
mod documents;
#[allow(dead_code, reason = "the example's own main")]
#[path = "../examples/new_op.rs"]
mod new_op;
#[path = "../examples/guide_pictures/pictures/mod.rs"]
mod pictures;

use std::fs;
use std::process::Command;

use documents::{Document, commands, documents, links, paths, quotations, root};

/// Fails with all complaints at once.
#[track_caller]
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// What is wrong with the quoted code of a document.
fn misquotations(document: &Document) -> Vec<String> {
    let trimmed = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
    let mut complaints = Vec::new();
    for (file, code) in quotations(document) {
        let Some(file) = file else {
            complaints.push(format!("{}: code without a line From `FILE`: before it: {code}", document.name));
            continue;
        };
        let source = fs::read_to_string(root().join(&file)).unwrap_or_default();
        let (source, quoted) = (trimmed(&source), trimmed(&code));
        if quoted.is_empty() || !source.windows(quoted.len()).any(|lines| lines == quoted) {
            complaints.push(format!("{}: not in {file}:\n{code}", document.name));
        }
    }
    complaints
}

#[test]
fn quoted_code_stands_in_the_named_file() {
    let documents = documents();
    let quoted: usize = documents.iter().map(|document| quotations(document).count()).sum();
    assert!(quoted >= 25, "{quoted} quotations found");
    // The READMEs show how things are used; the first one's code runs as a test of the documentation.
    let docs = documents.iter().filter(|document| document.name.starts_with("docs/"));
    none(docs.flat_map(misquotations).collect());
}

#[test]
fn a_misquotation_is_noticed() {
    let quote = |file: &str, code: &str| {
        let text = format!("From `{file}`:\n\n```rust,ignore\n{code}\n```\n");
        misquotations(&Document { name: "planted".into(), text }).len()
    };
    let file = "ops/src/attention/definition.rs";
    assert_eq!(quote(file, "if terms.key {\n    e = e + parts.u[[m, i]] * v_x();\n}"), 0);
    assert_eq!(quote(file, "if terms.key {\n    e = e + parts.v[[m, i]] * v_x();\n}"), 1);
    assert_eq!(quote(file, "if terms.key {\n}"), 1, "lines left out");
    assert_eq!(quote("ops/src/lib.rs", "if terms.key {"), 1, "another file");
    let text = "```rust\nlet x = 1;\n```\n".to_owned();
    assert_eq!(misquotations(&Document { name: "planted".into(), text }).len(), 1, "no file named");
}

/// What is wrong with the links of a document and with the paths that it names.
fn dead_ends(document: &Document) -> Vec<String> {
    let folder = root().join(&document.name).parent().expect("a file has a folder").to_owned();
    let links = links(document).filter(|link| {
        let (file, heading) = link.split_once('#').unwrap_or((link, ""));
        let path = if file.is_empty() { root().join(&document.name) } else { folder.join(file) };
        let heads = |text: String| documents::headings(&text).any(|anchor| anchor == heading);
        !path.exists() || !heading.is_empty() && !fs::read_to_string(&path).is_ok_and(heads)
    });
    let links = links.map(|link| format!("{}: no file or heading {link}", document.name));
    let paths = paths(document).filter(|path| !root().join(path).exists() && !folder.join(path).exists());
    links.chain(paths.map(|path| format!("{}: no file {path}", document.name))).collect()
}

#[test]
fn links_and_paths_lead_somewhere() {
    let documents = documents();
    let (links, paths) = (documents.iter().flat_map(links).count(), documents.iter().flat_map(paths).count());
    assert!(links >= 60 && paths >= 40, "{links} links and {paths} paths found");
    none(documents.iter().flat_map(dead_ends).collect());
}

#[test]
fn a_dead_end_is_noticed() {
    let complaints = |text: &str| {
        dead_ends(&Document { name: "docs/guide/planted.md".into(), text: text.to_owned() }).len()
    };
    assert_eq!(
        complaints("[a](cost.md) ![b](pictures/cost.svg) [c](../FINDINGS.md#in-short) `ops/src/lib.rs`"),
        0
    );
    assert_eq!(complaints("[a](costs.md)"), 1);
    assert_eq!(complaints("![b](pictures/costs.svg)"), 1);
    assert_eq!(complaints("[c](../FINDINGS.md#in-long)"), 1);
    assert_eq!(complaints("`ops/src/library.rs`"), 1);
}

/// What is wrong with the commands of a document: the program is asked for its help with them, for which it reads them.
fn misunderstood(document: &Document) -> Vec<String> {
    let mut complaints = Vec::new();
    for (line, words) in commands(document) {
        let complaint = match words[0].as_str() {
            "termwise" => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_termwise"));
                let output = command.args(&words[1..]).arg("--help").output().expect("the command runs");
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                (!output.status.success()).then_some(said)
            }
            _ => documents::cargo_complaint(&words),
        };
        complaints.extend(complaint.map(|said| format!("{}: {line}: {said}", document.name)));
    }
    complaints
}

#[test]
fn commands_are_understood() {
    let documents = documents();
    assert!(documents.iter().flat_map(commands).count() > 50);
    none(documents.iter().flat_map(misunderstood).collect());
}

#[test]
fn a_command_that_is_not_understood_is_noticed() {
    let complaints =
        |text: &str| misunderstood(&Document { name: "planted".into(), text: text.to_owned() }).len();
    assert_eq!(complaints("`termwise probe --seed 3` and `termwise gradcheck [OP]`"), 0);
    assert_eq!(complaints("`termwise prove --seed 3`"), 1);
    assert_eq!(complaints("```sh\ntermwise probe --seeds 3   # more\n```"), 1);
    assert_eq!(complaints("```sh\ncargo run --release -- train segmentation --attention 00102\n```"), 1);
    assert_eq!(complaints("`cargo run --release --example new_op`"), 0);
    assert_eq!(complaints("`cargo run --release --example old_op`"), 1);
    assert_eq!(complaints("`cargo test --release --test guides`"), 1);
}

#[test]
fn pictures_are_what_the_program_draws() {
    let folder = root().join("docs/guide/pictures");
    let pictures = pictures::all();
    let mut complaints = Vec::new();
    for (name, drawn) in &pictures {
        if fs::read_to_string(folder.join(name)).ok().as_ref() != Some(drawn) {
            complaints.push(format!("{name} differs: cargo run --release --example guide_pictures"));
        }
    }
    let guide: String = documents().into_iter().map(|document| document.text).collect();
    for entry in fs::read_dir(folder).expect("the pictures are there") {
        let name = entry.expect("it can be listed").file_name().into_string().expect("UTF-8");
        if !pictures.iter().any(|(known, _)| *known == name) || !guide.contains(&format!("(pictures/{name})"))
        {
            complaints.push(format!("{name} is not drawn by the program, or shown nowhere"));
        }
    }
    none(complaints);
}

/// Whether two reports agree but for the last digits of numbers, and but for how many errors of a finite difference
/// something is off: rounding decides those, and it differs between instruction sets.
fn agree(shown: &str, said: &str) -> bool {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let (shown, said) = (words(shown), words(said));
    let is_multiple = |i: usize| shown.get(i + 1).is_some_and(|next| next == "FD");
    shown.len() == said.len()
        && shown.iter().zip(&said).enumerate().all(|(i, (a, b))| match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => {
                is_multiple(i) || a.abs() < 1e-8 && b.abs() < 1e-8 || (a / b - 1.0).abs() < 1e-6
            }
            _ => a == b,
        })
}

#[test]
fn the_reports_on_a_right_and_a_wrong_gradient_are_those_that_are_shown() {
    let chapter = fs::read_to_string(root().join("docs/guide/your-own-op.md")).expect("the chapter");
    let shown: Vec<&str> = chapter
        .split("```text\n")
        .filter_map(|part| part.split_once("\n```").map(|(block, _)| block))
        .filter(|block| block.starts_with("gradcheck"))
        .collect();
    let [right, wrong] = new_op::reports();
    right.assert_pass();
    assert_eq!(shown.len(), 2);
    for (shown, said) in shown.into_iter().zip([right.to_string(), wrong.to_string()]) {
        assert!(agree(shown, &said), "the chapter shows\n{shown}\nand the report is\n{said}");
    }
    assert!(!agree(&right.to_string(), &wrong.to_string()));
    assert!(!agree("error 1.00e-1 of 3", "error 1.01e-1 of 3") && agree("4.4e10 FD errors", "5e9 FD errors"));
}
