//! A data folder belongs to one process, is private, and says plainly why it cannot be used.

use std::path::Path;
use std::process::Command;

use haversack::testing::tenant;
use haversack_store::{Store, StoreError, look};

use crate::{add_session, fresh, open, options, sessions};

/// The folder that a test gives to a copy of itself.
const FOLDER: &str = "HAVERSACK_LAWS_FOLDER";

#[tokio::test]
async fn a_folder_in_use_is_refused_and_named() {
    let (dir, store) = fresh();
    let error = Store::open(dir.path(), options()).unwrap_err();
    let StoreError::InUse { by, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*by, Some(std::process::id()));
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");

    store.close().await.unwrap();
    drop(open(dir.path()));
    drop(open(dir.path()));
}

#[tokio::test]
async fn a_closed_store_is_closed() {
    let (dir, store) = fresh();
    let visit = tenant("a");
    let db = visit.run(|| store.tenant().unwrap());
    visit
        .wrap(async {
            add_session(&db, "kept").await.unwrap();
            store.check().await.unwrap();
            store.close().await.unwrap();
            store.close().await.unwrap();
            assert!(matches!(sessions(&db).await, Err(StoreError::Closed)));
            assert!(matches!(store.tenant(), Err(StoreError::Closed)));
            assert!(matches!(store.check().await, Err(StoreError::Closed)));
            assert!(matches!(store.control().keys().list().await, Err(StoreError::Closed)));
        })
        .await;
    // The old handle is still there, and the folder is free: everything is in the files, nothing in a log.
    let again = open(dir.path());
    let found = tenant("a").wrap(async { sessions(&again.tenant().unwrap()).await.unwrap() }).await;
    assert_eq!(found, ["kept"]);
}

#[tokio::test]
async fn looking_takes_nothing_and_sees_who_holds_it() {
    let (dir, store) = fresh();
    tenant("a").wrap(async { add_session(&store.tenant().unwrap(), "s").await.unwrap() }).await;
    let seen = look(dir.path(), &options()).unwrap();
    assert_eq!((seen.in_use, seen.by), (true, Some(std::process::id())));
    assert_eq!(seen.files.len(), 2);
    assert!(seen.files.iter().all(|report| report.problem.is_none()), "{seen:?}");

    store.close().await.unwrap();
    assert!(!look(dir.path(), &options()).unwrap().in_use);
    std::fs::write(dir.path().join("control.sqlite"), "no database".repeat(1000)).unwrap();
    let seen = look(dir.path(), &options()).unwrap();
    assert!(matches!(seen.files[0].problem, Some(StoreError::Corrupt { .. })), "{seen:?}");
    assert!(seen.files[1].problem.is_none());

    let empty = tempfile::tempdir().unwrap();
    assert!(look(empty.path(), &options()).unwrap().files.is_empty());
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "it makes nothing");
}

#[cfg(unix)]
#[tokio::test]
async fn folder_and_files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("made/by/us");
    let store = open(&data);
    tenant("a").wrap(async { add_session(&store.tenant().unwrap(), "s").await.unwrap() }).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("control.sqlite")), 0o600);
    for entry in std::fs::read_dir(data.join("tenants")).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn a_file_in_place_of_the_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("file");
    std::fs::write(&data, "mine").unwrap();
    let error = Store::open(&data, options()).unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
    assert_eq!(std::fs::read_to_string(&data).unwrap(), "mine");
}

#[cfg(unix)]
#[test]
fn a_read_only_folder_is_refused_and_named() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o555)).unwrap();

    // Root may write anywhere, so a root's test runs the check as nobody, from a copy that nobody may execute.
    let mut check = Command::new(std::env::current_exe().unwrap());
    if std::fs::metadata(&data).unwrap().uid() == 0 {
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let copy = dir.path().join("laws");
        std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        check = Command::new(&copy);
        check.uid(65534).gid(65534).current_dir("/");
    }
    check.args(["--exact", "folder::open_read_only", "--ignored"]).env(FOLDER, &data);
    let output = check.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0);
}

#[test]
#[ignore = "run by a_read_only_folder_is_refused_and_named, as another user"]
fn open_read_only() {
    let Some(data) = std::env::var_os(FOLDER) else { return };
    let error = Store::open(Path::new(&data), options()).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    assert!(error.to_string().contains("data"), "{error}");
}
