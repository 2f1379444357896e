//! Depthwise convolution with 3x3 taps and stride 1, the common case: a column of vectors down the image.
//!
//! One input channel a group leaves a matrix product nothing to share, and a vector is read for each tap. But going
//! down a column of the [`grid`](super::grid), the three shifts of a row serve the three outputs above, at and
//! below it, so that a vector of outputs costs three reads and nine multiply-adds. Other kernels and strides take the
//! general way of [`implicit`](super::implicit) with tiles of one channel.
//!
//! Backwards, the same sweep over the grid of `dy` gives both gradients:
//!
//! `dx[p] = sum_m W[m] grid[p + t_m]` and `dW[m] = sum_p x[p] grid[p + t_m]`, with the same three reads.

use rayon::prelude::*;
use termwise_autograd::Scalar;
use termwise_autograd::pool::Buffer;
use termwise_autograd::simd::{self, Isa, Kernel, Vector};

use super::axis::Axis;
use super::grid::Grid;
use super::tasks_wanted;
use crate::conv::ConvGeometry;

/// Bytes of a grid: a part of a core's first cache.
const GRID_BYTES: usize = 24 << 10;
/// How much longer a multiplication takes here than in a matrix product.
const COST: usize = 4;

/// Whether each group has one input channel, under a 3x3 kernel with stride 1.
pub(super) fn applies(geometry: &ConvGeometry) -> bool {
    let window = &geometry.window;
    geometry.group_inputs() == 1
        && (window.kernel, window.stride, window.dilation) == ([3; 2], [1; 2], [1; 2])
        && window.image.iter().all(|&extent| extent > 0)
}

/// `y[o] = b[o] + sum_m W[o, m] x[c(o), q + p_m]`. // (N, O, Ho, Wo)
pub(super) fn forward<T: Scalar>(
    isa: Isa,
    geometry: &ConvGeometry,
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
) -> Buffer<T> {
    let window = &geometry.window;
    let grid = grid::<T>([0, 1].map(|axis| Axis::convolution(window, axis)));
    let (pixels, positions, outputs) = (window.pixels(), window.positions(), geometry.group_outputs());
    let mut y = Buffer::arbitrary(geometry.batch * geometry.out_channels * positions);
    let groups = geometry.batch * geometry.groups;
    let wanted = tasks_wanted(COST * 9 * y.len());
    let run = groups.div_ceil(wanted).max(1);
    let chunk = run * outputs * positions;
    let task = |(i, y): (usize, &mut [T])| {
        let x = &x[i * run * pixels..][..y.len() / (outputs * positions) * pixels];
        let first = i * run % geometry.groups;
        simd::run_on(isa, Forward { geometry, grid: &grid, x, weight, bias, first, y });
    };
    if wanted == 1 {
        y.chunks_mut(chunk.max(1)).enumerate().for_each(task);
    } else {
        y.par_chunks_mut(chunk).enumerate().for_each(task);
    }
    y
}

fn grid<T: Scalar>([rows, cols]: [Axis; 2]) -> Grid {
    let row_bytes = Grid::row_len(&rows, &cols) * size_of::<T>();
    let block = (GRID_BYTES / row_bytes.max(1)).clamp(1, rows.extent());
    Grid::new(rows, cols, block)
}

/// The outputs of some groups, one after the other.
struct Forward<'a, T> {
    geometry: &'a ConvGeometry,
    grid: &'a Grid,
    x: &'a [T],
    weight: &'a [T],
    bias: Option<&'a [T]>,
    /// The first group, within its sample.
    first: usize,
    y: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Forward { geometry, grid, x, weight, bias, first, y } = self;
        let (outputs, [height, width]) = (geometry.group_outputs(), geometry.window.output);
        let mut x_grid = Buffer::arbitrary(grid.len(1));
        let planes =
            x.chunks_exact(geometry.window.pixels()).zip(y.chunks_exact_mut(outputs * height * width));
        for (i, (x, y)) in planes.enumerate() {
            let group = (first + i) % geometry.groups;
            for block in grid.blocks() {
                grid.fill::<V>(&block, x, &mut x_grid);
                for (o, y) in y.chunks_exact_mut(height * width).enumerate() {
                    let o = group * outputs + o;
                    let weights = &weight[o * 9..][..9];
                    let bias = bias.map_or(T::zero(), |bias| bias[o]);
                    let into = &mut y[block.start * width..block.end * width];
                    for at in (0..width).step_by(V::LANES) {
                        let count = (width - at).min(V::LANES);
                        // SAFETY: the grid is readable at every tap of each of the block's positions.
                        unsafe {
                            let from = x_grid.as_ptr().add(at);
                            let into = into.as_mut_ptr().add(at);
                            column::<V>(block.len(), (from, grid.pitch), weights, bias, (into, width), count);
                        }
                    }
                }
            }
        }
    }
}

/// Nine weights, each in all lanes of a vector, in the order that `place` gives.
///
/// Written out, as other things below, and called for each column anew: an array that is indexed by a variable
/// or lives across a call does not stay in registers.
#[inline(always)]
fn taps<V: Vector>(weight: &[V::Element], place: impl Fn(usize) -> usize) -> [[V; 3]; 3] {
    let tap = |tap| V::splat(weight[place(tap)]);
    [[tap(0), tap(1), tap(2)], [tap(3), tap(4), tap(5)], [tap(6), tap(7), tap(8)]]
}

/// Three shifts of the vector at `from`.
///
/// # Safety
/// Two elements more than a vector must be readable.
#[inline(always)]
unsafe fn shifts<V: Vector>(from: *const V::Element) -> [V; 3] {
    // SAFETY: that of the caller.
    unsafe { [V::load(from), V::load(from.add(1)), V::load(from.add(2))] }
}

/// One row of a kernel.
#[inline(always)]
fn row<V: Vector>([a, b, c]: [V; 3], [x, y, z]: [V; 3], sum: V) -> V {
    c.mul_add(z, b.mul_add(y, a.mul_add(x, sum)))
}

/// `into[i] = bias + sum_m weights[m] from[i + m]` down a column of `rows` vectors, of which `count` lanes are
/// written.
///
/// # Safety
/// Of `from`, with the distance of its rows, two rows and two elements more must be readable; `into` writable.
#[inline(always)]
unsafe fn column<V: Vector>(
    rows: usize,
    (mut from, pitch): (*const V::Element, usize),
    weights: &[V::Element],
    bias: V::Element,
    (mut into, width): (*mut V::Element, usize),
    count: usize,
) {
    let (weights, bias) = (taps::<V>(weights, |tap| tap), V::splat(bias));
    // SAFETY: that of the caller.
    unsafe {
        let (zeroth, first) = (shifts::<V>(from), shifts::<V>(from.add(pitch)));
        // What is known of the output that the next row completes, and of the one after it.
        let mut now = row(weights[1], first, row(weights[0], zeroth, bias));
        let mut next = row(weights[0], first, bias);
        from = from.add(2 * pitch);
        for _ in 0..rows {
            let x = shifts::<V>(from);
            let sum = now + row(weights[2], x, V::zero());
            if count == V::LANES {
                sum.store(into)
            } else {
                sum.store_part(into, count)
            }
            now = next + row(weights[1], x, V::zero());
            next = row(weights[0], x, bias);
            from = from.add(pitch);
            into = into.add(width);
        }
    }
}

/// `dx`, `dW` and `db`. // (N, C, H, W), (O, 1, 3, 3), (O,)
pub(super) fn backward<T: Scalar>(
    isa: Isa,
    geometry: &ConvGeometry,
    x: &[T],
    weight: &[T],
    grad_output: &[T],
) -> [Buffer<T>; 3] {
    let window = &geometry.window;
    let grid = grid::<T>([0, 1].map(|axis| Axis::transposed(window, axis)));
    let (pixels, outputs) = (window.pixels(), geometry.group_outputs());
    let mut grad_x = Buffer::arbitrary(x.len());
    let mut grad_weight = Buffer::arbitrary(geometry.out_channels * 9);
    let mut grad_bias = Buffer::arbitrary(geometry.out_channels);
    // Groups of all samples: a task has the sums of its weights to itself.
    let wanted = tasks_wanted(COST * 18 * geometry.batch * geometry.out_channels * pixels);
    let run = geometry.groups.div_ceil(wanted);
    let planes = SharedPlanes { first: grad_x.as_mut_ptr(), pixels };
    let task = |(i, (grad_weight, grad_bias)): (usize, (&mut [T], &mut [T]))| {
        let (first, grad_x) = (i * run, &planes);
        simd::run_on(
            isa,
            Backward { geometry, grid: &grid, x, weight, grad_output, first, grad_x, grad_weight, grad_bias },
        );
    };
    let weights = grad_weight.par_chunks_mut(run * outputs * 9);
    let tasks = weights.zip(grad_bias.par_chunks_mut(run * outputs)).enumerate();
    if wanted == 1 {
        tasks.with_min_len(geometry.groups).for_each(task);
    } else {
        tasks.for_each(task);
    }
    [grad_x, grad_weight, grad_bias]
}

/// Planes of the input's gradient, each of which one task writes.
struct SharedPlanes<T> {
    first: *mut T,
    pixels: usize,
}

// SAFETY: tasks write the planes of their own channels, and no two have one in common.
unsafe impl<T: Send> Sync for SharedPlanes<T> {}

impl<T> SharedPlanes<T> {
    /// # Safety
    /// The plane must exist, and no other task use it.
    #[allow(clippy::mut_from_ref)] // that is what the type is for
    unsafe fn plane(&self, index: usize) -> &mut [T] {
        // SAFETY: that of the caller.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(index * self.pixels), self.pixels) }
    }
}

/// The gradients of some groups.
struct Backward<'a, T> {
    geometry: &'a ConvGeometry,
    grid: &'a Grid,
    x: &'a [T],
    weight: &'a [T],
    grad_output: &'a [T],
    /// The first group.
    first: usize,
    grad_x: &'a SharedPlanes<T>,
    grad_weight: &'a mut [T],
    grad_bias: &'a mut [T],
}

impl<T: Scalar> Kernel<T> for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Element = T>>(self) {
        let Backward { geometry, grid, x, weight, grad_output, first, grad_x, grad_weight, grad_bias } = self;
        let (outputs, window) = (geometry.group_outputs(), &geometry.window);
        let (pixels, positions, width) = (window.pixels(), window.positions(), window.image[1]);
        let mut g_grid = Buffer::arbitrary(grid.len(1));
        let mut sums = Buffer::arbitrary(9 * V::LANES);
        for (index, (grad_weight, grad_bias)) in grad_weight.chunks_mut(9).zip(grad_bias).enumerate() {
            let (group, o) = (first + index / outputs, first * outputs + index);
            let weights = &weight[o * 9..][..9];
            sums.fill(T::zero());
            let mut total = T::zero();
            for n in 0..geometry.batch {
                let grad_output = &grad_output[(n * geometry.out_channels + o) * positions..][..positions];
                let plane = n * geometry.groups + group;
                let x = &x[plane * pixels..][..pixels];
                // SAFETY: the plane of a group of this task.
                let grad_x = unsafe { grad_x.plane(plane) };
                for block in grid.blocks() {
                    grid.fill::<V>(&block, grad_output, &mut g_grid);
                    for at in (0..width).step_by(V::LANES) {
                        let count = (width - at).min(V::LANES);
                        let start = block.start * width + at;
                        let column = Column::<V> {
                            rows: block.len(),
                            from: g_grid[at..].as_ptr(),
                            pitch: grid.pitch,
                            x: x[start..].as_ptr(),
                            grad_x: grad_x[start..].as_mut_ptr(),
                            width,
                            add: !index.is_multiple_of(outputs),
                        };
                        // SAFETY: the grid is readable at every tap of each of the block's pixels; the two planes
                        // have `count` elements in each row of the column.
                        unsafe {
                            if count == V::LANES {
                                column.sweep::<true>(weights, &mut sums, count);
                            } else {
                                column.sweep::<false>(weights, &mut sums, count);
                            }
                        }
                    }
                }
                total += sum::<V>(grad_output);
            }
            for (grad, sum) in grad_weight.iter_mut().zip(sums.chunks(V::LANES).rev()) {
                *grad = V::from_slice(sum).sum();
            }
            *grad_bias = total;
        }
    }
}

/// A column of vectors of the input.
struct Column<V: Vector> {
    rows: usize,
    /// In the grid of the output's gradient.
    from: *const V::Element,
    pitch: usize,
    x: *const V::Element,
    grad_x: *mut V::Element,
    width: usize,
    /// Whether `dx` holds something already.
    add: bool,
}

impl<V: Vector> Column<V> {
    /// `dx[i] (+)= sum_m weights[m] from[i + m]`, `sums[m] += x[i] from[i + m]`, in `count` lanes.
    ///
    /// # Safety
    /// Of `from`, two rows and two elements more must be readable, of the others `count` elements a row.
    #[inline(always)]
    unsafe fn sweep<const FULL: bool>(self, weights: &[V::Element], sums: &mut [V::Element], count: usize) {
        let Column { rows, mut from, pitch, mut x, mut grad_x, width, add } = self;
        // From the last weight to the first: positions in the grid rise where taps fall.
        let weights = taps::<V>(weights, |tap| 8 - tap);
        let sum = |k: usize| V::from_slice(&sums[k * V::LANES..]);
        let (mut top, mut middle, mut bottom) =
            ([sum(0), sum(1), sum(2)], [sum(3), sum(4), sum(5)], [sum(6), sum(7), sum(8)]);
        // SAFETY: that of the caller.
        unsafe {
            let read = |from: *const V::Element| if FULL { V::load(from) } else { V::load_part(from, count) };
            // Lanes that are not there must not meet numbers that are not finite: x is 0 in them.
            let grads = |from: *const V::Element| [read(from), read(from.add(1)), read(from.add(2))];
            let (zeroth, first) = (grads(from), grads(from.add(pitch)));
            let mut now = row(weights[1], first, row(weights[0], zeroth, V::zero()));
            let mut next = row(weights[0], first, V::zero());
            // Pixels of the row that is completed, and of the one after it.
            let mut x_now = read(x);
            let mut x_next = V::zero();
            top = add_products(top, x_now, zeroth);
            middle = add_products(middle, x_now, first);
            if rows > 1 {
                x_next = read(x.add(width));
                top = add_products(top, x_next, first);
            }
            from = from.add(2 * pitch);
            for i in 0..rows {
                let g = grads(from);
                let mut sum = now + row(weights[2], g, V::zero());
                if add {
                    sum += read(grad_x);
                }
                if FULL {
                    sum.store(grad_x)
                } else {
                    sum.store_part(grad_x, count)
                }
                now = next + row(weights[1], g, V::zero());
                next = row(weights[0], g, V::zero());
                let x_after = if i + 2 < rows { read(x.add(2 * width)) } else { V::zero() };
                bottom = add_products(bottom, x_now, g);
                middle = add_products(middle, x_next, g);
                top = add_products(top, x_after, g);
                (x_now, x_next) = (x_next, x_after);
                from = from.add(pitch);
                x = x.wrapping_add(width);
                grad_x = grad_x.wrapping_add(width);
            }
        }
        for (k, row) in [top, middle, bottom].into_iter().enumerate() {
            for (sums, sum) in sums[3 * k * V::LANES..].chunks_mut(V::LANES).zip(row) {
                sum.write_to(sums);
            }
        }
    }
}

/// `sums + x g`, for each of three.
#[inline(always)]
fn add_products<V: Vector>([a, b, c]: [V; 3], x: V, [g, h, i]: [V; 3]) -> [V; 3] {
    [x.mul_add(g, a), x.mul_add(h, b), x.mul_add(i, c)]
}

/// The sum of all numbers.
#[inline(always)]
fn sum<V: Vector>(numbers: &[V::Element]) -> V::Element {
    let [mut a, mut b, mut c, mut d] = [V::zero(); 4];
    let mut fours = numbers.chunks_exact(4 * V::LANES);
    for four in &mut fours {
        a += V::from_slice(four);
        b += V::from_slice(&four[V::LANES..]);
        c += V::from_slice(&four[2 * V::LANES..]);
        d += V::from_slice(&four[3 * V::LANES..]);
    }
    for rest in fours.remainder().chunks(V::LANES) {
        a += V::from_slice(rest);
    }
    ((a + b) + (c + d)).sum()
}
