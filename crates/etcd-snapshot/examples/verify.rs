//! Prints what a file is, its figures, and what is wrong with it: `cargo run --example verify -- snapshot.db`
#![allow(clippy::print_stdout)]

use std::fs::File;
use std::process::ExitCode;

use etcd_snapshot::{Contents, FileHash, FileKind, HashPoint, Options, check, hash_kv};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: verify FILE")?;
    let file = File::open(path)?;
    let report = check(&file, &Options::default())?;

    let kind = match report.kind {
        Some(FileKind::Snapshot) => "snapshot",
        Some(FileKind::MemberDatabase) => "member database",
        None => "not an etcd database",
    };
    println!("kind               {kind}");
    println!("size               {}", report.size);
    println!("trailer            {:?}", report.trailer);
    if let Some(sha256) = report.sha256 {
        println!("sha256             {}", sha256.map(|byte| format!("{byte:02x}")).concat());
    }
    if let Some(contents) = &report.contents {
        print_contents(contents);
        let point = HashPoint { revision: contents.revision, compact_revision: contents.compact_revision() };
        for hash in hash_kv(&file, contents, &[point], &|_| true)? {
            match hash {
                FileHash::Hash(hash) => println!("HashKV             {hash}"),
                FileHash::NotComparable(reason) => println!("HashKV             {reason}"),
            }
        }
    }
    for problem in &report.problems {
        println!("problem: {problem}\n   hint: {}", problem.hint);
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_contents(contents: &Contents) {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
    println!("total size         {}", contents.total_size);
    println!("hash               {:x}", contents.hash);
    println!("revision           {}", contents.last_revision);
    println!("compact revision   {}", contents.compact_revision());
    println!("keys               {}", contents.total_keys);
    println!("entries            {}", contents.entries);
    println!("storage version    {}", or_none(contents.storage_version.clone()));
    println!("consistent index   {}", or_none(contents.consistent_index.map(|index| index.to_string())));
    println!("term               {}", or_none(contents.term.map(|term| term.to_string())));
    println!("leases             {}", contents.leases);
    println!("users and roles    {} and {}", contents.users, contents.roles);
    println!("authentication     {}", if contents.auth_enabled { "enabled" } else { "disabled" });
    println!("alarms             {}", contents.alarms);
}
