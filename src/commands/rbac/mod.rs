//! `rbac`: prints the least roles and bindings for a backup of the members that it finds.

mod manifest;

use serde_json::json;

use crate::cli::RbacOptions;
use crate::error::{Error, Result};
use crate::etcd::discovery;
use crate::k8s::{KubeClient, group_subject, service_account_subject, user_subject};
use crate::snapshot::{Transport, TransportPreference, risk_note};
use crate::ui::{Format, Ui};
use crate::util::events::Events;
use manifest::RbacManifest;

/// Finds the members and prints the manifest.
pub(super) async fn run(options: &RbacOptions, ui: &Ui) -> Result<()> {
    let client = KubeClient::connect(&options.cluster.connect).await?;
    let etcd = &options.cluster.etcd;
    let members = discovery::members(&client, etcd.namespace.as_deref(), etcd.selector.as_deref()).await?;
    let transport = match options.transport {
        TransportPreference::Auto => Transport::Node,
        TransportPreference::Only(transport) => transport,
    };
    if transport == Transport::Node && members.iter().all(|member| member.node.is_empty()) {
        return Err(Error::failed("cannot name the nodes in the rules: no etcd pod is scheduled yet"));
    }
    let users = options.users.iter().map(|name| user_subject(name));
    let groups = options.groups.iter().map(|name| group_subject(name));
    let accounts = options.service_accounts.iter().map(|(namespace, name)| service_account_subject(namespace, name));
    let manifest =
        RbacManifest { members: &members, transport, subjects: users.chain(groups).chain(accounts).collect() };
    ui.warn(risk_note(transport));
    if manifest.subjects.is_empty() {
        ui.status("The bindings name no subject yet: add --to-user, --to-group or --to-serviceaccount.");
    }
    match options.format {
        Some(Format::Json) => {
            let items = manifest.objects(options.optional);
            ui.document(Format::Json, &json!({"apiVersion": "v1", "kind": "List", "items": items}))
        }
        _ => manifest.to_yaml(options.optional).lines().try_for_each(|line| ui.println(line)),
    }
}
