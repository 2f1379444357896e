//! Settings of a training: defaults, a TOML file over them, flags over both.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use termwise_models::training::Recipe;

use super::fault::Fault;

/// Settings, and which of their fields were given.
pub struct Given<S> {
    /// All of them.
    pub settings: S,
    /// The names of the fields that the file or a flag sets.
    pub fields: BTreeSet<String>,
}

/// `defaults`, with the fields of a TOML file over them and `flags`, those that were given, over both. Fields in
/// tables are called `table.field`.
///
/// Every field of the file must be one of the settings and of its type; each error names file and field.
pub fn settings<S: Serialize + DeserializeOwned>(
    defaults: &S,
    file: Option<&Path>,
    flags: &impl Serialize,
) -> Result<Given<S>, Fault> {
    let given = match file {
        Some(path) => Some((Origin { file: path, table: "" }, read(path)?)),
        None => None,
    };
    settings_from(defaults, given, flags)
}

/// Where fields are written.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// The file.
    pub file: &'a Path,
    /// What comes before the name of each field, such as `detection.settings.`.
    pub table: &'a str,
}

impl Origin<'_> {
    fn fault(&self, field: &str, expected: impl Display, found: impl Display) -> Fault {
        Fault::of_file(self.file, &format!("field {}{field}", self.table), expected, found)
    }
}

/// As [`settings`], with the fields of a table that is there already.
pub fn settings_from<S: Serialize + DeserializeOwned>(
    defaults: &S,
    given: Option<(Origin, Map<String, Value>)>,
    flags: &impl Serialize,
) -> Result<Given<S>, Fault> {
    let mut all = Value::Object(object(defaults));
    let mut fields = BTreeSet::new();
    if let Some((origin, table)) = given {
        for (field, value) in leaves(&all, Value::Object(table)) {
            let Some(slot) = all.pointer_mut(&pointer(&field)) else {
                let table = field.rsplit_once('.').map_or("", |(table, _)| table);
                let known = all.pointer(&pointer(table)).and_then(Value::as_object);
                let names: Vec<&str> = known.into_iter().flat_map(Map::keys).map(String::as_str).collect();
                let expected = format!("one of {}", names.join(", "));
                return Err(origin.fault(&field, expected, "another"));
            };
            let found = value.to_string();
            *slot = value;
            if let Err(error) = S::deserialize(&all) {
                return Err(origin.fault(&field, error, found));
            }
            fields.insert(field);
        }
    }
    for (field, value) in leaves(&all, Value::Object(object(flags))) {
        *all.pointer_mut(&pointer(&field)).expect("flags are settings") = value;
        fields.insert(field);
    }
    let settings = S::deserialize(all).map_err(|error| Fault::Input(format!("settings: {error}")))?;
    Ok(Given { settings, fields })
}

fn pointer(field: &str) -> String {
    let parts = field.split('.').filter(|part| !part.is_empty());
    parts.map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect()
}

/// The fields of `value` by their names, going down wherever `like` has a table.
fn leaves(like: &Value, value: Value) -> Vec<(String, Value)> {
    let Value::Object(table) = value else { return Vec::new() };
    let mut found = Vec::new();
    for (name, value) in table {
        match like.get(&name) {
            Some(like @ Value::Object(_)) if value.is_object() => {
                found.extend(
                    leaves(like, value).into_iter().map(|(below, value)| (format!("{name}.{below}"), value)),
                );
            }
            _ => found.push((name, value)),
        }
    }
    found
}

fn object(of: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(of).expect("plain data") {
        Value::Object(fields) => fields,
        other => unreachable!("settings are an object, not {other}"),
    }
}

fn read(path: &Path) -> Result<Map<String, Value>, Fault> {
    let text =
        fs::read_to_string(path).map_err(|error| Fault::of_file(path, "settings", "a TOML file", error))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        Fault::of_file(path, &format!("line {line}"), "TOML", error.message())
    })?;
    Ok(object(&table))
}

/// Refuses a field outside its range; `origin` is the file, where one was given.
pub fn check(
    origin: Option<&Path>,
    field: &str,
    expected: &str,
    found: impl ToString,
    holds: bool,
) -> Result<(), Fault> {
    let (expected, found) = (expected.to_owned(), found.to_string());
    match (holds, origin) {
        (true, _) => Ok(()),
        (false, Some(path)) => Err(Fault::of_file(path, &format!("field {field}"), expected, found)),
        (false, None) => {
            Err(Fault::Input(format!("--{}: expected {expected}, found {found}", field.replace('_', "-"))))
        }
    }
}

/// Puts a flag that was given under the name of its setting.
pub fn insert(flags: &mut Map<String, Value>, field: &str, value: Option<impl Serialize>) {
    if let Some(value) = value {
        flags.insert(field.to_owned(), serde_json::to_value(value).expect("plain data"));
    }
}

/// A number above zero, for arguments.
pub fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "expected a number above 0".to_owned())
}

/// Refuses a field of the recipe outside its range.
pub fn check_recipe(origin: Option<&Path>, recipe: &Recipe) -> Result<(), Fault> {
    let above_0 = |field: &str, x: f64| check(origin, field, "a number above 0", x, x > 0.0 && x.is_finite());
    let share =
        |field: &str, x: f64| check(origin, field, "a number from 0 to below 1", x, (0.0..1.0).contains(&x));
    above_0("lr", recipe.lr)?;
    above_0("clip_norm", recipe.clip_norm)?;
    recipe.time_limit.map_or(Ok(()), |limit| above_0("time_limit", limit))?;
    share("warmup", recipe.warmup)?;
    share("average", recipe.average)?;
    share("beta2", recipe.beta2)?;
    share("weight_decay", recipe.weight_decay)?;
    check(origin, "epochs", "at least 1", recipe.epochs, recipe.epochs > 0)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Inner {
        lr: f64,
        epochs: usize,
    }

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Outer {
        name: String,
        #[serde(flatten)]
        inner: Inner,
    }

    #[derive(Serialize)]
    struct Flags {
        #[serde(skip_serializing_if = "Option::is_none")]
        lr: Option<f64>,
    }

    fn try_with(text: &str, lr: Option<f64>) -> Result<Given<Outer>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        fs::write(&path, text).unwrap();
        let defaults = Outer { name: "x".into(), inner: Inner { lr: 0.5, epochs: 3 } };
        settings(&defaults, Some(&path), &Flags { lr }).map_err(|fault| match fault {
            Fault::Input(message) => message,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn flags_go_over_the_file_and_the_file_over_defaults() {
        let given = try_with("epochs = 7\nlr = 0.25", Some(0.125)).unwrap();
        assert_eq!(given.settings, Outer { name: "x".into(), inner: Inner { lr: 0.125, epochs: 7 } });
        assert_eq!(given.fields.into_iter().collect::<Vec<_>>(), ["epochs", "lr"]);
    }

    #[test]
    fn an_unknown_field_a_wrong_type_and_bad_toml_are_named() {
        for (text, expected) in [
            ("epoch = 7", "a.toml: field epoch: expected one of epochs, lr, name, found another"),
            ("epochs = \"many\"", "a.toml: field epochs: expected"),
            ("epochs = -1", "found -1"),
            ("lr = 0.1\nepochs = = 2", "a.toml: line 2: expected TOML, found"),
        ] {
            let Err(message) = try_with(text, None) else { panic!("{text} is taken") };
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
