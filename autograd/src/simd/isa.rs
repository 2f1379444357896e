//! Which instruction sets there are, and which one is in force.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

/// A family of vector instructions.
///
/// # Examples
/// ```
/// use termwise_autograd::simd::{Isa, available, force, isa};
/// assert_eq!(available()[0], Isa::Portable); // everywhere
/// assert_eq!("avx2".parse(), Ok(Isa::Avx2));
/// assert_eq!("AVX2".parse::<Isa>().unwrap_err(), "unknown instruction set 'AVX2': expected portable, avx2 or avx512");
/// let before = force(Isa::Portable);
/// assert_eq!(isa(), Isa::Portable);
/// force(before);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Isa {
    /// What every machine of the build's target has, through `wide`.
    Portable = 1,
    /// AVX2 with fused multiply-add.
    Avx2 = 2,
    /// AVX-512 (F, BW, DQ, VL).
    Avx512 = 3,
}

impl Isa {
    /// Whether this machine has it.
    #[inline]
    pub fn is_available(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                Isa::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        })
    }
}

impl FromStr for Isa {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Isa::Portable, Isa::Avx2, Isa::Avx512]
            .into_iter()
            .find(|isa| isa.to_string() == text)
            .ok_or_else(|| format!("unknown instruction set '{text}': expected portable, avx2 or avx512"))
    }
}

/// The instruction sets of this machine, the widest last.
pub fn available() -> Vec<Isa> {
    [Isa::Portable, Isa::Avx2, Isa::Avx512].into_iter().filter(|isa| isa.is_available()).collect()
}

/// 0 until it is first asked for.
static IN_FORCE: AtomicU8 = AtomicU8::new(0);

/// The instruction set that kernels run on: the widest available, unless [`force`] or the environment
/// variable `TERMWISE_SIMD` (`portable`, `avx2`, `avx512`) says otherwise.
///
/// # Panics
/// On the first call, if the variable names no instruction set or one that this machine lacks.
#[inline]
pub fn isa() -> Isa {
    match IN_FORCE.load(Ordering::Relaxed) {
        1 => Isa::Portable,
        2 => Isa::Avx2,
        3 => Isa::Avx512,
        _ => detect(),
    }
}

#[cold]
fn detect() -> Isa {
    let isa = match std::env::var("TERMWISE_SIMD") {
        Ok(name) => {
            let isa: Isa = name.parse().unwrap_or_else(|error| panic!("TERMWISE_SIMD: {error}"));
            assert!(isa.is_available(), "TERMWISE_SIMD: this machine does not have {isa}");
            isa
        }
        Err(_) => *available().last().expect("the portable one is always there"),
    };
    IN_FORCE.store(isa as u8, Ordering::Relaxed);
    isa
}

/// Makes every kernel from now on, on every thread, run on `isa`; returns what was in force.
///
/// Results may differ in their last bits from one instruction set to another.
///
/// # Panics
/// If this machine does not have it.
pub fn force(isa: Isa) -> Isa {
    assert!(isa.is_available(), "simd: this machine does not have {isa}");
    let before = self::isa();
    IN_FORCE.store(isa as u8, Ordering::Relaxed);
    before
}
