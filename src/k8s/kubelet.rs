//! What a node's kubelet tells through the API server: its configuration, its free space, and files under /var/log.
//!
//! The kubelet serves /var/log with Go's `http.FileServer` (Kubernetes `pkg/kubelet/server/server.go`, `/logs/`).
//! That is how a snapshot comes home from a node whose etcd image has no shell. Everything that stands in between (an
//! ingress, a gateway) may ignore a range, compress, or cut the answer, so each answer is checked before its bytes
//! count. A query string is never sent: with log queries enabled the kubelet answers 406 to it.

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, RANGE};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;

use super::error::{ApiError, explain, refused};
use super::{Access, KubeClient};
use crate::error::Error;

/// Characters that would end or change a path segment.
const SEGMENT: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'/').add(b'<').add(b'>').add(b'?').add(b'\\');

/// The largest answer that is read whole: listings, configuration, statistics.
const MOST_TEXT: usize = 8 << 20;

/// Where the kubelet serves /var/log from.
const SERVED: &str = "/var/log";

/// A file or directory below /var/log of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLogPath {
    /// Name of the node.
    pub node: String,
    /// Absolute path on the node.
    pub path: String,
}

impl NodeLogPath {
    /// `path` on `node`; `None` unless it lies below /var/log, where the kubelet's file server ends.
    pub fn new(node: &str, path: &str) -> Option<Self> {
        let below = path.strip_prefix(SERVED)?;
        let clean = below.starts_with('/') && !below.split('/').any(|part| part == ".." || part == ".");
        clean.then(|| NodeLogPath { node: node.to_owned(), path: path.trim_end_matches('/').to_owned() })
    }

    /// A file in this directory.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        NodeLogPath { node: self.node.clone(), path: format!("{}/{name}", self.path) }
    }

    fn url(&self) -> String {
        let below = self.path.strip_prefix(SERVED).unwrap_or_default();
        let path: Vec<_> = below.split('/').map(|part| utf8_percent_encode(part, SEGMENT).to_string()).collect();
        proxy_url(&self.node, &format!("logs{}", path.join("/")))
    }
}

fn proxy_url(node: &str, rest: &str) -> String {
    format!("/api/v1/nodes/{}/proxy/{rest}", utf8_percent_encode(node, SEGMENT))
}

/// Free and total space of the file system that holds the kubelet's directory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes that can still be written.
    pub available: u64,
    /// Size of the file system.
    pub capacity: u64,
}

/// A part of a file that is about to be read.
#[derive(Debug)]
pub struct RangeResponse {
    /// Offset of the first byte of `body` in the file.
    pub start: u64,
    /// Offset behind the last byte of `body`; `None` when the answer does not say.
    pub end: Option<u64>,
    /// Size of the file at this moment; `None` when the answer does not say.
    pub size: Option<u64>,
    /// The bytes.
    pub body: Body,
}

/// Why no part of a file could be had.
#[derive(Debug)]
pub enum LogReadError {
    /// There is no such file (404).
    NotFound,
    /// The range starts at or behind the end (416); the size when the answer says it.
    PastTheEnd(Option<u64>),
    /// What stands between here and the kubelet changes the answers, so no byte of them can be used.
    Altered(Error),
    /// The request failed.
    Failed(ApiError),
}

impl KubeClient {
    fn proxy_access(node: &str) -> Access {
        Access::cluster_scoped("get", "nodes", node).subresource("proxy")
    }

    async fn kubelet_text(&self, node: &str, rest: &str) -> Result<String, ApiError> {
        let access = Self::proxy_access(node);
        let request = async {
            let request = Request::get(proxy_url(node, rest)).body(Body::empty()).map_err(kube::Error::HttpError)?;
            let response = self.client().send(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MOST_TEXT).collect().await.map_err(kube::Error::Service)?;
            kube::Result::Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
        };
        let (status, text) = self.call(&access, request).await?;
        if status.is_success() {
            Ok(text)
        } else {
            Err(refused(status.as_u16(), &message_of(&text), Some(&access), self.server()))
        }
    }

    /// The kubelet's running configuration (`configz`).
    pub async fn kubelet_config(&self, node: &str) -> Result<Value, ApiError> {
        let text = self.kubelet_text(node, "configz").await?;
        let mut config: Value = serde_json::from_str(&text).unwrap_or_default();
        Ok(config["kubeletconfig"].take())
    }

    /// Room on the node's file system; `None` when the kubelet's statistics do not tell.
    pub async fn disk_space(&self, node: &str) -> Result<Option<DiskSpace>, ApiError> {
        let text = self.kubelet_text(node, "stats/summary").await?;
        let summary: Value = serde_json::from_str(&text).unwrap_or_default();
        let fs = &summary["node"]["fs"];
        let figures = (fs["availableBytes"].as_u64(), fs["capacityBytes"].as_u64());
        Ok(match figures {
            (Some(available), Some(capacity)) if capacity > 0 => Some(DiskSpace { available, capacity }),
            _ => None,
        })
    }

    /// The names in a directory below /var/log; a directory's name ends with a slash.
    pub async fn list_log_directory(&self, directory: &NodeLogPath) -> Result<Vec<String>, ApiError> {
        let below = directory.path.strip_prefix(SERVED).unwrap_or_default();
        let page = self.kubelet_text(&directory.node, &format!("logs{below}/")).await?;
        Ok(page.lines().filter_map(listed_name).map(str::to_owned).collect())
    }

    /// Asks for the bytes `from..to` of a file. The answer may hold less, when the file ends earlier, or start at 0,
    /// when something in between ignores ranges; [`RangeResponse::start`] tells.
    pub async fn read_log_file(&self, file: &NodeLogPath, from: u64, to: u64) -> Result<RangeResponse, LogReadError> {
        let access = Self::proxy_access(&file.node);
        let request = Request::builder()
            .method(Method::GET)
            .uri(file.url())
            .header(RANGE, format!("bytes={from}-{}", to.saturating_sub(1)))
            .header(ACCEPT_ENCODING, "identity")
            .body(Body::empty())
            .map_err(|error| LogReadError::Failed(explain(kube::Error::HttpError(error), None, self.server())))?;
        let client = self.client();
        let response = self.call(&access, client.send(request)).await.map_err(LogReadError::Failed)?;
        let (parts, body) = response.into_parts();
        tracing::trace!(path = %file.path, from, status = parts.status.as_u16(), "range");

        if let Some(encoding) = parts.headers.get(CONTENT_ENCODING)
            && encoding != "identity"
        {
            return Err(LogReadError::Altered(altered("compresses the answers")));
        }
        let range = parts.headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
        match parts.status {
            StatusCode::PARTIAL_CONTENT => {
                let Some((start, end, size)) = range.and_then(content_range) else {
                    return Err(LogReadError::Altered(altered("answers with a Content-Range that makes no sense")));
                };
                if start != from || end > to {
                    return Err(LogReadError::Altered(altered("answers with another range than the one asked for")));
                }
                Ok(RangeResponse { start, end: Some(end), size, body })
            }
            StatusCode::OK => Ok(RangeResponse { start: 0, end: None, size: None, body }),
            StatusCode::NOT_FOUND => Err(LogReadError::NotFound),
            StatusCode::RANGE_NOT_SATISFIABLE => {
                Err(LogReadError::PastTheEnd(range.and_then(|range| range.strip_prefix("bytes */")?.parse().ok())))
            }
            status => {
                let text = self.limited(&access, Limited::new(body, MOST_TEXT).collect()).await;
                let text = text.ok().and_then(Result::ok).map(|body| body.to_bytes()).unwrap_or_default();
                let said = message_of(&String::from_utf8_lossy(&text));
                Err(LogReadError::Failed(refused(status.as_u16(), &said, Some(&access), self.server())))
            }
        }
    }
}

fn altered(what: &str) -> Error {
    Error::failed(format!("something between this machine and the kubelet {what}, so the copy cannot be trusted"))
        .hint("reach the API server without the proxy or gateway in front of it (--server)")
}

/// The message of a `Status` object, else the text's first line: the API server answers with the former, the
/// kubelet with the latter.
fn message_of(text: &str) -> String {
    let status: Option<Value> = serde_json::from_str(text).ok();
    match status.as_ref().and_then(|status| status["message"].as_str()) {
        Some(message) => message.to_owned(),
        None => text.lines().next().unwrap_or_default().chars().take(300).collect(),
    }
}

/// `bytes START-LAST/SIZE` (RFC 9110 §14.4) as start, end (exclusive) and size.
fn content_range(value: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (start, last) = range.split_once('-')?;
    let (start, end): (u64, u64) = (start.parse().ok()?, last.parse::<u64>().ok()?.checked_add(1)?);
    let size = if size == "*" { None } else { Some(size.parse().ok()?) };
    (start < end && size.is_none_or(|size| end <= size)).then_some((start, end, size))
}

/// The name in a line of Go's directory listing, `<a href="name">name</a>`.
fn listed_name(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("<a href=\"")?;
    let (name, _) = rest.split_once('"')?;
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_var_log_can_be_served() {
        assert!(NodeLogPath::new("cp1", "/var/log/pods").is_some());
        assert!(NodeLogPath::new("cp1", "/var/logs").is_none());
        assert!(NodeLogPath::new("cp1", "/data/pods").is_none());
        assert!(NodeLogPath::new("cp1", "/var/log/../lib/etcd").is_none());
    }

    #[test]
    fn nothing_in_a_name_can_become_a_query() {
        let file = NodeLogPath::new("cp1", "/var/log/pods/a?b#c").expect("it lies below");
        assert_eq!(file.url(), "/api/v1/nodes/cp1/proxy/logs/pods/a%3Fb%23c");
    }

    #[test]
    fn content_ranges_are_read_and_nonsense_is_refused() {
        assert_eq!(content_range("bytes 0-31/100"), Some((0, 32, Some(100))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, 10, None)));
        for nonsense in ["bytes 9-5/100", "bytes 0-100/100", "bytes */100", "0-1/2", "bytes 0-18446744073709551615/*"] {
            assert_eq!(content_range(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_listing_gives_its_names() {
        assert_eq!(
            listed_name("<a href=\"kube-system_etcd-cp1_1/\">kube-system_etcd-cp1_1/</a>"),
            Some("kube-system_etcd-cp1_1/")
        );
        assert_eq!(listed_name("<pre>"), None);
    }

    #[test]
    fn the_message_is_taken_from_a_status_or_from_the_first_line() {
        assert_eq!(message_of("{\"kind\":\"Status\",\"message\":\"no\"}"), "no");
        assert_eq!(message_of("logs endpoint is disabled.\nmore"), "logs endpoint is disabled.");
    }
}
