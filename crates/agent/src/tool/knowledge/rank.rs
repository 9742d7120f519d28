//! Ranking sections by the words they share with a query.
//!
//! BM25 over stems, counted once for each index, with the words of headings and of the file's name counted
//! twice; a section that shares no word is not returned. The knowledge ranks one tenant's sections at a time,
//! so the weights come from that tenant alone.

use std::collections::{HashMap, HashSet};

use super::markdown::Section;
use crate::words::{is_stop_word, stem, tokens};

const SATURATION: f64 = 1.2;
const LENGTH: f64 = 0.75;

/// The words of some sections, counted once.
pub(super) struct Ranking {
    counted: Vec<Counted>,
    sections_with: HashMap<String, f64>,
    average: f64,
}

struct Counted {
    times: HashMap<String, f64>,
    length: f64,
}

impl Ranking {
    pub(super) fn of(sections: &[Section]) -> Self {
        let counted: Vec<Counted> = sections.iter().map(count).collect();
        let average = counted.iter().map(|c| c.length).sum::<f64>() / counted.len().max(1) as f64;
        let mut sections_with: HashMap<String, f64> = HashMap::new();
        for word in counted.iter().flat_map(|c| c.times.keys()) {
            *sections_with.entry(word.clone()).or_default() += 1.0;
        }
        Self { counted, sections_with, average }
    }

    /// The best sections for a query by their position, best first, with their scores.
    pub(super) fn best(&self, query: &str, limit: usize) -> Vec<(usize, f64)> {
        let query: HashSet<String> = stems(query).collect();
        let scores = self.counted.iter().map(|words| self.score(&query, words)).enumerate();
        let mut scored: Vec<(usize, f64)> = scores.filter(|(_, score)| *score > 0.0).collect();
        // A stable sort: equal sections stay in the order of the files.
        scored.sort_by(|a, b| b.1.total_cmp(&a.1));
        scored.truncate(limit);
        scored
    }

    fn score(&self, query: &HashSet<String>, words: &Counted) -> f64 {
        let total = self.counted.len() as f64;
        let part = |word: &String| {
            let times = *words.times.get(word)?;
            let sections = *self.sections_with.get(word)?;
            let rarity = (1.0 + (total - sections + 0.5) / (sections + 0.5)).ln();
            let length = 1.0 - LENGTH + LENGTH * words.length / self.average.max(1.0);
            Some(rarity * times * (SATURATION + 1.0) / (times + SATURATION * length))
        };
        query.iter().filter_map(part).sum()
    }
}

fn count(section: &Section) -> Counted {
    let mut times: HashMap<String, f64> = HashMap::new();
    let titles = section.headings.join(" ");
    let file = section.file.trim_end_matches(".md").replace(['-', '_', '/'], " ");
    for (text, weight) in [(section.text.as_str(), 1.0), (&titles, 2.0), (&file, 1.0)] {
        for word in stems(text) {
            *times.entry(word).or_default() += weight;
        }
    }
    let length = times.values().sum();
    Counted { times, length }
}

/// The stems that carry meaning; of a word joined by a hyphen also its parts.
fn stems(text: &str) -> impl Iterator<Item = String> + '_ {
    tokens(text).into_iter().filter(|token| !is_stop_word(&token.lower)).flat_map(|token| {
        let mut found = vec![stem(&token.lower)];
        if token.lower.contains('-') && !token.is_identifier() {
            found.extend(token.lower.split('-').filter(|part| !is_stop_word(part)).map(stem));
            found.push(stem(&token.lower.replace('-', "")));
        }
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(heading: &str, text: &str) -> Section {
        Section { file: "x.md".to_owned(), headings: vec![heading.to_owned()], text: text.to_owned() }
    }

    #[test]
    fn the_section_about_it_comes_first_and_strangers_stay_away() {
        let all = [
            section("Opening times", "We open at eight."),
            section("Printers", "If a label printer jams, open the cover and clear the paper."),
            section("Parking", "Park behind the hall."),
        ];
        let ranking = Ranking::of(&all);
        let found = ranking.best("the printer jammed", 3);
        assert_eq!(found.len(), 1);
        assert_eq!(all[found[0].0].headings, ["Printers"]);
        assert!(ranking.best("the of and", 3).is_empty(), "stop words match nothing");
    }
}
