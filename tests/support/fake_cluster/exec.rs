//! `pods/exec` over a WebSocket, as the kubelet of a node whose etcd image holds nothing but etcd's three programs.

use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;

use serde_json::json;
use tungstenite::Message;
use tungstenite::protocol::{Role, WebSocket};

use super::http::{Request, upgrade};
use super::{Shared, container};
use crate::support::etcd::tool;

pub fn serve(shared: &Arc<Shared>, mut stream: TcpStream, request: &Request, pod: &str) {
    let upgraded = upgrade(&mut stream, request, "v5.channel.k8s.io");
    if upgraded.is_err() {
        return;
    }
    let command = request.query("command");
    if command.iter().any(|word| word == "hashkv") {
        std::thread::sleep(super::members::slow_hash(shared, pod));
    }
    if command.first().is_some_and(|program| program == "sh") && !shared.state().faults.container.tools.is_empty() {
        container::serve(shared, stream, &command);
        return;
    }
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
    let (stdout, stderr, status) = if command.first().is_some_and(|program| program == "etcdctl") {
        let output = Command::new(tool("etcdctl"))
            .args(&command[1..])
            .envs(shared.state().faults.container.endpoints.iter().map(|urls| ("ETCDCTL_ENDPOINTS", urls)))
            .output()
            .expect("etcdctl starts");
        let status = if output.status.success() {
            json!({"status": "Success"})
        } else {
            json!({"status": "Failure", "message": "command terminated with non-zero exit code"})
        };
        (super::members::scripted(shared, output.stdout), output.stderr, status)
    } else {
        let message =
            format!("exec: \"{}\": executable file not found in $PATH", command.first().map_or("", String::as_str));
        (Vec::new(), Vec::new(), json!({"status": "Failure", "message": message}))
    };
    for (channel, bytes) in [(1_u8, stdout), (2, stderr), (3, status.to_string().into_bytes())] {
        let frame: Vec<u8> = std::iter::once(channel).chain(bytes).collect();
        if socket.send(Message::Binary(frame.into())).is_err() {
            return;
        }
    }
    let _ = socket.close(None);
    while socket.read().is_ok() {}
}
