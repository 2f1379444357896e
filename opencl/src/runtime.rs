//! One device at work: its context and queue, its memory, its programs, and what was moved to and from it.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

use crate::device::DeviceInfo;
use crate::error::{CallError, OpenClError, fail};
use crate::program::{Compiled, Defines};
use crate::raw::{self, Context, Event, Mem, Queue};
use crate::tiles::Tiles;

/// What was moved between host and device, and how many kernels ran, since the device was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfers {
    /// Copies from the host to the device.
    pub uploads: u64,
    /// Their bytes.
    pub uploaded: u64,
    /// Copies from the device to the host; each waits for all that was begun before.
    pub downloads: u64,
    /// Their bytes.
    pub downloaded: u64,
    /// Kernels that were run.
    pub launches: u64,
}

impl std::ops::Sub for Transfers {
    type Output = Transfers;

    /// What happened between two readings.
    fn sub(self, earlier: Transfers) -> Transfers {
        Transfers {
            uploads: self.uploads - earlier.uploads,
            uploaded: self.uploaded - earlier.uploaded,
            downloads: self.downloads - earlier.downloads,
            downloaded: self.downloaded - earlier.downloaded,
            launches: self.launches - earlier.launches,
        }
    }
}

/// Bytes of a device's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// Bytes that arrays hold.
    pub in_use: u64,
    /// The most that arrays held at a time.
    pub most: u64,
    /// Bytes kept for the next requests.
    pub kept: u64,
}

#[derive(Debug, Default)]
struct Counters {
    uploads: AtomicU64,
    uploaded: AtomicU64,
    downloads: AtomicU64,
    downloaded: AtomicU64,
    launches: AtomicU64,
}

/// Buffers that nobody uses, by size, and how much is out.
///
/// A buffer may serve again as soon as its array is dropped: the queue is in order, so whatever still reads it
/// comes before whatever writes to it next.
#[derive(Debug, Default)]
struct Pool {
    free: HashMap<u64, Vec<Mem>>,
    in_use: u64,
    most: u64,
    kept: u64,
}

/// Kernel file, number type, and what the compiler was told besides.
pub(crate) type ProgramKey = (&'static str, &'static str, Defines);

/// Everything that belongs to one open device. Fields are released in this order.
#[derive(Debug)]
pub(crate) struct Runtime {
    pool: Mutex<Pool>,
    programs: Mutex<HashMap<ProgramKey, Compiled>>,
    /// Host memory that copies in progress read from.
    pending: Mutex<Vec<(Event, Box<[u8]>)>>,
    counters: Counters,
    pub queue: Queue,
    pub context: Context,
    pub info: DeviceInfo,
    /// Sizes of the tiles of products in `f32` and `f64`, once they are known.
    pub tiles: [OnceLock<Tiles>; 2],
    /// Whether each kernel is timed.
    pub profile: Option<Mutex<HashMap<&'static str, (u64, u64)>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves nothing half done behind these locks.
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The size that is allocated for a request: four steps to each power of two, so that sizes recur.
fn rounded(bytes: u64) -> u64 {
    let step = (bytes.next_power_of_two() / 8).max(256);
    bytes.div_ceil(step) * step
}

impl Runtime {
    pub fn open(info: DeviceInfo, profile: bool) -> Result<Self, OpenClError> {
        let error =
            |error| OpenClError::Call { doing: "opening it".into(), device: info.name.clone(), error };
        let context = Context::new(info.id).map_err(error)?;
        let queue = context.queue(info.id, profile).map_err(error)?;
        Ok(Runtime {
            pool: Mutex::default(),
            programs: Mutex::default(),
            pending: Mutex::default(),
            counters: Counters::default(),
            queue,
            context,
            info,
            tiles: Default::default(),
            profile: profile.then(Mutex::default),
        })
    }

    /// The error of a call that failed while `doing` something.
    pub fn error(&self, doing: impl Into<String>, error: CallError) -> OpenClError {
        OpenClError::Call { doing: doing.into(), device: self.info.name.clone(), error }
    }

    /// A buffer of at least `bytes`, at least 1, with the size it has.
    pub fn allocate(&self, bytes: u64) -> Result<(Mem, u64), OpenClError> {
        let size = rounded(bytes);
        let mut pool = lock(&self.pool);
        if let Some(mem) = pool.free.get_mut(&size).and_then(Vec::pop) {
            pool.kept -= size;
            pool.hand_out(size);
            return Ok((mem, size));
        }
        if pool.in_use + pool.kept + size > self.info.memory {
            pool.release();
        }
        let out_of_memory = |pool: &Pool| OpenClError::OutOfMemory {
            device: self.info.name.clone(),
            asked: bytes,
            in_use: pool.in_use,
            total: self.info.memory,
            largest: self.info.max_buffer,
        };
        if bytes > self.info.max_buffer || pool.in_use + bytes > self.info.memory {
            return Err(out_of_memory(&pool));
        }
        let create = || self.context.buffer(size as usize);
        let mem = match create() {
            Err(error) if error.is_out_of_memory() && pool.kept > 0 => {
                pool.release();
                // What was released is free once nothing in the queue uses it.
                self.queue.finish().map_err(|error| self.error("waiting", error))?;
                create()
            }
            result => result,
        };
        match mem {
            Ok(mem) => {
                pool.hand_out(size);
                Ok((mem, size))
            }
            Err(error) if error.is_out_of_memory() => Err(out_of_memory(&pool)),
            Err(error) => Err(self.error(format!("making a buffer of {bytes} bytes"), error)),
        }
    }

    /// Takes a buffer back.
    pub fn give_back(&self, mem: Mem, size: u64) {
        let mut pool = lock(&self.pool);
        pool.in_use -= size;
        pool.kept += size;
        pool.free.entry(size).or_default().push(mem);
    }

    /// Gives memory that is kept for later back to the driver; whether there was any.
    pub fn trim(&self) -> bool {
        let mut pool = lock(&self.pool);
        let any = pool.kept > 0;
        pool.release();
        any
    }

    pub fn memory(&self) -> MemoryUse {
        let pool = lock(&self.pool);
        MemoryUse { in_use: pool.in_use, most: pool.most, kept: pool.kept }
    }

    pub fn transfers(&self) -> Transfers {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Transfers {
            uploads: read(&self.counters.uploads),
            uploaded: read(&self.counters.uploaded),
            downloads: read(&self.counters.downloads),
            downloaded: read(&self.counters.downloaded),
            launches: read(&self.counters.launches),
        }
    }

    pub fn count_launch(&self) {
        self.counters.launches.fetch_add(1, Ordering::Relaxed);
    }

    /// Copies bytes to the start of a buffer. Does not wait: the bytes are kept until the copy is done.
    pub fn upload(&self, mem: &Mem, bytes: Box<[u8]>) {
        self.counters.uploads.fetch_add(1, Ordering::Relaxed);
        self.counters.uploaded.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        // SAFETY: the bytes lie in a box that is kept, unchanged, until the event is complete or, at the end,
        // the queue is finished; buffers are made at least as large as what is copied to them.
        let event = unsafe { self.queue.write(mem, bytes.as_ptr().cast::<c_void>(), bytes.len()) };
        let event = event.unwrap_or_else(|error| fail(self.error("copying to the device", error)));
        let mut pending = lock(&self.pending);
        // In order: what comes first is done first.
        let done = |event: &Event| {
            event.is_complete().unwrap_or_else(|error| fail(self.error("copying to the device", error)))
        };
        let count = pending.iter().position(|(event, _)| !done(event)).unwrap_or(pending.len());
        pending.drain(..count);
        pending.push((event, bytes));
    }

    /// Copies `to.len()` bytes from the start of a buffer, after everything that was begun before.
    ///
    /// # Safety
    /// The buffer has as many bytes.
    pub unsafe fn download(&self, mem: &Mem, to: *mut c_void, bytes: usize) {
        self.counters.downloads.fetch_add(1, Ordering::Relaxed);
        self.counters.downloaded.fetch_add(bytes as u64, Ordering::Relaxed);
        // SAFETY: handed on from the caller.
        let read = unsafe { self.queue.read(mem, to, bytes) };
        read.unwrap_or_else(|error| fail(self.error("copying from the device", error)));
    }

    /// Runs `f` with a program, which is compiled the first time.
    pub fn with_program<R>(
        &self,
        key: ProgramKey,
        compile: impl FnOnce() -> Compiled,
        f: impl FnOnce(&mut Compiled) -> R,
    ) -> R {
        f(lock(&self.programs).entry(key).or_insert_with(compile))
    }

    /// Waits until everything is done.
    pub fn finish(&self) -> raw::Result<()> {
        self.queue.finish()?;
        lock(&self.pending).clear();
        Ok(())
    }

    /// Adds a run of a kernel to its times.
    pub fn record(&self, kernel: &'static str, event: &Event) {
        if let (Some(profile), Ok(time)) = (&self.profile, event.nanoseconds()) {
            let mut profile = lock(profile);
            let (runs, total) = profile.entry(kernel).or_default();
            *runs += 1;
            *total += time;
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // Copies in progress read from memory that goes away with this; a device that is gone reads nothing.
        let _ = self.queue.finish();
    }
}

impl Pool {
    fn hand_out(&mut self, size: u64) {
        self.in_use += size;
        self.most = self.most.max(self.in_use);
    }

    fn release(&mut self) {
        self.free.clear();
        self.kept = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn sizes_grow_by_a_quarter_at_most() {
        assert_eq!([1, 256, 257, 1024, 1025].map(rounded), [256, 256, 512, 1024, 1280]);
        for bytes in (1024..100_000).step_by(13) {
            assert!((bytes..bytes * 5 / 4 + 1).contains(&rounded(bytes)), "{bytes}");
            assert_eq!(rounded(rounded(bytes)), rounded(bytes));
        }
    }
}
