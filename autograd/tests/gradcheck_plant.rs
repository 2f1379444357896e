//! The checker checked: every planted fault is caught and called by its name.

mod small_ops;

use small_ops::{V, add_bias, custom, map, matmul, softmax, square, sum_rows};
use termwise_autograd::Cpu;
use termwise_autograd::gradcheck::{Built, Case, Samples, Verdict, kill_rate, plant};

type Host = Cpu<f64>;

fn unary(op: &'static str, shape: &[usize], run: fn(&V) -> V) -> Case<Host> {
    Case::new(op, "", shape, move |shape, samples: &mut Samples| {
        Built::new([("x", samples.normal(shape))], move |v: &[V]| run(&v[0]))
    })
}

fn cases() -> Vec<Case<Host>> {
    vec![
        unary("square", &[2, 3], square),
        unary("square", &[1], square),
        unary("softmax", &[4, 5], |x| softmax(x, |g| g)),
        unary("exp", &[30, 40], |x| map("exp", x, f64::exp, f64::exp)),
        Case::new("matmul", "", &[3, 4, 2], |shape, samples| {
            let &[n, k, m] = shape else { return None };
            Built::new([("a", samples.normal(&[n, k])), ("b", samples.normal(&[k, m]))], |v: &[V]| {
                matmul(&v[0], &v[1], |g| g)
            })
        }),
        Case::new("add_bias", "", &[6, 3], |shape, samples| {
            let inputs = [("x", samples.normal(shape)), ("bias", samples.normal(&shape[1..]))];
            Built::new(inputs, |v: &[V]| square(&add_bias(&v[0], &v[1], sum_rows)))
        }),
    ]
}

#[test]
fn all_planted_faults_are_caught_and_named() {
    let rate = kill_rate(&cases());
    println!("{rate}");
    assert!(rate.is_perfect(), "{rate}");
    assert!(rate.missed.is_empty(), "{rate}");
    assert!(rate.skipped.is_empty(), "{rate}");
    let planted: Vec<&str> = rate.faults.iter().map(|count| count.fault).collect();
    for fault in [
        "x 2",
        "x 1/2",
        "x -1",
        "x 1.01",
        "x 2 at 1e-6",
        "transposed",
        "dropped term",
        "off by one",
        "grad_output ignored",
        "missing reduction",
        "overwritten",
        "disconnected",
    ] {
        assert!(planted.contains(&fault), "{fault} was never planted: {rate}");
    }
}

#[test]
fn faults_are_planted_in_every_op_on_the_tape() {
    let outcomes = plant(&cases()[5]);
    let of =
        |op: &str, position| outcomes.iter().filter(move |o| o.op == op && o.position == position).count();
    assert!(of("add_bias", 0) > 5 && of("add_bias", 1) > 5 && of("square", 0) > 5);
    // What a fault inside looks like from outside has no name, but it must be caught.
    assert!(
        outcomes
            .iter()
            .filter(|o| o.op == "square")
            .all(|o| o.caught && o.named.is_none() && o.input.is_none())
    );
    let bias = outcomes.iter().find(|o| o.input.as_deref() == Some("bias") && o.fault == "x 1/2").unwrap();
    assert_eq!(bias.named, Some(true), "{bias:?}");
}

#[test]
fn a_fault_that_changes_nothing_is_not_counted() {
    // The gradient is the same number everywhere: swapping or rolling its elements is no fault.
    let constant = Case::new("sum", "", &[3, 3], |shape, samples| {
        Built::new([("x", samples.normal(shape))], |v: &[V]| {
            custom(
                "sum",
                [&v[0]],
                |[x]| ndarray::arr0(x.sum()).into_dyn(),
                |[x], g| [ndarray::ArrayD::from_elem(x.shape(), g.sum())],
            )
        })
    });
    let faults: Vec<&str> = plant(&constant).into_iter().map(|outcome| outcome.fault).collect();
    assert!(faults.contains(&"x 2") && faults.contains(&"dropped term"));
    assert!(!faults.contains(&"transposed") && !faults.contains(&"off by one"), "{faults:?}");
    // One element: nothing to drop a part of.
    let faults: Vec<&str> = plant(&cases()[1]).into_iter().map(|outcome| outcome.fault).collect();
    assert!(!faults.contains(&"dropped term") && !faults.contains(&"transposed"), "{faults:?}");
    // A gradient that is zero cannot be scaled.
    let zero = unary("softmax", &[3, 1], |x| softmax(x, |g| g));
    assert!(plant(&zero).is_empty());
}

#[test]
fn nothing_is_planted_in_a_case_that_fails_as_it_is() {
    let rate = kill_rate(&[unary("wrong", &[3], |x| map("wrong", x, |x| x * x, |x| x))]);
    assert_eq!(rate.skipped.len(), 1);
    assert_eq!(rate.skipped[0].1, Verdict::Fail);
    assert_eq!(rate.total().planted, 0);
    assert!(rate.to_string().contains("nothing planted in wrong [] [3]: FAIL"), "{rate}");
}
