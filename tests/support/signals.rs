//! Signals that this test process inherited as ignored, as it does from `nohup` or from `&` in a script.

use std::sync::Once;

use tokio::signal::unix::{SignalKind, signal};

/// Makes every program that is started from now on get SIGINT and SIGHUP with their default action.
///
/// A program inherits what is ignored, and the plugin heeds it. What is caught goes back to the default in a new program
/// (execve(2)), so a handler that does nothing is enough. Only Linux tells what is ignored, to the plugin as well.
pub fn reset_in_children() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        let ignored: Vec<SignalKind> =
            [SignalKind::interrupt(), SignalKind::hangup()].into_iter().filter(|kind| is_ignored(*kind)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _entered = runtime.enter();
        // The handler stays when the listener and the runtime are gone.
        ignored.into_iter().for_each(|kind| drop(signal(kind).expect("a handler")));
    });
}

fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}
