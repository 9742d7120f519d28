//! With one of its required variables not bound at the door, a call is refused there and its tool never runs.

use haversack::testing::missing_paths_at;
use serde_json::json;

use super::house::{House, whoami};

#[tokio::test]
async fn a_call_without_a_required_variable_is_refused_at_its_door() {
    let house = House::offering([whoami()]).await;
    let client = house.client("acme", "kim");
    let call = || async {
        let answer = client.call("whoami", json!({})).await;
        let result = answer.last().get("result").filter(|result| result["isError"] != true);
        result.map(|_| ()).ok_or(answer.text)
    };
    let report = missing_paths_at("mcp").run(call).await;
    report.assert_loud();
    assert_eq!(report.variables(), ["tenant", "principal"]);
}
