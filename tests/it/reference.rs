//! The documentation shows what the program prints: the help, the exit codes, the RBAC manifest.
//!
//! `UPDATE_REFERENCE=1 cargo test --test it reference` writes what changed into docs/ instead of failing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const REFRESH: &str = "UPDATE_REFERENCE=1 cargo test --test it reference";

/// The commands of docs/reference.md, in its order.
const COMMANDS: [&str; 5] = ["", "members", "verify", "rbac", "cleanup"];

const HEAD: &str = "\
# Reference

The output of `--help` for each command. A test [generates](../CONTRIBUTING.md#documentation) this page.

";

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    let text = std::fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("cannot read {file}: {error}"));
    text.replace("\r\n", "\n")
}

/// Fails where `file` differs from `expected`, or writes it if UPDATE_REFERENCE is set.
fn check_file(file: &str, expected: &str) {
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(path(file), expected).unwrap_or_else(|error| panic!("cannot write {file}: {error}"));
        return;
    }
    let actual = std::fs::read_to_string(path(file)).unwrap_or_default().replace("\r\n", "\n");
    if actual == expected {
        return;
    }
    let differs = actual.lines().zip(expected.lines()).position(|(actual, expected)| actual != expected);
    let line = differs.unwrap_or_else(|| actual.lines().count().min(expected.lines().count()));
    panic!(
        "{file} is out of date at line {}:\n  it has:             {:?}\n  the program prints: {:?}\nTo refresh it:\n  {REFRESH}\n",
        line + 1,
        actual.lines().nth(line),
        expected.lines().nth(line),
    );
}

/// Checks the fence between `<!-- NAME -->` and `<!-- /NAME -->` in `file`.
pub fn check_block(file: &str, name: &str, language: &str, expected: &str) {
    let text = read(file);
    let (start, end) = (format!("<!-- {name} -->\n```{language}\n"), format!("```\n<!-- /{name} -->"));
    let (before, rest) = text.split_once(&start).unwrap_or_else(|| panic!("{file} has no {start:?}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{file} has no {end:?}"));
    check_file(file, &format!("{before}{start}{expected}{end}{after}"));
}

/// The help of `command` on a terminal that is at least 100 columns wide.
fn help(command: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_kubectl-etcd_backup"))
        .args(command.split_whitespace())
        .arg("--help")
        // With a terminal on any of the three streams, its width would count.
        .stdin(Stdio::null())
        .env("COLUMNS", "100")
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "'{command} --help' ends with {}", output.status);
    String::from_utf8(output.stdout).expect("the help is text").replace("\r\n", "\n")
}

fn title(command: &str) -> String {
    format!("kubectl etcd-backup {command}").trim_end().to_owned()
}

#[test]
fn the_reference_is_the_help_of_each_command() {
    let anchor = |command: &str| title(command).replace(' ', "-");
    let contents = COMMANDS.map(|command| format!("- [{}](#{})\n", title(command), anchor(command))).concat();
    let sections =
        COMMANDS.map(|command| format!("\n## {}\n\n```text\n{}```\n", title(command), help(command))).concat();
    check_file("docs/reference.md", &format!("{HEAD}{contents}{sections}"));
}

#[test]
fn the_reference_holds_every_command() {
    let help = help("");
    let (_, list) = help.split_once("Commands:\n").expect("the help lists the commands");
    let names = list.lines().take_while(|line| !line.is_empty()).filter_map(|line| {
        let name = line.strip_prefix("  ").filter(|line| !line.starts_with(' '))?;
        name.split_whitespace().next()
    });
    let missing: Vec<&str> = names.filter(|name| *name != "help" && !COMMANDS.contains(name)).collect();
    assert!(missing.is_empty(), "add {missing:?} to COMMANDS in tests/it/reference.rs");
}

/// Codes and meaning, from lines such as `  0    verified` and `  130, 143, 129  ended by …`.
fn exit_codes() -> Vec<(String, String)> {
    let help = help("");
    let (_, list) = help.split_once("Exit codes:\n").expect("the help lists the exit codes");
    let lines = list.lines().take_while(|line| line.starts_with("  "));
    let pairs = lines.filter_map(|line| line.trim_start().split_once("  "));
    pairs.map(|(codes, meaning)| (codes.to_owned(), meaning.trim().to_owned())).collect()
}

/// A meaning as Markdown: flags are code.
fn with_code(meaning: &str) -> String {
    let words =
        meaning.split(' ').map(|word| if word.starts_with("--") { format!("`{word}`") } else { word.to_owned() });
    words.collect::<Vec<_>>().join(" ")
}

/// Checks the first two columns. The third one, what to do, is written by hand and kept.
#[test]
fn the_reference_of_exit_codes_is_that_of_the_help() {
    let (file, header) = ("docs/scripting.md", "| exit code | meaning | what to do |\n|---|---|---|\n");
    let page = read(file);
    let (before, rest) = page.split_once(header).unwrap_or_else(|| panic!("{file} has no table of exit codes"));
    let (table, after) = rest.split_once("\n\n").unwrap_or_else(|| panic!("{file} ends with the table"));
    let actions: HashMap<&str, &str> = table
        .lines()
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            (cells[1], cells[3])
        })
        .collect();
    let codes = exit_codes();
    assert!(!codes.is_empty(), "the help lists no exit codes");
    let rows: Vec<String> = codes
        .iter()
        .map(|(code, meaning)| {
            let action = actions.get(code.as_str()).unwrap_or_else(|| panic!("{file}: add a row for exit code {code}"));
            format!("| {code} | {} | {action} |", with_code(meaning))
        })
        .collect();
    check_file(file, &format!("{before}{header}{}\n\n{after}", rows.join("\n")));
}

/// All Rust sources below `directory`, with string literals in one line and without escapes.
fn sources_of(directory: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(directory).expect("the directory can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            text += &sources_of(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(&path).expect("the source can be read").replace("\r\n", "\n");
            let mut parts = source.split("\\\n");
            text += parts.next().unwrap_or_default();
            parts.for_each(|part| text += part.trim_start());
        }
    }
    text.replace("\\\"", "\"")
}

/// A message whose wording changed must change on the page, where people search for it.
#[test]
fn the_reference_of_messages_holds_none_that_the_program_does_not_print() {
    let file = "docs/troubleshooting.md";
    let sources = ["src", "crates"].map(path).into_iter().filter(|path| path.is_dir());
    let sources: String = sources.map(|path| sources_of(&path)).collect();
    let page = read(file);
    let messages = page.lines().filter(|line| line.starts_with("| `")).flat_map(|line| {
        // Text between backticks in the first column: every second part.
        let cell = line.split('|').nth(1).unwrap_or_default();
        cell.split('`').skip(1).step_by(2)
    });
    let stale: Vec<&str> = messages
        .filter(|message| {
            // An ellipsis stands for a value.
            let mut fixed = message.split('…').map(|part| part.trim_matches([' ', ':']));
            fixed.any(|part| !sources.contains(part))
        })
        .collect();
    assert!(stale.is_empty(), "{file} has messages that the program does not print:\n  {}", stale.join("\n  "));
}
