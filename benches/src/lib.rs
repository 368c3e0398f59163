//! tidegate beside its rivals, in the same run on the same machine.
//!
//! One module a module of the core, plus [`measure`], which times, and [`workload`], which makes
//! keys. `cargo run --release -p tidegate-benches -- bucket` prints the table of the buckets,
//! `-- map`, `-- cache`, `-- flight`, `-- registry` and `-- runtime` those of the others.
//! `--bin soak` keeps a cache within a control group's limit.

pub mod bucket;
pub mod cache;
pub mod flight;
pub mod map;
pub mod measure;
pub mod registry;
pub mod runtime;
pub mod workload;
