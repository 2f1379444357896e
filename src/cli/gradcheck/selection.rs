//! Which cases are meant by an operation's name and a shape.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::Mutex;

use termwise_autograd::Cpu;
use termwise_autograd::gradcheck::Case;
use termwise_ops::cases_f64;

use crate::cli::fault::Fault;

/// The most numbers that an asked-for shape may multiply to: beyond, a check takes hours.
const MOST: usize = 1 << 16;

/// A shape from the command line, such as `2,8,5,5`.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape(pub Vec<usize>);

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = format!("expected whole numbers such as 2,8,5,5 that multiply to at most {MOST}");
        let sizes: Option<Vec<usize>> = text.split(',').map(|size| size.trim().parse().ok()).collect();
        let sizes = sizes.ok_or_else(|| expected.clone())?;
        let product = sizes.iter().try_fold(1usize, |product, size| product.checked_mul((*size).max(1)));
        match product {
            Some(product) if product <= MOST => Ok(Shape(sizes)),
            _ => Err(expected),
        }
    }
}

/// A case to check: its position in `all_cases`, and the shape to check it at if not its own.
#[derive(Debug, PartialEq)]
pub struct Chosen {
    pub case: usize,
    pub shape: Option<Vec<usize>>,
}

/// The cases of an operation, or all.
pub fn choose(op: Option<&str>, shape: Option<&Shape>) -> Result<Vec<Chosen>, Fault> {
    let cases = cases_f64();
    let Some(op) = op else {
        return Ok((0..cases.len()).map(|case| Chosen { case, shape: None }).collect());
    };
    let of_op: Vec<(usize, &Case<Cpu<f64>>)> =
        cases.iter().enumerate().filter(|(_, case)| case.op() == op).collect();
    if of_op.is_empty() {
        return Err(unknown(op, &cases));
    }
    match shape {
        None => Ok(of_op.into_iter().map(|(case, _)| Chosen { case, shape: None }).collect()),
        Some(Shape(shape)) => at_shape(op, &of_op, shape),
    }
}

fn unknown(op: &str, cases: &[Case<Cpu<f64>>]) -> Fault {
    let mut names: Vec<&str> = cases.iter().map(Case::op).collect();
    names.sort_unstable();
    names.dedup();
    let count = names.len();
    let near = near(op, &names);
    let hint = if near.is_empty() { names } else { near };
    Fault::Input(format!(
        "gradcheck: operation: expected one of {count} names, such as {}, found '{op}'",
        hint.join(", ")
    ))
}

/// The names that a typing mistake or a part of the name may have meant, the nearest first.
fn near<'n>(wanted: &str, names: &[&'n str]) -> Vec<&'n str> {
    let wanted = wanted.to_lowercase();
    let mut near: Vec<(usize, &str)> = names
        .iter()
        .filter_map(|name| {
            let part = !wanted.is_empty() && (name.contains(&wanted) || wanted.contains(name));
            let distance = if part { 1 } else { edits(&wanted, name) };
            (distance <= 1 + wanted.chars().count() / 3).then_some((distance, *name))
        })
        .collect();
    near.sort_unstable();
    near.into_iter().take(6).map(|(_, name)| name).collect()
}

/// The least number of letters to insert, remove or replace (Levenshtein).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The cases of an operation that can be made at a shape.
fn at_shape(op: &str, cases: &[(usize, &Case<Cpu<f64>>)], shape: &[usize]) -> Result<Vec<Chosen>, Fault> {
    let mut chosen = Vec::new();
    let mut labels: Vec<&str> = Vec::new();
    let mut refusal = None;
    for (position, case) in cases {
        match attempt(|| case.at_shape(shape).is_some()) {
            // Cases of one label differ by shape alone.
            Ok(true) if !labels.contains(&case.label()) => {
                labels.push(case.label());
                chosen.push(Chosen { case: *position, shape: Some(shape.to_vec()) });
            }
            Ok(_) => {}
            Err(message) => refusal = refusal.or(Some(message)),
        }
    }
    if !chosen.is_empty() {
        return Ok(chosen);
    }
    let mut shapes: Vec<String> = Vec::new();
    for (_, case) in cases {
        let shape = format!("{:?}", case.shape());
        if !shapes.contains(&shape) {
            shapes.push(shape);
        }
    }
    let ranks = cases.iter().any(|(_, case)| case.shape().len() == shape.len());
    let why = match (refusal, ranks) {
        (Some(message), _) => format!("which the operation refuses: {message}"),
        (None, true) => "which the operation cannot take with the attributes of any of its cases".to_owned(),
        (None, false) => format!("which has {} sizes", shape.len()),
    };
    let examples = shapes.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    Err(Fault::Input(format!(
        "{op}: --shape: expected sizes like those of its cases, {examples}, found {shape:?}, {why}"
    )))
}

/// What a panic says, where there is one: a shape from the command line may be one that an operation
/// refuses.
fn attempt<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    static HOOK: Mutex<()> = Mutex::new(()); // the hook belongs to the whole process
    let _alone = HOOK.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(work));
    std::panic::set_hook(hook);
    result.map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(result: Result<Vec<Chosen>, Fault>) -> String {
        match result {
            Err(Fault::Input(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn edits_are_counted() {
        for (a, b, count) in
            [("", "", 0), ("relu", "relu", 0), ("rleu", "relu", 2), ("softmx", "softmax", 1), ("", "abc", 3)]
        {
            assert_eq!(edits(a, b), count, "{a} {b}");
        }
    }

    #[test]
    fn a_near_name_is_offered() {
        let message = message(choose(Some("softmx"), None));
        assert!(message.contains("such as softmax") && message.ends_with("found 'softmx'"), "{message}");
        assert_eq!(near("conv", &["relu", "conv2d", "dynamic_conv"]), ["conv2d", "dynamic_conv"]);
    }

    #[test]
    fn a_shape_of_another_rank_is_refused_with_those_that_fit() {
        let message = message(choose(Some("softmax"), Some(&Shape(vec![2; 9]))));
        assert!(
            message.starts_with("softmax: --shape: expected sizes like those of its cases, ["),
            "{message}"
        );
        assert!(message.ends_with("which has 9 sizes"), "{message}");
    }

    #[test]
    fn a_shape_that_fits_selects_each_label_once() {
        let cases = cases_f64();
        let chosen = choose(Some("softmax"), Some(&Shape(vec![2, 3]))).unwrap();
        let mut labels: Vec<&str> = chosen.iter().map(|chosen| cases[chosen.case].label()).collect();
        assert!(!labels.is_empty() && chosen.iter().all(|chosen| chosen.shape == Some(vec![2, 3])));
        labels.sort_unstable();
        assert!(labels.windows(2).all(|pair| pair[0] != pair[1]), "{labels:?}");
    }

    #[test]
    fn shapes_are_read_and_bounded() {
        assert_eq!("2, 8,5".parse(), Ok(Shape(vec![2, 8, 5])));
        for text in ["", "2,,3", "2,-1", "a", "70000", "99999999999999999999,2", "4294967296,4294967296"] {
            assert!(text.parse::<Shape>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_refusal_is_caught_with_its_words() {
        assert_eq!(attempt(|| 3), Ok(3));
        assert_eq!(attempt(|| -> i32 { panic!("no {}", 5) }), Err("no 5".to_owned()));
    }
}
