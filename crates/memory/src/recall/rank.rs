//! Which memory answers best.
//!
//! A memory scores the share of the question that it covers, each word weighing by how rare it is among the
//! tenant's memories, so a score is comparable between questions and 1 means every word was there. Only the search
//! calls it; it sees numbers, not texts.

use std::cmp::Reverse;
use std::collections::HashMap;

/// One word's rows, as the index gave them.
pub(super) struct Found {
    pub(super) rows: Vec<i64>,
}

/// Rows with their scores, best first; newer (higher numbered) first among equals.
pub(super) fn rank(words: &[Found], total_rows: u64) -> Vec<(i64, f64)> {
    let whole: f64 = words.iter().map(|word| weight(word.rows.len(), total_rows)).sum();
    let mut covered: HashMap<i64, f64> = HashMap::new();
    for word in words {
        let weight = weight(word.rows.len(), total_rows);
        for row in &word.rows {
            *covered.entry(*row).or_default() += weight;
        }
    }
    let mut ranked: Vec<_> = covered.into_iter().map(|(row, sum)| (row, (sum / whole).min(1.0))).collect();
    // Sums of the same weights in another order may differ in the last bits; the key must not.
    ranked.sort_by_key(|&(row, score)| (Reverse((score * 1e9).round() as i64), Reverse(row)));
    ranked
}

/// The inverse document frequency of BM25, never below 0. A word that nobody used weighs as one used once.
#[allow(clippy::cast_precision_loss)]
fn weight(rows: usize, total: u64) -> f64 {
    let with = rows.max(1) as f64;
    let total = (total as f64).max(with);
    ((total - with + 0.5) / (with + 0.5)).ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rows: &[i64]) -> Found {
        Found { rows: rows.to_vec() }
    }

    #[test]
    fn a_rare_word_outweighs_a_common_one() {
        let common = found(&[1, 2, 3, 4, 5, 6, 7, 8]);
        let rare = found(&[9]);
        assert_eq!(rank(&[common, rare], 10)[0].0, 9);
    }

    #[test]
    fn a_row_with_every_word_scores_one_and_newer_wins_among_equals() {
        let ranked = rank(&[found(&[3, 7]), found(&[3, 7]), found(&[3, 7, 5])], 20);
        assert_eq!(ranked.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [7, 3, 5]);
        assert!((ranked[0].1 - 1.0).abs() < 1e-9);
        assert!(ranked[2].1 < 0.5);
    }
}
