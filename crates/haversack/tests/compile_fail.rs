//! What the types promise: misuse does not compile, and says why in our words where the words are ours.
//!
//! A changed text of the compiler is written anew with `TRYBUILD=overwrite`; read the difference before.

#[test]
fn misuse_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
    let of_features = [
        (cfg!(feature = "propagator"), "tests/compile_fail/propagator/*.rs"),
        (cfg!(feature = "rayon"), "tests/compile_fail/rayon/*.rs"),
        (cfg!(feature = "sink"), "tests/compile_fail/sink/*.rs"),
        (cfg!(feature = "snapshot"), "tests/compile_fail/snapshot/*.rs"),
        (cfg!(feature = "stream"), "tests/compile_fail/stream/*.rs"),
    ];
    for (_, folder) in of_features.into_iter().filter(|(built, _)| *built) {
        cases.compile_fail(folder);
    }
}
