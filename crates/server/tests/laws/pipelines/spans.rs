//! What a run causes hangs under the step that caused it, up to the call of a tool.

use haversack_server::config::{LogFormat, PipelineTool};
use haversack_server::server::Options;
use haversack_server::telemetry::tree::Work;
use haversack_server::telemetry::{Telemetry, TraceTree};
use reqwest::StatusCode;
use serde_json::json;

use super::{begin, ended, one};
use crate::harness::{json_of, start_with_options};
use crate::program::settled;

/// The units above one, from its parent up, as name and step.
fn above(work: &Work, of: u32) -> Vec<String> {
    let mut path = Vec::new();
    let mut at = work.units[of as usize].parent;
    while let Some(parent) = at {
        let unit = &work.units[parent as usize];
        let step = unit.fields.get("step").map(String::as_str).unwrap_or_default();
        path.push(format!("{} {step}", unit.name).trim_end().to_owned());
        at = unit.parent;
    }
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn the_span_of_a_tool_hangs_under_the_attempt_of_its_step() {
    let folder = tempfile::tempdir().unwrap();
    let branch = |name: &str| {
        format!(
            "        {name}:\n          start_at: look\n          steps:\n            look: {{type: task, command_type: tool, \
             command: tell, returns: [{name}], next: done}}\n            done: {{type: success}}\n"
        )
    };
    let text = format!(
        "dag:\n  start_at: both\n  steps:\n    both:\n      type: parallel\n      next: done\n      branches:\n{}{}    \
         done: {{type: success}}\n",
        branch("left"),
        branch("right")
    );
    std::fs::write(folder.path().join("look.yaml"), text).unwrap();
    // A tool that is a pipeline of its own, because such a one asks for no session.
    std::fs::write(folder.path().join("tell.yaml"), one("true", "")).unwrap();
    let server = start_with_options(|config| {
        config.telemetry.log = LogFormat::Off;
        config.pipelines.folder = Some(folder.path().to_owned());
        config.pipelines.tools = vec![PipelineTool {
            name: "tell".to_owned(),
            pipeline: "tell".to_owned(),
            description: "Tells nothing.".to_owned(),
        }];
        Options { telemetry: Telemetry::install(&config.telemetry).unwrap(), model: None }
    })
    .await;
    let kim = server.key("acme", "kim").await;
    let body = json!({ "key": "r", "parameters": { "request": "tell" } });
    json_of(begin(&server, &kim, "look", body).await, StatusCode::ACCEPTED).await;
    let view = ended(&server, &kim, "r").await;
    assert_eq!(view["status"], "succeeded", "{view}");

    let run = settled(async || {
        let tree = json_of(server.get(&kim, "/v1/context/r").await, StatusCode::OK).await;
        let tree: TraceTree = serde_json::from_value(tree).unwrap();
        tree.work.into_iter().find(|work| work.id == "r" && work.ended_at.is_some())
    })
    .await;
    let tools: Vec<_> = run.units.iter().filter(|unit| unit.name == "tool").collect();
    let mut found: Vec<Vec<String>> = tools.iter().map(|tool| above(&run, tool.id)).collect();
    found.sort();
    let expected = ["left", "right"].map(|branch| {
        let look = format!("both/{branch}/look");
        [format!("attempt {look}"), format!("step {look}"), "step both".to_owned(), "run".to_owned()].to_vec()
    });
    let begins: Vec<&[String]> = found.iter().map(|path| &path[..path.len().min(4)]).collect();
    assert_eq!(begins, expected, "{:#?}", run.units);
    for tool in tools {
        let bound = |name: &str| {
            let variable = tool.context.variables.iter().find(|one| one.name == name);
            variable.map(|one| one.value.clone()).unwrap_or_default()
        };
        assert_eq!((bound("tenant"), bound("principal")), ("acme".to_owned(), "kim".to_owned()));
        assert!(!tool.context.foreign);
    }
    server.server.shutdown().await.unwrap();
}
