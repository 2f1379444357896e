//! The format of a file of workloads, field by field.
//!
//! A file is `{"workloads": [..]}`. A workload has `name`, `kind`, `tensors`, `out` (the shape of its
//! output), and the fields of its kind (`heads`, `causal`, ..), which `graph` reads. It may have `phases`
//! and its cost (`flops_fwd`, ..), which follow from kind and shapes where they are left out.

use std::fmt;

use serde_json::{Map, Value, json};

use super::cost::Cost;
pub use super::kind::{Kind, Phase};
use super::kind::{named, names};

/// A field that is not what it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The path of the field within its workload.
    pub field: String,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl Problem {
    /// A field, what was expected and what was found.
    pub fn new(field: impl fmt::Display, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Problem { field: field.to_string(), expected: expected.to_string(), found: found.to_string() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "field {}: expected {}, found {}", self.field, self.expected, self.found)
    }
}

/// One input: its numbers follow from its place in the list and these fields.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSpec {
    /// How the kind calls it.
    pub name: String,
    /// Extent of each axis.
    pub shape: Vec<usize>,
    /// Values lie within this much of the offset.
    pub scale: f64,
    /// The middle of the values; 0 where it is left out.
    pub offset: f64,
    /// Whether its gradient is wanted; yes where it is left out.
    pub grad: bool,
}

impl TensorSpec {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// One workload whose common fields are right; those of its kind are checked when it is built.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// What is computed.
    pub kind: Kind,
    /// The inputs.
    pub tensors: Vec<TensorSpec>,
    /// Shape of the output.
    pub out: Vec<usize>,
    /// What is timed.
    pub phases: Vec<Phase>,
    fields: Map<String, Value>,
}

/// One entry of a file: a workload, or what is wrong with it, under its name.
pub struct Entry {
    /// The name of the workload, or its place in the file.
    pub name: String,
    /// As much as could be read.
    pub workload: Result<Workload, Problem>,
}

/// Reads the text of a file of workloads.
///
/// # Errors
/// If it is not a list of workloads at all. What is wrong with a single one is in its entry.
pub fn read(text: &str) -> Result<Vec<Entry>, Problem> {
    let file: Value =
        serde_json::from_str(text).map_err(|error| Problem::new("(the whole file)", "JSON", error))?;
    let found = file.get("workloads").map_or_else(|| "no such field".into(), show);
    let Some(Value::Array(list)) = file.get("workloads") else {
        return Err(Problem::new("workloads", "a list of workloads", found));
    };
    let entry = |(index, value): (usize, &Value)| {
        let name = value.get("name").and_then(Value::as_str);
        let name = name.map_or_else(|| format!("number {}", index + 1), str::to_owned);
        Entry { name, workload: Workload::from_json(value) }
    };
    Ok(list.iter().enumerate().map(entry).collect())
}

impl Workload {
    /// Reads one workload.
    ///
    /// # Errors
    /// The first field that is not what it should be.
    pub fn from_json(value: &Value) -> Result<Self, Problem> {
        let Value::Object(fields) = value else {
            return Err(Problem::new(
                "(the workload)",
                "an object with name, kind, tensors, out",
                show(value),
            ));
        };
        let fields = fields.clone();
        let name = text(&fields, "name")?.to_owned();
        let kind_name = text(&fields, "kind")?;
        let kind = named(&Kind::ALL, kind_name).ok_or_else(|| {
            Problem::new("kind", format!("one of {}", names(&Kind::ALL)), format!("'{kind_name}'"))
        })?;
        let list = get(&fields, "tensors", "a list of tensors")?;
        let Value::Array(list) = list else {
            return Err(Problem::new("tensors", "a list of tensors", show(list)));
        };
        let tensors: Vec<TensorSpec> =
            list.iter().enumerate().map(|(i, tensor)| read_tensor(i, tensor)).collect::<Result<_, _>>()?;
        for (i, tensor) in tensors.iter().enumerate() {
            if tensors[..i].iter().any(|other| other.name == tensor.name) {
                return Err(Problem::new(
                    format!("tensors[{i}].name"),
                    "a name of its own",
                    format!("'{}' again", tensor.name),
                ));
            }
        }
        let out = shape("out", get(&fields, "out", "the shape of the output")?)?;
        let phases = phases(&fields, kind)?;
        Ok(Workload { name, kind, tensors, out, phases, fields })
    }

    /// The workload as the file has it.
    pub fn source(&self) -> Value {
        Value::Object(self.fields.clone())
    }

    /// The workload with everything that was left out, as other programs expect it.
    pub fn to_json(&self) -> Result<Value, Problem> {
        let mut fields = self.fields.clone();
        let tensor = |t: &TensorSpec| json!({ "name": t.name, "shape": t.shape, "scale": t.scale, "grad": t.grad, "offset": t.offset });
        fields.insert("tensors".into(), self.tensors.iter().map(tensor).collect());
        fields.insert("phases".into(), self.phases.iter().map(|phase| phase.name()).collect());
        let cost = Cost::of(self)?;
        for (name, value) in cost.fields() {
            fields.insert(name.into(), json!(value));
        }
        Ok(Value::Object(fields))
    }

    /// The tensor called `name`.
    pub fn tensor(&self, name: &str) -> Result<&TensorSpec, Problem> {
        self.tensors.iter().find(|tensor| tensor.name == name).ok_or_else(|| {
            let found = self.tensors.iter().map(|t| t.name.as_str()).take(12).collect::<Vec<_>>().join(", ");
            let more = if self.tensors.len() > 12 { ", .." } else { "" };
            Problem::new("tensors", format!("a tensor '{name}'"), format!("{found}{more}"))
        })
    }

    /// Whether there is a tensor called `name`.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.iter().any(|tensor| tensor.name == name)
    }

    /// The shape of a tensor that has as many axes as `axes` names.
    pub fn axes<const N: usize>(&self, name: &str, axes: [&str; N]) -> Result<[usize; N], Problem> {
        let shape = &self.tensor(name)?.shape;
        shape.as_slice().try_into().map_err(|_| {
            Problem::new(
                format!("tensors.{name}.shape"),
                format!("({})", axes.join(", ")),
                format!("{shape:?}"),
            )
        })
    }

    /// A whole number above 0.
    pub fn count(&self, name: &str) -> Result<usize, Problem> {
        let expected = "a whole number above 0";
        whole(name, expected, get(&self.fields, name, expected)?)
            .and_then(|count| (count > 0).then_some(count).ok_or_else(|| Problem::new(name, expected, 0)))
    }

    /// A whole number, or `default` where it is left out.
    pub fn count_or(&self, name: &str, default: usize) -> Result<usize, Problem> {
        self.fields.get(name).map_or(Ok(default), |value| whole(name, "a whole number", value))
    }

    /// A finite number.
    pub fn number(&self, name: &str) -> Result<f64, Problem> {
        number(name, get(&self.fields, name, "a number")?)
    }

    /// A number, if it is there.
    pub fn number_if_any(&self, name: &str) -> Result<Option<f64>, Problem> {
        self.fields.get(name).map(|value| number(name, value)).transpose()
    }

    /// True or false, or `default` where it is left out.
    pub fn flag_or(&self, name: &str, default: bool) -> Result<bool, Problem> {
        let flag =
            |value: &Value| value.as_bool().ok_or_else(|| Problem::new(name, "true or false", show(value)));
        self.fields.get(name).map_or(Ok(default), flag)
    }

    /// A text.
    pub fn text(&self, name: &str) -> Result<&str, Problem> {
        text(&self.fields, name)
    }

    /// Whether the field is there.
    pub fn says(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }
}

fn get<'a>(fields: &'a Map<String, Value>, name: &str, expected: &str) -> Result<&'a Value, Problem> {
    fields.get(name).ok_or_else(|| Problem::new(name, expected, "no such field"))
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a str, Problem> {
    let value = get(fields, name, "a text")?;
    value.as_str().ok_or_else(|| Problem::new(name, "a text", show(value)))
}

fn whole(name: &str, expected: &str, value: &Value) -> Result<usize, Problem> {
    value
        .as_u64()
        .and_then(|n| usize::try_from(n).ok())
        .ok_or_else(|| Problem::new(name, expected, show(value)))
}

fn number(name: &str, value: &Value) -> Result<f64, Problem> {
    value.as_f64().ok_or_else(|| Problem::new(name, "a number", show(value)))
}

fn shape(field: &str, value: &Value) -> Result<Vec<usize>, Problem> {
    let problem = || Problem::new(field, "a list of whole numbers, their product at most 2^40", show(value));
    let list = value.as_array().ok_or_else(problem)?;
    let extent = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok()).ok_or_else(problem);
    let shape: Vec<usize> = list.iter().map(extent).collect::<Result<_, _>>()?;
    let len = shape.iter().try_fold(1usize, |len, &extent| len.checked_mul(extent));
    len.filter(|&len| len <= 1 << 40).map(|_| shape).ok_or_else(problem)
}

fn read_tensor(index: usize, value: &Value) -> Result<TensorSpec, Problem> {
    let at = |problem: Problem, place: &str| Problem {
        field: format!("tensors{place}.{}", problem.field),
        ..problem
    };
    let place = format!("[{index}]");
    let Value::Object(fields) = value else {
        return Err(Problem::new(
            format!("tensors{place}"),
            "an object with name, shape, scale",
            show(value),
        ));
    };
    let name = text(fields, "name").map_err(|problem| at(problem, &place))?.to_owned();
    let place = format!(".{name}");
    let read = || {
        let shape = shape("shape", get(fields, "shape", "a list of whole numbers")?)?;
        let scale = number("scale", get(fields, "scale", "a number")?)?;
        let offset = fields.get("offset").map_or(Ok(0.0), |value| number("offset", value))?;
        let grad =
            |value: &Value| value.as_bool().ok_or_else(|| Problem::new("grad", "true or false", show(value)));
        let grad = fields.get("grad").map_or(Ok(true), grad)?;
        Ok(TensorSpec { name: name.clone(), shape, scale, offset, grad })
    };
    read().map_err(|problem| at(problem, &place))
}

fn phases(fields: &Map<String, Value>, kind: Kind) -> Result<Vec<Phase>, Problem> {
    let expected = || format!("a list of {}", names(&Phase::ALL));
    let phases = match fields.get("phases") {
        None if kind.has_loss() => vec![Phase::Step],
        None => vec![Phase::Forward, Phase::ForwardBackward],
        Some(value) => {
            let problem = || Problem::new("phases", expected(), show(value));
            let phase =
                |value: &Value| value.as_str().and_then(|text| named(&Phase::ALL, text)).ok_or_else(problem);
            value.as_array().ok_or_else(problem)?.iter().map(phase).collect::<Result<_, _>>()?
        }
    };
    if !kind.has_loss() && phases.contains(&Phase::Step) {
        return Err(Problem::new("phases", "fwd, fwdbwd: this kind has no loss", "step"));
    }
    Ok(phases)
}

/// A value as it stands in the file, cut where it is long.
fn show(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text,
    }
}
