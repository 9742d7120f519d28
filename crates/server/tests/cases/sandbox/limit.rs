//! The limits of a child.

use super::{Installation, commanded, pipeline, ran, serve, settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_held_to_the_limits_of_the_file() {
    let more = "[sandbox]\nmemory_mb = 512\nprocesses = 60000\nopen_files = 64\nfile_mb = 1\ncpu_s = 100";
    let installation = Installation::new(&settings(more, None));
    let command = "bash -c 'echo limits $(ulimit -v) $(ulimit -u) $(ulimit -n) $(ulimit -f) $(ulimit -t) $(ulimit -c)'\n\
                   python3 -c 'bytearray(1 << 30)' 2>&1 | tail -n 1\n\
                   bash -c 'ulimit -n 4096' 2>/dev/null || echo stays\n\
                   (head -c 4000000 /dev/zero > large) 2>/dev/null; wc -c < large";
    pipeline(&installation, "limits", "", command);
    let ann = installation.key("alpha", "ann");
    let server = serve(&installation);
    let (_, output) = ran(&server, &ann, "limits").await;
    let given = output.lines().next().unwrap_or_default().split(' ').skip(1).collect::<Vec<_>>();
    assert_eq!(given, ["524288", "60000", "64", "1024", "100", "0"], "{output}");
    for said in ["MemoryError", "stays", "1048576"] {
        assert!(output.lines().any(|line| line == said), "{said}: {output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chats_command_has_limits_also_where_none_is_written() {
    let (told, ..) =
        commanded(|_| String::new(), "bash -c 'ulimit -v; ulimit -c; ulimit -u; ulimit -n'").await;
    assert!(told.contains("4194304\\\\n0\\\\n4096\\\\n1024"), "{told}");
}

/// The system holds root to no number of processes, so this one is tried as somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_ends_at_the_number_of_processes() {
    let Some(user) = super::server::Somebody::else_than_root() else { return };
    let installation = Installation::new(&settings("[sandbox]\nprocesses = 150", None));
    let bomb = "import os, time\nmade = []\ntry:\n  while len(made) < 1000:\n    child = os.fork()\n    if child == 0: \
                time.sleep(600)\n    made.append(child)\nexcept BlockingIOError: print('refused')\nfor child in made: os.kill(child, 9)\n\
                print('made', len(made) < 150)";
    installation.write("bomb.py", bomb);
    pipeline(&installation, "bomb", "", &format!("python3 - <<'END'\n{bomb}\nEND"));
    let ann = installation.key("alpha", "ann");
    let server = user.serve(&installation);
    let (_, output) = ran(&server, &ann, "bomb").await;
    assert_eq!(output, "refused\nmade True\n");
}
