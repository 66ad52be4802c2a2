//! What came of a task: counts a kind and in all, with intervals; what went wrong.

use super::wilson::interval;
use super::{Case, Score, Task};
use crate::terminal::printable;
use crate::ui;
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;

/// The kind of the row over all cases.
pub const ALL: &str = "all";

/// What the model gave for a case.
#[derive(Debug)]
pub struct Given {
    /// What it is worth.
    pub scores: Vec<Score>,
    /// The answer, or the choices with their log-likelihoods.
    pub text: String,
    /// Whether the answer ended at the limit on tokens or of the context.
    pub cut: bool,
}

/// What came of a task.
#[derive(Debug, Serialize)]
pub struct Report {
    task: String,
    file: PathBuf,
    cases: u64,
    /// Answers that ended at the limit on tokens or of the context; they are judged as they are.
    cut: u64,
    results: Vec<Row>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    wrong: Vec<Wrong>,
}

/// The counts of a metric over the cases of a kind.
#[derive(Debug, Serialize)]
struct Row {
    kind: String,
    metric: &'static str,
    right: u64,
    of: u64,
    undecided: u64,
    fraction: f64,
    /// The 95 % interval after Wilson.
    low: f64,
    high: f64,
}

/// A case that is not right by every metric.
#[derive(Debug, Serialize)]
struct Wrong {
    place: String,
    kind: String,
    /// The metrics that it misses.
    metrics: Vec<&'static str>,
    prompt: String,
    want: String,
    got: String,
}

impl Report {
    /// Of a task of which no case is done.
    pub fn new(task: &Task) -> Report {
        let (task, file) = (task.name.clone(), task.path.clone());
        Report { task, file, cases: 0, cut: 0, results: Vec::new(), wrong: Vec::new() }
    }

    /// Adds a case.
    pub fn add(&mut self, case: &Case, given: Given) {
        self.cases += 1;
        self.cut += u64::from(given.cut);
        for score in &given.scores {
            self.count(&case.kind, score);
        }
        let metrics: Vec<_> =
            given.scores.iter().filter(|s| s.right < s.of + s.undecided).map(|s| s.metric).collect();
        if !metrics.is_empty() {
            let (prompt, want) = (case.prompt.shown(), case.expect.shown());
            let (place, kind) = (case.place.clone(), case.kind.clone());
            self.wrong.push(Wrong { place, kind, metrics, prompt, want, got: given.text });
        }
    }

    fn count(&mut self, kind: &str, score: &Score) {
        let Score { metric, right, of, undecided } = *score;
        let at = self.results.iter().position(|row| row.kind == kind && row.metric == metric);
        let at = at.unwrap_or_else(|| {
            self.results.push(Row {
                kind: kind.into(),
                metric,
                right: 0,
                of: 0,
                undecided: 0,
                fraction: 0.0,
                low: 0.0,
                high: 1.0,
            });
            self.results.len() - 1
        });
        let row = &mut self.results[at];
        row.right += right;
        row.of += of;
        row.undecided += undecided;
        row.fraction = if row.of == 0 { 0.0 } else { row.right as f64 / row.of as f64 };
        (row.low, row.high) = interval(row.right, row.of);
    }

    /// Adds the rows over all kinds, once every case is in; leaves out what went wrong where it is not wanted.
    pub fn finish(mut self, show: bool) -> Report {
        let sums: Vec<Score> = self
            .results
            .iter()
            .map(|row| Score { metric: row.metric, right: row.right, of: row.of, undecided: row.undecided })
            .collect();
        for sum in &sums {
            self.count(ALL, sum);
        }
        if !show {
            self.wrong.clear();
        }
        self
    }

    /// For people: a table, before it what went wrong.
    pub fn table(&self) -> String {
        let mut out = format!("{}: {} cases of {}\n", printable(&self.task), self.cases, self.file.display());
        for Wrong { place, kind, metrics, prompt, want, got } in &self.wrong {
            let [kind, prompt, want, got] = [kind, prompt, want, got].map(|text| printable(text));
            let metrics = metrics.join(", ");
            let _ = writeln!(out, "  {place} {kind} ({metrics}): {prompt}\n    want {want}\n    got  {got}");
        }
        let mut rows = vec![["", "metric", "right", "of", "%", "95 % interval"].map(String::from)];
        for Row { kind, metric, right, of, fraction, low, high, .. } in &self.results {
            let percent = |fraction: f64| format!("{:.1}", 100.0 * fraction);
            let range = format!("{} to {}", percent(*low), percent(*high));
            let [kind, metric] = [printable(kind), metric.to_string()];
            rows.push([kind, metric, right.to_string(), of.to_string(), percent(*fraction), range]);
        }
        out.push_str(&ui::table(&rows));
        for row in self.results.iter().filter(|row| row.kind == ALL && row.undecided > 0) {
            let _ = writeln!(
                out,
                "{} of {} are not counted: they ask for a language, of answers without letters",
                row.undecided, row.metric
            );
        }
        if self.cut > 0 {
            let _ = writeln!(
                out,
                "{} answers ended at the limit on tokens, and were judged as they are",
                self.cut
            );
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::exact::Normalize;
    use super::super::{Expect, Prompt};
    use super::*;

    fn case(kind: &str) -> Case {
        let expect = Expect::Answer(vec!["yes".into()], Normalize::default());
        let prompt = Prompt::Text { description: "".into(), examples: "".into(), question: "Well?".into() };
        Case { place: format!("{kind}.jsonl:1"), kind: kind.into(), prompt, stop: [].into(), expect }
    }

    #[test]
    fn rows_a_kind_and_in_all() {
        let task = Task { name: "t".into(), path: "t.jsonl".into(), max_tokens: 1, cases: vec![] };
        let mut report = Report::new(&task);
        for (kind, answer) in [("a", "yes"), ("b", "no\u{1b}"), ("a", "yes"), ("b", "yes")] {
            let case = case(kind);
            report.add(
                &case,
                Given { scores: case.expect.judge(answer), text: answer.into(), cut: answer == "yes" },
            );
        }
        let undecided = Score { metric: "exact_match", right: 0, of: 0, undecided: 1 };
        report.add(&case("c"), Given { scores: vec![undecided], text: "oui".into(), cut: false });
        let report = report.finish(true);
        // Wilson of 2 of 2, 1 of 2, 0 of 0, 3 of 4.
        let expected = "\
t: 5 cases of t.jsonl
  b.jsonl:1 b (exact_match): Well?
    want yes
    got  no\\u{1b}
  c.jsonl:1 c (exact_match): Well?
    want yes
    got  oui
          metric  right  of      %  95 % interval
a    exact_match      2   2  100.0  34.2 to 100.0
b    exact_match      1   2   50.0    9.5 to 90.5
c    exact_match      0   0    0.0   0.0 to 100.0
all  exact_match      3   4   75.0   30.1 to 95.4
1 of exact_match are not counted: they ask for a language, of answers without letters
3 answers ended at the limit on tokens, and were judged as they are
";
        assert_eq!(report.table(), expected);
    }
}
