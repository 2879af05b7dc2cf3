//! The kernel programs keep to the ceilings in `shedder-ebpf/budget.toml`.

use std::fs;
use std::process::Command;

use shedder_tests::bench::budget::complaints_about_instructions;

/// What the verifier counts is the same at every load, so this can be held on any machine.
#[test]
fn no_program_needs_more_instructions_than_its_ceiling() {
    let complaints = complaints_about_instructions().expect("the programs load: run as root");
    assert_eq!(complaints, Vec::<String>::new());
}

#[test]
fn a_passed_ceiling_is_reported_and_fails() {
    let ceilings = include_str!("../../../shedder-ebpf/budget.toml");
    let (instructions, rest) =
        ceilings.split_once("\n[nanoseconds").expect("two kinds of ceilings");
    // Other kernels count otherwise: only one is to be passed.
    let instructions: Vec<String> = instructions
        .lines()
        .map(|line| match line.split_once(" = ") {
            Some(("connect4", _)) => "connect4 = 1".to_owned(),
            Some((name, count)) if count.parse::<u32>().is_ok() => format!("{name} = 1000000"),
            _ => line.to_owned(),
        })
        .collect();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").expect("it is readable");
    let series: Vec<&str> = kernel.split('.').take(2).collect();
    // As if they had been taken here, where a passed one is a failure.
    let ceilings = format!("{}\n[nanoseconds{rest}", instructions.join("\n"))
        .replace("kernel = \"6.18\"", &format!("kernel = \"{}\"", series.join(".")));
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("low.toml");
    fs::write(&file, ceilings).expect("it is writable");

    let output = Command::new(env!("CARGO_BIN_EXE_budget"))
        .args(["--instructions", "--ceilings"])
        .arg(&file)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("budget: connect4: ") && said.contains("ceiling 1:"), "{said}");
    assert!(said.contains(&file.display().to_string()) && said.lines().count() == 1, "{said}");
    let table = String::from_utf8_lossy(&output.stdout);
    let line = table.lines().find(|line| line.starts_with("connect4 ")).expect("a line of it");
    assert!(line.ends_with("PASSED"), "{table}");
}
