//! Nothing is built: the script exists because `links` needs one, and to declare the cfgs.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Set only by the sanitizer runs, which must find the faults that this plants in `current` and `cell/refs`.
    println!("cargo::rustc-check-cfg=cfg(haversack_planted_fault, values(none(), \"relaxed\"))");
    // Set only where the models of `tests/loom` are built.
    println!("cargo::rustc-check-cfg=cfg(loom)");
    // Set by the builds in which tokio tells the auditor of its tasks.
    println!("cargo::rustc-check-cfg=cfg(tokio_unstable)");
}
