//! Runs every case of a folder, by its listing and by its manifest.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Once;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use termwise_ops::Kernels;

use crate::adapters::Adapters;
use crate::case::{Case, Outcome};
use crate::entry::CaseFile;
use crate::report::Report;

/// The list of all cases, checked if it is there.
const MANIFEST: &str = "manifest.json";

/// What is known of each file.
type Manifest = BTreeMap<String, Map<String, Value>>;

/// Runs every case of `folder`. Everything that is wrong goes into the report.
pub fn run<S: Kernels, D: Kernels>(folder: &Path, adapters: &Adapters<S, D>) -> Report {
    let mut report = Report::default();
    let files = match case_files(folder) {
        Ok(files) => files,
        Err(error) => {
            report.fail(&folder.display().to_string(), format!("cannot be read: {error}"));
            return report;
        }
    };
    let manifest = match read_manifest(&folder.join(MANIFEST)) {
        Ok(manifest) => manifest,
        Err(message) => {
            report.fail(MANIFEST, message);
            return report;
        }
    };
    if let Some(manifest) = &manifest {
        for file in manifest.keys().filter(|file| !files.contains(*file)) {
            report.fail(file, "is in the manifest, but not in the folder");
        }
    }
    if files.is_empty() {
        report.fail(&folder.display().to_string(), "holds no case");
    }
    for file in files {
        let listed = match &manifest {
            None => None,
            Some(manifest) => match manifest.get(&file) {
                Some(entry) => Some(entry),
                None => {
                    report.fail(&file, "is in the folder, but not in the manifest");
                    continue;
                }
            },
        };
        run_file(folder, &file, listed, adapters, &mut report);
    }
    report
}

/// Names of the case files, sorted.
fn case_files(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != MANIFEST && (name.ends_with(".safetensors") || name.ends_with(".json")) {
            files.push(name);
        }
    }
    files.sort();
    Ok(files)
}

/// The manifest by file name, or `None` where there is none.
fn read_manifest(path: &Path) -> Result<Option<Manifest>, String> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    let list: Vec<Map<String, Value>> =
        serde_json::from_str(&text).map_err(|error| format!("expected a list of objects: {error}"))?;
    let mut by_file = Manifest::new();
    for entry in list {
        let file = entry.get("file").and_then(Value::as_str).ok_or("an entry has no `file`")?.to_string();
        if by_file.insert(file.clone(), entry).is_some() {
            return Err(format!("{file} is listed twice"));
        }
    }
    Ok(Some(by_file))
}

fn run_file<S: Kernels, D: Kernels>(
    folder: &Path,
    file: &str,
    listed: Option<&Map<String, Value>>,
    adapters: &Adapters<S, D>,
    report: &mut Report,
) {
    let bytes = match std::fs::read(folder.join(file)) {
        Ok(bytes) => bytes,
        Err(error) => return report.fail(file, format!("cannot be read: {error}")),
    };
    let parsed = match file.ends_with(".json") {
        true => CaseFile::from_json(&bytes),
        false => CaseFile::from_safetensors(&bytes),
    };
    let case = match parsed {
        Ok(case) => case,
        Err(message) => return report.fail(file, message),
    };
    let op = case.op.clone();
    let mut outcome = Outcome::default();
    if let Some(listed) = listed {
        outcome.failures.extend(differences(listed, &case, &bytes));
    }
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let tags: Vec<&str> = stem.split("__").skip(1).flat_map(|rest| rest.split('_')).collect();
    let ran = match case.dtype.as_str() {
        "f32" => adapters.single(&op).map(|(on, adapter)| run_case(on, case, &tags, adapter)),
        _ => adapters.double(&op).map(|(on, adapter)| run_case(on, case, &tags, adapter)),
    };
    match ran {
        Some(ran) => {
            outcome.failures.extend(ran.failures);
            outcome = Outcome { failures: outcome.failures, ..ran };
        }
        None => outcome.failures.push(("op".to_string(), format!("`{op}` is not known to this test"))),
    }
    report.case(&op, file, outcome);
}

/// Where the manifest and the file disagree.
fn differences(listed: &Map<String, Value>, case: &CaseFile, bytes: &[u8]) -> Vec<(String, String)> {
    let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut found = BTreeMap::from([
        ("sha256", Value::from(hash)),
        ("bytes", Value::from(bytes.len())),
        ("op", Value::from(case.op.clone())),
        ("attrs", Value::from(case.attrs.clone())),
        ("dtype", Value::from(case.dtype.clone())),
    ]);
    if case.dtype != "json" {
        found.insert("tensors", Value::from(case.listing.clone()));
    }
    let differs = |(key, found): (&str, Value)| {
        let stated = listed.get(key)?;
        (*stated != found)
            .then(|| (format!("manifest {key}"), format!("says {stated}, the file has {found}")))
    };
    found.into_iter().filter_map(differs).collect()
}

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs one adapter; a panic in it, or in the operation, becomes a failure with its message.
fn run_case<B: Kernels>(backend: B, file: CaseFile, tags: &[&str], adapter: fn(&mut Case<B>)) -> Outcome {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                PANIC.replace(info.to_string());
            } else {
                previous(info);
            }
        }));
    });
    CATCHING.set(true);
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut case = Case::new(backend, file, tags);
        adapter(&mut case);
        case.finish()
    }));
    CATCHING.set(false);
    result.unwrap_or_else(|_| Outcome {
        failures: vec![(String::new(), PANIC.take().replace('\n', " "))],
        ..Outcome::default()
    })
}
