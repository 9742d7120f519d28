//! The reach of a command that an agent runs for a chat's user.

use std::net::TcpListener;

use super::{NEIGHBOUR, PEEK, commanded, private};

#[tokio::test(flavor = "multi_thread")]
async fn a_chats_command_reads_nothing_of_the_host() {
    let command = format!(
        "{PEEK}; echo mine > own && cat own; echo home=$HOME tmp=$TMPDIR; mktemp; kill -9 $PPID; echo last"
    );
    let neighbour = |installation: &super::Installation| {
        installation.write("commands/0ther/note", NEIGHBOUR);
        String::new()
    };
    let (told, installation, mut server) = commanded(neighbour, &command).await;
    for word in ["peeked", "mine", "last", "home=/", "tmp=/"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    // What the folders above hold is not shown; their names stand in the command's own home.
    for private in private(&installation) {
        assert!(!told.contains(&private), "{private}: {told}");
    }
    let temporary = installation.path().join("commands");
    assert!(told.contains(&format!("{}/", temporary.canonicalize().unwrap().display())), "{told}");
    assert!(server.process.lives(), "a command killed the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_sandbox_off_the_same_look_finds_everything() {
    let neighbour = |installation: &super::Installation| {
        installation.write("commands/0ther/note", NEIGHBOUR);
        "sandbox = \"off\"".to_owned()
    };
    // The end of an output is what is kept, so each is looked for in its own file.
    let command = "cat ../../data.keys ../0ther/note ../../haversack.toml; ls ../../data; echo peeked";
    let (told, installation, _server) = commanded(neighbour, command).await;
    let ring = std::fs::read_to_string(installation.path().join("data.keys")).unwrap();
    let key = ring.split(|c: char| !c.is_ascii_alphanumeric()).max_by_key(|word| word.len()).unwrap();
    for found in [NEIGHBOUR, super::FILE, "control.sqlite", key] {
        assert!(told.contains(found), "{found}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chats_command_connects_to_the_ports_that_are_listed_and_to_no_other() {
    let (listed, other) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let (listed, other) = (port(&listed), port(&other));
    let python = format!(
        "import socket\nfor name, port in [('listed', {listed}), ('other', {other})]:\n  try: \
         socket.create_connection(('127.0.0.1', port)); print(name, 'open')\n  except OSError as e: print(name, type(e).__name__)\n\
         try: socket.create_server(('127.0.0.1', 0)); print('listens')\nexcept OSError as e: print('listening', type(e).__name__)"
    );
    let command = format!("python3 -c \"{python}\"");
    let (told, ..) = commanded(|_| format!("[sandbox]\ncommand_ports = [{listed}]"), &command).await;
    for said in ["listed open", "other PermissionError", "listening PermissionError"] {
        assert!(told.contains(said), "{said}: {told}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_chats_command_reaches_no_abstract_socket_of_the_host() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let name = format!("haversack-case-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let python = format!(
        "import socket\ns = socket.socket(socket.AF_UNIX)\ntry: s.connect(chr(0) + '{name}'); print('socket open')\n\
         except OSError as e: print('socket', type(e).__name__)"
    );
    let (told, ..) = commanded(|_| String::new(), &format!("python3 -c \"{python}\"")).await;
    assert!(told.contains("socket PermissionError"), "{told}");
}
