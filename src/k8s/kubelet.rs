//! Requests to a node's kubelet, through the API server: its configuration, its free space, and files in /var/log.
//!
//! The kubelet serves /var/log with Go's `http.FileServer` (Kubernetes `pkg/kubelet/server/server.go`, `/logs/`). In this
//! way a snapshot can be downloaded from a node whose etcd image has no shell. A proxy or an ingress on the way may
//! ignore a range, compress a response or cut it, so each response is checked before its bytes count. A query string is
//! never sent, because a kubelet with log queries enabled answers 406 to it.

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, RANGE};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;

use super::access::Access;
use super::client::KubeClient;
use super::error::ApiError;
use crate::error::Error;

/// Characters that would end or change a path segment.
const NOT_IN_SEGMENT: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'/').add(b'<').add(b'>').add(b'?').add(b'\\');

/// The most that is read of a text response: a listing, the configuration, statistics.
const MAX_TEXT: usize = 8 << 20;

/// The directory of the node that the kubelet serves.
const SERVED_DIRECTORY: &str = "/var/log";

/// A file or directory in /var/log of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLogPath {
    pub node: String,
    /// Absolute path on the node.
    pub path: String,
}

impl NodeLogPath {
    /// Creates the path `path` on `node`; `None` unless it is in /var/log, because the kubelet serves nothing else.
    pub fn new(node: &str, path: &str) -> Option<Self> {
        let rest = path.strip_prefix(SERVED_DIRECTORY)?;
        let is_clean = rest.starts_with('/') && !rest.split('/').any(|part| part == ".." || part == ".");
        is_clean.then(|| NodeLogPath { node: node.to_owned(), path: path.trim_end_matches('/').to_owned() })
    }

    /// Returns the path of a file in this directory.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        NodeLogPath { node: self.node.clone(), path: format!("{}/{name}", self.path) }
    }

    fn url(&self) -> String {
        let rest = self.path.strip_prefix(SERVED_DIRECTORY).unwrap_or_default();
        let path: Vec<_> = rest.split('/').map(|part| utf8_percent_encode(part, NOT_IN_SEGMENT).to_string()).collect();
        proxy_url(&self.node, &format!("logs{}", path.join("/")))
    }
}

fn proxy_url(node: &str, rest: &str) -> String {
    format!("/api/v1/nodes/{}/proxy/{rest}", utf8_percent_encode(node, NOT_IN_SEGMENT))
}

/// Free and total space of the file system of the kubelet's directory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    pub available: u64,
    pub capacity: u64,
}

/// A response with a range of a file.
#[derive(Debug)]
pub struct RangeResponse {
    /// Offset of the first byte of `body` in the file.
    pub start: u64,
    /// Offset behind the last byte of `body`; `None` if the response does not contain it.
    pub end: Option<u64>,
    /// Current size of the file; `None` if the response does not contain it.
    pub size: Option<u64>,
    pub body: Body,
}

/// Why a range of a file could not be read.
#[derive(Debug)]
pub enum LogReadError {
    /// The file does not exist (404).
    NotFound,
    /// The range starts at or behind the end of the file (416); the file's size if the response contains it.
    PastTheEnd(Option<u64>),
    /// A proxy changes the responses, so no byte of them can be used.
    Altered(Error),
    Failed(ApiError),
}

impl KubeClient {
    fn proxy_access(node: &str) -> Access {
        Access::cluster_scoped("get", "nodes", node).subresource("proxy")
    }

    async fn get_kubelet_text(&self, node: &str, rest: &str) -> Result<String, ApiError> {
        let access = Self::proxy_access(node);
        let request = async {
            let request = Request::get(proxy_url(node, rest)).body(Body::empty()).map_err(kube::Error::HttpError)?;
            let response = self.client().send(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_TEXT).collect().await.map_err(kube::Error::Service)?;
            kube::Result::Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
        };
        let (status, text) = self.call(&access, request).await?;
        if status.is_success() {
            Ok(text)
        } else {
            Err(ApiError::from_status(status.as_u16(), &error_message(&text), Some(&access), self.server()))
        }
    }

    /// Returns the kubelet's running configuration (`configz`).
    pub async fn kubelet_config(&self, node: &str) -> Result<Value, ApiError> {
        let text = self.get_kubelet_text(node, "configz").await?;
        let mut config: Value = serde_json::from_str(&text).unwrap_or_default();
        Ok(config["kubeletconfig"].take())
    }

    /// Returns the space of the node's file system; `None` if the kubelet's statistics do not report it.
    pub async fn disk_space(&self, node: &str) -> Result<Option<DiskSpace>, ApiError> {
        let text = self.get_kubelet_text(node, "stats/summary").await?;
        let summary: Value = serde_json::from_str(&text).unwrap_or_default();
        let fs = &summary["node"]["fs"];
        let sizes = (fs["availableBytes"].as_u64(), fs["capacityBytes"].as_u64());
        Ok(match sizes {
            (Some(available), Some(capacity)) if capacity > 0 => Some(DiskSpace { available, capacity }),
            _ => None,
        })
    }

    /// Checks that the kubelet serves a directory.
    ///
    /// # Errors
    /// The kubelet, or the API server in front of it, refuses, or the directory does not exist.
    pub async fn check_log_directory(&self, directory: &NodeLogPath) -> Result<(), ApiError> {
        let path = directory.path.strip_prefix(SERVED_DIRECTORY).unwrap_or_default();
        self.get_kubelet_text(&directory.node, &format!("logs{path}/")).await.map(drop)
    }

    /// Requests the bytes `from..to` of a file. The response has fewer if the file ends earlier, and starts at 0 if a
    /// proxy ignores ranges; [`RangeResponse::start`] reports that.
    pub async fn read_log_file(&self, file: &NodeLogPath, from: u64, to: u64) -> Result<RangeResponse, LogReadError> {
        let access = Self::proxy_access(&file.node);
        let request = Request::builder()
            .method(Method::GET)
            .uri(file.url())
            .header(RANGE, format!("bytes={from}-{}", to.saturating_sub(1)))
            .header(ACCEPT_ENCODING, "identity")
            .body(Body::empty())
            .map_err(|error| ApiError::from_kube(kube::Error::HttpError(error), None, self.server()))
            .map_err(LogReadError::Failed)?;
        let client = self.client();
        let response = self.call(&access, client.send(request)).await.map_err(LogReadError::Failed)?;
        let (parts, body) = response.into_parts();
        tracing::trace!(path = %file.path, from, status = parts.status.as_u16(), "range");

        if let Some(encoding) = parts.headers.get(CONTENT_ENCODING)
            && encoding != "identity"
        {
            return Err(LogReadError::Altered(altered_error("compresses the responses")));
        }
        let range = parts.headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
        match parts.status {
            StatusCode::PARTIAL_CONTENT => {
                let Some((start, end, size)) = range.and_then(parse_content_range) else {
                    return Err(LogReadError::Altered(altered_error("sends an invalid Content-Range")));
                };
                if start != from || end > to {
                    return Err(LogReadError::Altered(altered_error("sends another range than the requested one")));
                }
                Ok(RangeResponse { start, end: Some(end), size, body })
            }
            StatusCode::OK => Ok(RangeResponse { start: 0, end: None, size: None, body }),
            StatusCode::NOT_FOUND => Err(LogReadError::NotFound),
            StatusCode::RANGE_NOT_SATISFIABLE => {
                Err(LogReadError::PastTheEnd(range.and_then(|range| range.strip_prefix("bytes */")?.parse().ok())))
            }
            status => {
                let text = self.limit(&access, Limited::new(body, MAX_TEXT).collect()).await;
                let text = text.ok().and_then(Result::ok).map(|body| body.to_bytes()).unwrap_or_default();
                let message = error_message(&String::from_utf8_lossy(&text));
                let error = ApiError::from_status(status.as_u16(), &message, Some(&access), self.server());
                Err(LogReadError::Failed(error))
            }
        }
    }
}

fn altered_error(change: &str) -> Error {
    Error::failed(format!("cannot trust the copy: a proxy between this machine and the kubelet {change}"))
        .hint("connect to the API server directly with --server")
}

/// Returns the message of a `Status` object, which the API server sends; else the first line, which the kubelet sends.
fn error_message(text: &str) -> String {
    let status: Option<Value> = serde_json::from_str(text).ok();
    match status.as_ref().and_then(|status| status["message"].as_str()) {
        Some(message) => message.to_owned(),
        None => text.lines().next().unwrap_or_default().chars().take(300).collect(),
    }
}

/// Parses `bytes START-LAST/SIZE` (RFC 9110 §14.4) into start, end (exclusive) and size.
fn parse_content_range(value: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (start, last) = range.split_once('-')?;
    let (start, end): (u64, u64) = (start.parse().ok()?, last.parse::<u64>().ok()?.checked_add(1)?);
    let size = if size == "*" { None } else { Some(size.parse().ok()?) };
    (start < end && size.is_none_or(|size| end <= size)).then_some((start, end, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_in_var_log_can_be_served() {
        assert!(NodeLogPath::new("cp1", "/var/log/pods").is_some());
        assert!(NodeLogPath::new("cp1", "/var/logs").is_none());
        assert!(NodeLogPath::new("cp1", "/data/pods").is_none());
        assert!(NodeLogPath::new("cp1", "/var/log/../lib/etcd").is_none());
    }

    #[test]
    fn nothing_in_a_name_can_become_a_query() {
        let file = NodeLogPath::new("cp1", "/var/log/pods/a?b#c").expect("it is in /var/log");
        assert_eq!(file.url(), "/api/v1/nodes/cp1/proxy/logs/pods/a%3Fb%23c");
    }

    #[test]
    fn content_ranges_are_read_and_invalid_ones_refused() {
        assert_eq!(parse_content_range("bytes 0-31/100"), Some((0, 32, Some(100))));
        assert_eq!(parse_content_range("bytes 5-9/*"), Some((5, 10, None)));
        for invalid in ["bytes 9-5/100", "bytes 0-100/100", "bytes */100", "0-1/2", "bytes 0-18446744073709551615/*"] {
            assert_eq!(parse_content_range(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn the_message_is_taken_from_a_status_or_from_the_first_line() {
        assert_eq!(error_message("{\"kind\":\"Status\",\"message\":\"no\"}"), "no");
        assert_eq!(error_message("logs endpoint is disabled.\nmore"), "logs endpoint is disabled.");
    }
}
