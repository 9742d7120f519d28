//! The reach of a pipeline's step.

use std::process::{Command, Stdio};

use super::{Installation, NEIGHBOUR, PEEK, SECRET, pipeline, private, ran, serve, settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_step_sees_its_own_secret_and_nobody_elses() {
    let installation = Installation::new(&settings("", None));
    let own = format!("test ${{#TOKEN}} = 26 && echo has-it; echo {NEIGHBOUR} > note; echo {NEIGHBOUR}");
    pipeline(&installation, "own", "      secrets: [TOKEN]\n", &own);
    pipeline(&installation, "peek", "", PEEK);
    let (sam, ann) = (installation.key("contoso", "sam"), installation.key("alpha", "ann"));
    let server = serve(&installation);
    let (status, output) = ran(&server, &sam, "own").await;
    assert_eq!((status.as_str(), output.contains("has-it")), ("succeeded", true), "{output}");
    let (status, output) = ran(&server, &ann, "peek").await;
    assert_eq!((status.as_str(), output.contains("peeked")), ("succeeded", true), "{output}");
    for private in private(&installation) {
        assert!(!output.contains(&private), "{private}: {output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_kills_its_parent_does_not_end_the_server() {
    let installation = Installation::new(&settings("", None));
    pipeline(&installation, "poison", "", "kill -9 $PPID; echo alive");
    let ann = installation.key("alpha", "ann");
    let mut server = serve(&installation);
    let (status, output) = ran(&server, &ann, "poison").await;
    assert_eq!((status.as_str(), output.contains("alive")), ("succeeded", true), "{output}");
    assert!(server.process.lives());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_writes_in_its_own_folders_and_in_those_that_are_granted() {
    let granted = tempfile::tempdir().unwrap();
    let folder = granted.path().display();
    std::fs::create_dir_all(granted.path().join("in")).unwrap();
    std::fs::create_dir_all(granted.path().join("read")).unwrap();
    let more = format!("[sandbox]\nwrite = [\"{folder}/in\"]\nread = [\"{folder}/read\"]");
    let installation = Installation::new(&settings(&more, None));
    std::fs::write(granted.path().join("read/note"), "readable\n").unwrap();
    let command = format!(
        "cat {folder}/read/note; for d in . \"$TMPDIR\" {folder}/in {folder}/read {folder}; do\n\
         (echo x > \"$d/made\") && echo \"wrote $d\"; done; echo end"
    );
    pipeline(&installation, "write", "", &command);
    let ann = installation.key("alpha", "ann");
    let server = serve(&installation);
    let (_, output) = ran(&server, &ann, "write").await;
    let wrote: Vec<_> = output.lines().filter(|line| line.starts_with("wrote ")).collect();
    assert!(output.contains("readable") && wrote.len() == 3, "{output}");
    assert!(
        granted.path().join("in/made").exists() && !granted.path().join("read/made").exists(),
        "{output}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_descriptor_that_the_server_was_given_is_closed_in_its_children() {
    let installation = Installation::new(&settings("", None));
    pipeline(&installation, "fd", "", "if (: <&9) 2>/dev/null; then echo open; else echo closed; fi");
    let ann = installation.key("alpha", "ann");
    let given = installation.write("given", "canary");
    let server = installation.serve_with(|command| {
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", "exec 9<\"$0\"; exec \"$@\""])
            .arg(given)
            .arg(command.get_program())
            .args(command.get_args());
        shell
            .current_dir(installation.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .stdin(Stdio::null());
        shell.env("CONTOSO_TOKEN", SECRET);
        *command = shell;
    });
    let (_, output) = ran(&server, &ann, "fd").await;
    assert_eq!(output, "closed\n");
}
