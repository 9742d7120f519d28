//! The key file is private, lies outside the data, is made once, and is never older than its last change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use haversack::testing::tenant;
use haversack::well_known::TENANT_ID;
use haversack::{Keyring, KeyringError, Manifest, OpenError, SealedFor, manifest};
use haversack_store::{KeyFile, KeyFileError, KeyUseError};
use tempfile::TempDir;

static OUT: Manifest = manifest![TENANT_ID];
const JOB: SealedFor<'static> = SealedFor { tenant: "a", queue: "q", id: "1" };
const HOUR: Duration = Duration::from_secs(3600);

/// A folder, the path of a key file in it, and the data folder beside it; neither of the two exists yet.
fn places() -> (TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (keys, data) = (dir.path().join("etc/haversack.keys"), dir.path().join("data"));
    (dir, keys, data)
}

fn ids(ring: &Keyring) -> Vec<String> {
    ring.keys().map(|key| key.id).collect()
}

fn sealed(keys: &KeyFile) -> Vec<u8> {
    tenant("a").run(|| keys.seal(&OUT.capture().unwrap(), b"arguments", &JOB).unwrap())
}

#[test]
fn the_first_open_makes_it_and_the_next_finds_it() {
    let (_dir, path, data) = places();
    let first = KeyFile::open(&path, &data).unwrap();
    let second = KeyFile::open(&path, &data).unwrap();
    assert_eq!(ids(&first.keyring().unwrap()), ids(&second.keyring().unwrap()));
    let (snapshot, payload) = second.unseal(&sealed(&first), &JOB).unwrap();
    assert_eq!((snapshot.origin(), payload.as_slice()), ("test", &b"arguments"[..]));
    assert!(!data.exists(), "looking where the data is makes nothing there");
}

#[cfg(unix)]
#[test]
fn it_and_the_folder_made_for_it_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, path, data) = places();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let keys = KeyFile::open(&path, &data).unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    keys.rotate(HOUR).unwrap();
    let files: Vec<_> =
        fs::read_dir(path.parent().unwrap()).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 2, "the file and its lock: {files:?}");
    assert!(files.iter().all(|file| mode(file) == 0o600), "{files:?}");
}

#[cfg(unix)]
#[test]
fn it_is_refused_as_soon_as_others_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, path, data) = places();
    let keys = KeyFile::open(&path, &data).unwrap();
    for mode in [0o644, 0o640, 0o604, 0o602] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        for error in [
            KeyFile::open(&path, &data).unwrap_err(),
            keys.keyring().unwrap_err(),
            keys.rotate(HOUR).unwrap_err(),
        ] {
            assert!(
                matches!(error, KeyFileError::OpenToOthers { mode: found, .. } if found == mode),
                "{error}"
            );
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(ids(&keys.keyring().unwrap()).len(), 1);
}

#[test]
fn it_does_not_lie_beside_what_it_seals() {
    let (dir, _, data) = places();
    let inside = [
        data.join("keys"),
        data.join("deep/er/keys"),
        dir.path().join("etc/../data/keys"),
        dir.path().join("data/./tenants/../keys"),
    ];
    for made in [false, true] {
        if made {
            fs::create_dir(&data).unwrap();
        }
        for path in &inside {
            let error = KeyFile::open(path, &data).unwrap_err();
            assert!(matches!(error, KeyFileError::InsideData { .. }), "{}: {error}", path.display());
            assert!(!path.exists());
        }
    }
    KeyFile::open(&dir.path().join("data.keys"), &data).unwrap();
}

#[cfg(unix)]
#[test]
fn a_link_does_not_hide_where_it_lies() {
    let (dir, path, data) = places();
    fs::create_dir(&data).unwrap();
    std::os::unix::fs::symlink(&data, dir.path().join("link")).unwrap();
    let error = KeyFile::open(&dir.path().join("link/keys"), &data).unwrap_err();
    assert!(matches!(error, KeyFileError::InsideData { .. }), "{error}");
    let error = KeyFile::open(&data.join("keys"), &dir.path().join("link")).unwrap_err();
    assert!(matches!(error, KeyFileError::InsideData { .. }), "{error}");
    // A link to a file is followed, also when the file is replaced.
    let keys = KeyFile::open(&path, &data).unwrap();
    let link = dir.path().join("link.keys");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let by_link = KeyFile::open(&link, &data).unwrap();
    by_link.rotate(HOUR).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(ids(&keys.keyring().unwrap()).len(), 2);
}

#[test]
fn a_rotation_is_seen_by_everybody_and_fails_nothing_in_flight() {
    let (_dir, path, data) = places();
    let (here, there) = (KeyFile::open(&path, &data).unwrap(), KeyFile::open(&path, &data).unwrap());
    let before = sealed(&there);
    let rotated = here.rotate(HOUR).unwrap();
    assert_eq!(ids(&rotated).len(), 2);
    assert_eq!(ids(&there.keyring().unwrap()), ids(&rotated));
    let after = sealed(&here);
    for (keys, sealed) in [(&here, &before), (&here, &after), (&there, &before), (&there, &after)] {
        keys.unseal(sealed, &JOB).unwrap();
    }
}

#[test]
fn an_unknown_key_stays_unknown_and_is_named() {
    let (_dir, path, data) = places();
    let (_other_dir, other_path, _) = places();
    let (keys, other) = (KeyFile::open(&path, &data).unwrap(), KeyFile::open(&other_path, &data).unwrap());
    let error = keys.unseal(&sealed(&other), &JOB).unwrap_err();
    let KeyUseError::Envelope(OpenError::UnknownKey { key }) = error else { panic!("{error}") };
    assert_eq!(vec![key], ids(&other.keyring().unwrap()));
}

#[test]
fn a_file_that_is_gone_or_damaged_is_loud_and_not_made_anew() {
    let (_dir, path, data) = places();
    let keys = KeyFile::open(&path, &data).unwrap();
    let copy = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(matches!(keys.keyring().unwrap_err(), KeyFileError::Gone { .. }));
    assert!(matches!(keys.rotate(HOUR).unwrap_err(), KeyFileError::Gone { .. }));
    assert!(!path.exists());

    for damaged in [&b"hunter2"[..], b"", b"\xff\xfe"] {
        write_private(&path, damaged);
        for error in [
            keys.keyring().unwrap_err(),
            keys.rotate(HOUR).unwrap_err(),
            KeyFile::open(&path, &data).unwrap_err(),
        ] {
            assert!(
                matches!(error, KeyFileError::Unusable { source: KeyringError::NotAKeyring, .. }),
                "{error:?}"
            );
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        assert_eq!(fs::read(&path).unwrap(), damaged, "nothing was written over it");
    }
    write_private(&path, &copy);
    assert_eq!(ids(&keys.keyring().unwrap()).len(), 1, "back from its copy");

    let error = KeyFile::open(path.parent().unwrap(), &data).unwrap_err();
    assert!(matches!(error, KeyFileError::NotAFile { .. }), "{error}");
}

#[test]
fn what_a_crash_left_behind_is_no_obstacle() {
    let (_dir, path, data) = places();
    let keys = KeyFile::open(&path, &data).unwrap();
    let before = ids(&keys.keyring().unwrap());
    let half = path.with_file_name("haversack.keys.new");
    write_private(&half, b"haversack-keyr");
    assert_eq!(ids(&keys.keyring().unwrap()), before);
    assert_eq!(ids(&keys.rotate(HOUR).unwrap()).len(), 2);
    assert!(!half.exists());
}

#[test]
fn the_file_is_all_there_is_and_prints_nothing() {
    let (_dir, path, data) = places();
    let keys = KeyFile::open(&path, &data).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let secret = text.trim_end().rsplit(' ').next().unwrap();
    assert_eq!(secret.len(), 44);
    assert!(!format!("{keys:?} {:?}", keys.keyring()).contains(secret));
}

/// Where a copy of this test finds its places, and what it is to do.
const PLACES: &str = "HAVERSACK_LAWS_KEYS";
const WORK: &str = "HAVERSACK_LAWS_KEYS_WORK";

#[test]
fn processes_that_begin_at_once_make_one_key_and_lose_no_rotation() {
    const PROCESSES: usize = 6;
    let (dir, path, data) = places();
    let run = |work: &str| -> Vec<String> {
        let start = || {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "key_file::one_of_many", "--ignored", "--nocapture"])
                .env(PLACES, dir.path())
                .env(WORK, work)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let running: Vec<_> = (0..PROCESSES).map(|_| start()).collect();
        running
            .into_iter()
            .map(|process| {
                let output = process.wait_with_output().unwrap();
                let text = String::from_utf8(output.stdout).unwrap();
                assert!(output.status.success(), "{text}");
                let begin = text.find("key k_").unwrap_or_else(|| panic!("{text}"));
                text[begin..].split_whitespace().nth(1).unwrap().to_owned()
            })
            .collect()
    };
    let made = run("open");
    assert!(made.iter().all(|id| *id == made[0]), "{made:?}");
    let rotated = run("rotate");
    let there = ids(&KeyFile::open(&path, &data).unwrap().keyring().unwrap());
    assert_eq!(there.len(), 1 + PROCESSES);
    assert!(rotated.iter().all(|id| there.contains(id)), "{rotated:?} {there:?}");
}

#[test]
#[ignore = "run by processes_that_begin_at_once_make_one_key_and_lose_no_rotation, as a process of its own"]
#[allow(clippy::print_stdout, reason = "this is how the other process answers")]
fn one_of_many() {
    let (Some(dir), Some(work)) = (std::env::var_os(PLACES), std::env::var_os(WORK)) else { return };
    let dir = Path::new(&dir);
    let keys = KeyFile::open(&dir.join("etc/haversack.keys"), &dir.join("data")).unwrap();
    let ring = if work == "rotate" { keys.rotate(HOUR).unwrap() } else { keys.keyring().unwrap() };
    let newest = ring.keys().find(|key| key.seals).unwrap();
    println!("\nkey {} ", newest.id);
}

fn write_private(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}
