//! The engine by itself: what a tape adds up, what it leaves out and what it refuses.

mod accumulation;
mod check_mode;
mod cutting;
mod parameters;
mod refusals;

use std::cell::RefCell;
use std::rc::Rc;

use termwise_autograd::{Array, Cpu, Module, Op, Param, Parameters, Scalar, Tape, Var, apply, apply_saving};

type Host<T> = Array<Cpu<T>>;

/// `y = a b`, elementwise.
struct Mul;

impl<T: Scalar> Op<Cpu<T>, 2> for Mul {
    type Saved = [Host<T>; 2];

    fn name(&self) -> &'static str {
        "mul"
    }

    fn forward(&self, [a, b]: [&Host<T>; 2]) -> (Host<T>, Self::Saved) {
        ((&a.view() * &b.view()).into(), [a.clone(), b.clone()])
    }

    fn backward(&self, [a, b]: &Self::Saved, g: &Host<T>, needs: [bool; 2]) -> [Option<Host<T>>; 2] {
        // Only what is needed, as a careful op does.
        [needs[0].then(|| (&b.view() * &g.view()).into()), needs[1].then(|| (&a.view() * &g.view()).into())]
    }
}

/// `y = a + b`, handing the same array to both inputs.
struct Add;

impl<T: Scalar> Op<Cpu<T>, 2> for Add {
    type Saved = ();

    fn name(&self) -> &'static str {
        "add"
    }

    fn forward(&self, [a, b]: [&Host<T>; 2]) -> (Host<T>, ()) {
        match b.present() {
            Some(b) => ((&a.view() + &b.view()).into(), ()),
            None => (a.clone(), ()),
        }
    }

    fn backward(&self, (): &(), g: &Host<T>, needs: [bool; 2]) -> [Option<Host<T>>; 2] {
        needs.map(|needed| needed.then(|| g.clone()))
    }
}

/// An op of one input whose forward and backward are given.
struct Given<T: Scalar> {
    name: &'static str,
    forward: fn(T) -> T,
    backward: fn(&Host<T>) -> Option<Host<T>>,
}

impl<T: Scalar> Op<Cpu<T>, 1> for Given<T> {
    type Saved = usize;

    fn name(&self) -> &'static str {
        self.name
    }

    fn forward(&self, [x]: [&Host<T>; 1]) -> (Host<T>, usize) {
        (x.view().mapv(self.forward).into(), x.len())
    }

    fn backward(&self, _: &usize, g: &Host<T>, _: [bool; 1]) -> [Option<Host<T>>; 1] {
        [(self.backward)(g)]
    }
}

fn given(
    x: &Var<Cpu<f64>>,
    name: &'static str,
    backward: fn(&Host<f64>) -> Option<Host<f64>>,
) -> Var<Cpu<f64>> {
    apply(Given { name, forward: |x| x, backward }, [x])
}

fn mul<T: Scalar>(a: &Var<Cpu<T>>, b: &Var<Cpu<T>>) -> Var<Cpu<T>> {
    apply(Mul, [a, b])
}

fn add<T: Scalar>(a: &Var<Cpu<T>>, b: &Var<Cpu<T>>) -> Var<Cpu<T>> {
    apply(Add, [a, b])
}

fn tape() -> Tape<Cpu<f64>> {
    Tape::new(Cpu::new())
}

fn scalar(value: f64) -> Host<f64> {
    Array::host(&[], vec![value])
}

fn pair(a: f64, b: f64) -> Host<f64> {
    Array::host(&[2], vec![a, b])
}

#[test]
fn ops_are_swept_in_reverse_order_and_dead_branches_not_at_all() {
    struct Watched(&'static str, Rc<RefCell<Vec<&'static str>>>);
    impl Op<Cpu<f64>, 1> for Watched {
        type Saved = ();

        fn name(&self) -> &'static str {
            self.0
        }

        fn forward(&self, [x]: [&Host<f64>; 1]) -> (Host<f64>, ()) {
            (x.clone(), ())
        }

        fn backward(&self, (): &(), g: &Host<f64>, _: [bool; 1]) -> [Option<Host<f64>>; 1] {
            self.1.borrow_mut().push(self.0);
            [Some(g.clone())]
        }
    }
    let order = Rc::new(RefCell::new(Vec::new()));
    let watched = |x: &Var<Cpu<f64>>, name| apply(Watched(name, Rc::clone(&order)), [x]);
    let tape = tape();
    let x = tape.leaf(scalar(1.0));
    let a = watched(&x, "a");
    let b = watched(&a, "b");
    let _dead = watched(&a, "dead");
    let y = watched(&b, "c");
    tape.backward(&y);
    assert_eq!(*order.borrow(), ["c", "b", "a"]);
}
