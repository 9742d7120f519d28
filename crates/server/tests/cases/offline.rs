//! The demonstration that answers while no language model is connected: what a customer gets to read, and that no message
//! ends the server.

use serde_json::Value;

use super::installation::{Installation, Server};

async fn says(server: &Server, key: &str, message: &str) -> String {
    let reply = server.say(key, "s", message).await;
    let (status, body) = (reply.status(), reply.text().await.unwrap());
    assert_eq!(status, 200, "{message}: {body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    body["text"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_two_kilobytes_of_prepositions_do_not_end_the_server() {
    let installation = Installation::new("");
    let key = installation.key("alpha", "ann");
    let mut server = installation.serve();
    let message = format!("the printer is {}", "in ".repeat(20_900));
    // Answered or refused; the old program ended before it did either.
    let _ =
        tokio::time::timeout(std::time::Duration::from_secs(60), server.say(&key, "heavy", &message)).await;
    assert!(server.process.lives(), "{}", server.process.said());
    assert!(says(&server, &key, "hello").await.contains("help"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_sentence_is_answered() {
    let installation = Installation::new("");
    let key = installation.key("alpha", "ann");
    let server = installation.serve();
    let answer = says(&server, &key, "I restarted it and then cleaned the lens.").await;
    assert!(answer.contains("HAVERSACK_AGENT__MODEL__PROVIDER=genai"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn first_words_get_fitting_answers() {
    let installation = Installation::new("");
    let key = installation.key("alpha", "ann");
    let server = installation.serve();
    for (message, part) in [
        ("hi", "Say \"help\""),
        ("hello", "Say \"help\""),
        ("help", "\"Remember that "),
        ("/help", "\"Remember that "),
        ("who are you", "a program, not a person"),
        ("can I talk to a human", "contact your support team"),
    ] {
        let answer = says(&server, &key, message).await;
        assert!(answer.contains(part) && !answer.contains("You are welcome"), "{message}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hypotheticals_and_negations_destroy_no_fact() {
    let installation = Installation::new("");
    let key = installation.key("alpha", "ann");
    let server = installation.serve();
    says(&server, &key, "Remember that our manager is Zoe.").await;
    for message in [
        "If our manager were Olga, we would be faster.",
        "Our manager could change to Olga.",
        "Our old manager was Olga.",
        "Our manager is not Olga.",
    ] {
        says(&server, &key, message).await;
        let answer = says(&server, &key, "Who is our manager?").await;
        assert!(answer.contains("You told me: \"our manager is Zoe.\""), "{message}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explicit_remember_keeps_the_whole_sentence() {
    let installation = Installation::new("");
    let key = installation.key("alpha", "ann");
    let server = installation.serve();
    for fact in [
        "Yusuf cannot eat nuts, he gets ill from them.",
        "the code is 7, Kim has it, but I am not sure.",
        "we moved the office to Leeds.",
    ] {
        let answer = says(&server, &key, &format!("Remember that {fact}")).await;
        assert_eq!(answer, format!("Noted: \"{fact}\""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contradicting_colleagues_are_quoted_with_their_names() {
    let installation = Installation::new("");
    let (kim, lee) = (installation.key("alpha", "kim"), installation.key("alpha", "lee"));
    let server = installation.serve();
    says(&server, &kim, "My locker is number 12.").await;
    let told = server.say(&lee, "l", "My locker is number 40.").await;
    assert_eq!(told.status(), 200);
    let answer = says(&server, &kim, "What number is my locker?").await;
    for part in ["You told me: \"My locker is number 12.\"", "Lee told me: \"My locker is number 40.\""] {
        assert!(answer.contains(part), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_messages_of_a_customer_get_no_wrong_answer() {
    let installation = Installation::new("[agent.tools]\nknowledge = \"knowledge\"\n");
    installation.write(
        "knowledge/alpha/returns.md",
        "# Returns\n\nAsk us for a return number within 30 days; broken things are collected.\n\n\
         ## Refunds\n\nA refund takes up to five working days.\n",
    );
    installation.write(
        "knowledge/alpha/opening.md",
        "# Opening hours\n\nOur hours are Monday to Friday from 8 to 18. We deliver on these days, never on Sundays.\n",
    );
    installation.write(
        "knowledge/alpha/devices.md",
        "# Label printer\n\nA red light means that the paper is stuck. Open the cover and take it out.\n\n\
         # Card reader\n\nE12 means that the line is busy. Wait one minute and try again.\n",
    );
    let key = installation.key("alpha", "nora");
    let server = installation.serve();
    let mut useful = 0;
    let mut wrong: Vec<String> = Vec::new();
    let mut asked = 0;
    for block in include_str!("customer.txt").split("\n> ").skip(1) {
        asked += 1;
        let (message, graded) = block.split_once('\n').unwrap();
        let answer = says(&server, &key, message).await;
        let holds = |line: &str| match line.split_once(' ') {
            Some(("+", part)) => answer.contains(part),
            Some(("-", part)) => !answer.contains(part),
            _ => true,
        };
        let broken: Vec<&str> = graded.lines().filter(|line| !holds(line)).collect();
        if !broken.is_empty() || answer.contains("search mode") {
            wrong.push(format!("{message}\n  {broken:?}\n  {answer}"));
        }
        useful += usize::from(graded.lines().any(|line| line == "useful"));
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked == 60 && useful >= 35, "{useful} useful of {asked}");
}
