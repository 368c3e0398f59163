//! tidegate beside its rivals, in the same run on the same machine.
//!
//! One module a module of the core, plus [`measure`], which times, [`workload`], which makes keys, [`face`],
//! which sets the face beside the engine, [`tower`], which sets the layer for tower beside another,
//! [`crowd`], which sets a cache beside thousands of idle ones, and [`plot`], which draws charts of the rows.
//! `cargo run --release -p tidegate-benches -- bucket` prints the table of the buckets, `-- map`, `-- cache`,
//! `-- flight`, `-- registry`, `-- runtime`, `-- face`, `-- tower` and `-- crowd` those of the others.
//! `--bin soak` keeps a cache within a control group's limit.

pub mod bucket;
pub mod cache;
pub mod crowd;
pub mod face;
pub mod flight;
pub mod map;
pub mod measure;
pub mod plot;
pub mod registry;
pub mod runtime;
pub mod tower;
pub mod workload;
