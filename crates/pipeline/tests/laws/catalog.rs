//! Files: who sees which, and that no path leads outside.

use std::os::unix::fs::PermissionsExt;

use haversack::testing::tenant;
use haversack_pipeline::FileRecord;
use haversack_pipeline::builder::shell;
use haversack_pipeline::run::RunStatus::{Failed, Succeeded};
use haversack_pipeline::run_log::{Event, What};
use std::time::Duration;

use crate::{House, chain, none, on_disk, reason};

fn put(log: &[Event]) -> Vec<FileRecord> {
    log.iter()
        .filter_map(|event| match &event.what {
            What::AttemptEnded { put, .. } => Some(put.clone()),
            _ => None,
        })
        .flatten()
        .collect()
}

#[tokio::test]
async fn a_file_is_written_down_with_its_hash() {
    let house = House::new();
    tenant("a")
        .wrap(async {
            let step = shell("printf abc > x.txt; mkdir d; printf '' > d/y.txt; printf z > d/z.bin")
                .put(["**/*.txt"]);
            house.run(&chain([("a", step)]), none(), "r").await;
            let files = put(&house.log("r").await);
            let seen: Vec<_> = files.iter().map(|f| (f.path.as_str(), f.size, f.copied)).collect();
            assert_eq!(seen, [("d/y.txt", 0, true), ("x.txt", 3, true)]);
            assert_eq!(files[1].sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        })
        .await;
}

#[tokio::test]
async fn a_hash_alone_copies_nothing() {
    let house = House::new();
    tenant("a")
        .wrap(async {
            house.run(&chain([("a", shell("printf canary > x").put(["x"]).no_copy())]), none(), "r").await;
            let files = put(&house.log("r").await);
            assert!(!files[0].copied && files[0].size == 6);
            assert_eq!(on_disk(&house.catalog(), "canary"), Vec::<std::path::PathBuf>::new());
        })
        .await;
}

#[tokio::test]
async fn a_link_leads_nowhere() {
    let house = House::new();
    let outside = house.dir.path().join("outside.txt");
    std::fs::write(&outside, "canary").unwrap();
    tenant("a")
        .wrap(async {
            let given = || none().with("target", outside.to_str().unwrap());
            let by_name = shell("ln -s \"$target\" x").parameters(["target"]).put(["x"]);
            let run = house.run(&chain([("a", by_name)]), given(), "name").await;
            assert_eq!(run.entry.status, Failed);
            assert!(reason(&house.log("name").await).contains("no plain file `x`"));

            let by_pattern = shell("ln -s \"$target\" x; ln -s \"$(dirname \"$target\")\" d; ln -s / root")
                .parameters(["target"])
                .put(["**/*"]);
            let run = house.run(&chain([("a", by_pattern)]), given(), "pattern").await;
            assert_eq!(run.entry.status, Succeeded);
            assert_eq!(put(&house.log("pattern").await), []);
            let copies = on_disk(&house.catalog(), "canary");
            assert_eq!(copies, Vec::<std::path::PathBuf>::new());
        })
        .await;
}

#[tokio::test]
async fn a_named_file_has_to_be_there() {
    let house = House::new();
    tenant("a")
        .wrap(async {
            for (key, step) in [("get", shell("true").get(["x"])), ("put", shell("true").put(["x"]))] {
                let run = house.run(&chain([("a", step)]), none(), key).await;
                assert_eq!(run.entry.status, Failed, "{key}");
                assert!(reason(&house.log(key).await).contains("no plain file `x`"));
            }
            let run =
                house.run(&chain([("a", shell("true").get(["*.x"]).put(["*.x"]))]), none(), "any").await;
            assert_eq!(run.entry.status, Succeeded, "a pattern may name nothing");
        })
        .await;
}

#[tokio::test]
async fn each_attempt_begins_in_an_empty_folder() {
    let house = House::new();
    tenant("a")
        .wrap(async {
            let step = shell("test ! -e x -a ! -e \"$TMPDIR/x\" || exit 9; touch x \"$TMPDIR/x\"; test $HAVERSACK_ATTEMPT = 3")
                .retry(3, Duration::ZERO);
            let run = house.run(&chain([("a", step)]), none(), "r").await;
            assert_eq!(run.entry.status, Succeeded, "{:#?}", house.log("r").await);
        })
        .await;
}

#[tokio::test]
async fn tenants_with_runs_of_one_name_share_nothing() {
    let house = House::new();
    for name in ["a", "b"] {
        tenant(name)
            .wrap(async {
                let step = shell("test ! -e x || exit 9; printf \"$who\" > x").put(["x"]).get(["*"]);
                let run = house.run(&chain([("s", step)]), none().with("who", name), "same").await;
                assert_eq!(run.entry.status, Succeeded);
                assert!(!run.entry.status.is_ended() || house.log("same").await.len() == 5);
            })
            .await;
    }
    let folders: Vec<_> = std::fs::read_dir(house.catalog()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(folders.len(), 2);
    for folder in folders {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
        let runs: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap()).collect();
        assert!(runs.len() == 1 && runs[0].file_name().to_str().unwrap().starts_with("same."), "{runs:?}");
        assert_eq!(runs[0].metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
}
