//! The objects of the fake cluster, and the requests that read and change them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::faults::Faults;
use super::http::Request;
use super::{Shared, job, members};

pub fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": message})
}

pub fn forbidden(verb: &str, resource: &str) -> Value {
    let message = format!(
        "{resource} is forbidden: User \"tester\" cannot {verb} resource \"{resource}\" in the namespace \"kube-system\""
    );
    status(403, "Forbidden", &message)
}

fn not_found(kind: &str, name: &str) -> (u16, Value) {
    (404, status(404, "NotFound", &format!("{kind} \"{name}\" not found")))
}

fn list(kind: &str, items: Vec<Value>) -> (u16, Value) {
    (200, json!({"kind": format!("{kind}List"), "apiVersion": "v1", "metadata": {}, "items": items}))
}

pub fn route(shared: &Arc<Shared>, request: &Request, parts: &[&str], faults: &Faults) -> (u16, Value) {
    match (request.method.as_str(), parts) {
        ("GET", ["version"]) => (
            200,
            json!({"major": "1", "minor": "34", "gitVersion": "v1.34.4", "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}),
        ),
        ("GET", ["api", "v1", "namespaces", name]) => (
            200,
            json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name, "uid": "uid-of-kube-system"}}),
        ),
        ("GET", ["api", "v1", "nodes", name]) => (200, node(name, faults)),
        ("GET", ["api", "v1", "nodes", _, "proxy", "configz"]) => {
            (200, json!({"kubeletconfig": {"podLogsDir": faults.pod_logs_dir.unwrap_or("/var/log/pods")}}))
        }
        ("GET", ["api", "v1", "nodes", _, "proxy", "stats", "summary"]) => {
            let available = faults.available.unwrap_or(80 << 30);
            (200, json!({"node": {"fs": {"availableBytes": available, "capacityBytes": 100_u64 << 30}}}))
        }
        ("GET", ["api", "v1", "namespaces", namespace, "pods"]) => {
            list("Pod", pods(shared, request, namespace, faults))
        }
        ("GET", ["api", "v1", "namespaces", _, "pods", name]) => {
            let known = shared.state().pods.get(*name).cloned();
            match known.or_else(|| shared.member(name).map(|member| members::pod(member, faults))) {
                Some(pod) => (200, pod),
                None => not_found("pods", name),
            }
        }
        ("GET", ["api", "v1", "namespaces", _, "pods", _, "log"]) => (200, Value::String(String::new())),
        ("GET", ["api", "v1", "namespaces", _, "secrets", name]) => {
            shared.state().secrets.get(*name).map_or_else(|| not_found("secrets", name), |secret| (200, secret.clone()))
        }
        ("GET", ["api", "v1", "namespaces", _, "configmaps", name]) => shared
            .state()
            .config_maps
            .get(*name)
            .map_or_else(|| not_found("configmaps", name), |map| (200, map.clone())),
        ("GET", ["api", "v1", "namespaces", _, "events"]) => {
            let wanted = request.query("fieldSelector").concat();
            let events = shared.state().events.clone();
            list(
                "Event",
                events
                    .into_iter()
                    .filter(|event| wanted.ends_with(event["involvedObject"]["uid"].as_str().unwrap_or("?")))
                    .collect(),
            )
        }
        ("GET", ["api", "v1", "namespaces", _, "limitranges"]) => {
            list("LimitRange", vec![json!({"metadata": {"name": "small"}, "spec": {"limits": []}})])
        }
        ("POST", ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"]) => {
            let mut review = request.json();
            let wanted = &review["spec"]["resourceAttributes"];
            let resource = match (wanted["resource"].as_str(), wanted["subresource"].as_str()) {
                (Some(resource), Some(subresource)) => format!("{resource}/{subresource}"),
                (resource, _) => resource.unwrap_or_default().to_owned(),
            };
            let verb = wanted["verb"].as_str().unwrap_or_default();
            let refused = faults.refuses(verb, &resource, wanted["name"].as_str());
            review["status"] = json!({"allowed": !refused});
            (201, review)
        }
        (_, ["apis", "batch", "v1", "namespaces", _, "jobs", rest @ ..]) => jobs(shared, request, rest, faults),
        _ => (404, status(404, "NotFound", "the server could not find the requested resource")),
    }
}

fn jobs(shared: &Arc<Shared>, request: &Request, rest: &[&str], faults: &Faults) -> (u16, Value) {
    match (request.method.as_str(), rest) {
        ("GET", []) => list("Job", shared.state().jobs.values().cloned().collect()),
        ("POST", []) => {
            std::thread::sleep(faults.late_create.unwrap_or_default());
            (201, job::create(shared, request.json()))
        }
        ("GET", [name]) => {
            shared.state().jobs.get(*name).map_or_else(|| not_found("jobs.batch", name), |job| (200, job.clone()))
        }
        ("PATCH", [name]) => match shared.state().jobs.get_mut(*name) {
            Some(job) => {
                job["spec"]["ttlSecondsAfterFinished"] = request.json()["spec"]["ttlSecondsAfterFinished"].clone();
                (200, job.clone())
            }
            None => not_found("jobs.batch", name),
        },
        ("DELETE", [name]) => {
            if faults.lost_deletes > 0 {
                shared.state().faults.lost_deletes -= 1;
                std::thread::sleep(std::time::Duration::from_secs(600));
            }
            if let Some(code) = faults.delete_status {
                return (code, status(code, "InternalError", "etcdserver: request timed out"));
            }
            let options = request.json();
            let Some(job) = shared.state().jobs.get(*name).cloned() else {
                return not_found("jobs.batch", name);
            };
            let wanted = &options["preconditions"]["uid"];
            if !wanted.is_null() && *wanted != job["metadata"]["uid"] {
                return (409, status(409, "Conflict", "the UID in the precondition does not match"));
            }
            // batch/v1 orphans the pods of a deleted job unless told otherwise.
            job::remove(shared, name, options["propagationPolicy"] == "Foreground");
            (200, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
        }
        _ => (405, status(405, "MethodNotAllowed", "method not allowed")),
    }
}

fn pods(shared: &Shared, request: &Request, namespace: &str, faults: &Faults) -> Vec<Value> {
    let selector = request.query("labelSelector").concat();
    if selector == "component=etcd" && namespace == "kube-system" && !faults.no_etcd_pods {
        return shared.members.iter().map(|member| members::pod(member, faults)).collect();
    }
    let matches = |pod: &Value| {
        selector
            .split(',')
            .all(|term| term.split_once('=').is_some_and(|(name, value)| pod["metadata"]["labels"][name] == value))
    };
    shared.state().pods.values().filter(|pod| matches(pod)).cloned().collect()
}

fn node(name: &str, faults: &Faults) -> Value {
    let mut conditions = vec![json!({"type": "Ready", "status": "True"})];
    let of_member = faults.members.get(name).and_then(|faults| faults.node_condition);
    if let Some((kind, status)) = of_member.or(faults.node_condition) {
        conditions.push(json!({"type": kind, "status": status, "message": "scripted"}));
    }
    let images = json!([{"names": [faults.other_image.unwrap_or(members::IMAGE)]}]);
    json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": name}, "status": {"conditions": conditions, "images": images}})
}
