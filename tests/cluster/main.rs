//! The scenarios on a real control plane: kubelets, container runtimes, RBAC and etcd images as they are, because a
//! stand-in agrees with whoever wrote it. `tests/cluster/run` (by way of `make e2e`) sets the environment and cleans
//! up; this program starts the clusters that the scenarios need, runs them one after the other and prints a table.

#![allow(clippy::print_stderr, reason = "a table and its progress are what this program is for")]

mod harness;
mod scenarios;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use harness::cluster::Cluster;
use harness::remains::{Debts, Remains};
use harness::{Needs, Scenario};

struct Row {
    scenario: String,
    seconds: f32,
    keys: u64,
    failure: Option<String>,
}

fn main() -> ExitCode {
    // What went wrong is told once, with the scenario's name.
    std::panic::set_hook(Box::new(|panic| {
        if let Some(place) = panic.location() {
            eprintln!("at {place}:");
        }
    }));
    let Ok(kind) = std::env::var("E2E_CLUSTER") else {
        eprintln!("these are run by 'make e2e'");
        return ExitCode::from(2);
    };
    let only = std::env::var("E2E_ONLY").unwrap_or_default();
    let soak = std::env::var("E2E_SOAK").is_ok_and(|value| value == "1");
    let chosen: Vec<Scenario> = scenarios::all()
        .into_iter()
        .filter(|scenario| soak || !scenario.long)
        .filter(|scenario| only.is_empty() || only.split(',').any(|part| scenario.name.contains(part)))
        .collect();
    let groups: &[(Needs, usize)] =
        if kind == "current" { &[(Needs::Any, 0)] } else { &[(Needs::One, 1), (Needs::Three, 3)] };

    let mut rows = Vec::new();
    for (needs, nodes) in groups {
        let group: Vec<_> = chosen.iter().filter(|scenario| scenario.needs.met_by(*needs)).collect();
        if !group.is_empty() {
            rows.extend(run_group(&group, *nodes));
        }
    }
    report(&rows)
}

/// Runs scenarios that need the same cluster. Directories on the nodes go minutes after the jobs, so they are waited
/// for once, at the end.
fn run_group(group: &[&Scenario], nodes: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut debts = Debts::default();
    let mut cluster = Cluster::start(nodes, false);
    for scenario in group {
        eprintln!("--- {}", scenario.name);
        let start = Instant::now();
        let before = Remains::of(&cluster);
        let mut failure = caught(|| (scenario.run)(&cluster));
        failure = failure.or_else(|| caught(|| before.must_be_all(&cluster)));
        debts.note(&cluster, &scenario.name);
        let keys = cluster.take_compared();
        if let Some(failure) = &failure {
            eprintln!("FAILED: {}\n{failure}", scenario.name);
            cluster.sweep();
        }
        // The next one must not fail for the sake of this one.
        if caught(|| cluster.must_be_healthy()).is_some() {
            let sick = format!("the cluster was not well again after {}", scenario.name);
            eprintln!("{sick}: starting another one");
            failure = failure.or(Some(sick));
            drop(cluster);
            cluster = Cluster::start(nodes, true);
            debts = Debts::default();
        }
        rows.push(Row { scenario: scenario.name.clone(), seconds: start.elapsed().as_secs_f32(), keys, failure });
    }
    for (scenario, directory) in debts.settle(&cluster) {
        if let Some(row) = rows.iter_mut().find(|row| row.scenario == scenario) {
            row.failure.get_or_insert_with(|| format!("left on a node: {directory}"));
        }
    }
    rows
}

/// The words of the panic, if there is one.
fn caught(body: impl FnOnce()) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(body)).err()?;
    let text = panic.downcast_ref::<String>().cloned();
    Some(text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
}

fn report(rows: &[Row]) -> ExitCode {
    let width = rows.iter().map(|row| row.scenario.len()).max().unwrap_or_default();
    eprintln!("\n{:<width$}  seconds  keys compared  result", "scenario");
    for row in rows {
        let result = row.failure.as_ref().map_or("ok", |failure| failure.lines().next().unwrap_or("failed"));
        eprintln!("{:<width$}  {:>7.1}  {:>13}  {result}", row.scenario, row.seconds, row.keys);
    }
    let failed = rows.iter().filter(|row| row.failure.is_some()).count();
    eprintln!("\n{} passed, {failed} failed", rows.len() - failed);
    if failed == 0 && !rows.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
