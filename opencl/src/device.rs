//! The devices there are, and which one is taken.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use termwise_opencl_loader::{library_name, library_names, types};

use crate::error::{CallError, OpenClError, size};
use crate::raw;

/// Bytes of local memory that kernels may use.
pub(crate) const LOCAL_MEMORY: u64 = 16 << 10;

/// Which device a command is to use: `auto`, `cpu`, `opencl` or `opencl:N`.
///
/// ```
/// use termwise_opencl::DeviceChoice;
/// assert_eq!("opencl:2".parse::<DeviceChoice>().unwrap(), DeviceChoice::OpenCl(Some(2)));
/// assert!("gpu".parse::<DeviceChoice>().is_err());
/// assert_eq!(DeviceChoice::OpenCl(Some(2)).to_string(), "opencl:2");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A GPU where there is one that can be used, else the host. Never a CPU driver of OpenCL.
    #[default]
    Auto,
    /// The host.
    Cpu,
    /// The device of this number in the listing, or the best there is: a GPU before anything else.
    OpenCl(Option<usize>),
}

impl FromStr for DeviceChoice {
    type Err = OpenClError;

    fn from_str(text: &str) -> Result<Self, OpenClError> {
        let wrong = || OpenClError::Spelling { text: text.into() };
        match text {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            "opencl" => Ok(DeviceChoice::OpenCl(None)),
            _ => {
                let number = text.strip_prefix("opencl:").ok_or_else(wrong)?;
                number.parse().map(|number| DeviceChoice::OpenCl(Some(number))).map_err(|_| wrong())
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Auto => f.write_str("auto"),
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::OpenCl(None) => f.write_str("opencl"),
            DeviceChoice::OpenCl(Some(number)) => write!(f, "opencl:{number}"),
        }
    }
}

/// What sort of device it is, as its driver says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// A graphics processor.
    Gpu,
    /// The host's own processor, driven through OpenCL.
    Cpu,
    /// Anything else.
    Accelerator,
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeviceKind::Gpu => "GPU",
            DeviceKind::Cpu => "CPU driver",
            DeviceKind::Accelerator => "accelerator",
        })
    }
}

/// What is known of a device.
#[derive(Clone, Debug)]
pub struct DeviceInfo {
    /// Its number: `opencl:N`.
    pub number: usize,
    /// Its name.
    pub name: String,
    /// Its maker.
    pub vendor: String,
    /// The platform it belongs to.
    pub platform: String,
    /// The version of its driver.
    pub driver: String,
    /// The version of OpenCL it offers.
    pub version: String,
    /// What sort it is.
    pub kind: DeviceKind,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes that one buffer may have.
    pub max_buffer: u64,
    /// Bytes of local memory of a work-group.
    pub local_memory: u64,
    /// Whether it shares the host's memory.
    pub unified: bool,
    /// Number of compute units.
    pub compute_units: u64,
    /// Clock rate in MHz.
    pub clock_mhz: u64,
    /// Work-items that a work-group may have.
    pub max_work_group: u64,
    /// Whether it computes in `f64`.
    pub double: bool,
    /// Why it cannot be used, where it cannot.
    pub unusable: Option<String>,
    pub(crate) id: raw::Device,
}

impl DeviceInfo {
    fn query(number: usize, platform: &str, id: raw::Device) -> Result<Self, CallError> {
        let kind = id.number(types::DEVICE_TYPE)?;
        let mut info = DeviceInfo {
            number,
            name: id.text(types::DEVICE_NAME)?,
            vendor: id.text(types::DEVICE_VENDOR)?,
            platform: platform.into(),
            driver: id.text(types::DRIVER_VERSION)?,
            version: id.text(types::DEVICE_VERSION)?,
            kind: match kind {
                _ if kind & types::DEVICE_TYPE_GPU != 0 => DeviceKind::Gpu,
                _ if kind & types::DEVICE_TYPE_CPU != 0 => DeviceKind::Cpu,
                _ => DeviceKind::Accelerator,
            },
            memory: id.number(types::DEVICE_GLOBAL_MEM_SIZE)?,
            max_buffer: id.number(types::DEVICE_MAX_MEM_ALLOC_SIZE)?,
            local_memory: id.number(types::DEVICE_LOCAL_MEM_SIZE)?,
            unified: id.number(types::DEVICE_HOST_UNIFIED_MEMORY)? != 0,
            compute_units: id.number(types::DEVICE_MAX_COMPUTE_UNITS)?,
            clock_mhz: id.number(types::DEVICE_MAX_CLOCK_FREQUENCY)?,
            max_work_group: id.number(types::DEVICE_MAX_WORK_GROUP_SIZE)?,
            double: id.text(types::DEVICE_EXTENSIONS)?.split(' ').any(|name| name == "cl_khr_fp64"),
            unusable: None,
            id,
        };
        info.unusable = info.lacks(
            id.number(types::DEVICE_AVAILABLE)? != 0,
            id.number(types::DEVICE_COMPILER_AVAILABLE)? != 0,
        );
        Ok(info)
    }

    /// The same with no more memory than this.
    fn with_memory(self, limit: u64) -> Self {
        DeviceInfo { memory: self.memory.min(limit), max_buffer: self.max_buffer.min(limit), ..self }
    }

    /// What it lacks to be used.
    fn lacks(&self, available: bool, compiler: bool) -> Option<String> {
        if !available {
            return Some("the driver says that it is not available".into());
        }
        if !compiler {
            return Some("its driver has no compiler".into());
        }
        if ["OpenCL 1.0", "OpenCL 1.1"].iter().any(|old| self.version.starts_with(old)) {
            return Some(format!("it offers {}, at least 1.2 is needed", self.version));
        }
        if self.local_memory < LOCAL_MEMORY {
            return Some(format!("{} of local memory, 16 KiB are needed", size(self.local_memory)));
        }
        if self.max_work_group < crate::launch::GROUP as u64 {
            return Some(format!(
                "work-groups of {}, {} are needed",
                self.max_work_group,
                crate::launch::GROUP
            ));
        }
        None
    }
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "opencl:{} {} ({}, {}, {})",
            self.number,
            self.name,
            self.kind,
            size(self.memory),
            self.platform
        )
    }
}

/// How much of a device's memory may be used, for one that others use too: a number of MiB.
pub const MEMORY_LIMIT: &str = "TERMWISE_OPENCL_MEMORY";

fn memory_limit() -> Result<u64, OpenClError> {
    let Ok(text) = std::env::var(MEMORY_LIMIT) else { return Ok(u64::MAX) };
    let mebibytes = text.parse().ok().filter(|&mebibytes: &u64| mebibytes > 0);
    mebibytes.map(|mebibytes| mebibytes.saturating_mul(1 << 20)).ok_or(OpenClError::MemoryLimit { text })
}

/// Every device of every platform, numbered in the order of the platforms.
///
/// # Errors
/// [`NoLibrary`](OpenClError::NoLibrary), [`NoPlatform`](OpenClError::NoPlatform), or
/// [`NoDevice`](OpenClError::NoDevice) where the list would be empty. A platform or device that fails to answer is
/// left out. [`MemoryLimit`](OpenClError::MemoryLimit) where [`MEMORY_LIMIT`] is no number.
pub fn devices() -> Result<Vec<DeviceInfo>, OpenClError> {
    // Drivers set themselves up at the first question; PoCL, asked by two threads then, answers one of them with nothing.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _asking = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(library) = library_name() else {
        return Err(OpenClError::NoLibrary { looked_for: library_names() });
    };
    let platforms = raw::platforms().unwrap_or_default();
    if platforms.is_empty() {
        return Err(OpenClError::NoPlatform { library: library.into() });
    }
    let limit = memory_limit()?;
    let mut devices = Vec::new();
    for platform in platforms {
        let name = platform.text(types::PLATFORM_NAME).unwrap_or_default();
        for id in platform.devices().unwrap_or_default() {
            let info = DeviceInfo::query(devices.len(), &name, id);
            devices.extend(info.map(|info| info.with_memory(limit)));
        }
    }
    if devices.is_empty() { Err(OpenClError::NoDevice { what: "on any platform" }) } else { Ok(devices) }
}

/// Devices, the one that a choice takes, and why not the others.
#[derive(Debug)]
pub struct Listing {
    /// Every device with the reason why it is not taken; `None` for the one that is.
    pub devices: Vec<(DeviceInfo, Option<String>)>,
    /// The device taken; `None` stands for the host.
    pub taken: Option<usize>,
}

/// Which of the devices a choice takes.
///
/// # Errors
/// [`UnknownDevice`](OpenClError::UnknownDevice), [`Unusable`](OpenClError::Unusable), or
/// [`NoDevice`](OpenClError::NoDevice) where OpenCL was asked for and no device can be used.
pub fn choose(choice: DeviceChoice, devices: Vec<DeviceInfo>) -> Result<Listing, OpenClError> {
    let taken = match choice {
        DeviceChoice::Cpu => None,
        DeviceChoice::Auto => best(&devices, |kind| kind == DeviceKind::Gpu),
        DeviceChoice::OpenCl(None) => Some(
            best(&devices, |kind| kind == DeviceKind::Gpu)
                .or_else(|| best(&devices, |kind| kind == DeviceKind::Accelerator))
                .or_else(|| best(&devices, |_| true))
                .ok_or(OpenClError::NoDevice { what: "that can be used" })?,
        ),
        DeviceChoice::OpenCl(Some(asked)) => {
            let Some(device) = devices.get(asked) else {
                let devices = devices.iter().map(|d| format!("opencl:{} {}", d.number, d.name)).collect();
                return Err(OpenClError::UnknownDevice { asked, devices });
            };
            if let Some(reason) = &device.unusable {
                return Err(OpenClError::Unusable { device: device.name.clone(), reason: reason.clone() });
            }
            Some(asked)
        }
    };
    let reason = |device: &DeviceInfo| {
        if taken == Some(device.number) {
            return None;
        }
        Some(match (&device.unusable, choice, device.kind) {
            (Some(reason), _, _) => format!("cannot be used: {reason}"),
            (None, DeviceChoice::Cpu, _) => "the host was asked for".into(),
            (None, DeviceChoice::Auto, DeviceKind::Cpu) => {
                format!("a CPU driver, slower than the host's own kernels; opencl:{} takes it", device.number)
            }
            (None, DeviceChoice::Auto, DeviceKind::Accelerator) => {
                format!("not a GPU; opencl:{} takes it", device.number)
            }
            (None, DeviceChoice::OpenCl(Some(asked)), _) => format!("opencl:{asked} was asked for"),
            (None, _, _) => match taken {
                Some(taken) => format!("opencl:{taken} comes first; opencl:{} takes it", device.number),
                None => "the host is taken".into(),
            },
        })
    };
    Ok(Listing { devices: devices.iter().map(|device| (device.clone(), reason(device))).collect(), taken })
}

/// The first among the usable devices of a kind with memory of their own, then with the most memory.
fn best(devices: &[DeviceInfo], kind: impl Fn(DeviceKind) -> bool) -> Option<usize> {
    let usable = devices.iter().filter(|device| device.unusable.is_none() && kind(device.kind));
    usable
        .max_by_key(|device| (!device.unified, device.memory, std::cmp::Reverse(device.number)))
        .map(|device| device.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(number: usize, kind: DeviceKind, memory: u64) -> DeviceInfo {
        let name = format!("device {number}");
        DeviceInfo {
            number,
            name,
            vendor: String::new(),
            platform: "platform".into(),
            driver: String::new(),
            version: "OpenCL 1.2".into(),
            kind,
            memory,
            max_buffer: memory,
            local_memory: LOCAL_MEMORY,
            unified: false,
            compute_units: 1,
            clock_mhz: 1,
            max_work_group: 64,
            double: false,
            unusable: None,
            id: raw::Device::none(),
        }
    }

    fn mixed() -> Vec<DeviceInfo> {
        let mut devices = vec![
            device(0, DeviceKind::Cpu, 64),
            device(1, DeviceKind::Gpu, 8),
            device(2, DeviceKind::Gpu, 80),
            device(3, DeviceKind::Gpu, 99),
            device(4, DeviceKind::Accelerator, 99),
        ];
        devices[3].unusable = Some("its driver has no compiler".into());
        devices
    }

    #[test]
    fn spellings_are_read_back() {
        for text in ["auto", "cpu", "opencl", "opencl:12"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        for text in ["", "gpu", "opencl:", "opencl:-1", "opencl:x", "OpenCL"] {
            let error = text.parse::<DeviceChoice>().unwrap_err().to_string();
            assert_eq!(error, format!("device {text:?} is not one of auto, cpu, opencl, opencl:N"));
        }
    }

    #[test]
    fn auto_takes_the_largest_gpu_and_says_why_not_the_others() {
        let listing = choose(DeviceChoice::Auto, mixed()).unwrap();
        assert_eq!(listing.taken, Some(2));
        let reasons: Vec<_> =
            listing.devices.iter().map(|(_, reason)| reason.as_deref().unwrap_or("")).collect();
        let expected = [
            "a CPU driver, slower than the host's own kernels; opencl:0 takes it",
            "opencl:2 comes first; opencl:1 takes it",
            "",
            "cannot be used: its driver has no compiler",
            "not a GPU; opencl:4 takes it",
        ];
        assert_eq!(reasons, expected);
    }

    #[test]
    fn auto_never_takes_a_cpu_driver_but_opencl_does() {
        let only = || vec![device(0, DeviceKind::Cpu, 64)];
        assert_eq!(choose(DeviceChoice::Auto, only()).unwrap().taken, None);
        assert_eq!(choose(DeviceChoice::OpenCl(None), only()).unwrap().taken, Some(0));
        assert_eq!(choose(DeviceChoice::Cpu, mixed()).unwrap().taken, None);
    }

    #[test]
    fn a_number_is_taken_or_refused() {
        assert_eq!(choose(DeviceChoice::OpenCl(Some(1)), mixed()).unwrap().taken, Some(1));
        let unknown = choose(DeviceChoice::OpenCl(Some(7)), mixed()).unwrap_err().to_string();
        assert!(
            unknown.starts_with("OpenCL: there is no device 7; the devices are opencl:0 device 0, "),
            "{unknown}"
        );
        let unusable = choose(DeviceChoice::OpenCl(Some(3)), mixed()).unwrap_err().to_string();
        assert_eq!(unusable, "OpenCL: device 3 cannot be used: its driver has no compiler");
        let mut broken = vec![device(0, DeviceKind::Gpu, 8)];
        broken[0].unusable = Some("no compiler".into());
        let none = choose(DeviceChoice::OpenCl(None), broken).unwrap_err().to_string();
        assert!(none.starts_with("OpenCL: no device that can be used"), "{none}");
    }

    #[test]
    fn what_a_device_lacks_is_told() {
        let lacks = |change: fn(&mut DeviceInfo)| {
            let mut device = device(0, DeviceKind::Gpu, 8);
            change(&mut device);
            device.lacks(true, true)
        };
        assert_eq!(lacks(|_| ()), None);
        let memory = "8.0 KiB of local memory, 16 KiB are needed";
        assert_eq!(lacks(|device| device.local_memory = 8 << 10).as_deref(), Some(memory));
        let old = "it offers OpenCL 1.1 Mesa, at least 1.2 is needed";
        assert_eq!(lacks(|device| device.version = "OpenCL 1.1 Mesa".into()).as_deref(), Some(old));
        assert_eq!(
            lacks(|device| device.max_work_group = 32).as_deref(),
            Some("work-groups of 32, 64 are needed")
        );
    }
}
