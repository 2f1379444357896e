//! What can go wrong with a device.

use termwise_opencl_loader::types::*;

/// A failure of the OpenCL backend, in one line (a failed build has its log below).
#[derive(Debug, thiserror::Error)]
pub enum OpenClError {
    /// There is no OpenCL library on this machine.
    #[error("OpenCL: no library found, looked for {}", .looked_for.join(", "))]
    NoLibrary {
        /// The names that were looked for.
        looked_for: Vec<String>,
    },

    /// There is a library, but it knows no driver.
    #[error("OpenCL: {library} knows no platform; is a driver installed?")]
    NoPlatform {
        /// The library.
        library: String,
    },

    /// There are platforms, but none has a device that was asked for.
    #[error("OpenCL: no device {what}; `termwise devices` lists what was found")]
    NoDevice {
        /// What was asked for.
        what: &'static str,
    },

    /// A number that no device has.
    #[error("OpenCL: there is no device {asked}; the devices are {}", .devices.join(", "))]
    UnknownDevice {
        /// The number asked for.
        asked: usize,
        /// Number and name of each device there is.
        devices: Vec<String>,
    },

    /// A device that cannot be used.
    #[error("OpenCL: {device} cannot be used: {reason}")]
    Unusable {
        /// The device.
        device: String,
        /// What it lacks.
        reason: String,
    },

    /// Words that name no device.
    #[error("device {text:?} is not one of auto, cpu, opencl, opencl:N")]
    Spelling {
        /// The words.
        text: String,
    },

    /// A limit on memory that is no number.
    #[error("OpenCL: TERMWISE_OPENCL_MEMORY: expected a number of MiB above 0, found {text:?}")]
    MemoryLimit {
        /// What was found.
        text: String,
    },

    /// The device has too little memory.
    #[error(
        "OpenCL: out of memory on {device}: asked for {}, {} of {} are in use, one buffer may have {}",
        size(*.asked), size(*.in_use), size(*.total), size(*.largest)
    )]
    OutOfMemory {
        /// The device.
        device: String,
        /// Bytes asked for.
        asked: u64,
        /// Bytes that arrays hold.
        in_use: u64,
        /// Bytes that the device has.
        total: u64,
        /// Bytes that one buffer may have at most.
        largest: u64,
    },

    /// A kernel file that the driver does not compile.
    #[error("OpenCL: {file} does not build on {device}:\n{log}")]
    Build {
        /// The kernel file.
        file: String,
        /// The device.
        device: String,
        /// What the driver's compiler says.
        log: String,
    },

    /// Any other call that failed.
    #[error("OpenCL: {doing} on {device} failed: {error}")]
    Call {
        /// What was being done.
        doing: String,
        /// The device.
        device: String,
        /// The call and its status.
        error: CallError,
    },
}

/// A call that did not succeed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{call} answers {} ({status})", status_name(*.status))]
pub struct CallError {
    /// The function.
    pub call: &'static str,
    /// Its status.
    pub status: Int,
}

impl CallError {
    /// Whether the device or the driver had too little memory.
    pub(crate) fn is_out_of_memory(self) -> bool {
        [MEM_OBJECT_ALLOCATION_FAILURE, OUT_OF_RESOURCES, OUT_OF_HOST_MEMORY, INVALID_BUFFER_SIZE]
            .contains(&self.status)
    }
}

/// Stops with one clear message: for failures inside a kernel, whose trait has no way to return them.
#[cold]
#[track_caller]
pub(crate) fn fail(error: OpenClError) -> ! {
    panic!("{error}")
}

/// Bytes as a person reads them.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let power = ((bytes.ilog2() / 10) as usize).min(UNITS.len());
    format!("{:.1} {}", bytes as f64 / 1024f64.powi(power as i32), UNITS[power - 1])
}

fn status_name(status: Int) -> &'static str {
    match status {
        -1 => "DEVICE_NOT_FOUND",
        -2 => "DEVICE_NOT_AVAILABLE",
        -3 => "COMPILER_NOT_AVAILABLE",
        -4 => "MEM_OBJECT_ALLOCATION_FAILURE",
        -5 => "OUT_OF_RESOURCES",
        -6 => "OUT_OF_HOST_MEMORY",
        -7 => "PROFILING_INFO_NOT_AVAILABLE",
        -11 => "BUILD_PROGRAM_FAILURE",
        -14 => "EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST",
        -19 => "KERNEL_ARG_INFO_NOT_AVAILABLE",
        -30 => "INVALID_VALUE",
        -33 => "INVALID_DEVICE",
        -34 => "INVALID_CONTEXT",
        -36 => "INVALID_COMMAND_QUEUE",
        -38 => "INVALID_MEM_OBJECT",
        -43 => "INVALID_BUILD_OPTIONS",
        -45 => "INVALID_PROGRAM_EXECUTABLE",
        -46 => "INVALID_KERNEL_NAME",
        -48 => "INVALID_KERNEL",
        -49 => "INVALID_ARG_INDEX",
        -50 => "INVALID_ARG_VALUE",
        -51 => "INVALID_ARG_SIZE",
        -52 => "INVALID_KERNEL_ARGS",
        -54 => "INVALID_WORK_GROUP_SIZE",
        -55 => "INVALID_WORK_ITEM_SIZE",
        -58 => "INVALID_EVENT",
        -59 => "INVALID_OPERATION",
        -61 => "INVALID_BUFFER_SIZE",
        -63 => "INVALID_GLOBAL_WORK_SIZE",
        -1001 => "PLATFORM_NOT_FOUND",
        -9999 => "illegal access in a kernel, says NVIDIA",
        _ => "a status without a name here",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_a_person_would_write_them() {
        let sizes = [0, 1023, 1024, 1536 << 10, 80 << 30].map(size);
        assert_eq!(sizes, ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 MiB", "80.0 GiB"]);
    }

    #[test]
    fn a_failed_call_is_named() {
        let error = CallError { call: "clBuildProgram", status: -11 };
        assert_eq!(error.to_string(), "clBuildProgram answers BUILD_PROGRAM_FAILURE (-11)");
    }
}
