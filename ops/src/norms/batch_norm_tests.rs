use termwise_autograd::{Array, Cpu, Tape};

use super::batch_norm::{batch_norm_eval, batch_norm_train};

#[test]
fn training_output_has_mean_bias_and_spread_weight_even_far_from_zero() {
    let tape = Tape::new(Cpu::<f32>::new());
    let values: Vec<f32> = (0..2 * 3 * 50).map(|i| 1e4 + ((i * 37) % 11) as f32).collect();
    let x = tape.leaf(Array::host(&[2, 3, 50], values));
    let weight = tape.leaf(Array::host(&[3], vec![1.0, 2.0, 3.0]));
    let bias = tape.leaf(Array::host(&[3], vec![0.0, -1.0, 5.0]));
    let (y, _) = batch_norm_train(&x, Some(&weight), Some(&bias), 0.0);
    for (c, (weight, bias)) in [(1.0, 0.0), (2.0, -1.0), (3.0, 5.0)].into_iter().enumerate() {
        let y = y.value().to_f64();
        let channel: Vec<f64> = y.index_axis(ndarray::Axis(1), c).iter().copied().collect();
        let mean = channel.iter().sum::<f64>() / 100.0;
        let var = channel.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 100.0;
        assert!((mean - bias).abs() < 1e-3, "channel {c}: mean {mean}");
        assert!((var.sqrt() - weight).abs() < 1e-3, "channel {c}: spread {}", var.sqrt());
    }
}

#[test]
fn evaluation_by_the_batch_statistics_is_training() {
    let tape = Tape::new(Cpu::<f64>::new());
    let x = tape.leaf(Array::host(&[3, 2], vec![1.0, 2.0, -4.0, 0.5, 2.5, 7.0]));
    let (trained, batch) = batch_norm_train(&x, None, None, 1e-5);
    let evaluated = batch_norm_eval(&x, &batch.mean, &batch.var, None, None, 1e-5);
    assert_eq!(trained.value().as_slice(), evaluated.value().as_slice());
}

#[test]
fn a_shift_of_the_input_gets_no_gradient_in_training() {
    // y does not change when all of a channel moves, so its gradient sums to zero.
    let tape = Tape::new(Cpu::<f64>::new());
    let x = tape.leaf(Array::host(&[4, 1], vec![1.0, 2.0, -4.0, 0.5]));
    let (y, _) = batch_norm_train(&x, None, None, 1e-5);
    let cotangent = Array::host(&[4, 1], vec![0.3, -1.0, 2.0, 0.7]);
    let gradients = tape.backward_with(&[(&y, cotangent)]);
    let grad = gradients.of(&x).unwrap().as_slice();
    assert!(grad.iter().any(|g| g.abs() > 0.1));
    assert!(grad.iter().sum::<f64>().abs() < 1e-14);
}

#[test]
#[should_panic(expected = "statistics need at least 2 elements per channel, x [1, 3] has 1")]
fn one_element_per_channel_is_refused() {
    let tape = Tape::new(Cpu::<f32>::new());
    batch_norm_train(&tape.leaf(Array::host(&[1, 3], vec![0.0; 3])), None, None, 1e-5);
}

#[test]
#[should_panic(expected = "batch_norm_eval: running_var must be [3] for x [2, 3], its shape is [2]")]
fn a_statistic_of_another_shape_is_named() {
    let tape = Tape::new(Cpu::<f32>::new());
    let x = tape.leaf(Array::host(&[2, 3], vec![0.0; 6]));
    let statistic = |len: usize| Array::host(&[len], vec![1.0; len]);
    batch_norm_eval(&x, &statistic(3), &statistic(2), None, None, 1e-5);
}
