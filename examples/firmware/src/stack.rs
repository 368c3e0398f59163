//! How deep the stack has been: it is painted at the start, and looked at in the end.

/// What no program leaves on its stack all over.
#[cfg(target_os = "none")]
const PAINT: u32 = 0xc5c5_c5c5;
/// How far from the painter's own frame the paint begins, in bytes.
#[cfg(target_os = "none")]
const MARGIN: usize = 256;

#[cfg(target_os = "none")]
unsafe extern "C" {
    #[cfg_attr(target_arch = "arm", link_name = "_stack_end")]
    #[cfg_attr(target_arch = "riscv32", link_name = "__estack")]
    static BOTTOM: u32;
    #[link_name = "_stack_start"]
    static TOP: u32;
}

/// Paints what of the stack is not in use. Call it once, at the start.
#[cfg(target_os = "none")]
#[inline(never)]
pub fn paint() {
    let here = 0_u32;
    let bottom = (&raw const BOTTOM).cast_mut();
    let end = (&raw const here).addr() - MARGIN;
    let words = end.saturating_sub(bottom.addr()) / size_of::<u32>();
    for index in 0..words {
        // SAFETY: within the memory that the linker script leaves to the stack.
        let word = unsafe { bottom.add(index) };
        // SAFETY: below every frame by a margin, and the stack grows downwards.
        unsafe { word.write_volatile(PAINT) };
    }
}

/// Returns how many bytes of the stack were ever in use, and how many there are.
#[cfg(target_os = "none")]
pub fn used() -> (usize, usize) {
    let (bottom, top) = (&raw const BOTTOM, &raw const TOP);
    let size = top.addr() - bottom.addr();
    let mut clean = 0;
    // SAFETY: within the memory that the linker script leaves to the stack, whose last words are in
    // use.
    while clean < size && unsafe { bottom.byte_add(clean).read_volatile() } == PAINT {
        clean += size_of::<u32>();
    }
    (size - clean, size)
}

/// Does nothing: the host's stack is not ours to paint.
#[cfg(not(target_os = "none"))]
pub fn paint() {}

/// Returns zeros.
#[cfg(not(target_os = "none"))]
pub fn used() -> (usize, usize) {
    (0, 0)
}
