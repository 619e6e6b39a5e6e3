//! What the README says of the command line is what the program says.

use std::process::{Command, Stdio};

const README: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));

/// The help as it looks where the terminal is at least 100 columns wide.
fn help(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_kubectl-etcd_backup"))
        .args(words)
        // With a terminal on any of the three streams, its width would count.
        .stdin(Stdio::null())
        .env("COLUMNS", "100")
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{words:?} ends with {}", output.status);
    String::from_utf8(output.stdout).expect("the help is text").replace("\r\n", "\n")
}

/// What stands in the fence between `<!-- NAME -->` and `<!-- /NAME -->`.
fn block(name: &str) -> String {
    block_of(name, "text")
}

/// The same for a fence of another language.
pub fn block_of(name: &str, language: &str) -> String {
    let readme = README.replace("\r\n", "\n");
    let (start, end) = (format!("<!-- {name} -->\n```{language}\n"), format!("```\n<!-- /{name} -->"));
    let (_, rest) = readme.split_once(&start).unwrap_or_else(|| panic!("README.md has no {start:?}"));
    let (text, _) = rest.split_once(&end).unwrap_or_else(|| panic!("README.md has no {end:?}"));
    text.to_owned()
}

fn check(name: &str, words: &[&str]) {
    let (says, does) = (block(name), help(words));
    if says == does {
        return;
    }
    let differs = says.lines().zip(does.lines()).position(|(says, does)| says != does);
    let line = differs.unwrap_or_else(|| says.lines().count().min(does.lines().count()));
    panic!(
        "README.md, block <!-- {name} -->, line {}:\n  it says:         {:?}\n  the program says: {:?}\n\
         To refresh it, put the output of this between the fences:\n  \
         COLUMNS=100 target/debug/kubectl-etcd_backup {} </dev/null 2>/dev/null | cat\n",
        line + 1,
        says.lines().nth(line),
        does.lines().nth(line),
        words.join(" "),
    );
}

#[test]
fn the_readme_shows_the_help_of_a_backup() {
    check("help", &["--help"]);
}

#[test]
fn the_readme_shows_the_help_of_members() {
    check("help members", &["members", "--help"]);
}

#[test]
fn the_readme_shows_the_help_of_rbac() {
    check("help rbac", &["rbac", "--help"]);
}

#[test]
fn the_readme_shows_the_help_of_verify() {
    check("help verify", &["verify", "--help"]);
}

#[test]
fn the_readme_shows_the_help_of_cleanup() {
    check("help cleanup", &["cleanup", "--help"]);
}

/// Codes and meaning, from lines such as `  0    proven` and `  130, 143, 129  ended by …`.
fn codes_of_the_help() -> Vec<(String, String)> {
    let help = help(&["--help"]);
    let (_, list) = help.split_once("Exit codes:\n").expect("the help lists the exit codes");
    let lines = list.lines().take_while(|line| line.starts_with("  "));
    let pairs = lines.filter_map(|line| line.trim_start().split_once("  "));
    pairs.map(|(codes, meaning)| (codes.to_owned(), meaning.trim().to_owned())).collect()
}

/// The same from the rows of the README's table.
fn codes_of_the_readme() -> Vec<(String, String)> {
    let (_, table) = README.split_once("| exit code |").expect("README.md has a table of exit codes");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<String> = row.split('|').map(|cell| cell.trim().replace('`', "")).collect();
        (cells[1].clone(), cells[2].clone())
    })
    .collect()
}

#[test]
fn the_readme_lists_the_exit_codes_of_the_help() {
    let (readme, help) = (codes_of_the_readme(), codes_of_the_help());
    assert!(!help.is_empty(), "the help lists no exit codes");
    assert_eq!(readme, help, "the first two columns of README.md's table of exit codes are those of --help");
}
