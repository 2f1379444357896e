//! Devices found and not found, memory, transfers, and what goes wrong.

mod support;

use std::process::Command;

use termwise_autograd::{Array, Backend, Tape};
use termwise_opencl::{DeviceChoice, LIBRARY_OVERRIDE, OpenCl, devices};
use termwise_ops::broadcast::BroadcastKernel;

/// What a test of this file prints when it runs alone, in a process of its own that sees another library.
fn elsewhere(test: &str, library: &str) -> String {
    let program = std::env::current_exe().expect("the test program");
    let mut child = Command::new(program);
    child.args(["--exact", test, "--nocapture"]);
    child.env(LIBRARY_OVERRIDE, library).env("TERMWISE_TEST_CHILD", "1").env_remove("REQUIRE_OPENCL");
    let output = child.output().expect("the test program runs");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn is_child() -> bool {
    std::env::var_os("TERMWISE_TEST_CHILD").is_some()
}

#[test]
fn without_a_library_everything_says_so_and_auto_takes_the_host() {
    if !is_child() {
        let told = elsewhere("without_a_library_everything_says_so_and_auto_takes_the_host", "none");
        assert!(told.contains("1 passed"), "{told}");
        assert!(told.contains("skipped: OpenCL: no library found, looked for none"), "{told}");
        return;
    }
    assert_eq!(devices().unwrap_err().to_string(), "OpenCL: no library found, looked for none");
    assert!(OpenCl::<f32>::open(DeviceChoice::Auto).unwrap().is_none());
    assert!(OpenCl::<f32>::open(DeviceChoice::Cpu).unwrap().is_none());
    let error = OpenCl::<f32>::open(DeviceChoice::OpenCl(None)).unwrap_err().to_string();
    assert_eq!(error, "OpenCL: no library found, looked for none");
    assert!(support::device().is_none());
}

#[test]
fn a_driver_without_a_loader_is_entered_directly() {
    // PoCL's own library: its functions are reached through the table of each object, as a vendor's are.
    const DRIVER: &str = "libpocl.so.2";
    if !is_child() {
        let told = elsewhere("a_driver_without_a_loader_is_entered_directly", DRIVER);
        if told.contains("skipped") {
            println!("skipped: {DRIVER} is not here");
        } else {
            assert!(told.contains("entered libpocl") && told.contains("1 passed"), "{told}");
        }
        return;
    }
    let Some(backend) = support::backend::<f32>() else { return };
    let x = Array::from_vec(&backend, &[2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(OpenCl::sum_to(&x, &[3], 2.0).to_f64().into_raw_vec_and_offset().0, [10.0, 14.0, 18.0]);
    println!("entered {}", termwise_opencl::library_name().expect("the library in use"));
}

#[test]
fn unknown_numbers_are_refused_with_a_list() {
    let Some(device) = support::device() else { return };
    let error = OpenCl::<f32>::open(DeviceChoice::OpenCl(Some(99))).unwrap_err().to_string();
    assert!(error.starts_with("OpenCL: there is no device 99; the devices are opencl:0 "), "{error}");
    assert!(error.contains(&device.info().name), "{error}");
}

#[test]
fn numbers_come_back_as_they_went_and_transfers_are_counted() {
    let Some(backend) = support::backend::<f32>() else { return };
    // A device of its own, whose counters no other test moves.
    let number = backend.device().info().number;
    let backend = OpenCl::<f32>::open(DeviceChoice::OpenCl(Some(number))).unwrap().unwrap();
    let values = vec![1.5, -0.0, f32::NAN, f32::INFINITY, f32::MIN_POSITIVE];
    let x = Array::from_vec(&backend, &[5], values.clone());
    let sum = backend.accumulate(Array::full(&backend, &[5], 0.0), &x);
    assert_eq!(backend.device().transfers().downloads, 0);
    let back = backend.download(x.buffer());
    assert!(back.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits()), "{back:?}");
    let sum = backend.download(sum.buffer());
    assert!(sum[0] == 1.5 && sum[2].is_nan() && sum[3] == f32::INFINITY, "{sum:?}");
    let moved = backend.device().transfers();
    assert_eq!((moved.uploads, moved.uploaded), (1, 20));
    assert_eq!((moved.downloads, moved.downloaded), (2, 40));
    assert_eq!(moved.launches, 2);
}

#[test]
fn gradients_are_added_without_writing_into_what_is_held_elsewhere() {
    let Some(backend) = support::backend::<f32>() else { return };
    let array = |value| Array::full(&backend, &[3], value);
    let (sum, term) = (array(1.0), array(2.0));
    let held = sum.clone();
    let total = backend.accumulate(sum, &term);
    assert_eq!(total.to_ndarray().as_slice().unwrap(), [3.0; 3]);
    assert_eq!(held.to_ndarray().as_slice().unwrap(), [1.0; 3]);
    // Nobody else holds the total: its storage is used again.
    let before = backend.device().memory().in_use;
    let total = backend.accumulate(total, &term);
    assert_eq!(total.to_ndarray().as_slice().unwrap(), [5.0; 3]);
    assert!(backend.device().memory().in_use <= before + 1024);
}

#[test]
fn memory_of_dropped_arrays_serves_again() {
    let Some(backend) = support::backend::<f32>() else { return };
    let number = backend.device().info().number;
    let backend = OpenCl::<f32>::open(DeviceChoice::OpenCl(Some(number))).unwrap().unwrap();
    for _ in 0..10 {
        drop(Array::full(&backend, &[1000], 1.0));
    }
    let memory = backend.device().memory();
    assert_eq!((memory.in_use, memory.most, memory.kept), (0, 4096, 4096));
}

#[test]
fn too_little_memory_is_told_with_numbers() {
    let Some(backend) = support::backend::<f32>() else { return };
    let result = std::panic::catch_unwind(|| Array::full(&backend, &[1 << 45], 0.0));
    let message = *result.err().expect("no device has so much").downcast::<String>().expect("a message");
    let device = &backend.device().info().name;
    let begin = format!("OpenCL: out of memory on {device}: asked for 128.0 TiB, ");
    assert!(
        message.starts_with(&begin) && message.contains(" are in use, one buffer may have "),
        "{message}"
    );
    // The backend works on.
    assert_eq!(Array::full(&backend, &[2], 7.0).to_ndarray().as_slice().unwrap(), [7.0; 2]);
}

#[test]
fn a_tape_runs_on_the_device_without_a_download() {
    let Some(backend) = support::backend::<f32>() else { return };
    let number = backend.device().info().number;
    let backend = OpenCl::<f32>::open(DeviceChoice::OpenCl(Some(number))).unwrap().unwrap();
    let tape = Tape::new(backend.clone());
    let array = |shape: &[usize]| Array::full(&backend, shape, 0.5);
    let (x, w) = (tape.leaf(array(&[4, 8])), tape.leaf(array(&[3, 8])));
    let loss =
        termwise_ops::mean(&termwise_ops::softmax(&termwise_ops::linear(&x, &w, None), -1), None, false);
    let gradients = tape.backward(&loss);
    assert_eq!(backend.device().transfers().downloads, 0);
    assert!((loss.value().item() - 1.0 / 3.0).abs() < 1e-6);
    assert!(gradients.of(&w).unwrap().to_f64().iter().all(|g| g.abs() < 1e-6));
}
