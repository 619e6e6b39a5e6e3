//! The plugin's executable; everything is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_etcd_backup::main()
}
