//! Nothing is built: the script exists because `links` needs one, and to declare the cfgs.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Set only by the sanitizer run, which must find the fault that this plants in `current.rs`.
    println!("cargo::rustc-check-cfg=cfg(haversack_planted_fault)");
    // Set by the builds in which tokio tells the auditor of its tasks.
    println!("cargo::rustc-check-cfg=cfg(tokio_unstable)");
}
