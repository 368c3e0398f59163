//! Programs for moka's `sync` cache, written anew after what the examples of its documentation do (moka 0.12): the
//! same text is compiled for both caches, and only the import differs.

mod ours {
    use tidegate::{Cache, RemovalCause};

    include!("face_moka/programs.rs");
}

mod theirs {
    use moka::notification::RemovalCause;
    use moka::sync::Cache;

    include!("face_moka/programs.rs");
}
