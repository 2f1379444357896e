//! Parameters and buffers on a tape.

use super::*;

#[test]
fn a_parameter_used_twice_is_one_leaf_and_collects_both_gradients() {
    let w = Param::new(scalar(3.0));
    let shared = w.clone();
    let tape = tape();
    let y = mul(&w.var(&tape), &shared.var(&tape));
    assert_eq!(tape.len(), 2);
    let gradients = tape.backward(&y);
    assert_eq!(gradients.param(&w).unwrap().item(), 6.0);
    assert_eq!(gradients.param(&shared).unwrap().item(), 6.0);
    assert!(gradients.param(&Param::new(scalar(3.0))).is_none());
}

#[test]
fn a_buffer_is_listed_but_not_differentiated() {
    struct Layer {
        weight: Param<Cpu<f64>>,
        mean: Param<Cpu<f64>>,
    }
    impl Module<Cpu<f64>> for Layer {
        fn visit<'a>(&'a self, parameters: &mut Parameters<'a, Cpu<f64>>) {
            parameters.param("weight", &self.weight);
            parameters.param("mean", &self.mean);
        }
    }
    struct Model(Layer, Layer);
    impl Module<Cpu<f64>> for Model {
        fn visit<'a>(&'a self, parameters: &mut Parameters<'a, Cpu<f64>>) {
            parameters.module("first", &self.0);
            parameters.module("second", &self.1);
        }
    }
    let layer = || Layer { weight: Param::new(pair(2.0, 3.0)), mean: Param::buffer(pair(5.0, 7.0)) };
    let model = Model(layer(), layer());
    let names: Vec<String> = model.parameters().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["first.weight", "first.mean", "second.weight", "second.mean"]);
    assert_eq!(model.num_parameters(), 4);

    let tape = tape();
    let Layer { weight, mean } = &model.0;
    let y = mul(&weight.var(&tape), &mean.var(&tape));
    let gradients = tape.backward_with(&[(&y, pair(1.0, 1.0))]);
    assert_eq!(gradients.param(weight).unwrap().as_slice(), [5.0, 7.0]);
    assert!(gradients.param(mean).is_none());
}

#[test]
fn an_update_gets_the_only_handle_and_a_tape_keeps_the_old_numbers() {
    let w = Param::new(pair(1.0, 2.0));
    w.update(|value| {
        let mut values = value.into_buffer().expect("nobody else holds the numbers");
        values[0] = 10.0;
        Array::from_buffer(&[2], values)
    });
    let tape = tape();
    let var = w.var(&tape);
    w.set(pair(0.0, 0.0));
    assert_eq!(var.value().as_slice(), [10.0, 2.0]);
    assert_eq!(w.value().as_slice(), [0.0, 0.0]);
}

#[test]
#[should_panic(expected = "param: set to shape [], it has shape [2]")]
fn set_refuses_another_shape() {
    Param::new(pair(1.0, 2.0)).set(scalar(1.0));
}

#[test]
#[should_panic(expected = "param: updated to shape [], it has shape [2]")]
fn update_refuses_another_shape() {
    Param::new(pair(1.0, 2.0)).update(|_| scalar(1.0));
}

#[test]
fn a_tape_dropped_without_a_sweep_frees_what_ops_saved() {
    let w = Param::new(scalar(3.0));
    let tape = tape();
    let var = w.var(&tape);
    let (y, saved) = apply_saving(Mul, [&var, &var]);
    drop((tape, var, y));
    assert_eq!(Rc::strong_count(&saved), 1);
}

#[test]
fn a_parameter_keeps_its_value_on_a_tape_when_it_changes_meanwhile() {
    let w = Param::new(scalar(3.0));
    let tape = tape();
    let before = w.var(&tape);
    w.set(scalar(100.0));
    let y = mul(&before, &w.var(&tape));
    assert_eq!(y.value().item(), 9.0);
    assert_eq!(tape.backward(&y).param(&w).unwrap().item(), 6.0);
}
