//! Puts the board's memory map where the linker looks for it.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../memory/mps2.x");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::copy("../memory/mps2.x", out.join("memory.x"))?;
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    Ok(())
}
