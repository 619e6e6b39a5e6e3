//! The executable of the plugin; the library next to it has the code.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_etcd_backup::main()
}
