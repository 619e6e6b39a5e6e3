//! What became of the scenarios: a table on standard error and, in target/e2e, the table and the names of those that
//! failed, so that they alone can be run again.

use std::path::PathBuf;
use std::process::ExitCode;

pub struct Row {
    pub scenario: String,
    pub seconds: f32,
    /// Compared between a restored file and etcd.
    pub keys: u64,
    pub result: Outcome,
}

pub enum Outcome {
    Passed,
    /// What was said; the table shows its first line.
    Failed(String),
    /// Why it cannot be run here.
    LeftOut(&'static str),
}

impl Row {
    /// One that was not run.
    pub fn without_run(scenario: &str, result: Outcome) -> Self {
        Row { scenario: scenario.to_owned(), seconds: 0.0, keys: 0, result }
    }

    /// The first failure counts.
    pub fn fail(&mut self, words: String) {
        if matches!(self.result, Outcome::Passed) {
            self.result = Outcome::Failed(words);
        }
    }

    fn failed(&self) -> bool {
        matches!(self.result, Outcome::Failed(_))
    }
}

/// Where the files of a run go that outlive it: target/e2e.
pub fn directory() -> Option<PathBuf> {
    std::env::var_os("E2E_REPORTS").map(PathBuf::from)
}

/// The names of the scenarios that failed in the run before this one.
pub fn failed_before() -> Vec<String> {
    let file = directory().map(|directory| directory.join("failed"));
    let names = file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    names.lines().map(str::to_owned).collect()
}

/// Tells and keeps the results. It is a success when something passed and nothing failed.
pub fn report(rows: &[Row]) -> ExitCode {
    let table = table(rows);
    eprint!("\n{table}");
    let failed: String = rows.iter().filter(|row| row.failed()).map(|row| format!("{}\n", row.scenario)).collect();
    if let Some(directory) = directory() {
        let write = |name: &str, text: &str| std::fs::write(directory.join(name), text);
        if let Err(error) = write("table", &table).and_then(|()| write("failed", &failed)) {
            eprintln!("the results cannot be kept in {}: {error}", directory.display());
            return ExitCode::FAILURE;
        }
    }
    let passed = rows.iter().any(|row| matches!(row.result, Outcome::Passed));
    if passed && failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.scenario.len()).max().unwrap_or_default();
    let mut table = format!("{:<width$}  seconds  keys compared  result\n", "scenario");
    let mut counts = [0, 0, 0];
    for row in rows {
        let (count, result) = match &row.result {
            Outcome::Passed => (0, "ok".to_owned()),
            Outcome::Failed(words) => (1, words.lines().next().unwrap_or("failed").to_owned()),
            Outcome::LeftOut(why) => (2, format!("left out: {why}")),
        };
        counts[count] += 1;
        table.push_str(&format!("{:<width$}  {:>7.1}  {:>13}  {result}\n", row.scenario, row.seconds, row.keys));
    }
    let [passed, failed, left_out] = counts;
    table.push_str(&format!("\n{passed} passed, {failed} failed"));
    if left_out > 0 {
        table.push_str(&format!(", {left_out} left out"));
    }
    table.push('\n');
    table
}
