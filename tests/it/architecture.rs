//! Who may import whom, as docs/architecture.md says it, read from the sources.
//!
//! Every path that begins with `crate`, `self`, `super` or the name of an imported or child module counts, in `use`, in
//! code and in macros. A name that a module only passes on (`pub use`) counts for the file that defines it. Code under
//! `#[cfg(test)]` is exempt.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What each module imports. Every module may import `error` and `util`.
const RULES: &[(&str, &[&str])] = &[
    ("commands", &["cli", "ui", "verification", "snapshot", "etcd", "k8s", "storage", "signals"]),
    ("cli", &["ui", "verification", "snapshot", "etcd", "k8s"]),
    ("verification", &["etcd", "k8s"]),
    ("snapshot", &["etcd", "k8s"]),
    ("etcd", &["k8s"]),
    ("k8s", &[]),
    ("ui", &[]),
    ("storage", &[]),
    ("signals", &[]),
    ("logging", &[]),
    ("util", &[]),
    ("error", &[]),
];

/// All that the command line imports from other modules: their option types.
const OPTION_TYPES: &[&str] = &[
    "etcd::Options",
    "etcd::ClientOptions",
    "etcd::PodOverrides",
    "etcd::hash_kv::HashLimits",
    "k8s::ConnectOptions",
    "snapshot::Limits",
    "snapshot::TransportPreference",
    "ui::OutputOptions",
    "ui::Format",
    "verification::Level",
];

/// The modules of a crate: path (`etcd::status`), and what is in them.
type Modules = BTreeMap<String, Module>;

/// What one file says of other modules.
#[derive(Default)]
struct Module {
    /// Paths in code and in imports, with the module that they stand in.
    paths: Vec<(String, Vec<String>)>,
    /// Local names of what is imported: name to path.
    imports: BTreeMap<String, Vec<String>>,
    /// Names that are passed on: name to path.
    exports: BTreeMap<String, Vec<String>>,
}

/// One file imports another: from, to, and the path as it is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    from: String,
    to: String,
    /// The module and the name by which it is reached, before `pub use` is followed.
    written: String,
}

fn read(source: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut open = vec![source.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(source).unwrap().with_extension("");
                let parts: Vec<&str> = relative.iter().map(|part| part.to_str().unwrap()).collect();
                files.push((parts.join("::"), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files
}

/// `etcd::status::mod` is the module `etcd::status`, `lib` the crate itself.
fn module_name(file: &str) -> String {
    let name = file.strip_suffix("::mod").unwrap_or(file);
    if name == "lib" { String::new() } else { name.to_owned() }
}

/// The files that are under `#[cfg(test)]` as a whole.
fn test_files(files: &[(String, String)]) -> BTreeSet<String> {
    let declared = |text: &str| -> Vec<String> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let under_test = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]").map(|pair| pair[1]);
        let name = |line: &str| line.strip_prefix("mod ")?.strip_suffix(';').map(str::to_owned);
        under_test.filter_map(name).collect()
    };
    let below = |(file, text): &(String, String)| -> Vec<String> {
        let own = module_name(file);
        let path = |name| if own.is_empty() { name } else { format!("{own}::{name}") };
        declared(text).into_iter().map(path).collect()
    };
    files.iter().flat_map(below).collect()
}

fn modules(files: &[(String, String)]) -> Modules {
    let exempt = test_files(files);
    let files: Vec<(String, &str)> = files
        .iter()
        .filter(|(file, _)| file != "main")
        .map(|(file, text)| (module_name(file), text.as_str()))
        .filter(|(name, _)| !exempt.contains(name))
        .collect();
    let names: BTreeSet<String> = files.iter().map(|(name, _)| name.clone()).collect();
    let mut modules = Modules::new();
    for (name, text) in files {
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut module = Module::default();
        scan(&tokens.into_iter().collect::<Vec<_>>(), &segments(&name), &names, &mut module);
        modules.insert(name, module);
    }
    modules
}

fn segments(path: &str) -> Vec<String> {
    path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn is(token: Option<&TokenTree>, text: &str) -> bool {
    match token {
        Some(TokenTree::Ident(ident)) => *ident == text,
        Some(TokenTree::Punct(punct)) => text.starts_with(punct.as_char()) && text.len() == 1,
        _ => false,
    }
}

fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    is(tokens.get(at), ":") && is(tokens.get(at + 1), ":")
}

/// Collects imports, exports and paths of `tokens`, which stand in the module `own`.
fn scan(tokens: &[TokenTree], own: &[String], names: &BTreeSet<String>, module: &mut Module) {
    let mut at = 0;
    while at < tokens.len() {
        if is(tokens.get(at), "#")
            && let Some(TokenTree::Group(attribute)) = tokens.get(at + 1)
        {
            at += 2;
            if attribute.stream().to_string().replace(' ', "") == "cfg(test)" {
                at = behind_item(tokens, at);
            }
            continue;
        }
        match &tokens[at] {
            TokenTree::Ident(ident) if *ident == "use" => {
                let end = (at..tokens.len()).find(|index| is(tokens.get(*index), ";")).unwrap_or(tokens.len());
                let is_public = at > 0 && is_visible(tokens, at);
                for (name, path) in use_tree(&tokens[at + 1..end], &[]) {
                    let Some(path) = absolute(&path, own, names, &module.imports) else { continue };
                    if is_public {
                        module.exports.insert(name.clone(), path.clone());
                    } else {
                        module.paths.push((own.join("::"), path.clone()));
                    }
                    module.imports.insert(name, path);
                }
                at = end;
            }
            TokenTree::Ident(_)
                if at == 0 || !is_separator(tokens, at.wrapping_sub(2)) && !is(tokens.get(at - 1), ".") =>
            {
                let mut path = Vec::new();
                while let Some(TokenTree::Ident(ident)) = tokens.get(at) {
                    path.push(ident.to_string());
                    at += 1;
                    if !is_separator(tokens, at) || !matches!(tokens.get(at + 2), Some(TokenTree::Ident(_))) {
                        break;
                    }
                    at += 2;
                }
                if path.len() > 1
                    && let Some(path) = absolute(&path, own, names, &module.imports)
                {
                    module.paths.push((own.join("::"), path));
                }
                continue;
            }
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                // `mod name { … }`: paths in it are relative to that module.
                let name = match (at.checked_sub(2), at.checked_sub(1)) {
                    (Some(keyword), Some(name)) if is(tokens.get(keyword), "mod") => Some(tokens[name].to_string()),
                    _ => None,
                };
                let own: Vec<String> = own.iter().cloned().chain(name).collect();
                scan(&inner, &own, names, module);
            }
            _ => {}
        }
        at += 1;
    }
}

fn is_visible(tokens: &[TokenTree], at: usize) -> bool {
    is(tokens.get(at - 1), "pub")
        || at > 1
            && matches!(&tokens[at - 1], TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis)
            && is(tokens.get(at - 2), "pub")
}

/// The index behind the item that begins at `at`: its `;` or its braces.
fn behind_item(tokens: &[TokenTree], at: usize) -> usize {
    let ends = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        token => is(Some(token), ";"),
    };
    tokens[at..].iter().position(ends).map_or(tokens.len(), |length| at + length + 1)
}

/// The names and paths of a `use`.
fn use_tree(tokens: &[TokenTree], prefix: &[String]) -> Vec<(String, Vec<String>)> {
    let mut path = prefix.to_vec();
    let mut alias = None;
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(ident) if *ident == "as" => {
                alias = tokens.get(at + 1).map(ToString::to_string);
                at += 1;
            }
            TokenTree::Ident(ident) => path.push(ident.to_string()),
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                return inner.split(|token| is(Some(token), ",")).flat_map(|part| use_tree(part, &path)).collect();
            }
            token if is(Some(token), "*") => path.push("*".to_owned()),
            _ => {}
        }
        at += 1;
    }
    // A bare `self` stands for the module itself.
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    match path.last().cloned() {
        Some(last) if path.len() > prefix.len() || !prefix.is_empty() => vec![(alias.unwrap_or(last), path)],
        _ => Vec::new(),
    }
}

/// A path from the crate's root; `None` for one that leads out of the crate.
fn absolute(
    path: &[String],
    own: &[String],
    names: &BTreeSet<String>,
    imports: &BTreeMap<String, Vec<String>>,
) -> Option<Vec<String>> {
    let mut base: Vec<String> = own.to_vec();
    let mut rest = path;
    match path[0].as_str() {
        "crate" => {
            base.clear();
            rest = &path[1..];
        }
        "self" => rest = &path[1..],
        "super" => {
            while rest.first().is_some_and(|first| first == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        first => {
            let child: Vec<String> = base.iter().cloned().chain([first.to_owned()]).collect();
            if names.contains(&child.join("::")) {
                // A child module.
            } else if let Some(imported) = imports.get(first) {
                base = imported.clone();
                rest = &path[1..];
            } else {
                return None;
            }
        }
    }
    base.extend(rest.iter().cloned());
    Some(base)
}

/// The longest module in a path, and what follows it.
fn split<'p>(path: &'p [String], modules: &Modules) -> (String, &'p [String]) {
    (0..=path.len())
        .rev()
        .map(|length| (path[..length].join("::"), &path[length..]))
        .find(|(module, _)| modules.contains_key(module))
        .unwrap_or_default()
}

/// The module that defines what a path names, behind every `pub use`.
fn defining(path: &[String], modules: &Modules) -> String {
    let mut path = path.to_vec();
    for _ in 0..20 {
        let (module, rest) = split(&path, modules);
        let Some(target) = rest.first().and_then(|name| modules[&module].exports.get(name)) else { return module };
        path = target.iter().chain(&rest[1..]).cloned().collect();
    }
    panic!("'pub use' goes round: {}", path.join("::"))
}

fn edges(modules: &Modules) -> BTreeSet<Edge> {
    let mut edges = BTreeSet::new();
    for (name, module) in modules {
        for (_, path) in &module.paths {
            let to = defining(path, modules);
            // Importing a module imports nothing yet: what is used of it does.
            let (whole, rest) = split(path, modules);
            if rest.is_empty() && module.imports.values().any(|imported| imported == path) && whole == to {
                continue;
            }
            if to != *name {
                let written = rest.first().map_or(whole.clone(), |item| format!("{whole}::{item}"));
                edges.insert(Edge { from: name.clone(), to, written });
            }
        }
        // What is passed on must be allowed to be known here, too.
        for path in module.exports.values() {
            let to = defining(path, modules);
            if top_module(&to) != top_module(name) {
                edges.insert(Edge { from: name.clone(), to, written: path.join("::") });
            }
        }
    }
    edges
}

fn top_module(module: &str) -> &str {
    module.split("::").next().unwrap_or_default()
}

/// What breaks the rules.
fn violations(files: &[(String, String)]) -> Vec<String> {
    let modules = modules(files);
    let edges = edges(&modules);
    let mut found = Vec::new();
    for edge in &edges {
        let (from, to) = (top_module(&edge.from), top_module(&edge.to));
        if from.is_empty() || from == to || ["error", "util"].contains(&to) {
            continue;
        }
        let allowed = RULES.iter().find(|(name, _)| *name == from).map(|(_, allowed)| *allowed);
        match allowed {
            None => found.push(format!("{from} is in no rule")),
            Some(allowed) if !allowed.contains(&to) => {
                found.push(format!("{} imports {}: {from} must not import {to}", edge.from, edge.written));
            }
            Some(_) if from == "cli" && !OPTION_TYPES.contains(&edge.written.as_str()) => {
                found.push(format!("{} imports {}, which is not an option type", edge.from, edge.written));
            }
            Some(_) => {}
        }
    }
    found.extend(cycles(&modules, &edges).into_iter().map(|cycle| format!("a cycle: {}", cycle.join(" -> "))));
    found
}

/// Files that import each other, directly or through others.
fn cycles(modules: &Modules, edges: &BTreeSet<Edge>) -> Vec<Vec<String>> {
    let reached = |from: &str| {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            for edge in edges.iter().filter(|edge| edge.from == at) {
                if seen.insert(&edge.to) {
                    open.push(&edge.to);
                }
            }
        }
        seen
    };
    let mut found: Vec<Vec<String>> = Vec::new();
    for name in modules.keys() {
        let own = reached(name);
        if own.contains(name.as_str()) && !found.iter().flatten().any(|known| known == name) {
            found.push(
                own.into_iter().filter(|other| reached(other).contains(name.as_str())).map(str::to_owned).collect(),
            );
        }
    }
    found
}

fn tree(files: &[(&str, &str)]) -> Vec<(String, String)> {
    let declarations = RULES.iter().map(|(module, _)| format!("mod {module};")).collect::<String>();
    let mut tree = vec![("lib".to_owned(), declarations)];
    tree.extend(files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())));
    tree
}

#[test]
fn modules_import_what_the_architecture_allows() {
    let files = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(files.len() > 50, "only {} files were found", files.len());
    let edges = edges(&modules(&files));
    assert!(edges.len() > 200, "only {} imports were found", edges.len());
    assert_eq!(violations(&files), Vec::<String>::new());
}

#[test]
fn no_cycle_is_in_the_library_of_snapshots() {
    let files = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/etcd-snapshot/src"));
    assert!(files.len() > 10, "only {} files were found", files.len());
    let modules = modules(&files);
    assert_eq!(cycles(&modules, &edges(&modules)), Vec::<Vec<String>>::new());
}

#[test]
fn the_rules_are_those_of_the_documentation() {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/architecture.md"));
    for (module, allowed) in RULES {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{module}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/architecture.md has no row for {module} in its import rule"));
        let cell = row.split('|').nth(2).unwrap_or_default();
        let named: BTreeSet<&str> = cell.split('`').skip(1).step_by(2).collect();
        assert_eq!(named, allowed.iter().copied().collect(), "docs/architecture.md, {module}");
    }
}

#[test]
fn a_path_in_code_counts() {
    let broken = tree(&[
        ("k8s::mod", "pub fn f() { println!(\"{}\", crate::etcd::name()); }"),
        ("etcd::mod", "pub fn name() -> u8 { 0 }"),
    ]);
    assert_eq!(violations(&broken), ["k8s imports etcd::name: k8s must not import etcd"]);
}

#[test]
fn a_name_that_is_passed_on_counts_for_the_file_that_defines_it() {
    let broken = tree(&[
        ("util::mod", "pub use crate::ui::Ui;"),
        ("snapshot::mod", "use crate::util::Ui; fn f(_: Ui) {}"),
        ("ui::mod", "pub struct Ui;"),
    ]);
    let found = violations(&broken);
    assert_eq!(
        found,
        ["snapshot imports util::Ui: snapshot must not import ui", "util imports ui::Ui: util must not import ui"]
    );
}

#[test]
fn a_cycle_inside_a_module_is_found() {
    let broken = tree(&[
        ("etcd::mod", "mod a; mod b; pub use b::B;"),
        ("etcd::a", "pub struct A(super::B);"),
        ("etcd::b", "use super::a; pub struct B(a::A);"),
    ]);
    assert_eq!(violations(&broken), ["a cycle: etcd::a -> etcd::b"]);
}

#[test]
fn tests_are_exempt_and_the_command_line_takes_option_types_only() {
    let sound = tree(&[
        ("k8s::mod", "#[cfg(test)] mod tests { use crate::etcd::Options; } pub struct ConnectOptions;"),
        ("cli::mod", "use crate::k8s::ConnectOptions;"),
        ("etcd::mod", "pub struct Options;"),
    ]);
    assert_eq!(violations(&sound), Vec::<String>::new());
    let broken = tree(&[("cli::mod", "use crate::k8s::KubeClient;"), ("k8s::mod", "pub struct KubeClient;")]);
    assert_eq!(violations(&broken), ["cli imports k8s::KubeClient, which is not an option type"]);
}
