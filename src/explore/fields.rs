//! Reading what a question says, with one clear sentence about what is wrong.

use serde_json::{Map, Value};

use super::http::Failure;

/// The fields of an object, by their names.
pub struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

/// A value in a few words.
fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("'{}'", shortened(text)),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(_) => "an object".into(),
    }
}

/// At most forty characters of a text, without control characters.
pub fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() > 40 {
        short.push_str("...");
    }
    short
}

impl<'a> Fields<'a> {
    /// The fields of `value`, which may have `names` and no others. `path` is what it is called.
    pub fn of(value: &'a Value, path: &str, names: &[&str]) -> Result<Self, Failure> {
        let what = if path.is_empty() { "question" } else { path };
        let Value::Object(map) = value else {
            return Err(Failure::field(what, "an object", found(value)));
        };
        if let Some(other) = map.keys().find(|key| !names.contains(&key.as_str())) {
            let expected = format!("the fields {}", names.join(", "));
            return Err(Failure::field(what, expected, format!("'{}'", shortened(other))));
        }
        Ok(Fields { path: path.to_owned(), map })
    }

    /// The full name of a field.
    pub fn name(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A failure of a field.
    pub fn wrong(&self, name: &str, expected: impl std::fmt::Display) -> Failure {
        Failure::field(&self.name(name), expected, self.map.get(name).map_or_else(|| "nothing".into(), found))
    }

    /// A field that may be absent or null.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A field of any kind.
    pub fn value(&self, name: &str) -> Result<&'a Value, Failure> {
        self.get(name).ok_or_else(|| self.wrong(name, "a value"))
    }

    /// A text.
    pub fn text(&self, name: &str) -> Result<&'a str, Failure> {
        self.get(name).and_then(Value::as_str).ok_or_else(|| self.wrong(name, "a text"))
    }

    /// A whole number of a range.
    pub fn whole(&self, name: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64, Failure> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let number = self.get(name).and_then(Value::as_u64).filter(|number| range.contains(number));
        number.ok_or_else(|| self.wrong(name, expected))
    }

    /// A whole number of a range, or a default where it is not said.
    pub fn whole_or(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<u64>,
        default: u64,
    ) -> Result<u64, Failure> {
        if self.get(name).is_some() { self.whole(name, range) } else { Ok(default) }
    }

    /// A finite number.
    pub fn number(&self, name: &str) -> Result<f64, Failure> {
        let number = self.get(name).and_then(Value::as_f64).filter(|number| number.is_finite());
        number.ok_or_else(|| self.wrong(name, "a number"))
    }

    /// A list of so many whole numbers up to `most`.
    pub fn wholes(&self, name: &str, count: usize, most: u64) -> Result<Vec<u64>, Failure> {
        let expected = || format!("a list of {count} whole numbers from 0 to {most}");
        let list = self.get(name).and_then(Value::as_array).filter(|list| list.len() == count);
        let list = list.ok_or_else(|| self.wrong(name, expected()))?;
        let number = |(i, value): (usize, &Value)| {
            value.as_u64().filter(|number| *number <= most).ok_or_else(|| {
                let name = format!("{}[{i}]", self.name(name));
                Failure::field(&name, format!("a whole number from 0 to {most}"), found(value))
            })
        };
        list.iter().enumerate().map(number).collect()
    }

    /// Something that is written as a text, such as a mechanism.
    pub fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<T, Failure>
    where
        T::Err: std::fmt::Display,
    {
        self.text(name)?
            .parse()
            .map_err(|error: T::Err| Failure::new(400, format!("{}: {error}", self.name(name))))
    }
}
