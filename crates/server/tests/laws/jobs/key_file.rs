//! Jobs that wait, and the key file that they were sealed with.

use serde_json::json;

use super::{idle, posted, search};
use crate::program::{command, lines, stderr};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_its_key_file_does_not_start_over_what_waits() {
    let server = idle().await;
    let kim = server.key("acme", "kim").await;
    posted(&server, &kim, search()).await;
    let folder = server.folder;
    server.server.shutdown().await.unwrap();
    let (here, keys) = (folder.path().to_owned(), folder.path().join("data.keys"));
    std::fs::rename(&keys, here.join("aside")).unwrap();
    let ran = async |arguments: &[&str]| {
        let mut command = command(&here);
        command.args(arguments).env("HAVERSACK_STORE__PATH", here.join("data"));
        haversack::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    };
    for arguments in [&["serve", "--bind", "127.0.0.1:0"][..], &["worker"], &["context", "keys", "rotate"]] {
        let refused = ran(arguments).await;
        assert!(stderr(&refused).contains("HV0120"), "{arguments:?}: {}", stderr(&refused));
        assert!(!keys.exists(), "none is made in its place");
    }
    let made = ran(&["context", "keys", "make"]).await;
    assert!(made.status.success() && keys.exists(), "{}", stderr(&made));
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_sees_that_a_ring_is_younger_than_what_waits_for_it() {
    let server = idle().await;
    let kim = server.key("acme", "kim").await;
    posted(&server, &kim, search()).await;
    let here = server.folder.path().to_owned();
    let ring = async || {
        let mut command = command(&here);
        command.args(["--json", "doctor"]).env("HAVERSACK_STORE__PATH", here.join("data"));
        let output = haversack::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        lines(&output).into_iter().find(|line| line["check"] == "key file").unwrap()
    };
    let sound = ring().await;
    assert_eq!(sound["ok"], true, "{sound}");
    let keys = here.join("data.keys");
    std::fs::rename(&keys, here.join("aside")).unwrap();
    let gone = ring().await;
    assert_eq!((&gone["ok"], &gone["code"]), (&json!(false), &json!("HV0120")), "{gone}");
    assert!(!keys.exists(), "doctor makes nothing");
    haversack_store::KeyFile::open(&keys, &here.join("data")).unwrap();
    let young = ring().await;
    assert_eq!((&young["ok"], &young["code"]), (&json!(false), &json!("HV0120")), "{young}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::rename(here.join("aside"), &keys).unwrap();
        std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(ring().await["code"], "HV0120");
    }
}
