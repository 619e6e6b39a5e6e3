//! The requests for API objects that a backup needs, each with the permission that it needs.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, LimitRange, Namespace, Node, Pod, Secret};
use kube::api::{
    Api, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};

use super::access::Access;
use super::client::KubeClient;
use super::error::ApiError;

type Result<T, E = ApiError> = std::result::Result<T, E>;

impl KubeClient {
    fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client(), namespace)
    }

    /// Lists the pods of a namespace that match a label selector.
    pub async fn pods(&self, namespace: &str, selector: &str) -> Result<Vec<Pod>> {
        let access = Access::namespaced("list", "", "pods", namespace);
        let params = ListParams::default().labels(selector);
        Ok(self.call(&access, self.api::<Pod>(namespace).list(&params)).await?.items)
    }

    /// Returns a pod.
    pub async fn pod(&self, namespace: &str, name: &str) -> Result<Pod> {
        let access = Access::namespaced("get", "", "pods", namespace);
        self.call(&access, self.api::<Pod>(namespace).get(name)).await
    }

    /// Returns the last lines of a container's log.
    pub async fn log_tail(&self, namespace: &str, pod: &str, lines: i64) -> Result<String> {
        let access = Access::namespaced("get", "", "pods", namespace).subresource("log");
        let params = LogParams { tail_lines: Some(lines), limit_bytes: Some(16 << 10), ..LogParams::default() };
        self.call(&access, self.api::<Pod>(namespace).logs(pod, &params)).await
    }

    /// Returns a node.
    pub async fn node(&self, name: &str) -> Result<Node> {
        let access = Access::cluster_scoped("get", "nodes", name);
        self.call(&access, Api::<Node>::all(self.client()).get(name)).await
    }

    /// Returns the UID of kube-system, which identifies the cluster.
    pub async fn uid(&self) -> Result<Option<String>> {
        let access = Access::cluster_scoped("get", "namespaces", "kube-system");
        let namespace = self.call(&access, Api::<Namespace>::all(self.client()).get("kube-system")).await?;
        Ok(namespace.metadata.uid)
    }

    /// Returns the version of the API server, such as `v1.34.4`.
    pub async fn version(&self) -> Result<String> {
        let access = Access::cluster_scoped("get", "nonResourceURL", "/version");
        Ok(self.call(&access, self.client().apiserver_version()).await?.git_version)
    }

    /// Creates a Job.
    pub async fn create_job(&self, namespace: &str, job: &Job) -> Result<Job> {
        let access = Access::namespaced("create", "batch", "jobs", namespace);
        self.call(&access, self.api::<Job>(namespace).create(&PostParams::default(), job)).await
    }

    /// Returns a Job.
    pub async fn job(&self, namespace: &str, name: &str) -> Result<Job> {
        let access = Access::namespaced("get", "batch", "jobs", namespace);
        self.call(&access, self.api::<Job>(namespace).get(name)).await
    }

    /// Lists the Jobs of a namespace that match a label selector.
    pub async fn jobs(&self, namespace: &str, selector: &str) -> Result<Vec<Job>> {
        let access = Access::namespaced("list", "batch", "jobs", namespace);
        let params = ListParams::default().labels(selector);
        Ok(self.call(&access, self.api::<Job>(namespace).list(&params)).await?.items)
    }

    /// Sets after how many seconds a finished Job is removed, with its pod and the pod's log directory.
    pub async fn set_job_ttl(&self, namespace: &str, name: &str, seconds: u64) -> Result<()> {
        let access = Access::namespaced("patch", "batch", "jobs", namespace);
        let patch = Patch::Merge(serde_json::json!({"spec": {"ttlSecondsAfterFinished": seconds}}));
        let params = PatchParams::default();
        self.call(&access, self.api::<Job>(namespace).patch(name, &params, &patch)).await.map(drop)
    }

    /// Deletes a Job and its pod; with `uid`, only the Job with this UID.
    ///
    /// The policy is explicit because a `batch/v1` Job orphans its pod by default (Kubernetes
    /// `pkg/registry/batch/job/strategy.go`, DefaultGarbageCollectionPolicy).
    pub async fn delete_job(&self, namespace: &str, name: &str, uid: Option<&str>) -> Result<()> {
        let access = Access::namespaced("delete", "batch", "jobs", namespace);
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Foreground),
            preconditions: uid.map(|uid| Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
            ..DeleteParams::default()
        };
        self.call(&access, self.api::<Job>(namespace).delete(name, &params)).await.map(drop)
    }

    /// Returns a Secret; its data stays in memory.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Secret> {
        let access = Access { name: Some(name.to_owned()), ..Access::namespaced("get", "", "secrets", namespace) };
        self.call(&access, self.api::<Secret>(namespace).get(name)).await
    }

    /// Returns a ConfigMap.
    pub async fn config_map(&self, namespace: &str, name: &str) -> Result<ConfigMap> {
        let access = Access { name: Some(name.to_owned()), ..Access::namespaced("get", "", "configmaps", namespace) };
        self.call(&access, self.api::<ConfigMap>(namespace).get(name)).await
    }

    /// Lists the events of an object, oldest first.
    pub async fn events(&self, namespace: &str, object_uid: &str) -> Result<Vec<Event>> {
        let access = Access::namespaced("list", "", "events", namespace);
        let params = ListParams::default().fields(&format!("involvedObject.uid={object_uid}"));
        let mut events = self.call(&access, self.api::<Event>(namespace).list(&params)).await?.items;
        events.sort_by_key(|event| event.last_timestamp.clone().map(|time| time.0));
        Ok(events)
    }

    /// Lists the LimitRanges of a namespace.
    pub async fn limit_ranges(&self, namespace: &str) -> Result<Vec<LimitRange>> {
        let access = Access::namespaced("list", "", "limitranges", namespace);
        Ok(self.call(&access, self.api::<LimitRange>(namespace).list(&ListParams::default())).await?.items)
    }

    /// Asks the API server whether `access` is allowed; `None` without an answer.
    pub async fn can_i(&self, access: &Access) -> Option<bool> {
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(access.verb.to_owned()),
                    group: Some(access.group.to_owned()),
                    resource: Some(access.resource.to_owned()),
                    subresource: access.subresource.map(str::to_owned),
                    namespace: access.namespace.clone(),
                    name: access.name.clone(),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let review_access = Access {
            verb: "create",
            group: "authorization.k8s.io",
            resource: "selfsubjectaccessreviews",
            subresource: None,
            namespace: None,
            name: None,
        };
        let reviews = Api::<SelfSubjectAccessReview>::all(self.client());
        let reviewed = self.call(&review_access, reviews.create(&PostParams::default(), &review)).await.ok()?;
        Some(reviewed.status?.allowed)
    }
}
