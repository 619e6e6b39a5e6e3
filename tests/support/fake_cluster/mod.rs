//! A fake API server and a fake kubelet, in front of a real etcd and a real `etcdctl snapshot save`.
//!
//! A real control plane is where the tool is developed; here it meets the faults that a real one shows once a year.
//! It speaks only the endpoints that the tool uses, and keeps the traps of the real one: a deleted Job orphans its pod
//! unless told otherwise, and a log URL with a query string is refused.

pub mod container;
mod exec;
pub mod faults;
pub mod http;
mod job;
mod logs;
pub mod members;
mod objects;
pub mod portforward;

use std::collections::BTreeMap;
use std::io::BufReader;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use serde_json::{Value, json};

use faults::Faults;
use http::{Request, answer};
use members::FakeMember;

pub const TOKEN: &str = "token-of-the-tester";

#[derive(Default)]
pub struct State {
    pub faults: Faults,
    pub jobs: BTreeMap<String, Value>,
    pub pods: BTreeMap<String, Value>,
    pub events: Vec<Value>,
    pub requests: Vec<Request>,
    pub served: u64,
    pub first_read: Option<Instant>,
    pub count: u64,
    pub secrets: BTreeMap<String, Value>,
    pub config_maps: BTreeMap<String, Value>,
    /// Processes in the etcd container.
    pub running: Vec<u32>,
}

/// What the threads share.
pub struct Shared {
    /// The etcd members; pod `etcd-cp1` runs on node `cp1`, and so on.
    pub members: Vec<FakeMember>,
    /// The root directories of the nodes lie in here.
    pub root: PathBuf,
    pub stopped: AtomicBool,
    state: Mutex<State>,
}

impl Shared {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread of the fake cluster panics")
    }

    /// The root directory of a node.
    pub fn node_root(&self, node: &str) -> PathBuf {
        self.root.join(node)
    }

    pub fn pod_logs(&self, node: &str) -> PathBuf {
        self.node_root(node).join("var/log/pods")
    }

    /// The member whose pod has this name.
    pub fn member(&self, pod: &str) -> Option<&FakeMember> {
        self.members.iter().find(|member| member.pod() == pod)
    }
}

pub struct FakeCluster {
    pub shared: Arc<Shared>,
    pub port: u16,
    _root: tempfile::TempDir,
}

impl FakeCluster {
    /// A cluster with one member, `cp1`.
    pub fn start(etcd: &str, faults: Faults) -> Self {
        FakeCluster::of(vec![FakeMember::new("cp1", etcd)], faults)
    }

    /// A cluster with these members, each on a node of its own.
    pub fn of(members: Vec<FakeMember>, faults: Faults) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let shared = Arc::new(Shared {
            members,
            root: root.path().to_owned(),
            stopped: AtomicBool::new(false),
            state: Mutex::new(State { faults, ..State::default() }),
        });
        for member in &shared.members {
            std::fs::create_dir_all(shared.pod_logs(&member.name)).expect("the node's directory");
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.stopped.load(Ordering::Relaxed) {
                    break;
                }
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || serve(&shared, stream));
            }
        });
        FakeCluster { shared, port, _root: root }
    }

    /// The URL of the API server.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{}", self.port, self.shared.state().faults.base_path)
    }

    pub fn write_kubeconfig(&self, path: &Path, token: &str) {
        let base = self.shared.state().faults.base_path;
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "tester"}}],
            "clusters": [{"name": "test", "cluster": {"server": format!("http://127.0.0.1:{}{base}", self.port)}}],
            "users": [{"name": "tester", "user": {"token": token}}],
        });
        std::fs::write(path, config.to_string()).expect("the kubeconfig can be written");
    }

    /// Jobs, pods of jobs, and directories on the node, files and processes in the etcd container that are left.
    pub fn left(&self) -> (usize, usize, usize) {
        let state = self.shared.state();
        let nodes = self.shared.members.iter().map(|member| self.shared.pod_logs(&member.name));
        let directories: usize = nodes.map(|logs| std::fs::read_dir(logs).expect("it is there").count()).sum();
        let (jobs, pods) = (state.jobs.len(), state.pods.len());
        drop(state);
        (jobs, pods, directories + container::left(&self.shared))
    }

    /// All requests so far with this method whose target contains `part`.
    pub fn requests(&self, method: &str, part: &str) -> Vec<Request> {
        let state = self.shared.state();
        state
            .requests
            .iter()
            .filter(|request| request.method == method && request.target.contains(part))
            .cloned()
            .collect()
    }
}

impl Drop for FakeCluster {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        container::end(&self.shared);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(shared: &Arc<Shared>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut stream = stream;
    while let Some(mut request) = Request::read(&mut reader) {
        let faults = {
            let mut state = shared.state();
            state.requests.push(request.clone());
            state.faults.clone()
        };
        let Some(target) = request.target.strip_prefix(faults.base_path).map(str::to_owned) else {
            let _ = answer(&mut stream, 404, "text/plain", b"404 page not found");
            continue;
        };
        request.target = target;
        if faults.unauthorized || request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            let status = objects::status(401, "Unauthorized", "Unauthorized");
            let _ = answer(&mut stream, 401, "application/json", status.to_string().as_bytes());
            continue;
        }
        if faults.lost_etcd {
            let (status, kind, body) = match request.path() {
                "/readyz" => {
                    (500, "text/plain", "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n".to_owned())
                }
                _ => (403, "application/json", objects::forbidden("get", "everything").to_string()),
            };
            let _ = answer(&mut stream, status, kind, body.as_bytes());
            continue;
        }
        let parts: Vec<&str> = request.path().trim_matches('/').split('/').collect();
        if let Some(access) = access(&request.method, &parts)
            && faults.unauthorized_for.contains(&(access.verb.as_str(), access.resource.as_str()))
        {
            let status = json!({"kind": "Status", "status": "Failure", "reason": "Unauthorized", "code": 401, "message": "Unauthorized"});
            let _ = answer(&mut stream, 401, "application/json", status.to_string().as_bytes());
            continue;
        }
        if let Some(access) = access(&request.method, &parts)
            && faults.refuses(&access.verb, &access.resource, access.name.as_deref())
        {
            let status = objects::forbidden(&access.verb, &access.resource);
            let _ = answer(&mut stream, 403, "application/json", status.to_string().as_bytes());
            continue;
        }
        let done = match parts.as_slice() {
            ["api", "v1", "nodes", node, "proxy", "logs", rest @ ..] => {
                logs::serve(shared, &mut stream, &request, node, rest, &faults)
            }
            ["api", "v1", "namespaces", _, "pods", pod, "exec"] => match members::exec_refused(shared, pod, &faults) {
                Some((status, body)) => answer(&mut stream, status, "application/json", body.to_string().as_bytes()),
                None => {
                    exec::serve(shared, stream, &request, pod);
                    return;
                }
            },
            ["api", "v1", "namespaces", _, "pods", pod, "portforward"] => {
                portforward::serve(shared, stream, &request, pod);
                return;
            }
            parts => {
                let (status, body) = objects::route(shared, &request, parts, &faults);
                match body {
                    Value::String(text) => answer(&mut stream, status, "text/plain", text.as_bytes()),
                    body => answer(&mut stream, status, "application/json", body.to_string().as_bytes()),
                }
            }
        };
        if done.is_err() {
            return;
        }
    }
}

/// A request as RBAC sees it.
struct Access {
    verb: String,
    resource: String,
    name: Option<String>,
}

fn access(method: &str, parts: &[&str]) -> Option<Access> {
    let (resource, name, subresource) = match parts {
        ["api", "v1", "nodes", name, "proxy", ..] => ("nodes", Some(name), Some("proxy")),
        ["api", "v1", "namespaces", _, resource, rest @ ..]
        | ["apis", "batch", "v1", "namespaces", _, resource, rest @ ..] => {
            (*resource, rest.first(), rest.get(1).copied())
        }
        ["api", "v1", resource, rest @ ..] => (*resource, rest.first(), rest.get(1).copied()),
        _ => return None,
    };
    let verb = match (method, name) {
        ("GET", Some(_)) => "get",
        ("GET", None) => "list",
        ("POST", _) => "create",
        ("PATCH", _) => "patch",
        ("DELETE", _) => "delete",
        _ => return None,
    };
    let resource = subresource.map_or_else(|| resource.to_owned(), |subresource| format!("{resource}/{subresource}"));
    Some(Access { verb: verb.to_owned(), resource, name: name.map(|name| (*name).to_owned()) })
}
