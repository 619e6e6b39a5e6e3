//! The scenarios on a real control plane: kubelets, container runtimes, RBAC and etcd images as they are, because a
//! fake cluster agrees with its author. `tests/cluster/run` (by way of `make e2e`) sets the environment and cleans
//! up; this program starts the clusters that the scenarios need, runs them one after the other and prints a table.

#![allow(clippy::print_stderr, reason = "a table and its progress are what this program is for")]

mod harness;
mod report;
mod scenarios;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use harness::cluster::Cluster;
use harness::cluster_state::{ClusterState, PendingCleanups};
use harness::logs::Logs;
use harness::{Needs, Scenario};
use report::{Outcome, Row};

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
    let chosen = chosen();
    let groups: &[(Needs, usize)] =
        if kind == "current" { &[(Needs::Any, 0)] } else { &[(Needs::One, 1), (Needs::Three, 3)] };

    let mut rows = Vec::new();
    for (needs, nodes) in groups {
        let group: Vec<_> = chosen.iter().filter(|scenario| scenario.needs.met_by(*needs)).collect();
        if !group.is_empty() {
            rows.extend(run_group(&group, *nodes));
        }
    }
    report::report(&rows)
}

/// Those that failed before, or those with one of the words in their name.
fn chosen() -> Vec<Scenario> {
    let is_set = |variable: &str| std::env::var(variable).is_ok_and(|value| value == "1");
    let mut all = scenarios::all();
    if is_set("E2E_FAILED") {
        let failed = report::failed_before();
        all.retain(|scenario| failed.contains(&scenario.name));
        return all;
    }
    let (only, soak) = (std::env::var("E2E_ONLY").unwrap_or_default(), is_set("E2E_SOAK"));
    all.retain(|scenario| soak || !scenario.long);
    all.retain(|scenario| only.is_empty() || only.split(',').any(|part| scenario.name.contains(part)));
    all
}

/// Runs scenarios that need the same cluster. Directories on the nodes go minutes after the jobs, so they are waited
/// for once, at the end.
fn run_group(group: &[&Scenario], nodes: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut pending = PendingCleanups::default();
    let needed = group.iter().any(|scenario| scenario.left_out.is_none());
    let mut cluster = if needed { started(nodes, false) } else { Err(String::new()) };
    for scenario in group {
        let start = Instant::now();
        let row = match (&cluster, scenario.left_out) {
            (_, Some(why)) => Row::without_run(&scenario.name, Outcome::LeftOut(why)),
            (Err(error), None) => Row::without_run(&scenario.name, Outcome::Failed(error.clone())),
            (Ok(cluster), None) => run(scenario, cluster, &mut pending),
        };
        rows.push(row);
        // The next one must not fail for the sake of this one.
        let is_well = cluster.as_ref().map_or(Ok(()), |cluster| caught(|| cluster.must_be_healthy()));
        if is_well.is_err() {
            let sick = format!("the cluster was not well again after {}", scenario.name);
            eprintln!("{sick}: starting another one");
            note(&mut rows, Err(sick));
            note(&mut rows, caught(|| drop(cluster)));
            cluster = started(nodes, true);
            pending = PendingCleanups::default();
        }
        // Until the cluster is well: that is a scenario's time, too.
        if let Some(row) = rows.last_mut() {
            row.seconds = start.elapsed().as_secs_f32();
        }
    }
    if let Ok(cluster) = &cluster {
        for (scenario, directory) in pending.settle(cluster) {
            if let Some(row) = rows.iter_mut().find(|row| row.scenario == scenario) {
                row.fail(format!("left on a node: {directory}"));
            }
        }
    }
    note(&mut rows, caught(|| drop(cluster)));
    rows
}

/// A failure that came after a scenario is the last one's.
fn note(rows: &mut [Row], result: Result<(), String>) {
    if let (Some(row), Err(words)) = (rows.last_mut(), result) {
        row.fail(words);
    }
}

fn started(nodes: usize, fresh: bool) -> Result<Cluster, String> {
    let cluster = caught(|| Cluster::start(nodes, fresh));
    cluster.map_err(|error| format!("there was no cluster: {error}")).inspect_err(|error| eprintln!("{error}"))
}

fn run(scenario: &Scenario, cluster: &Cluster, pending: &mut PendingCleanups) -> Row {
    eprintln!("--- {}", scenario.name);
    let logs = Logs::of(cluster);
    let result = caught(|| {
        let before = ClusterState::of(cluster);
        (scenario.run)(cluster);
        before.must_be_all(cluster);
    });
    pending.note(cluster, &scenario.name);
    let keys = cluster.take_compared();
    if let Err(failure) = &result {
        eprintln!("FAILED: {}\n{failure}", scenario.name);
        if let Some(Err(error)) = report::directory().map(|reports| logs.keep(cluster, &reports, &scenario.name)) {
            eprintln!("the nodes' logs cannot be kept: {error}");
        }
        cluster.sweep();
    }
    let result = result.map_or_else(Outcome::Failed, |()| Outcome::Passed);
    Row { scenario: scenario.name.clone(), seconds: 0.0, keys, result }
}

/// What it gives, or the words of its panic.
fn caught<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}
