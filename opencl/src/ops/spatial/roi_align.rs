//! Maps of boxes on images.

use termwise_autograd::{Array, Scalar};
use termwise_ops::spatial::{RoiAlignKernel, RoiAxis, RoiMap};

use crate::program::{Source, source};
use crate::{Buffer, OpenCl, Real};

const ROI_ALIGN: Source = source!("spatial/roi_align");

/// Lists of entries (place, weight), one after another, and where each begins (and the last one ends).
struct Lists<T> {
    starts: Buffer<i32>,
    places: Buffer<i32>,
    weights: Buffer<T>,
}

fn upload<T: Real>(
    backend: &OpenCl<T>,
    lists: impl Iterator<Item = impl IntoIterator<Item = (usize, f64)>>,
) -> Lists<T> {
    let (mut starts, mut places, mut weights) = (vec![0], vec![], vec![]);
    for list in lists {
        for (place, weight) in list {
            places.push(place);
            weights.push(<T as Scalar>::of(weight));
        }
        starts.push(places.len());
    }
    Lists {
        starts: backend.indices(&starts),
        places: backend.indices(&places),
        weights: backend.constants(&weights),
    }
}

/// The bins that read each of `extent` pixels.
fn readers(axis: &RoiAxis, extent: usize) -> Vec<Vec<(usize, f64)>> {
    let mut readers = vec![vec![]; extent];
    for (bin, entries) in axis.bins.iter().enumerate() {
        entries.iter().for_each(|&(pixel, weight)| readers[pixel].push((bin, weight)));
    }
    readers
}

impl<T: Real> RoiAlignKernel for OpenCl<T> {
    fn roi_align_forward(x: &Array<Self>, maps: &[RoiMap], [height, width]: [usize; 2]) -> Array<Self> {
        let (backend, shape) = (x.backend(), x.shape());
        let y = backend.arbitrary(&[maps.len(), shape[1], height, width]);
        let batch = backend.indices(&maps.iter().map(|map| map.batch).collect::<Vec<_>>());
        let rows = upload(backend, maps.iter().flat_map(|map| map.rows.bins.iter().cloned()));
        let cols = upload(backend, maps.iter().flat_map(|map| map.cols.bins.iter().cloned()));
        let launch = backend.launch(ROI_ALIGN, "roi_align_forward").array(x).buffer(&batch);
        let launch = launch.buffer(&rows.starts).buffer(&rows.places).buffer(&rows.weights);
        let launch = launch.buffer(&cols.starts).buffer(&cols.places).buffer(&cols.weights).array(&y);
        let launch = launch.int(shape[1]).int(shape[2]).int(shape[3]).int(height).int(width);
        launch.int(y.len()).items(y.len());
        y
    }

    fn roi_align_backward(grad_output: &Array<Self>, maps: &[RoiMap], x_shape: &[usize]) -> Array<Self> {
        let (backend, out) = (grad_output.backend(), grad_output.shape());
        let grad_x = backend.arbitrary(x_shape);
        let (mut box_starts, mut boxes) = (vec![0], vec![]);
        for image in 0..x_shape[0] {
            boxes.extend((0..maps.len()).filter(|&k| maps[k].batch == image));
            box_starts.push(boxes.len());
        }
        let [box_starts, boxes] = [box_starts, boxes].map(|list| backend.indices(&list));
        let rows = upload(backend, maps.iter().flat_map(|map| readers(&map.rows, x_shape[2])));
        let cols = upload(backend, maps.iter().flat_map(|map| readers(&map.cols, x_shape[3])));
        let launch = backend.launch(ROI_ALIGN, "roi_align_backward").array(grad_output);
        let launch = launch.buffer(&box_starts).buffer(&boxes);
        let launch = launch.buffer(&rows.starts).buffer(&rows.places).buffer(&rows.weights);
        let launch = launch.buffer(&cols.starts).buffer(&cols.places).buffer(&cols.weights).array(&grad_x);
        let launch = launch.int(x_shape[1]).int(x_shape[2]).int(x_shape[3]).int(out[2]).int(out[3]);
        launch.int(grad_x.len()).items(grad_x.len());
        grad_x
    }
}
