//! Where a command computes: on the host, or on a device by OpenCL.

use termwise_opencl::{Device, DeviceChoice, DeviceKind, OpenClError, choose, devices};

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
                let $backend = termwise_opencl::OpenCl::<f32>::new(&device)
                    .map_err(|error| $crate::cli::fault::Fault::Input(error.to_string()))?;
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

/// Refuses a device for a command that computes on the host alone.
pub fn host_only(command: &str, choice: DeviceChoice) -> Result<(), Fault> {
    match choice {
        DeviceChoice::Auto | DeviceChoice::Cpu => Ok(()),
        DeviceChoice::OpenCl(_) => Err(Fault::Input(format!(
            "--device: expected auto or cpu, as {command} computes on the host, found {choice}"
        ))),
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
