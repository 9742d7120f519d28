//! Conversations as people write them, read from `talk.txt`: in passing, without marks, with corrections and
//! attempts.

use super::house::House;

const TALK: &str = include_str!("talk.txt");

#[tokio::test]
async fn conversations_as_people_write_them() {
    let mut wrong = Vec::new();
    let mut said = 0;
    for conversation in TALK.split("\n=== ").skip(1) {
        let (name, lines) = conversation.split_once('\n').unwrap();
        let house = House::offline();
        let mut page: Option<(String, String)> = None;
        let mut reply = String::new();
        for line in lines.lines() {
            if let Some((file, text)) = &mut page {
                if line.trim_end() == "==" {
                    house.knows("acme", file, text);
                    page = None;
                } else {
                    text.push_str(line);
                    text.push('\n');
                }
            } else if let Some(file) = line.strip_prefix('@') {
                page = Some((file.to_owned(), String::new()));
            } else if let Some(part) = line.strip_prefix("+ ").filter(|part| !reply.contains(part)) {
                wrong.push(format!("{name}: must hold {part:?}\n{reply}\n"));
            } else if let Some(part) = line.strip_prefix("- ").filter(|part| reply.contains(part)) {
                wrong.push(format!("{name}: must not hold {part:?}\n{reply}\n"));
            } else if let Some((session, words)) = line.split_once("> ") {
                let words = words.replace("\\n", "\n");
                reply = format!("  {words}\n  {}", house.say("acme", session, &words).await.unwrap().text);
                reply = reply.split_once("\n  ").map(|(_, text)| text.to_owned()).unwrap();
                said += 1;
            }
        }
    }
    assert!(said > 60, "the file was read: {said} turns");
    assert!(wrong.is_empty(), "{} expectations were not met:\n\n{}", wrong.len(), wrong.join("\n"));
}
