//! A training step asks the system for nothing large once the first ones are done: buffers are used again.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::Array3;
use termwise::autograd::pool::Pooled as _;
use termwise::autograd::simd::{Isa, isa};
use termwise::models::Init;
use termwise::models::layers::Mode;
use termwise::models::segmentation::{SegmentationTask, Segmenter, SegmenterConfig};
use termwise::ops::optim::{Adam, AdamConfig, Optimizer};
use termwise::ops::{CrossEntropy, cross_entropy};
use termwise::prelude::*;

/// The system's allocator, and how much was asked of it in large pieces.
struct Counting;

/// Bytes from which on a piece is large: the activations of the model below are 4 to 64 times that.
const LARGE: usize = 16 << 10;
static LARGE_BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= LARGE {
            LARGE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_step_after_the_first_allocates_nothing_large() {
    let backend = Cpu::<f32>::new();
    // Products on the portable set are matrixmultiply's, which packs into memory of its own.
    let with_products = if isa() == Isa::Portable { &[][..] } else { &["0110", "1111"] };
    for attention in ["w/o", "0010+deformable", "dynamic"].iter().chain(with_products) {
        let config = SegmenterConfig {
            task: SegmentationTask::Segmentation,
            attention: attention.parse().unwrap(),
            classes: ["a", "b", "c"].map(String::from).to_vec(),
            ignore: 255,
            size: (64, 64),
            mean: [0.0; 3],
            std: [1.0; 3],
            width: 16,
            num_heads: 4,
            limit_range: false,
        };
        f32::pool().clear();
        let segmenter = Segmenter::new(config, &mut Init::new(backend, 0));
        let mut optimizer = Adam::new(AdamConfig::adam());
        let pixels: Vec<f32> = (0..4 * 3 * 64 * 64).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect();
        let images = Array::host(&[4, 3, 64, 64], pixels);
        let labels = Array3::from_shape_fn((4, 64, 64), |(_, y, x)| (y / 8 + x / 8) as i64 % 3).into_dyn();
        let mut step = || {
            let tape = Tape::new(backend);
            let scores = segmenter.forward(&tape.constant(images.clone()), Mode::Train);
            let loss = cross_entropy(&scores, &labels, None, &CrossEntropy::default());
            let gradients = tape.backward(&loss);
            optimizer.step(&segmenter.parameters(), &gradients, 0.001);
        };
        let asked_for = |step: &mut dyn FnMut()| {
            let before = LARGE_BYTES.load(Ordering::Relaxed);
            step();
            LARGE_BYTES.load(Ordering::Relaxed) - before
        };
        let first = asked_for(&mut step);
        // Tasks that happened to run one after the other may run side by side the next time.
        (0..5).for_each(|_| step());
        let later: Vec<usize> = (0..5).map(|_| asked_for(&mut step)).collect();
        println!("{attention}: {first} bytes in the first step, later {later:?}");
        assert!(first > 4 << 20, "{attention}: the first step asked for {first} bytes only");
        let least = later.iter().min().unwrap();
        assert!(least * 100 < first, "{attention}: {first} bytes in the first step, later {later:?}");
    }
}
