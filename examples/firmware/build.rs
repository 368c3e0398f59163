//! Chooses the board of a bare target, and puts its memory map where the linker looks for it.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=memory");
    let board = match env::var("TARGET")?.as_str() {
        "thumbv6m-none-eabi" => "microbit",
        "thumbv7em-none-eabi" | "thumbv7em-none-eabihf" => "mps2",
        "riscv32imac-unknown-none-elf" | "riscv32imc-unknown-none-elf" => "virt",
        _ => return Ok(()), // a host
    };
    println!("cargo::rustc-cfg=board=\"{board}\"");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::copy(format!("memory/{board}.x"), out.join("memory.x"))?;
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    Ok(())
}
