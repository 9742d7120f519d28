//! The offline model in whole turns: what it remembers, quotes and forgets, and what it never does to a fact.

use super::house::House;

async fn says(house: &House, message: &str) -> String {
    house.say("acme", "s", message).await.unwrap().text
}

#[tokio::test]
async fn a_fact_is_kept_in_the_users_words_and_quoted() {
    let house = House::offline();
    let fact = "Yusuf cannot eat nuts, he gets ill from them, but I am not sure about peanuts.";
    assert_eq!(says(&house, &format!("Remember that {fact}")).await, format!("Noted: \"{fact}\""));
    assert_eq!(says(&house, "Can Yusuf eat nuts?").await, format!("You told me: \"{fact}\""));
    assert_eq!(
        says(&house, &format!("Remember that {fact}")).await,
        format!("I know that already: \"{fact}\"")
    );
}

#[tokio::test]
async fn colleagues_are_quoted_by_name_and_overwrite_nothing() {
    let house = House::offline();
    house.say_as("acme", "kim", "a", "My locker is number 12.").await.unwrap();
    house.say_as("acme", "lee", "b", "My locker is number 40.").await.unwrap();
    let answer = house.say_as("acme", "kim", "c", "Where is my locker?").await.unwrap().text;
    let (newer, older) = answer.split_once("\n\n").unwrap();
    assert!(newer.starts_with("Lee told me: \"My locker is number 40.\" ("), "{answer}");
    assert!(older.starts_with("You told me: \"My locker is number 12.\" ("), "{answer}");
}

#[tokio::test]
async fn what_is_no_assertion_destroys_nothing() {
    let house = House::offline();
    says(&house, "Our manager is Zoe.").await;
    for message in [
        "If our manager were Olga, we would be faster.",
        "Our manager could change to Olga.",
        "Our old manager was Olga.",
        "Our manager is not Olga.",
    ] {
        says(&house, message).await;
        let answer = says(&house, "Who is our manager?").await;
        assert!(answer.contains("You told me: \"Our manager is Zoe.\""), "{message}: {answer}");
    }
}

#[tokio::test]
async fn a_question_gets_no_unrelated_memory() {
    let house = House::offline();
    says(&house, "Remember that Kim's office number is 12.").await;
    for question in ["What is Kim's phone number?", "Where do I live?", "Why is the red light on?"] {
        let answer = says(&house, question).await;
        assert!(answer.starts_with("I found nothing about that"), "{question}: {answer}");
    }
}

#[tokio::test]
async fn forgetting_erases_own_facts_only() {
    let house = House::offline();
    house.say_as("acme", "kim", "a", "Our plumber is Maren Holt.").await.unwrap();
    let other = house.say_as("acme", "lee", "b", "Forget our plumber.").await.unwrap().text;
    assert_eq!(
        other,
        "I cannot forget for you what someone else told me. Kim told me: \"Our plumber is Maren Holt.\""
    );
    let own = house.say_as("acme", "kim", "c", "Please forget our plumber.").await.unwrap().text;
    assert_eq!(own, "Forgotten: \"Our plumber is Maren Holt.\"");
    let gone = house.say_as("acme", "kim", "d", "Who is our plumber?").await.unwrap().text;
    assert!(gone.starts_with("I found nothing about that"), "{gone}");
    let none = house.say_as("acme", "kim", "e", "Forget our gardener.").await.unwrap().text;
    assert_eq!(none, "I know nothing about that, so there is nothing to forget.");
}

#[tokio::test]
async fn a_message_that_forgets_and_tells_keeps_what_it_tells() {
    let house = House::offline();
    says(&house, "Our plumber is Maren Holt.").await;
    let answer = says(&house, "Forget our plumber. Our plumber is Ada Finch.").await;
    assert!(answer.contains("Forgotten: \"Our plumber is Maren Holt.\""), "{answer}");
    assert_eq!(says(&house, "Who is our plumber?").await, "You told me: \"Our plumber is Ada Finch.\"");
}

#[tokio::test]
async fn one_answer_to_two_questions_is_said_once() {
    let house = House::offline();
    let answer = says(&house, "I have a bill for salt. Who is our treasurer? Who is our porter?").await;
    assert_eq!(answer.matches("I found nothing about that").count(), 1, "{answer}");
}

#[tokio::test]
async fn lists_name_facts_and_attempts() {
    let house = House::offline();
    assert_eq!(says(&house, "What do you know about us?").await, "You have not told me anything yet.");
    says(&house, "Remember that we open at 8.").await;
    assert!(says(&house, "What do you know about us?").await.contains("- You told me: \"we open at 8.\" ("));
    says(&house, "I tried a restart, it did not help.").await;
    assert!(says(&house, "What have I tried?").await.contains("a restart, it did not help"));
    let elsewhere = house.say("acme", "t", "What have I tried?").await.unwrap().text;
    assert_eq!(elsewhere, "Nothing was tried in this conversation yet.");
}

#[tokio::test]
async fn the_handbook_is_quoted_with_its_source() {
    let house = House::offline();
    house.knows("acme", "returns.md", "# Returns\n\nReturns are collected within 14 days.\n");
    let answer = says(&house, "When are returns collected?").await;
    assert_eq!(answer, "Returns are collected within 14 days. (From the handbook: Returns.)");
}

#[tokio::test]
async fn what_it_does_not_understand_it_says_and_how_to_connect_a_model() {
    let house = House::offline();
    for message in ["Wie wird das Wetter", "I restarted it and then cleaned the lens.", "zzz", "Who are you?"]
    {
        let answer = says(&house, message).await;
        for setting in ["PROVIDER=genai", "NAME=openai::", "API_KEY=env:OPENAI_API_KEY"] {
            assert!(answer.contains(setting), "{message}: {answer}");
        }
    }
    for (message, part) in [
        ("hi", "Say \"help\""),
        ("help", "Remember that our account manager is Robin Vega."),
        ("Can I talk to a human?", "contact your support team"),
        ("Thanks!", "You are welcome."),
    ] {
        let answer = says(&house, message).await;
        assert!(answer.contains(part), "{message}: {answer}");
    }
}
