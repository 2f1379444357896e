//! The page: one document, put together from the files in `page/`.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::report::base64;

/// Where the page's files come from.
pub enum Assets {
    /// Those that were built in.
    BuiltIn,
    /// A folder that is read at every request, for whoever changes the page.
    Folder(PathBuf),
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("page/", $name)))),*]
    };
}

/// The document that the others are put into.
const INDEX: &str = include_str!("page/index.html");
/// Styles and scripts, in their order: `page/scripts.txt` lists the same.
const FILES: &[(&str, &str)] = &files![];

/// A document, and what it may run.
pub struct Document {
    /// The HTML.
    pub html: String,
    /// The policy that allows its own style and scripts and nothing else.
    pub policy: String,
}

impl Assets {
    fn read(&self) -> Result<(String, Vec<(String, String)>), String> {
        let Assets::Folder(folder) = self else {
            let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
            return Ok((INDEX.to_owned(), FILES.iter().map(owned).collect()));
        };
        let text = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|error| format!("{}: expected a text, found {error}", path.display()))
        };
        let names = text("scripts.txt")?;
        let names = names.lines().map(str::trim).filter(|name| !name.is_empty() && !name.starts_with('#'));
        // A file that is still to be written does not keep the others from being tried.
        let file = |name: &str| {
            let missing = |error: String| match Path::new(name).extension() {
                Some(kind) if kind == "css" => String::new(),
                _ => format!("console.error({});", serde_json::Value::String(error)),
            };
            (name.to_owned(), text(name).unwrap_or_else(missing))
        };
        Ok((text("index.html")?, names.map(file).collect()))
    }

    /// The document, with `embedded` data in it where it is to work without the engine.
    pub fn document(&self, embedded: Option<&str>) -> Result<Document, String> {
        let (index, files) = self.read()?;
        let (styles, scripts): (Vec<_>, Vec<_>) = files.into_iter().partition(|(name, _)| name.ends_with(".css"));
        let style: String = styles.into_iter().map(|(_, text)| text).collect();
        let scripts: Vec<String> = scripts.into_iter().map(|(_, text)| text).collect();
        let hash = |text: &String| format!("'sha256-{}'", base64(&Sha256::digest(text)));
        let hashes: Vec<String> = scripts.iter().map(hash).collect();
        // Drawings are turned into pictures by way of blob: and data: addresses, which leave nothing.
        let policy = format!(
            "default-src 'none'; script-src {}; style-src {}; img-src data: blob:; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            if hashes.is_empty() { "'none'".to_owned() } else { hashes.join(" ") },
            hash(&style)
        );
        let elements: String = scripts.iter().map(|text| format!("<script>{text}</script>\n")).collect();
        // Inside of a script element nothing but this ends it, and in JSON it can be written otherwise.
        let data = embedded.map_or_else(String::new, |data| {
            let data = data.replace('<', "\\u003c");
            format!("<script type=\"application/json\" id=\"embedded\">{data}</script>")
        });
        let html = index
            .replacen("<!-- style -->", &format!("<style>{style}</style>"), 1)
            .replacen("<!-- embedded -->", &data, 1)
            .replacen("<!-- scripts -->", &elements, 1);
        Ok(Document { html, policy })
    }
}
