//! Where a command computes: on the host, or on a device by OpenCL.

use std::any::Any;
use std::fmt;

use serde::Serialize;
use termwise_opencl::{Device, DeviceChoice, DeviceKind, OpenCl, OpenClError, Transfers, choose, devices};

use super::fault::Fault;
use super::output::{columns, say};

/// Runs an expression with a backend on the device that a choice takes.
macro_rules! on_backend {
    ($choice:expr, $backend:ident => $run:expr) => {
        match $crate::cli::device::open($choice)? {
            None => {
                let $backend = termwise_autograd::Cpu::<f32>::new();
                $run
            }
            Some(device) => {
                let $backend = $crate::cli::device::backend(&device)?;
                $run
            }
        }
    };
}
pub(super) use on_backend;

/// The device that a choice takes; `None` is the host. Says so where `auto` passes over what there is.
pub fn open(choice: DeviceChoice) -> Result<Option<Device>, Fault> {
    let fault = |error: OpenClError| Fault::Input(format!("--device {choice}: {error}"));
    match Device::open(choice) {
        Ok(Some(device)) => {
            eprintln!("computing on {}", device.info());
            Ok(Some(device))
        }
        Ok(None) => {
            let passed_over = || devices().unwrap_or_default().into_iter().any(|d| d.kind == DeviceKind::Gpu);
            if choice == DeviceChoice::Auto && passed_over() {
                eprintln!("computing on the host: no GPU can be used, as `termwise devices` tells");
            }
            Ok(None)
        }
        Err(error) if choice == DeviceChoice::Auto => {
            eprintln!("computing on the host: {error}");
            Ok(None)
        }
        Err(error) => Err(fault(error)),
    }
}

/// A backend that computes on an open device.
pub fn backend(device: &Device) -> Result<OpenCl<f32>, Fault> {
    OpenCl::new(device).map_err(|error| Fault::Input(error.to_string()))
}

/// Refuses a device for a command that computes on the host alone.
pub fn host_only(command: &str, choice: DeviceChoice) -> Result<(), Fault> {
    match choice {
        DeviceChoice::Auto | DeviceChoice::Cpu => Ok(()),
        DeviceChoice::OpenCl(_) => Err(Fault::Input(format!(
            "--device: expected auto or cpu, as {command} computes on the host, found {choice}"
        ))),
    }
}

/// Counts what a device does in the steps of a training; on the host there is nothing to count.
pub struct Meter {
    device: Option<Device>,
    begin: Transfers,
    steps: Vec<Transfers>,
}

/// What a device did in the steps of a training: the least and the most of any step, the first one left out, whose
/// kernels are compiled and whose parameters are copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Its name.
    pub device: String,
    /// Steps that were counted.
    pub steps: usize,
    /// Kernels that ran.
    pub kernels: [u64; 2],
    /// Copies to the device.
    pub uploads: [u64; 2],
    /// Their bytes.
    pub uploaded_bytes: [u64; 2],
    /// Copies from the device, each of which waits for it.
    pub downloads: [u64; 2],
    /// Their bytes.
    pub downloaded_bytes: [u64; 2],
    /// Bytes of its memory in use at most.
    pub most_memory: u64,
}

impl Meter {
    /// Of the device behind a backend, if there is one.
    pub fn of<B: 'static>(backend: &B) -> Self {
        let device =
            (backend as &dyn Any).downcast_ref::<OpenCl<f32>>().map(|backend| backend.device().clone());
        let begin = device.as_ref().map(Device::transfers).unwrap_or_default();
        Meter { device, begin, steps: Vec::new() }
    }

    /// A step begins here.
    pub fn begin(&mut self) {
        self.begin = self.device.as_ref().map(Device::transfers).unwrap_or_default();
    }

    /// A step ends here.
    pub fn step(&mut self) {
        self.steps.extend(self.device.as_ref().map(|device| device.transfers() - self.begin));
    }

    /// What was counted; nothing on the host, and nothing where no step was taken. A single step is all there is.
    pub fn traffic(&self) -> Option<Traffic> {
        let device = self.device.as_ref()?;
        let counted = self.steps.get(1..).filter(|later| !later.is_empty()).unwrap_or(&self.steps);
        let range = |of: fn(&Transfers) -> u64| least_and_most(counted.iter().map(of));
        Some(Traffic {
            device: device.info().name.clone(),
            steps: self.steps.len().checked_sub(1)?,
            kernels: range(|step| step.launches)?,
            uploads: range(|step| step.uploads)?,
            uploaded_bytes: range(|step| step.uploaded)?,
            downloads: range(|step| step.downloads)?,
            downloaded_bytes: range(|step| step.downloaded)?,
            most_memory: device.memory().most,
        })
    }
}

fn least_and_most(numbers: impl Iterator<Item = u64> + Clone) -> Option<[u64; 2]> {
    Some([numbers.clone().min()?, numbers.max()?])
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = |[least, most]: [u64; 2]| match least == most {
            true => least.to_string(),
            false => format!("{least} to {most}"),
        };
        write!(
            f,
            "a step on {}: {} kernels, {} copies to the device ({} bytes), {} from it ({} bytes)",
            self.device,
            range(self.kernels),
            range(self.uploads),
            range(self.uploaded_bytes),
            range(self.downloads),
            range(self.downloaded_bytes)
        )
    }
}

/// A device that fails while it computes ends the process with one line, as other faults do.
pub fn report_failures() {
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| match info.payload().downcast_ref::<String>() {
        Some(message) if message.starts_with("OpenCL: ") => {
            let _ = Fault::Input(message.clone()).report();
            std::process::exit(2);
        }
        _ => others(info),
    }));
}

/// Runs `termwise devices`: what there is, what would be taken, and why not the others.
pub fn list(choice: DeviceChoice) -> Result<(), Fault> {
    let found = match devices() {
        Ok(found) => found,
        Err(error) if matches!(choice, DeviceChoice::OpenCl(_)) => {
            return Err(Fault::Input(format!("--device {choice}: {error}")));
        }
        Err(error) => return say(&format!("host: taken for --device {choice}\n{error}")),
    };
    let listing =
        choose(choice, found).map_err(|error| Fault::Input(format!("--device {choice}: {error}")))?;
    let taken = format!("taken for --device {choice}");
    let host = if listing.taken.is_none() { taken.clone() } else { "a device was taken".to_owned() };
    let none = String::new;
    let mut rows = vec![vec!["host".to_owned(), "this processor".into(), none(), none(), host]];
    for (device, reason) in &listing.devices {
        rows.push(vec![
            format!("opencl:{}", device.number),
            device.name.clone(),
            device.kind.to_string(),
            device.platform.clone(),
            reason.clone().unwrap_or_else(|| taken.clone()),
        ]);
    }
    say(&columns(&["device", "name", "kind", "platform", ""], &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_nothing_to_count() {
        let mut meter = Meter::of(&termwise_autograd::Cpu::<f32>::new());
        meter.begin();
        meter.step();
        assert_eq!(meter.traffic(), None);
    }

    #[test]
    fn a_range_reaches_to_both_sides() {
        let ranges = [[3, 5, 4], [3, 5, 1], [3, 5, 9]].map(|numbers| least_and_most(numbers.into_iter()));
        assert_eq!(ranges, [Some([3, 5]), Some([1, 5]), Some([3, 9])]);
        assert_eq!(least_and_most([].into_iter()), None);
    }
}
