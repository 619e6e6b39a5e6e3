//! What the jobs of one backup can be made from, and which variant is tried after one that failed.

use super::job::{JobLimits, JobSpec};
use super::retry::{NextChange, RetryReason};
use crate::error::Error;
use crate::etcd::credentials::pod_paths::Credentials;
use crate::snapshot::error::{TransportError, not_possible};
use crate::snapshot::request::Request;

/// The images and certificates of one backup.
pub struct JobPlan<'r> {
    request: &'r Request<'r>,
    images: Vec<String>,
    /// Certificates that a job can mount.
    credentials: Vec<&'r Credentials>,
    endpoint: String,
}

/// Which of them one job uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobVariant {
    image: usize,
    credentials: usize,
    override_owner: bool,
}

impl<'r> JobPlan<'r> {
    /// Collects what jobs can be made from.
    ///
    /// # Errors
    /// Not possible without an image or without certificates.
    pub fn new(request: &'r Request<'r>) -> Result<Self, TransportError> {
        let credentials: Vec<&Credentials> =
            request.credentials.iter().filter(|candidate| candidate.mounts.is_some()).collect();
        if credentials.is_empty() {
            return Err(no_credentials(request));
        }
        let images = images(request);
        if images.is_empty() {
            return Err(not_possible(format!("pod {} does not name an image of etcd", request.member.pod_path()))
                .hint("name an image that contains etcdctl, of etcd's own version, with --image"));
        }
        let endpoint = request.endpoint.clone().unwrap_or_else(|| request.member.endpoint_from_node());
        Ok(JobPlan { request, images, credentials, endpoint })
    }

    /// Returns the variant of the first job.
    pub fn first_variant(&self) -> JobVariant {
        JobVariant { image: 0, credentials: 0, override_owner: self.request.member.runs_as_other_user() }
    }

    /// Returns the variant after one that failed.
    ///
    /// # Errors
    /// The error of the job that failed, if nothing is left that may help.
    pub fn next_variant(&self, failed: JobVariant, retry: RetryReason) -> Result<JobVariant, TransportError> {
        let next = match retry.change {
            NextChange::Credentials => JobVariant { credentials: failed.credentials + 1, ..failed },
            NextChange::Image => JobVariant { image: failed.image + 1, ..failed },
            NextChange::OverrideOwner => JobVariant { override_owner: true, ..failed },
        };
        let exists = next != failed && next.credentials < self.credentials.len() && next.image < self.images.len();
        if exists { Ok(next) } else { Err(retry.error) }
    }

    /// Returns the job of a variant. `extends_ttl`: the TTL is extended during the copy, so it can be short at the
    /// start.
    pub fn spec<'s>(&'s self, name: &'s str, variant: JobVariant, pod_logs: &'s str, extends_ttl: bool) -> JobSpec<'s> {
        let (request, limits) = (self.request, &self.request.limits);
        let credentials = self.credentials[variant.credentials];
        let is_verified = request.first_verified && variant.credentials == 0;
        let ttl = if extends_ttl { limits.job_ttl } else { limits.deadline };
        JobSpec {
            name,
            member: request.member,
            image: &self.images[variant.image],
            endpoint: &self.endpoint,
            credentials,
            pod_logs,
            override_owner: variant.override_owner,
            probe: credentials.client_cert.is_some() && !is_verified,
            limits: JobLimits { run: limits.save_timeout(request.db_size), ttl: ttl.min(limits.deadline) },
        }
    }
}

/// Returns the etcd container's image, then those of init containers that look like etcd's (kOps brings etcdctl in that
/// way).
pub fn images(request: &Request<'_>) -> Vec<String> {
    if let Some(image) = &request.image {
        return vec![image.clone()];
    }
    let mut images: Vec<String> = request.member.container.image.iter().cloned().collect();
    let init = request.member.pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let mut others: Vec<String> =
        init.filter_map(|container| container.image.clone()).filter(|image| image.contains("/etcd:")).collect();
    others.sort();
    images.extend(others.into_iter().rev().filter(|image| Some(image) != request.member.container.image.as_ref()));
    images
}

fn no_credentials(request: &Request<'_>) -> TransportError {
    let pod = request.member.pod_path();
    let error = if request.credentials.is_empty() {
        Error::failed(format!("pod {pod} does not say which certificates its etcd uses"))
    } else {
        Error::failed(format!("the certificates of pod {pod} are in a volume that no other pod can read"))
    };
    TransportError::Unavailable(
        error.hint("name them with --pod-cacert, --pod-cert and --pod-key (paths in the etcd container)"),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::etcd::{ClientOptions, Member};
    use crate::snapshot::request::Limits;
    use crate::snapshot::transport::TransportPreference;
    use crate::test_support::pod;

    fn credentials(origin: &'static str) -> Credentials {
        Credentials {
            origin,
            cacert: None,
            client_cert: Some(("/pki/c.crt".into(), "/pki/c.key".into())),
            usable_in_etcd_container: true,
            mounts: Some(Vec::new()),
        }
    }

    fn request<'r>(member: &'r Member, etcd: &'r ClientOptions) -> Request<'r> {
        Request {
            member,
            transport: TransportPreference::Auto,
            etcd,
            credentials: vec![credentials("first"), credentials("second")],
            first_verified: true,
            db_size: Some(1 << 20),
            image: Some("etcd:1".to_owned()),
            endpoint: None,
            limits: Limits {
                deadline: Duration::from_secs(3600),
                job_ttl: Duration::from_secs(60),
                stall_timeout: Duration::from_secs(60),
                pod_running_timeout: Duration::from_secs(60),
            },
        }
    }

    fn retry(change: NextChange) -> RetryReason {
        RetryReason { change, error: not_possible("it failed") }
    }

    #[test]
    fn each_failure_changes_what_may_help_until_nothing_is_left() {
        let member = Member::from_pod(pod("etcd-cp1", &["etcd"], true)).expect("it runs etcd");
        let options = ClientOptions::default();
        let request = request(&member, &options);
        let plan = JobPlan::new(&request).expect("it has an image and certificates");
        let first = plan.first_variant();
        let overriding = plan.next_variant(first, retry(NextChange::OverrideOwner)).expect("once");
        assert!(plan.next_variant(overriding, retry(NextChange::OverrideOwner)).is_err(), "twice does not help");
        let second = plan.next_variant(overriding, retry(NextChange::Credentials)).expect("there are two");
        assert_eq!(second, JobVariant { image: 0, credentials: 1, override_owner: true });
        assert_eq!(plan.next_variant(second, retry(NextChange::Credentials)), Err(not_possible("it failed")));
        assert!(plan.next_variant(first, retry(NextChange::Image)).is_err(), "--image names the only one");
    }

    #[test]
    fn a_verified_certificate_is_not_probed_and_a_ttl_that_cannot_be_extended_is_long() {
        let member = Member::from_pod(pod("etcd-cp1", &["etcd"], true)).expect("it runs etcd");
        let options = ClientOptions::default();
        let request = request(&member, &options);
        let plan = JobPlan::new(&request).expect("it has an image and certificates");
        let first = plan.spec("x", plan.first_variant(), "/var/log/pods", true);
        assert!(!first.probe);
        assert_eq!(first.limits, JobLimits { run: Duration::from_secs(600), ttl: Duration::from_secs(60) });
        let second = JobVariant { credentials: 1, ..plan.first_variant() };
        let second = plan.spec("x", second, "/var/log/pods", false);
        assert!(second.probe);
        assert_eq!(second.limits.ttl, Duration::from_secs(3600));
    }
}
