//! What the types promise: misuse does not compile, and says why in our words where the words are ours.
//!
//! A changed text of the compiler is written anew with `TRYBUILD=overwrite`; read the difference before.

#[test]
fn misuse_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
    if cfg!(feature = "snapshot") {
        cases.compile_fail("tests/compile_fail/snapshot/*.rs");
    }
    if cfg!(feature = "propagator") {
        cases.compile_fail("tests/compile_fail/propagator/*.rs");
    }
}
