//! An etcd container with a shell: its scripts run for real, with a PATH of their own and a scratch directory for
//! /tmp, and live on when the connection is gone, as they do under a kubelet.

use std::io::Read;
use std::net::{Shutdown, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tungstenite::Message;
use tungstenite::protocol::{Role, WebSocket};

use super::Shared;
use crate::support::etcd::tool;

/// The container, and what goes wrong in it.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The tools that it holds; without any, not even a shell.
    pub tools: Vec<&'static str>,
    /// The connection is cut when a command has printed this many bytes of the file, once each.
    pub cuts: Vec<u64>,
    /// The connection is closed in good order, without a status, at this many bytes of the file, once.
    pub close_at: Option<u64>,
    /// No byte comes from here on.
    pub silent_at: Option<u64>,
    /// Every command prints this to standard error first.
    pub noise: Option<&'static str>,
    /// etcdctl fails with this when it saves.
    pub save_fails: Option<&'static str>,
    /// etcdctl saves this late.
    pub save_after: Option<Duration>,
    /// rm refuses.
    pub no_delete: bool,
    /// What df says is free, in KiB, of 1000000.
    pub free: Option<u64>,
    /// Somebody deletes the file when a command has printed this many bytes.
    pub vanishes_at: Option<u64>,
    /// The variable ETCDCTL_ENDPOINTS of the container.
    pub endpoints: Option<String>,
    /// Bytes a second.
    pub throttle: Option<u64>,
    /// This byte is wrong.
    pub flip_at: Option<u64>,
}

impl Faults {
    /// What busybox or a distribution's image hold.
    pub const ALL: [&'static str; 9] = ["cat", "cp", "dd", "tail", "rm", "sleep", "stat", "wc", "df"];
}

pub fn scratch(shared: &Shared) -> PathBuf {
    shared.root.join("container-tmp")
}

/// Files in the scratch directory and processes that still run.
pub fn left(shared: &Shared) -> usize {
    let files = std::fs::read_dir(scratch(shared)).map_or(0, Iterator::count);
    files + shared.state().running.len()
}

/// Ends what still runs.
pub fn end(shared: &Shared) {
    for pid in std::mem::take(&mut shared.state().running) {
        let _ = Command::new("kill").args(["-9", "--", &format!("-{pid}")]).stderr(Stdio::null()).status();
    }
}

/// The directory that is the container's PATH.
fn path(shared: &Shared, faults: &Faults) -> PathBuf {
    let bin = shared.root.join("container-bin");
    let _ = std::fs::create_dir_all(&bin);
    let put = |name: &str, script: String| {
        use std::os::unix::fs::PermissionsExt;
        let at = bin.join(name);
        let draft = bin.join(format!(".{name}-{:?}", std::thread::current().id()));
        std::fs::write(&draft, script).expect("it can be written");
        std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        std::fs::rename(&draft, at).expect("the same directory");
    };
    for name in &faults.tools {
        let real = ["/bin", "/usr/bin"].iter().map(|at| Path::new(at).join(name)).find(|at| at.exists());
        let script = match (*name, faults.free) {
            ("rm", _) if faults.no_delete => {
                "#!/bin/sh\necho \"rm: cannot remove: Operation not permitted\" >&2\nexit 1\n".to_owned()
            }
            // How full the disk of this machine is must not matter.
            ("df", free) => format!(
                "#!/bin/sh\necho 'Filesystem 1024-blocks Used Available Capacity Mounted on'\necho 'overlay 1000000 1 {} 40% /'\n",
                free.unwrap_or(900_000)
            ),
            _ => format!("#!/bin/sh\nexec {} \"$@\"\n", real.expect("this machine has it").display()),
        };
        put(name, script);
    }
    put("sh", "#!/bin/sh\nexec /bin/sh \"$@\"\n".to_owned());
    let real = tool("etcdctl").display().to_string();
    let save = match (faults.save_fails, faults.save_after) {
        (Some(said), _) => format!("echo '{said}' >&2; exit 1"),
        (None, Some(late)) => {
            let late = late.as_secs_f64();
            format!("trap 'kill $s; exit 143' TERM; /bin/sleep {late} & s=$!; wait $s")
        }
        (None, None) => ":".to_owned(),
    };
    put("etcdctl", format!("#!/bin/sh\n[ \"$1\" != snapshot ] || {{ {save}; }}\nexec {real} \"$@\"\n"));
    bin
}

pub fn serve(shared: &Arc<Shared>, stream: TcpStream, command: &[String]) {
    let faults = shared.state().faults.container.clone();
    let _ = std::fs::create_dir_all(scratch(shared));
    let raw = stream.try_clone().expect("a second handle");
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
    let mut child = Command::new("/bin/sh")
        .args(&command[1..])
        .env_clear()
        .env("PATH", path(shared, &faults))
        .env("TMPDIR", scratch(shared))
        .envs(faults.endpoints.iter().map(|urls| ("ETCDCTL_ENDPOINTS", urls)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("sh starts");
    let pid = child.id();
    shared.state().running.push(pid);
    let mut errors = child.stderr.take().expect("it is piped");
    let errors = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = errors.read_to_end(&mut text);
        text
    });
    let send = |socket: &mut WebSocket<TcpStream>, channel: u8, bytes: &[u8]| {
        let frame: Vec<u8> = std::iter::once(channel).chain(bytes.iter().copied()).collect();
        socket.send(Message::Binary(frame.into())).is_ok()
    };
    if let Some(noise) = faults.noise {
        send(&mut socket, 2, noise.as_bytes());
    }
    // A reader is what prints the file: the faults of the copy are for it alone.
    let reads =
        ["exec tail -c", "exec dd if", "exec cat \"", "exec cp \""].iter().any(|line| command[2].contains(line));
    if reads {
        shared.state().first_read.get_or_insert_with(std::time::Instant::now);
    }
    let mut stdout = child.stdout.take().expect("it is piped");
    let mut buffer = vec![0; 32 << 10];
    let mut printed = 0_u64;
    while let Ok(read @ 1..) = stdout.read(&mut buffer) {
        let end = printed + read as u64;
        if reads {
            let cut = {
                let cuts = &mut shared.state().faults.container.cuts;
                let at = cuts.iter().position(|at| *at < end);
                at.map(|at| cuts.remove(at).saturating_sub(printed) as usize)
            };
            if let Some(cut) = cut {
                send(&mut socket, 1, &buffer[..cut]);
                let _ = raw.shutdown(Shutdown::Both);
                break;
            }
            if faults.close_at.is_some_and(|at| at < end) {
                shared.state().faults.container.close_at = None;
                let _ = socket.close(None);
                break;
            }
            if faults.silent_at.is_some_and(|at| at < end) {
                // Until the client goes away; then the kubelet closes the pipe.
                let mut ignored = [0; 100];
                while (&raw).read(&mut ignored).is_ok_and(|read| read > 0) {}
                break;
            }
            if faults.vanishes_at.is_some_and(|at| at < end) {
                shared.state().faults.container.vanishes_at = None;
                for entry in std::fs::read_dir(scratch(shared)).into_iter().flatten().flatten() {
                    if entry.path().extension().is_some_and(|end| end == "db") {
                        let _ = std::fs::remove_file(entry.path());
                    }
                }
                let _ = raw.shutdown(Shutdown::Both);
                break;
            }
            if let Some(at) = faults.flip_at
                && (printed..end).contains(&at)
            {
                buffer[(at - printed) as usize] ^= 1;
            }
            shared.state().served += read as u64;
            if let Some(rate) = faults.throttle {
                std::thread::sleep(Duration::from_secs_f64(read as f64 / rate as f64));
            }
        }
        if !send(&mut socket, 1, &buffer[..read]) && reads {
            break;
        }
        printed = end;
    }
    // The kubelet leaves a command alone whose connection is gone, and its pipe open.
    let status = child.wait();
    drop(stdout);
    shared.state().running.retain(|running| *running != pid);
    send(&mut socket, 2, &errors.join().unwrap_or_default());
    let status = if status.is_ok_and(|status| status.success()) {
        json!({"status": "Success"})
    } else {
        json!({"status": "Failure", "message": "command terminated with non-zero exit code"})
    };
    send(&mut socket, 3, status.to_string().as_bytes());
    let _ = socket.close(None);
    while socket.read().is_ok() {}
}
