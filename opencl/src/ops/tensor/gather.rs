//! Elements at given places, and the best ones along an axis.

use ndarray::ArrayD;
use termwise_autograd::{Array, Cpu};
use termwise_ops::tensor::{GatherKernel, TopkKernel};

use crate::ops::groups::groups;
use crate::program::{Source, source};
use crate::{OpenCl, Real};

const GATHER: Source = source!("tensor/gather");

impl<T: Real> GatherKernel for OpenCl<T> {
    fn take(x: &Array<Self>, places: &[usize], shape: &[usize]) -> Array<Self> {
        let (backend, y) = (x.backend(), x.backend().arbitrary(shape));
        let places = backend.indices(places);
        let launch = backend.launch(GATHER, "gather_take").array(x).buffer(&places).array(&y);
        launch.int(y.len()).items(y.len());
        y
    }

    fn add_at(x: &Array<Self>, places: &[usize], src: &Array<Self>) -> Array<Self> {
        let (backend, y) = (x.backend(), x.backend().copied(x));
        let by_place = groups(backend, places, None);
        let launch = backend.launch(GATHER, "gather_add_at").array(src).buffer(&by_place.targets);
        let launch = launch.buffer(&by_place.starts).buffer(&by_place.sources).array(&y);
        launch.int(by_place.count).items(by_place.count);
        y
    }
}

impl<T: Real> TopkKernel for OpenCl<T> {
    /// The places are wanted on the host, so the search is made there: one download.
    fn topk_places(x: &Array<Self>, k: usize, axis: usize, largest: bool) -> ArrayD<i64> {
        let on_host = Array::host(x.shape(), x.buffer().download());
        Cpu::topk_places(&on_host, k, axis, largest)
    }
}
