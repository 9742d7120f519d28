//! Children see nothing of the host: commands that a chat's user has an agent run, and steps of pipelines.

mod command;
mod limit;
mod server;
mod step;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::installation::{Installation, Server, settled};
use super::stub::{Act, Stub};

const SECRET: &str = "canary-of-contoso-5f2c91d0";
const OVERRIDE: &str = "canary-of-the-operator-77ab";
const NEIGHBOUR: &str = "canary-of-a-neighbour-09d1";
const FILE: &str = "canary-of-the-file-4410";

/// Everything that a hostile command looks at: the environment of its parent and of all others, the keys, the data, the
/// folders of others, and where it could write.
const PEEK: &str = "tr '\\0' '\\n' < /proc/$PPID/environ; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; \
                    d=$(pwd); while [ \"$d\" != / ]; do d=$(dirname \"$d\"); ls \"$d\"; cat \"$d\"/*.keys \"$d\"/haversack.toml; \
                    find \"$d\" -type f -exec cat {} + ; [ -e \"$d/haversack.toml\" ] && break; touch \"$d/made\" && echo wrote-$((1 + 1)); done; \
                    touch /tmp/made.$$ && rm /tmp/made.$$ && echo wrote-$((1 + 1)); \
                    ls /proc/self/fd /root /home /var; echo peeked";

/// Returns the words that [`PEEK`] must not find in an installation whose file has [`settings`].
fn private(installation: &Installation) -> Vec<String> {
    let ring = std::fs::read_to_string(installation.path().join("data.keys")).unwrap();
    let key = ring.split(|c: char| !c.is_ascii_alphanumeric()).max_by_key(|word| word.len()).unwrap();
    let mut private: Vec<_> =
        [SECRET, OVERRIDE, NEIGHBOUR, FILE, "0ther", "control.sqlite", "wrote-2"].map(str::to_owned).to_vec();
    private.push(key.to_owned());
    private
}

/// A file with pipelines and commands, and a model that has an agent run them. `more` comes first: it may be no section.
fn settings(more: &str, stub: Option<&Stub>) -> String {
    let model = stub.map(Stub::model).unwrap_or_default();
    format!(
        "# {FILE}\n{more}\n[pipelines]\nfolder = \"./pipelines\"\n[pipelines.secrets.contoso]\nTOKEN = \"env:CONTOSO_TOKEN\"\n\
         [gateway.commands]\nfolder = \"./commands\"\nask = false\n{model}\
         [[agent.specialists]]\nname = \"helper\"\ndescription = \"Helps.\"\nprompt = \"Help.\"\ntools = [\"terminal\"]\n"
    )
}

/// A server with secrets in its environment, as its operator starts it.
fn serve(installation: &Installation) -> Server {
    installation.serve_with(|command| {
        let filter = format!("info,{}=debug", OVERRIDE.replace('-', "_"));
        command
            .env("CONTOSO_TOKEN", SECRET)
            .env("OPERATORS_OWN", OVERRIDE)
            .env("HAVERSACK_TELEMETRY__FILTER", filter);
    })
}

fn pipeline(installation: &Installation, name: &str, more: &str, command: &str) {
    let command: String = command.lines().map(|line| format!("        {line}\n")).collect();
    let text = format!(
        "dag:\n  start_at: one\n  steps:\n    success: {{type: success}}\n    fail: {{type: fail}}\n    one:\n      type: task\n\
         {more}      command_type: shell\n      command: |\n{command}      next: success\n"
    );
    installation.write(&format!("pipelines/{name}.yaml"), &text);
}

/// Runs a pipeline, and gives back how it ended and what its step printed.
async fn ran(server: &Server, key: &str, name: &str) -> (String, String) {
    let path = format!("/v1/pipelines/{name}/runs");
    let started = server.post(key, &path, &json!({ "key": name })).await;
    assert_eq!(started.status(), 202, "{}", started.text().await.unwrap());
    let run = settled(async || {
        let run: Value = server.get(key, &format!("/v1/runs/{name}")).await.json().await.unwrap();
        (!run["ended_at"].is_null()).then_some(run)
    })
    .await;
    let output: Value =
        server.get(key, &format!("/v1/runs/{name}/steps/one/output")).await.json().await.unwrap();
    (run["status"].as_str().unwrap().to_owned(), output["output"].as_str().unwrap_or_default().to_owned())
}

/// Has the agent of a chat run a command, and gives back what the model was told of it. `more` goes into the file.
async fn commanded(
    more: impl FnOnce(&Installation) -> String,
    command: &str,
) -> (String, Installation, Server) {
    let stub = Stub::start([Act::Call("terminal", json!({ "command": command }))]).await;
    let installation = Installation::new("");
    let more = more(&installation);
    installation.write("haversack.toml", &settings(&more, Some(&stub)));
    let key = installation.key("northwind", "kim");
    let server = serve(&installation);
    let url = format!("{}/gateway/ws", server.url.replacen("http", "ws", 1));
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let say = json!({ "type": "say", "id": "m1", "chat": "c", "text": "run it" });
    socket.send(Message::text(say.to_string())).await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(60), async {
        while let Some(Ok(frame)) = socket.next().await {
            if stub.requests().len() > 1 && frame.to_string().contains("Done.") {
                break;
            }
        }
    });
    heard.await.unwrap_or_else(|_| panic!("{:?}\n{}", stub.requests(), server.process.said()));
    (stub.results().join("\n"), installation, server)
}
