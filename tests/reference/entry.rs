//! The contents of a case file.

use std::collections::BTreeMap;

use ndarray::{ArrayD, IxDyn};
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value};

/// A tensor, or a piece of a JSON case.
#[derive(Clone, Debug)]
pub enum Entry {
    /// F64, or F32 widened, which is exact.
    Float(ArrayD<f64>),
    /// I64.
    Whole(ArrayD<i64>),
    /// U8: a mask, or small labels.
    Byte(ArrayD<u8>),
    /// A member of `in` or `out` of a JSON case.
    Json(Value),
}

/// A case file, taken apart.
pub struct CaseFile {
    /// The operation.
    pub op: String,
    /// Its attributes.
    pub attrs: Map<String, Value>,
    /// `f64`, `f32` or `json`.
    pub dtype: String,
    /// By name: `in.x`, `param.weight`, `out.y`, ...
    pub entries: BTreeMap<String, Entry>,
    /// As the manifest writes it: name to `[dtype, shape]`. Empty for JSON.
    pub listing: Map<String, Value>,
}

impl CaseFile {
    /// Reads a `.safetensors` case.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| format!("not safetensors: {e}"))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| format!("not safetensors: {e}"))?;
        let metadata = header.metadata().as_ref().ok_or("no __metadata__")?;
        let field = |key: &str| metadata.get(key).cloned().ok_or(format!("__metadata__ has no `{key}`"));
        check_format(&field("format")?)?;
        let attrs = serde_json::from_str(&field("attrs")?).map_err(|e| format!("__metadata__.attrs: {e}"))?;
        let dtype = field("dtype")?;
        let float = match dtype.as_str() {
            "f64" => Dtype::F64,
            "f32" => Dtype::F32,
            _ => return Err(format!("__metadata__.dtype: expected f64 or f32, found {dtype}")),
        };
        let mut entries = BTreeMap::new();
        let mut listing = Map::new();
        for (name, view) in tensors.tensors() {
            let shape = view.shape().to_vec();
            listing.insert(name.clone(), serde_json::json!([format!("{:?}", view.dtype()), shape]));
            let entry = match view.dtype() {
                Dtype::F64 if float == Dtype::F64 => {
                    Entry::Float(array(&shape, view.data(), f64::from_le_bytes))
                }
                Dtype::F32 if float == Dtype::F32 => {
                    Entry::Float(array(&shape, view.data(), |b| f32::from_le_bytes(b).into()))
                }
                Dtype::I64 => Entry::Whole(array(&shape, view.data(), i64::from_le_bytes)),
                Dtype::U8 => Entry::Byte(array(&shape, view.data(), |[b]| b)),
                other => return Err(format!("{name}: a tensor of {other:?} in a case of {dtype}")),
            };
            entries.insert(name, entry);
        }
        Ok(CaseFile { op: field("op")?, attrs, dtype, entries, listing })
    }

    /// Reads a `.json` case.
    pub fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let mut root: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|e| format!("not a JSON object: {e}"))?;
        let mut take = |key: &str| root.remove(key).ok_or(format!("no member `{key}`"));
        check_format(take("format")?.as_str().unwrap_or_default())?;
        let op = take("op")?.as_str().ok_or("`op` is not a string")?.to_string();
        let Value::Object(attrs) = take("attrs")? else { return Err("`attrs` is not an object".into()) };
        let mut entries = BTreeMap::new();
        for part in ["in", "out"] {
            let Value::Object(members) = take(part)? else {
                return Err(format!("`{part}` is not an object"));
            };
            entries.extend(
                members.into_iter().map(|(name, value)| (format!("{part}.{name}"), Entry::Json(value))),
            );
        }
        Ok(CaseFile { op, attrs, dtype: "json".to_string(), entries, listing: Map::new() })
    }
}

fn check_format(found: &str) -> Result<(), String> {
    if found == "1" { Ok(()) } else { Err(format!("`format`: expected 1, found {found:?}")) }
}

fn array<T, const N: usize>(shape: &[usize], bytes: &[u8], of: impl Fn([u8; N]) -> T) -> ArrayD<T> {
    let values = bytes.as_chunks::<N>().0.iter().map(|&chunk| of(chunk)).collect();
    ArrayD::from_shape_vec(IxDyn(shape), values).expect("safetensors checked the length")
}
