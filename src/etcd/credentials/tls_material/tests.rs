use super::*;
use serde_json::json;

fn mount(volume: serde_json::Value, path: &str) -> Mount {
    Mount {
        volume: serde_json::from_value(volume).expect("a volume"),
        mount: serde_json::from_value(json!({"name": "v", "mountPath": path})).expect("a mount"),
    }
}

#[test]
fn a_path_leads_to_an_entry_of_the_mounted_object() {
    let secret_mount = mount(json!({"name": "v", "secret": {"secretName": "etcd-tls"}}), "/certs");
    let secret = |name: &str, entry: &str| Some((MountedObject::Secret(name.into()), entry.into()));
    assert_eq!(mounted_entry(&secret_mount, "/certs/tls.crt"), secret("etcd-tls", "tls.crt"));
    assert_eq!(mounted_entry(&secret_mount, "/other/tls.crt"), None);
    let renamed =
        json!({"name": "v", "secret": {"secretName": "s", "items": [{"key": "tls.crt", "path": "server.crt"}]}});
    assert_eq!(mounted_entry(&mount(renamed, "/certs"), "/certs/server.crt"), secret("s", "tls.crt"));
    let map = mount(json!({"name": "v", "configMap": {"name": "etcd-ca"}}), "/ca");
    let expected = Some((MountedObject::ConfigMap("etcd-ca".into()), "ca.crt".to_owned()));
    assert_eq!(mounted_entry(&map, "/ca/ca.crt"), expected);
    let sources = json!([
        {"secret": {"name": "pair", "items": [{"key": "tls.crt", "path": "tls.crt"}]}},
        {"configMap": {"name": "etcd-ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
    ]);
    let both = mount(json!({"name": "v", "projected": {"sources": sources}}), "/all");
    assert_eq!(mounted_entry(&both, "/all/ca.crt"), expected);
    assert_eq!(mounted_entry(&both, "/all/tls.crt"), secret("pair", "tls.crt"));
    let host = mount(json!({"name": "v", "hostPath": {"path": "/etc"}}), "/certs");
    assert_eq!(mounted_entry(&host, "/certs/tls.crt"), None);
}

#[test]
fn a_secret_without_known_names_lists_its_entries() {
    let secret: Secret = serde_json::from_value(json!({"data": {"odd": "eA==", "strange": "eQ=="}})).expect("a secret");
    let error = TlsMaterial::from_secret_data(&secret, None, "Secret a/b").expect_err("nothing is known");
    assert_eq!(error.hints(), ["its entries are: odd, strange"]);
}
