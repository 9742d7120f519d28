//! The working context is never over budget, and accounts for every part.

use haversack_memory::buffer::{Assembled, Budget, Layer, Part, Reason, WorkingContext, estimate_tokens};
use proptest::prelude::*;

fn part(layer: Layer, id: &str, tokens: usize, priority: i32) -> Part {
    Part { layer, id: id.to_owned(), text: "word".repeat(tokens), priority }
}

fn ids(assembled: &Assembled) -> Vec<&str> {
    assembled.parts.iter().map(|part| part.id.as_str()).collect()
}

fn reason(assembled: &Assembled, id: &str) -> Reason {
    assembled.manifest.entries.iter().find(|entry| entry.id == id).unwrap().reason
}

#[test]
fn the_important_enters_and_the_prompt_has_its_order() {
    let mut context = WorkingContext::new(Budget { tokens: 10 });
    context
        .push(part(Layer::Message, "message", 3, 100))
        .push(part(Layer::History, "turn-1", 3, 10))
        .push(part(Layer::Recall, "memory", 2, 50))
        .push(part(Layer::Instructions, "prompt", 4, 100))
        .push(part(Layer::Knowledge, "small", 1, 5));
    let assembled = context.assemble();
    assert_eq!(ids(&assembled), ["prompt", "memory", "small", "message"]);
    assert_eq!((assembled.manifest.budget, assembled.manifest.used), (10, 10));
    assert_eq!(reason(&assembled, "turn-1"), Reason::OverBudget);
    assert!(context.assemble().parts.is_empty(), "it was emptied");
}

#[test]
fn equal_priorities_go_by_layer_then_by_order() {
    let mut context = WorkingContext::new(Budget { tokens: 3 });
    for layer in
        [Layer::History, Layer::Knowledge, Layer::Recall, Layer::Session, Layer::Message, Layer::Instructions]
    {
        context.push(part(layer, &format!("{layer:?}"), 1, 0));
    }
    assert_eq!(ids(&context.assemble()), ["Instructions", "Session", "Message"]);
}

#[test]
fn a_result_never_enters_without_its_call() {
    for (budget, expected) in [(4, vec![]), (5, vec!["call", "result"])] {
        let mut context = WorkingContext::new(Budget { tokens: budget });
        context.push_together(vec![part(Layer::History, "call", 2, 0), part(Layer::History, "result", 3, 0)]);
        let assembled = context.assemble();
        assert_eq!(ids(&assembled), expected);
        assert_eq!(assembled.manifest.entries.len(), 2);
    }
}

#[test]
fn the_history_has_no_hole() {
    let mut context = WorkingContext::new(Budget { tokens: 5 });
    context
        .push(part(Layer::History, "oldest", 1, 1))
        .push(part(Layer::History, "big", 9, 2))
        .push(part(Layer::History, "newest", 2, 3))
        .push(part(Layer::Recall, "memory", 1, 0));
    let assembled = context.assemble();
    assert_eq!(ids(&assembled), ["memory", "newest"]);
    assert_eq!(reason(&assembled, "big"), Reason::OverBudget);
    assert_eq!(reason(&assembled, "oldest"), Reason::HistoryGap);
}

#[test]
fn the_estimate_is_a_token_for_four_characters_begun() {
    for (text, tokens) in [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("éééé", 1), ("🦀🦀🦀🦀🦀", 2)]
    {
        assert_eq!(estimate_tokens(text), tokens, "{text}");
    }
}

#[test]
fn the_manifest_holds_no_text() {
    let mut context = WorkingContext::new(Budget { tokens: 100 });
    context.push(Part {
        layer: Layer::Recall,
        id: "mem_1".into(),
        text: "the canary sings".into(),
        priority: 0,
    });
    let manifest = context.assemble().manifest;
    let json = serde_json::to_string(&manifest).unwrap();
    assert!(json.contains("mem_1") && !json.contains("canary"), "{json}");
    assert_eq!(serde_json::from_str::<haversack_memory::buffer::Manifest>(&json).unwrap(), manifest);
}

fn layers() -> impl Strategy<Value = Layer> {
    prop::sample::select(vec![
        Layer::Instructions,
        Layer::Session,
        Layer::Recall,
        Layer::Knowledge,
        Layer::History,
        Layer::Message,
    ])
}

proptest! {
    #[test]
    fn never_over_budget(
        budget in 0_usize..60,
        units in prop::collection::vec(prop::collection::vec((layers(), "[a-zé🦀 ]{0,40}", -3_i32..3), 1..4), 0..20),
    ) {
        let mut context = WorkingContext::new(Budget { tokens: budget });
        let mut pushed = Vec::new();
        for (unit, parts) in units.iter().enumerate() {
            let parts: Vec<Part> = parts
                .iter()
                .enumerate()
                .map(|(at, (layer, text, priority))| Part {
                    layer: *layer, id: format!("{unit}.{at}"), text: text.clone(), priority: *priority,
                })
                .collect();
            pushed.extend(parts.clone());
            context.push_together(parts);
        }
        let assembled = context.assemble();
        let cost: usize = assembled.parts.iter().map(|part| estimate_tokens(&part.text)).sum();
        prop_assert!(cost <= budget);
        prop_assert_eq!(cost, assembled.manifest.used);
        // Every part is accounted for, and the account is true.
        prop_assert_eq!(assembled.manifest.entries.len(), pushed.len());
        let included: Vec<_> = assembled.manifest.entries.iter().filter(|entry| entry.included).map(|e| e.id.as_str()).collect();
        prop_assert_eq!(included, ids(&assembled));
        prop_assert!(assembled.parts.windows(2).all(|pair| pair[0].layer <= pair[1].layer));
        for part in &assembled.parts {
            prop_assert!(pushed.contains(part));
            let unit = part.id.split('.').next().unwrap();
            let whole = assembled.manifest.entries.iter().filter(|e| e.id.split('.').next() == Some(unit));
            prop_assert!(whole.into_iter().all(|entry| entry.included), "a unit enters whole");
        }
        // Nothing that would still fit was left out, but for the end of the history.
        for entry in assembled.manifest.entries.iter().filter(|entry| entry.reason == Reason::OverBudget) {
            let unit = entry.id.split('.').next().unwrap();
            let cost: usize = pushed.iter().filter(|p| p.id.split('.').next() == Some(unit)).map(|p| estimate_tokens(&p.text)).sum();
            prop_assert!(cost > budget - assembled.manifest.used);
        }
    }
}
