//! Cutting Markdown into sections at its headings.
//!
//! A section is the text under one heading with the headings above it; code fences are kept whole, front
//! matter is left out, a long section is cut between paragraphs. The index cuts each file once.

/// Characters after which a section is cut at the next blank line.
const LONG: usize = 3_000;

/// The text under one heading.
#[derive(Debug, PartialEq)]
pub(super) struct Section {
    pub(super) file: String,
    /// Outermost first; the file's name stands in where there is no heading.
    pub(super) headings: Vec<String>,
    pub(super) text: String,
}

/// The sections of a file, in its order. Sections without text are left out.
pub(super) fn sections(file: &str, markdown: &str) -> Vec<Section> {
    let mut cut = Cutter { file, headings: Vec::new(), text: String::new(), found: Vec::new() };
    let mut fence: Option<&str> = None;
    for line in without_front_matter(markdown).lines() {
        let bare = line.trim_start();
        if let Some(open) = fence {
            fence = (!bare.starts_with(open)).then_some(open);
        } else if let Some(open) = ["```", "~~~"].into_iter().find(|mark| bare.starts_with(mark)) {
            fence = Some(open);
        } else if let Some((level, title)) = heading(line) {
            cut.flush();
            cut.headings.retain(|(above, _)| *above < level);
            cut.headings.push((level, title.to_owned()));
            continue;
        } else if bare.is_empty() && cut.text.len() > LONG {
            cut.flush();
            continue;
        }
        cut.text.push_str(line.trim_end());
        cut.text.push('\n');
    }
    cut.flush();
    cut.found
}

struct Cutter<'f> {
    file: &'f str,
    headings: Vec<(usize, String)>,
    text: String,
    found: Vec<Section>,
}

impl Cutter<'_> {
    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text).trim().to_owned();
        if text.is_empty() {
            return;
        }
        let mut headings: Vec<String> = self.headings.iter().map(|(_, title)| title.clone()).collect();
        if headings.is_empty() {
            let name = self.file.rsplit('/').next().unwrap_or(self.file);
            headings.push(name.trim_end_matches(".md").replace(['-', '_'], " "));
        }
        self.found.push(Section { file: self.file.to_owned(), headings, text });
    }
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|b| *b == b'#').count();
    let title = line.get(level..)?.strip_prefix(' ')?.trim().trim_end_matches('#').trim_end();
    ((1..=6).contains(&level) && !title.is_empty()).then_some((level, title))
}

fn without_front_matter(markdown: &str) -> &str {
    let markdown = markdown.strip_prefix('\u{feff}').unwrap_or(markdown);
    let Some(rest) = markdown.strip_prefix("---\n") else { return markdown };
    rest.split_once("\n---\n").map_or(markdown, |(_, body)| body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_keeps_the_headings_above_it() {
        let text = "---\ntitle: x\n---\n# Returns\nIntro.\n## How long\nTwo weeks.\n```\n# no \
            heading\n```\n# Other\nText.\n";
        let cut = sections("a.md", text);
        let seen: Vec<_> = cut.iter().map(|s| (s.headings.join("/"), s.text.as_str())).collect();
        assert_eq!(
            seen,
            [
                ("Returns".to_owned(), "Intro."),
                ("Returns/How long".to_owned(), "Two weeks.\n```\n# no heading\n```"),
                ("Other".to_owned(), "Text."),
            ]
        );
    }

    #[test]
    fn a_file_without_headings_is_called_by_its_name() {
        assert_eq!(sections("sub/opening-times.md", "8 to 5")[0].headings, ["opening times"]);
    }
}
