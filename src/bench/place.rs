//! Where a workload is computed, and what is measured there besides time.

use serde::Serialize;
use termwise_autograd::Cpu;
use termwise_opencl::{Device, DeviceChoice, OpenCl};

use super::graph::Single;
use super::workload::Problem;

/// A repetition on a backend that is handed over.
pub type OnOther<'a, B> = &'a dyn Fn(&B) -> Result<Box<dyn FnMut()>, Problem>;

/// The host or a device.
pub trait Place: Sync {
    /// Its backend.
    type Backend: Single;

    /// Its backend.
    fn backend(&self) -> &Self::Backend;

    /// Waits until everything that was begun is done.
    fn finish(&self);

    /// What a device does for one repetition: counted while `run` runs, timed with what `on_other` makes for the
    /// same device with timed kernels. The host has nothing to add.
    fn figures(
        &self,
        run: &mut dyn FnMut(),
        on_other: OnOther<Self::Backend>,
    ) -> Result<Option<DeviceFigures>, Problem>;
}

/// What a device did for one repetition.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceFigures {
    /// Its name.
    pub name: String,
    /// Milliseconds of all kernels together, by the device's own clock.
    pub kernels_ms: f64,
    /// Kernels that ran.
    pub launches: u64,
    /// Copies to it, and their bytes.
    pub uploads: (u64, u64),
    /// Copies from it, and their bytes; each waits for what was begun before.
    pub downloads: (u64, u64),
    /// The most memory that arrays held at a time.
    pub peak_mb: f64,
    /// The kernels that took longest: name, runs, milliseconds.
    pub longest: Vec<(&'static str, u64, f64)>,
}

/// How many kernels are named.
const LONGEST: usize = 6;

/// The processor of this machine.
pub struct Host(pub Cpu<f32>);

impl Place for Host {
    type Backend = Cpu<f32>;

    fn backend(&self) -> &Cpu<f32> {
        &self.0
    }

    fn finish(&self) {}

    fn figures(&self, _: &mut dyn FnMut(), _: OnOther<Cpu<f32>>) -> Result<Option<DeviceFigures>, Problem> {
        Ok(None)
    }
}

/// A device of OpenCL.
pub struct OnDevice {
    /// What computes.
    pub backend: OpenCl<f32>,
    /// How it was chosen: it is opened once more, with timed kernels.
    pub choice: DeviceChoice,
}

impl Place for OnDevice {
    type Backend = OpenCl<f32>;

    fn backend(&self) -> &OpenCl<f32> {
        &self.backend
    }

    fn finish(&self) {
        if let Err(error) = self.backend.device().finish() {
            panic!("{error}");
        }
    }

    fn figures(
        &self,
        run: &mut dyn FnMut(),
        on_other: OnOther<OpenCl<f32>>,
    ) -> Result<Option<DeviceFigures>, Problem> {
        let device = self.backend.device();
        let before = device.transfers();
        run();
        let moved = device.transfers() - before;
        let problem =
            |error: termwise_opencl::OpenClError| Problem::new("device", "one that opens again", error);
        let timed = Device::open_profiled(self.choice).map_err(problem)?;
        let timed = timed.expect("the choice took a device before");
        let mut run = on_other(&OpenCl::new(&timed).map_err(problem)?)?;
        run(); // compiles
        let first = timed.times();
        run();
        let mut longest: Vec<(&'static str, u64, f64)> = timed
            .times()
            .into_iter()
            .map(|(name, runs, time)| {
                let earlier = first.iter().find(|(other, ..)| *other == name);
                let (runs_before, time_before) = earlier.map_or((0, 0), |&(_, runs, time)| (runs, time));
                (name, runs - runs_before, (time - time_before) as f64 / 1e6)
            })
            .filter(|(_, runs, _)| *runs > 0)
            .collect();
        longest.sort_by(|a, b| b.2.total_cmp(&a.2));
        let kernels_ms = longest.iter().map(|(.., time)| time).sum();
        longest.truncate(LONGEST);
        Ok(Some(DeviceFigures {
            name: device.info().name.clone(),
            kernels_ms,
            launches: moved.launches,
            uploads: (moved.uploads, moved.uploaded),
            downloads: (moved.downloads, moved.downloaded),
            peak_mb: device.memory().most as f64 / f64::from(1 << 20),
            longest,
        }))
    }
}
