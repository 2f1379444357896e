//! Reads the project's Markdown: quotations, links, paths and commands.

use std::fs;
use std::path::{Path, PathBuf};

/// A Markdown file.
pub struct Document {
    /// Its path from the root of the repository.
    pub name: String,
    pub text: String,
}

/// The root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The READMEs, the changes, and everything in `docs`.
pub fn documents() -> Vec<Document> {
    let mut names = vec!["CHANGELOG.md".to_owned()];
    let readmes = [".", "autograd", "benches", "datasets", "models", "opencl", "ops"];
    names.extend(readmes.map(|folder| format!("{folder}/README.md").trim_start_matches("./").to_owned()));
    for folder in ["docs", "docs/guide"] {
        for entry in fs::read_dir(root().join(folder)).expect("the folder is there") {
            let name = entry.expect("it can be listed").file_name().into_string().expect("UTF-8");
            if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
                names.push(format!("{folder}/{name}"));
            }
        }
    }
    names.sort();
    let read = |name: String| {
        let text = fs::read_to_string(root().join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        Document { name, text }
    };
    names.into_iter().map(read).collect()
}

/// Fenced blocks: the last line of text before each, its language, its content.
fn blocks(document: &Document) -> impl Iterator<Item = (&str, &str, &str)> {
    let parts: Vec<&str> = document.text.split("```").collect();
    assert!(parts.len() % 2 == 1, "{}: a block is not closed", document.name);
    (1..parts.len()).step_by(2).map(move |i| {
        let before = parts[i - 1].trim_end().lines().last().unwrap_or_default();
        let (language, content) = parts[i].split_once('\n').unwrap_or((parts[i], ""));
        (before, language, content)
    })
}

/// Everything outside fenced blocks.
fn prose(document: &Document) -> String {
    document.text.split("```").step_by(2).collect()
}

/// Spans of code in the prose.
fn spans(document: &Document) -> Vec<String> {
    prose(document).split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")).collect()
}

/// Blocks of Rust: the file that the line before names, and the code.
pub fn quotations(document: &Document) -> impl Iterator<Item = (Option<String>, String)> {
    blocks(document).filter(|(_, language, _)| language.starts_with("rust")).map(|(before, _, code)| {
        let file = before.strip_prefix("From `").and_then(|rest| rest.strip_suffix("`:"));
        (file.map(str::to_owned), code.to_owned())
    })
}

/// Targets of links and pictures within the repository.
pub fn links(document: &Document) -> impl Iterator<Item = String> {
    let prose = prose(document);
    let targets: Vec<String> = prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target.to_owned()))
        .filter(|target| !target.contains("://"))
        .collect();
    targets.into_iter()
}

/// Headings as they are linked to.
pub fn headings(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter_map(|line| line.strip_prefix('#')).map(|heading| {
        let kept = heading
            .trim_start_matches('#')
            .trim()
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    })
}

/// Spans of code that are paths of files in the repository.
pub fn paths(document: &Document) -> impl Iterator<Item = String> {
    let is_path = |span: &String| {
        let known = [".rs", ".md", ".toml", ".json", ".html", ".svg", ".py"];
        let first = span.split('/').next().unwrap_or_default();
        span.contains('/')
            && known.iter().any(|end| span.ends_with(end))
            && !span.contains(|c: char| c.is_whitespace() || "*<{".contains(c))
            && root().join(first).is_dir()
    };
    spans(document).into_iter().filter(is_path)
}

/// Commands of this program and of cargo, in blocks of shell and in spans: the text and its words.
pub fn commands(document: &Document) -> impl Iterator<Item = (String, Vec<String>)> {
    let shell = blocks(document).filter(|(_, language, _)| *language == "sh");
    let lines = shell.flat_map(|(_, _, code)| code.lines().map(str::to_owned).collect::<Vec<_>>());
    let lines: Vec<String> = lines.chain(spans(document)).collect();
    lines.into_iter().filter_map(|line| {
        let mut words = words(line.split(" #").next().unwrap_or_default());
        if words.first().is_some_and(|word| word == "cargo") && words.get(1).is_some_and(|word| word == "run")
        {
            match words.iter().position(|word| word == "--") {
                Some(dashes) => drop(words.splice(..=dashes, ["termwise".to_owned()])),
                None if !words.iter().any(|word| word == "--example") => words = vec!["termwise".to_owned()],
                None => {}
            }
        }
        let known = words.first().is_some_and(|word| word == "termwise" || word == "cargo");
        (known && !words.iter().any(|word| word == "...")).then_some((line, words))
    })
}

/// The words of a command line; quotes keep words together, and what stands for a value gets one.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (i, part) in line.split(['\'', '"']).enumerate() {
        if i % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(|word| match word {
                "[OP]" | "OP" => "softmax".to_owned(),
                "CODE" => "0010".to_owned(),
                "TASK" => "segmentation".to_owned(),
                word => word.to_owned(),
            }));
        }
    }
    words
}

/// What is wrong with a cargo command: an example, a test or a package that is not there.
pub fn cargo_complaint(words: &[String]) -> Option<String> {
    let packages = [".", "autograd", "ops", "opencl", "opencl/loader", "models", "datasets"];
    let exists = |folder: &str, name: &str| {
        packages.iter().any(|package| {
            let at = root().join(package).join(folder);
            at.join(format!("{name}.rs")).is_file() || at.join(name).join("main.rs").is_file()
        })
    };
    words.windows(2).find_map(|pair| {
        let found = match pair[0].as_str() {
            "--example" => exists("examples", &pair[1]),
            "--test" => exists("tests", &pair[1]),
            "-p" => packages.iter().any(|package| {
                let manifest =
                    fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap_or_default();
                manifest.contains(&format!("name = \"{}\"", pair[1]))
            }),
            _ => true,
        };
        (!found).then(|| format!("there is no {}", pair[1]))
    })
}
