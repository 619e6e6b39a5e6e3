//! `pods/portforward` over a WebSocket, to the real etcd: the kubelet's frames, written by hand so that the connection
//! can break inside any of them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Shared;
use super::http::{Request, answer, upgrade};

/// What goes wrong on the way to etcd.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The connection is cut when this many bytes came from etcd, once each.
    pub cuts: Vec<u64>,
    /// The WebSocket is closed in good order when this many bytes came from etcd.
    pub close_at: Option<u64>,
    /// No byte comes from etcd from here on.
    pub silent_at: Option<u64>,
    /// The kubelet cannot connect, and says this.
    pub refused: Option<&'static str>,
    /// Something in between answers the upgrade with this.
    pub no_upgrade: Option<u16>,
    /// When the connection is cut, the pod is another one afterwards.
    pub replaces_pod: bool,
    /// The pod is another one than at first.
    pub replaced: bool,
    /// Bytes a second.
    pub throttle: Option<u64>,
}

const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

pub fn serve(shared: &Arc<Shared>, mut stream: TcpStream, request: &Request, pod: &str) {
    let faults = shared.state().faults.forward.clone();
    if let Some(status) = faults.no_upgrade {
        let _ = answer(&mut stream, status, "text/html", b"<html>this gateway knows no WebSockets</html>");
        return;
    }
    let upgraded = upgrade(&mut stream, request, "v4.channel.k8s.io");
    let port: u16 = request.query("ports").concat().parse().expect("one port");
    if upgraded.is_err() {
        return;
    }
    let writer = Arc::new(Mutex::new(stream.try_clone().expect("a second handle")));
    for channel in [0, 1] {
        send(&writer, BINARY, &[channel, port.to_le_bytes()[0], port.to_le_bytes()[1]]);
    }
    let url = shared.member(pod).map_or("", |member| member.url.as_str());
    let etcd = url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(0_u16);
    let connected = if port == etcd { TcpStream::connect(("127.0.0.1", etcd)).ok() } else { None };
    let said = faults.refused.map(str::to_owned);
    let said = said.or_else(|| connected.is_none().then(|| format!("dial tcp4 127.0.0.1:{port}: connection refused")));
    let (None, Some(etcd)) = (said.as_ref(), connected) else {
        let text = format!("\u{1}an error occurred forwarding {port} -> {port}: {}", said.unwrap_or_default());
        send(&writer, BINARY, text.as_bytes());
        send(&writer, CLOSE, &[]);
        // Closed with bytes unread, the system would throw away what was sent.
        while receive(&mut stream).is_some() {}
        return;
    };
    let mut to_etcd = etcd.try_clone().expect("a second handle");
    let (from_etcd, shared) = (etcd, Arc::clone(shared));
    let to_client = Arc::clone(&writer);
    let end = stream.try_clone().expect("a third handle");
    std::thread::spawn(move || {
        forward(&shared, from_etcd, &to_client, &faults);
        let _ = end.shutdown(Shutdown::Both);
    });
    while let Some((opcode, payload)) = receive(&mut stream) {
        match (opcode, payload.split_first()) {
            (BINARY, Some((0, bytes))) => {
                // An etcd that has gone away shows in what it no longer sends.
                let _ = to_etcd.write_all(bytes);
            }
            (PING, _) => send(&writer, PONG, &payload),
            (CLOSE, _) => break,
            _ => {}
        }
    }
    let _ = to_etcd.shutdown(Shutdown::Both);
}

/// Everything that etcd sends, until a fault ends it.
fn forward(shared: &Shared, mut etcd: TcpStream, client: &Arc<Mutex<TcpStream>>, faults: &Faults) {
    let mut passed = 0_u64;
    let mut buffer = vec![0; 32 << 10];
    while let Ok(read @ 1..) = etcd.read(&mut buffer) {
        let end = passed + read as u64;
        if faults.silent_at.is_some_and(|at| at < end) {
            while !shared.stopped.load(std::sync::atomic::Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(50));
            }
            return;
        }
        let cut = {
            let cuts = &mut shared.state().faults.forward.cuts;
            let at = cuts.iter().position(|at| *at < end);
            at.map(|at| cuts.remove(at).saturating_sub(passed) as usize)
        };
        if let Some(cut) = cut {
            // The frame is announced whole and ends early.
            let mut bytes = frame_head(BINARY, read + 1);
            bytes.push(0);
            bytes.extend_from_slice(&buffer[..cut]);
            let mut client = client.lock().expect("no thread of the fake cluster panics");
            let _ = client.write_all(&bytes);
            let _ = client.shutdown(Shutdown::Both);
            if faults.replaces_pod {
                shared.state().faults.forward.replaced = true;
            }
            return;
        }
        if faults.close_at.is_some_and(|at| at < end) {
            send(client, CLOSE, &1000_u16.to_be_bytes());
            std::thread::sleep(Duration::from_millis(200));
            return;
        }
        let mut message = Vec::with_capacity(read + 1);
        message.push(0);
        message.extend_from_slice(&buffer[..read]);
        send(client, BINARY, &message);
        passed = end;
        shared.state().served += read as u64;
        if let Some(rate) = faults.throttle {
            std::thread::sleep(Duration::from_secs_f64(read as f64 / rate as f64));
        }
    }
    // containerd's words for an etcd that went away.
    let text =
        "\u{1}error forwarding port to pod, uid : failed to execute portforward: readfrom tcp4: write: broken pipe";
    send(client, BINARY, text.as_bytes());
    send(client, CLOSE, &1000_u16.to_be_bytes());
}

/// The head of a server's frame, which is not masked (RFC 6455 §5.2).
fn frame_head(opcode: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match length {
        0..126 => bytes.push(length as u8),
        126..65536 => {
            bytes.push(126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes
}

fn send(stream: &Mutex<TcpStream>, opcode: u8, payload: &[u8]) {
    let mut bytes = frame_head(opcode, payload.len());
    bytes.extend_from_slice(payload);
    let _ = stream.lock().expect("no thread of the fake cluster panics").write_all(&bytes);
}

/// A client's frame; `None` at the end of the connection.
fn receive(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut start = [0; 2];
    stream.read_exact(&mut start).ok()?;
    let length = match start[1] & 0x7f {
        126 => {
            let mut bytes = [0; 2];
            stream.read_exact(&mut bytes).ok()?;
            usize::from(u16::from_be_bytes(bytes))
        }
        127 => {
            let mut bytes = [0; 8];
            stream.read_exact(&mut bytes).ok()?;
            u64::from_be_bytes(bytes) as usize
        }
        length => usize::from(length),
    };
    let mut mask = [0; 4];
    stream.read_exact(&mut mask).ok()?;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).ok()?;
    payload.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= mask[at % 4]);
    Some((start[0] & 0x0f, payload))
}
