//! The calls to the API server that a backup consists of, each with the right it needs and a time limit.

use std::future::Future;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, LimitRange, Namespace, Node, Pod, Secret};
use kube::api::{
    Api, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};

use super::error::{ApiError, explain};
use super::{Access, KubeClient};
use crate::error::Error;

type Call<T> = Result<T, ApiError>;

impl KubeClient {
    /// Runs one request within `--request-timeout`, and puts its failure into words.
    pub(super) async fn call<T>(&self, access: &Access, request: impl Future<Output = kube::Result<T>>) -> Call<T> {
        let answer = self.limited(access, request).await?;
        match &answer {
            Ok(_) => tracing::trace!(%access, "ok"),
            Err(kube::Error::Api(status)) => tracing::trace!(%access, code = status.code, "refused"),
            Err(_) => tracing::trace!(%access, "no answer"),
        }
        answer.map_err(|error| explain(error, Some(access), self.server()))
    }

    /// Waits for `future`, but no longer than `--request-timeout`.
    pub(super) async fn limited<T>(&self, access: &Access, future: impl Future<Output = T>) -> Call<T> {
        let Some(limit) = self.request_timeout else {
            return Ok(future.await);
        };
        tokio::time::timeout(limit, future).await.map_err(|_| {
            let what = format!(
                "no answer within {}s from the API server {} to '{access}'",
                limit.as_secs_f32(),
                self.server()
            );
            ApiError::new(None, Error::failed(what).hint("--request-timeout sets the limit"))
        })
    }

    pub(super) fn client(&self) -> kube::Client {
        self.client.clone()
    }

    fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client(), namespace)
    }

    /// The pods of a namespace that a label selector matches.
    pub async fn pods(&self, namespace: &str, selector: &str) -> Call<Vec<Pod>> {
        let access = Access::namespaced("list", "", "pods", namespace);
        let params = ListParams::default().labels(selector);
        Ok(self.call(&access, self.api::<Pod>(namespace).list(&params)).await?.items)
    }

    /// One pod.
    pub async fn pod(&self, namespace: &str, name: &str) -> Call<Pod> {
        let access = Access::namespaced("get", "", "pods", namespace);
        self.call(&access, self.api::<Pod>(namespace).get(name)).await
    }

    /// The last lines of a container's log.
    pub async fn log_tail(&self, namespace: &str, pod: &str, lines: i64) -> Call<String> {
        let access = Access::namespaced("get", "", "pods", namespace).subresource("log");
        let params = LogParams { tail_lines: Some(lines), limit_bytes: Some(16 << 10), ..LogParams::default() };
        self.call(&access, self.api::<Pod>(namespace).logs(pod, &params)).await
    }

    /// One node.
    pub async fn node(&self, name: &str) -> Call<Node> {
        let access = Access::cluster_scoped("get", "nodes", name);
        self.call(&access, Api::<Node>::all(self.client()).get(name)).await
    }

    /// The UID of kube-system, which stands for the identity of a cluster.
    pub async fn uid(&self) -> Call<Option<String>> {
        let access = Access::cluster_scoped("get", "namespaces", "kube-system");
        let namespace = self.call(&access, Api::<Namespace>::all(self.client()).get("kube-system")).await?;
        Ok(namespace.metadata.uid)
    }

    /// The version of the API server, such as `v1.34.4`.
    pub async fn version(&self) -> Call<String> {
        let access = Access::cluster_scoped("get", "nonResourceURL", "/version");
        Ok(self.call(&access, self.client.apiserver_version()).await?.git_version)
    }

    /// Creates a job.
    pub async fn create_job(&self, namespace: &str, job: &Job) -> Call<Job> {
        let access = Access::namespaced("create", "batch", "jobs", namespace);
        self.call(&access, self.api::<Job>(namespace).create(&PostParams::default(), job)).await
    }

    /// One job.
    pub async fn job(&self, namespace: &str, name: &str) -> Call<Job> {
        let access = Access::namespaced("get", "batch", "jobs", namespace);
        self.call(&access, self.api::<Job>(namespace).get(name)).await
    }

    /// The jobs of a namespace that a label selector matches.
    pub async fn jobs(&self, namespace: &str, selector: &str) -> Call<Vec<Job>> {
        let access = Access::namespaced("list", "batch", "jobs", namespace);
        let params = ListParams::default().labels(selector);
        Ok(self.call(&access, self.api::<Job>(namespace).list(&params)).await?.items)
    }

    /// Sets how many seconds after its end a job, its pod and the pod's log directory are removed.
    pub async fn set_job_ttl(&self, namespace: &str, name: &str, seconds: u64) -> Call<()> {
        let access = Access::namespaced("patch", "batch", "jobs", namespace);
        let patch = Patch::Merge(serde_json::json!({"spec": {"ttlSecondsAfterFinished": seconds}}));
        let params = PatchParams::default();
        self.call(&access, self.api::<Job>(namespace).patch(name, &params, &patch)).await.map(drop)
    }

    /// Deletes a job and, with it, its pod: a `batch/v1` Job orphans the pod unless told otherwise (Kubernetes
    /// `pkg/registry/batch/job/strategy.go`, DefaultGarbageCollectionPolicy). With `uid`, only that very job.
    pub async fn delete_job(&self, namespace: &str, name: &str, uid: Option<&str>) -> Call<()> {
        let access = Access::namespaced("delete", "batch", "jobs", namespace);
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Foreground),
            preconditions: uid.map(|uid| Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
            ..DeleteParams::default()
        };
        self.call(&access, self.api::<Job>(namespace).delete(name, &params)).await.map(drop)
    }

    /// A Secret, whose data stays in memory.
    pub async fn secret(&self, namespace: &str, name: &str) -> Call<Secret> {
        let access = Access { name: Some(name.to_owned()), ..Access::namespaced("get", "", "secrets", namespace) };
        self.call(&access, self.api::<Secret>(namespace).get(name)).await
    }

    /// A config map.
    pub async fn config_map(&self, namespace: &str, name: &str) -> Call<ConfigMap> {
        let access = Access { name: Some(name.to_owned()), ..Access::namespaced("get", "", "configmaps", namespace) };
        self.call(&access, self.api::<ConfigMap>(namespace).get(name)).await
    }

    /// What the cluster recorded about one object, oldest first.
    pub async fn events(&self, namespace: &str, object_uid: &str) -> Call<Vec<Event>> {
        let access = Access::namespaced("list", "", "events", namespace);
        let params = ListParams::default().fields(&format!("involvedObject.uid={object_uid}"));
        let mut events = self.call(&access, self.api::<Event>(namespace).list(&params)).await?.items;
        events.sort_by_key(|event| event.last_timestamp.clone().map(|time| time.0));
        Ok(events)
    }

    /// The limit ranges of a namespace.
    pub async fn limit_ranges(&self, namespace: &str) -> Call<Vec<LimitRange>> {
        let access = Access::namespaced("list", "", "limitranges", namespace);
        Ok(self.call(&access, self.api::<LimitRange>(namespace).list(&ListParams::default())).await?.items)
    }

    /// Whether the cluster would allow `access`; `None` when it does not tell.
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
        let asking = Access {
            verb: "create",
            group: "authorization.k8s.io",
            resource: "selfsubjectaccessreviews",
            subresource: None,
            namespace: None,
            name: None,
        };
        let reviews = Api::<SelfSubjectAccessReview>::all(self.client());
        let answer = self.call(&asking, reviews.create(&PostParams::default(), &review)).await.ok()?;
        Some(answer.status?.allowed)
    }
}
