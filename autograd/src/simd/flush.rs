//! Denormal numbers count as zero while a kernel runs.

/// Sets "flush to zero" and "denormals are zero" on this thread until dropped.
pub(super) struct FlushDenormals {
    #[cfg(target_arch = "x86_64")]
    before: u32,
}

#[cfg(target_arch = "x86_64")]
mod control {
    use std::arch::asm;

    /// Bit 15: results that are denormal become 0. Bit 6: operands that are denormal count as 0.
    const FLUSH: u32 = 1 << 15 | 1 << 6;

    pub(super) fn flush() -> u32 {
        let mut before = 0u32;
        // SAFETY: stores the control word of SSE, which every x86-64 has, into a local.
        unsafe { asm!("stmxcsr [{}]", in(reg) &mut before, options(nostack)) };
        set(before | FLUSH);
        before
    }

    pub(super) fn set(word: u32) {
        // SAFETY: loads a control word that differs from the one in force in its two flush bits at
        // most, so no exception is unmasked and rounding stays to nearest. The kernel between the
        // two calls is a function of its own that is never inlined, so no floating-point operation
        // of other code moves between them.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &word, options(nostack)) };
    }
}

impl FlushDenormals {
    #[inline]
    pub(super) fn new() -> Self {
        FlushDenormals {
            #[cfg(target_arch = "x86_64")]
            before: control::flush(),
        }
    }
}

impl Drop for FlushDenormals {
    #[inline]
    fn drop(&mut self) {
        #[cfg(target_arch = "x86_64")]
        control::set(self.before);
    }
}
