//! The law that no test from outside can reach: a count at its end.

use std::process::{Command, Stdio};

use super::refs::Refs;

/// Run by the law below, in a process of its own.
#[test]
#[ignore = "it ends its process; `a_count_that_would_overflow_ends_the_process` runs it"]
fn overflow() {
    let refs = Refs::held(isize::MAX as usize);
    refs.share();
    refs.share();
    // Reached, this leaves with success, and the law is red.
}

#[test]
fn a_count_that_would_overflow_ends_the_process() {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "cell::tests::overflow", "--ignored"]).stdout(Stdio::null()).stderr(Stdio::null());
    let status = child.status().unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        const SIGABRT: i32 = 6;
        assert_eq!(status.signal(), Some(SIGABRT), "{status}");
    }
    assert!(!status.success(), "{status}");
}
