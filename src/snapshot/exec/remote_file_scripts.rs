//! The shell scripts that guard and delete the file, and extend its TTL, in the etcd container. Paths are arguments, so that no name
//! of a directory can become a command.

use super::container::ContainerShell;
use super::reader::END_READER;

/// `$1` is the file, `$2` the seconds of its TTL, `$3` how often the TTL can be extended.
pub(super) const GUARD: &str = r#"f=$1; l=$1.ttl; s=
umask 077
(: > "$l") 2>/dev/null || { echo "cannot write to $l"; exit 1; }
end() {
  [ -z "$s" ] || kill "$s" 2>/dev/null
  wait
  end_reader "$f"
  rm -f "$f" "$f.part" "$f.pid" "$l"
  exit 0
}
trap end TERM
trap '' HUP INT PIPE
echo "pid $$"
exec >/dev/null 2>&1
n=$3
while [ "$n" -gt 0 ] && [ -e "$l" ]; do
  rm -f "$l"
  n=$((n - 1))
  sleep "$2" & s=$!
  wait "$s"
done
s=
end"#;

/// `$1` is the file, `$2` the guard, `$3` an etcdctl that still runs. Prints "left NAME" for what still exists.
pub(super) const REMOVE: &str = r#"f=$1
[ -z "$3" ] || kill "$3" 2>/dev/null
[ -z "$2" ] || kill "$2" 2>/dev/null
end_reader "$f"
rm -f "$f" "$f.part" "$f.pid" "$f.ttl" || echo "rm failed" >&2
for x in "$f" "$f.part" "$f.pid" "$f.ttl"; do [ ! -e "$x" ] || echo "left $x"; done
echo gone"#;

/// `$1` is the file.
pub(super) const EXTEND_TTL: &str = r#"umask 077; : > "$1.ttl""#;

/// Runs its arguments, after printing the process number.
pub(super) const PRINT_PID_AND_RUN: &str = r#"echo "pid $$"; exec "$@""#;

/// Returns `script` with the function `end_reader` before it.
pub(super) fn with_end_reader(script: &str) -> String {
    format!("end_reader() {{\n{END_READER}\n}}\n{script}")
}

/// Returns the command line with which a user deletes the file and all that belongs to it.
pub(super) fn manual_delete_command(shell: &ContainerShell, path: &str) -> String {
    let files = ["", ".part", ".pid", ".ttl"].map(|ending| quoted(&format!("{path}{ending}")));
    let [namespace, pod, container] =
        [&shell.container.namespace, &shell.container.pod, &shell.container.container].map(|name| quoted(name));
    format!("kubectl exec -n {namespace} {pod} -c {container} -- rm -f {}", files.join(" "))
}

/// Quotes a word for a shell, because what comes from a container may contain anything.
fn quoted(word: &str) -> String {
    if word.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter)) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_deletes_by_hand_names_every_file_and_lets_no_name_be_a_command() {
        let shell = ContainerShell {
            container: crate::k8s::ContainerRef {
                namespace: "kube-system".into(),
                pod: "etcd-cp1".into(),
                container: "etcd".into(),
            },
        };
        assert_eq!(
            manual_delete_command(&shell, "/tmp/x.db"),
            "kubectl exec -n kube-system etcd-cp1 -c etcd -- rm -f /tmp/x.db /tmp/x.db.part /tmp/x.db.pid /tmp/x.db.ttl"
        );
        assert!(manual_delete_command(&shell, "/a b;'/x").contains(r"rm -f '/a b;'\''/x' '/a b;'\''/x.part'"));
    }
}
