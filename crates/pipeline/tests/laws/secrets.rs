//! Secrets reach the step that declares them, and nothing else.

use haversack::testing::tenant;
use haversack::well_known::TENANT_ID;
use haversack_pipeline::builder::{function, python, shell};
use haversack_pipeline::run::RunStatus::{Failed, Succeeded};
use haversack_pipeline::secrets::{self, Secret, SecretsError};
use haversack_pipeline::{Functions, StepCall, StepFailure, StepOutput};

use crate::{House, chain, none, on_disk, outputs, reason};

const CANARY: &str = "canary-hunter2\nsecond line";

fn known() -> std::sync::Arc<dyn secrets::Secrets> {
    secrets::from_map([("KEY".to_owned(), Secret::new(CANARY))])
}

#[tokio::test]
async fn only_a_step_that_declares_it_has_it() {
    let house = House::with(|options| options.secrets(known()));
    tenant("a")
        .wrap(async {
            let count = "printf '%s' \"$KEY\" | wc -c | tr -d ' '";
            let pipeline = chain([
                ("with", shell(count).secrets(["KEY"])),
                ("without", shell(count)),
                ("python", python("import os\nprint(len(os.environ['KEY']))").secrets(["KEY"])),
            ]);
            let run = house.run(&pipeline, none(), "r").await;
            assert_eq!(run.entry.status, Succeeded, "{:#?}", house.log("r").await);
            let length = format!("{}\n", CANARY.len());
            assert_eq!(house.printed("r", "with").await, length);
            assert_eq!(house.printed("r", "without").await, "0\n");
            assert_eq!(house.printed("r", "python").await, length);
        })
        .await;
}

#[tokio::test]
async fn nothing_on_disk_holds_it() {
    let house = House::with(|options| options.secrets(known()));
    tenant("a")
        .wrap(async {
            // Printed whole, on both pipes, byte by byte, and as JSON.
            let loud = "echo \"$KEY\"; echo \"<$KEY>\" >&2; \
                        python3 -c 'import os,sys,json\nfor c in os.environ[\"KEY\"]: sys.stdout.write(c); sys.stdout.flush()\nprint(json.dumps(os.environ[\"KEY\"]))'";
            house.run(&chain([("loud", shell(loud).secrets(["KEY"]))]), none(), "loud").await;
            let printed = house.printed("loud", "loud").await;
            assert_eq!(printed.matches("[redacted]").count(), 4, "{printed}");

            let gives = shell("printf '{\"x\": \"%s\"}' canary-hunter2 >&2; python3 -c 'import json,os; json.dump({\"x\": [os.environ[\"KEY\"]]}, open(os.environ[\"HAVERSACK_RETURNS\"], \"w\"))'");
            let run = house.run(&chain([("gives", gives.secrets(["KEY"]).returns(["x"]))]), none(), "gives").await;
            assert_eq!(run.entry.status, Failed);
            assert!(reason(&house.log("gives").await).contains("the return `x` holds a secret"));
        })
        .await;
    drop(house.store.close().await);
    for part in ["hunter2\n", "hunter2\\n", "second line"] {
        assert_eq!(on_disk(house.dir.path(), part), Vec::<std::path::PathBuf>::new(), "{part:?}");
    }
}

#[tokio::test]
async fn a_step_that_leaves_one_in_the_catalog_fails_and_no_file_of_it_stays() {
    let house = House::with(|options| options.secrets(known()));
    // Across the border of two reads, as JSON, in the name of a file, and where only the hash is kept.
    let long = "head -c 65530 /dev/zero > x; printf '%s' \"$KEY\" >> x";
    let cases = [
        ("long", long, false),
        ("json", "python3 -c 'import json,os; json.dump([os.environ[\"KEY\"]], open(\"x\", \"w\"))'", false),
        ("name", "touch \"x$KEY\"", false),
        ("hashed", long, true),
        ("failed", "printf '%s' \"$KEY\" > x; exit 3", false),
    ];
    tenant("a")
        .wrap(async {
            for (key, leaves, hashed) in cases {
                let step = shell(format!("echo clean > a; {leaves}")).secrets(["KEY"]).put(["**/*"]);
                let step = if hashed { step.no_copy() } else { step };
                let run = house.run(&chain([("s", step)]), none(), key).await;
                let (log, why) = (house.log(key).await, run.reason.unwrap());
                assert_eq!(run.entry.status, Failed, "{key}");
                match key {
                    "failed" => assert_eq!(why, "s: exit code 3", "the first reason is the one to know"),
                    _ => assert!(
                        why.starts_with("s: a file under `put` holds the secret `KEY`"),
                        "{key}: {why}"
                    ),
                }
                let text = format!("{} {why}", serde_json::to_string(&log).unwrap());
                assert!(!text.contains("hunter2") && !text.contains("\"put\""), "{key}: {text}");
            }
            // A file that holds none is kept, also where it nearly holds one.
            let step = shell("printf '%s' \"${KEY%?}\" > x").secrets(["KEY"]).put(["x"]);
            assert_eq!(house.run(&chain([("s", step)]), none(), "near").await.entry.status, Succeeded);
        })
        .await;
    drop(house.store.close().await);
    assert_eq!(on_disk(&house.catalog(), CANARY), Vec::<std::path::PathBuf>::new());
    assert_eq!(on_disk(&house.catalog(), "hunter2\\n"), Vec::<std::path::PathBuf>::new());
    assert_eq!(on_disk(&house.catalog(), "clean"), Vec::<std::path::PathBuf>::new(), "no file of it stays");
    assert_eq!(on_disk(&house.catalog(), "hunter2").len(), 1, "the search finds what is there");
}

#[tokio::test]
async fn each_tenant_has_its_own_under_the_same_name() {
    let per_tenant = secrets::from_fn(|name| async move {
        let whose = TENANT_ID.get().map_err(|missing| SecretsError(missing.to_string()))?;
        Ok((name == "KEY").then(|| Secret::new(format!("key of {whose}"))))
    });
    let house = House::with(|options| options.secrets(per_tenant));
    for name in ["a", "bb"] {
        tenant(name)
            .wrap(async {
                let step = shell("test \"$KEY\" = \"key of $who\"").parameters(["who"]).secrets(["KEY"]);
                let run = house.run(&chain([("s", step)]), none().with("who", name), "r").await;
                assert_eq!(run.entry.status, Succeeded);
            })
            .await;
    }
}

#[tokio::test]
async fn a_function_reads_it_from_a_handle_that_prints_nothing() {
    let functions = Functions::new()
        .on("use", |call: StepCall| async move {
            assert!(!format!("{call:?}").contains("hunter2"));
            call.log().line(&format!("the key is {}", call.secrets().get("KEY").unwrap().expose()));
            Ok(StepOutput::value(call.secrets().get("OTHER").is_none()))
        })
        .on("tell", |call: StepCall| async move {
            Err(StepFailure::new(format!("refused {}", call.secrets().get("KEY").unwrap().expose())))
        });
    let house = House::with(|options| options.secrets(known()).functions(functions));
    tenant("a")
        .wrap(async {
            house
                .run(&chain([("use", function("use").secrets(["KEY"]).returns(["x"]))]), none(), "use")
                .await;
            assert_eq!(outputs(&house.log("use").await)["x"], true);
            assert_eq!(house.printed("use", "use").await, "the key is [redacted]\n");
            house.run(&chain([("tell", function("tell").secrets(["KEY"]))]), none(), "tell").await;
            assert_eq!(reason(&house.log("tell").await), "tell: refused [redacted]");
        })
        .await;
}

#[tokio::test]
async fn the_first_provider_that_knows_it_answers_also_with_nothing() {
    let house = House::with(|options| {
        let first = secrets::dotenv("KEY=\n").unwrap();
        options.secrets(secrets::first_of([first, known()]))
    });
    tenant("a")
        .wrap(async {
            let run = house
                .run(&chain([("s", shell("test \"${KEY-unset}\" = ''").secrets(["KEY"]))]), none(), "r")
                .await;
            assert_eq!(run.entry.status, Succeeded);
            let run = house.run(&chain([("s", shell("true").secrets(["OTHER"]))]), none(), "s").await;
            assert_eq!(run.entry.status, Failed);
            assert!(reason(&house.log("s").await).contains("nobody knows the secret `OTHER`"));
        })
        .await;
}
