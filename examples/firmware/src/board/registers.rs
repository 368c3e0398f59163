//! Registers that are mapped into memory.

/// Writes a register of this board's timer or interrupt controller.
pub(super) fn write(register: usize, value: u32) {
    let address = core::ptr::with_exposed_provenance_mut::<u32>(register);
    // SAFETY: the boards pass the addresses of their registers and no others.
    unsafe { address.write_volatile(value) };
}

/// Reads a register of this board's timer or interrupt controller.
pub(super) fn read(register: usize) -> u32 {
    let address = core::ptr::with_exposed_provenance::<u32>(register);
    // SAFETY: the boards pass the addresses of their registers and no others.
    unsafe { address.read_volatile() }
}
