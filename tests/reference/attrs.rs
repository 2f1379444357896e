//! The attributes of a case, with a record of which were understood.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The attributes of a case.
///
/// Absent and `null` are the same here: the caller supplies the reference library's default. A
/// value of the wrong type panics with the attribute's name, which the runner reports.
pub struct Attrs {
    values: Map<String, Value>,
    read: RefCell<BTreeSet<String>>,
}

impl Attrs {
    /// Nothing is read yet.
    pub fn new(values: Map<String, Value>) -> Self {
        Attrs { values, read: RefCell::default() }
    }

    /// The value, unless it is absent or `null`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.read.borrow_mut().insert(key.to_string());
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// Marks an attribute that says nothing about the computation (a name, a formula in words).
    pub fn note(&self, key: &str) {
        self.get(key);
    }

    /// Marks all of them; for a caller that takes the whole object at once and is strict itself.
    pub fn all(&self) -> &Map<String, Value> {
        self.values.keys().for_each(|key| self.note(key));
        &self.values
    }

    /// A number.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.get(key).map(|v| v.as_f64().unwrap_or_else(|| wrong(key, "a number", v)))
    }

    /// A whole number, also if it is written as `2.0`.
    pub fn whole<N: TryFrom<i64>>(&self, key: &str) -> Option<N> {
        self.get(key).map(|v| whole(key, v))
    }

    /// True or false; absent is false.
    pub fn flag(&self, key: &str) -> bool {
        self.flag_or(key, false)
    }

    /// True or false, with a default.
    pub fn flag_or(&self, key: &str, default: bool) -> bool {
        self.get(key).map_or(default, |v| v.as_bool().unwrap_or_else(|| wrong(key, "true or false", v)))
    }

    /// A string.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).map(|v| v.as_str().unwrap_or_else(|| wrong(key, "a string", v)))
    }

    /// A list of whole numbers; a single number is a list of one.
    pub fn list<N: TryFrom<i64>>(&self, key: &str) -> Option<Vec<N>> {
        self.get(key).map(|v| match v.as_array() {
            Some(items) => items.iter().map(|v| whole(key, v)).collect(),
            None => vec![whole(key, v)],
        })
    }

    /// A list of numbers.
    pub fn numbers(&self, key: &str) -> Option<Vec<f64>> {
        let list = |v: &Value| -> Option<Vec<f64>> { v.as_array()?.iter().map(Value::as_f64).collect() };
        self.get(key).map(|v| list(v).unwrap_or_else(|| wrong(key, "a list of numbers", v)))
    }

    /// `[height, width]`, or one number for both.
    pub fn pair<N: TryFrom<i64> + Copy>(&self, key: &str) -> Option<[N; 2]> {
        self.list(key).map(|list| match list[..] {
            [both] => [both, both],
            [height, width] => [height, width],
            _ => panic!("attribute `{key}`: expected one number or two, found {}", list.len()),
        })
    }

    /// Two numbers, or one for both.
    pub fn number_pair(&self, key: &str) -> Option<[f64; 2]> {
        self.get(key).map(|v| match (v.as_f64(), v.as_array().map(Vec::as_slice)) {
            (Some(both), _) => [both, both],
            (None, Some([a, b])) => [a, b].map(|v| v.as_f64().unwrap_or_else(|| wrong(key, "numbers", v))),
            _ => wrong(key, "one number or two", v),
        })
    }

    /// The attributes that nobody asked for.
    pub fn unread(&self) -> Vec<String> {
        let read = self.read.borrow();
        self.values.keys().filter(|key| !read.contains(*key)).cloned().collect()
    }
}

fn whole<N: TryFrom<i64>>(key: &str, value: &Value) -> N {
    let number = value.as_i64().or_else(|| value.as_f64().filter(|v| v.fract() == 0.0).map(|v| v as i64));
    let fitting = number.and_then(|number| N::try_from(number).ok());
    fitting.unwrap_or_else(|| wrong(key, "a whole number in range", value))
}

fn wrong(key: &str, expected: &str, found: &Value) -> ! {
    panic!("attribute `{key}`: expected {expected}, found {found}");
}
