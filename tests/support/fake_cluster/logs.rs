//! The kubelet's file server below /var/log, with Go's `http.FileServer` semantics, and all that can stand in between.

use std::io::{Error, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::Shared;
use super::faults::Faults;
use super::http::{Request, answer, head};
use super::job;

pub fn serve(
    shared: &Shared,
    stream: &mut TcpStream,
    request: &Request,
    node: &str,
    rest: &[&str],
    faults: &Faults,
) -> std::io::Result<()> {
    let text = |stream: &mut TcpStream, status: u16, body: &str| answer(stream, status, "text/plain", body.as_bytes());
    if request.target.contains('?') {
        return text(stream, 406, "unsupported log query");
    }
    if let Some(status) = faults.logs_status {
        return text(stream, status, "logs endpoint is disabled.");
    }
    let path = shared.node_root(node).join("var/log").join(rest.join("/"));
    if path.is_dir() {
        let names = std::fs::read_dir(&path)?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let lines: String = names.map(|name| format!("<a href=\"{name}/\">{name}/</a>\n")).collect();
        return text(stream, 200, &format!("<pre>\n{lines}</pre>\n"));
    }
    if past(faults.rename_at, shared.state().served) {
        let start = Instant::now();
        while rest.last() == Some(&"snapshot.db.part") && path.exists() && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let Ok(mut bytes) = std::fs::read(&path) else {
        return text(stream, 404, "404 page not found\n");
    };
    let first = *shared.state().first_read.get_or_insert_with(Instant::now);
    if faults.unavailable.is_some_and(|time| first.elapsed() < time) {
        return text(stream, 503, "apiserver is shutting down");
    }
    let continues = request.header("range").is_some_and(|range| !range.starts_with("bytes=0-"));
    if continues && faults.forgets_rules.is_some_and(|time| first.elapsed() < time) {
        return text(stream, 403, "nodes \"cp1\" is forbidden: User \"tester\" cannot get resource \"nodes/proxy\"");
    }
    change(&mut bytes, faults);
    let (mut from, mut to, size) = (0, bytes.len(), bytes.len());
    let range = request
        .header("range")
        .filter(|_| !faults.ignore_range)
        .and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    if let Some((start, last)) = range {
        from = start.parse().unwrap_or(0);
        to = last.parse().map_or(size, |last: usize| (last + 1).min(size));
        if from >= size {
            return head(
                stream,
                416,
                &[("Content-Range", format!("bytes */{size}")), ("Content-Length", "0".to_owned())],
            );
        }
    }
    if faults.endless {
        head(stream, 200, &[("Content-Type", "application/octet-stream".to_owned())])?;
        loop {
            stream.write_all(&[0_u8; 65_536])?;
        }
    }
    let mut headers = vec![("Content-Length", (to - from).to_string()), ("Accept-Ranges", "bytes".to_owned())];
    if faults.gzip {
        headers.push(("Content-Encoding", "gzip".to_owned()));
    }
    if range.is_some() {
        headers.push(("Content-Range", format!("bytes {from}-{}/{size}", to - 1)));
    }
    head(stream, if range.is_some() { 206 } else { 200 }, &headers)?;
    body(shared, stream, &bytes[from..to], from as u64, faults, &path.to_string_lossy())
}

fn past(limit: Option<u64>, served: u64) -> bool {
    limit.is_some_and(|limit| served > limit)
}

fn change(bytes: &mut Vec<u8>, faults: &Faults) {
    if let Some(at) = faults.flip_at {
        let at = if at < 0 { bytes.len() as i64 + at } else { at };
        if let Some(byte) = usize::try_from(at).ok().and_then(|at| bytes.get_mut(at)) {
            *byte ^= 1;
        }
    }
    bytes.truncate(bytes.len().saturating_sub(faults.short_by as usize));
}

fn body(
    shared: &Shared,
    stream: &mut TcpStream,
    bytes: &[u8],
    from: u64,
    faults: &Faults,
    path: &str,
) -> std::io::Result<()> {
    let piece_length = 16 << 10;
    let mut at = from;
    for piece in bytes.chunks(piece_length) {
        let end = at + piece.len() as u64;
        let cut = {
            let mut state = shared.state();
            let index = state.faults.cuts.iter().position(|cut| (at..end).contains(cut));
            index.map(|index| state.faults.cuts.remove(index))
        };
        if let Some(cut) = cut {
            stream.write_all(&piece[..(cut - at) as usize])?;
            stream.shutdown(std::net::Shutdown::Both)?;
            return Err(Error::other("cut"));
        }
        if faults.stall_at.is_some_and(|stall| end > stall) {
            std::thread::sleep(Duration::from_secs(600));
        }
        stream.write_all(piece)?;
        at = end;
        let served = {
            let mut state = shared.state();
            state.served += piece.len() as u64;
            state.served
        };
        let hook = shared.state().faults.when_served.take_if(|(limit, _)| served > *limit);
        if let Some((_, hook)) = hook {
            hook.happen();
        }
        if past(faults.rename_at, served) && path.ends_with(".part") {
            stream.shutdown(std::net::Shutdown::Both)?;
            return Err(Error::other("cut before the rename"));
        }
        if past(faults.delete_job_at, served) {
            let names: Vec<String> = shared.state().jobs.keys().cloned().collect();
            for name in names {
                job::remove(shared, &name, true);
            }
        }
        if past(faults.replace_pod_at, served) {
            for pod in shared.state().pods.values_mut() {
                pod["metadata"]["uid"] = "another".into();
            }
            let _ = std::fs::remove_dir_all(std::path::Path::new(path).parent().expect("it lies in a directory"));
        }
        // A test may lift it in the middle of a file.
        let throttle = shared.state().faults.throttle;
        if let Some(rate) = throttle {
            std::thread::sleep(Duration::from_secs_f64(piece.len() as f64 / rate as f64));
        }
    }
    Ok(())
}
