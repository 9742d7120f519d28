//! Nothing of one tenant comes out on another tenant's side: twenty tenants with ten sessions each, through the command
//! that an operator would run.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects, and stops where it is not so"
)]

mod leakcheck;

use leakcheck::{check, check_in};

#[test]
fn no_canary_crosses() {
    let report = check(&["--tenants", "20", "--sessions", "10"]);
    assert!(report.is_clean(), "{report}");
    let asked =
        [("http", 800), ("crew", 400), ("jobs", 500), ("pipelines", 100), ("mcp", 600), ("gateway", 600)];
    for (name, count) in asked {
        let hop = report.hop(name);
        let counts = (hop["asked"].as_u64(), hop["answered"].as_u64());
        assert_eq!(counts, (Some(count), Some(count)), "{name}: {report}");
    }
}

#[test]
fn the_check_works_in_a_folder_of_its_own_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mine, temporary) = (folder.path().join("mine"), folder.path().join("temporary"));
    std::fs::create_dir(&temporary).expect("a folder");
    let left = || std::fs::read_dir(&temporary).expect("a folder").count();
    // Settings of whoever runs it must not lead it to their data.
    let environment = [("HAVERSACK_STORE__PATH", mine.as_path()), ("TMPDIR", temporary.as_path())];
    let small = ["--tenants", "2", "--sessions", "1"];

    let report = check_in(&environment, &small);
    assert!(report.is_clean(), "{report}");
    assert_eq!(left(), 0);

    let kept = check_in(&environment, &[&small[..], &["--keep"]].concat());
    assert!(kept.is_clean(), "{kept}");
    assert!(kept.kept().starts_with(&temporary) && kept.kept().join("logs/serve.log").exists());
    assert_eq!(left(), 1);
    assert!(!mine.exists());
}
