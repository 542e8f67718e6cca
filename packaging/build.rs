//! How the release is linked: libstdc++ and libgcc, which libzmq and Rust's own library need,
//! go into the program, so that it needs nothing but the C library of a system.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the linker is given, and what it uses instead.
const LINKED_IN: [(&str, &str); 2] = [
    ("libstdc++.so", "libstdc++.a"),
    ("libgcc_s.so", "libgcc_eh.a"),
];

/// In a C library that can read relative relocations in their short form (glibc 2.36).
const SHORT_RELOCATIONS: &[u8] = b"GLIBC_ABI_DT_RELR";

fn main() {
    println!("cargo::rerun-if-changed=packaging/build.rs");
    println!("cargo::rerun-if-env-changed=CXX");
    // Where both differ, the compiler's files are of the wrong machine.
    let native = env::var("HOST") == env::var("TARGET");
    let set = |name, value| env::var(name).is_ok_and(|is| is == value);
    if !(native
        && set("PROFILE", "release")
        && set("CARGO_CFG_TARGET_OS", "linux")
        && set("CARGO_CFG_TARGET_ENV", "gnu"))
    {
        return;
    }
    link_in();
    if file_of_compiler("libc.so.6").is_some_and(|library| holds(&library, SHORT_RELOCATIONS)) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Puts a linker script in the place of each shared library: it is found first, and names
/// the archive.
fn link_in() {
    let directory = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for (shared, archive) in LINKED_IN {
        let Some(path) = file_of_compiler(archive) else {
            println!("cargo::warning=there is no {archive}: the program will need {shared}");
            continue;
        };
        let script = format!("INPUT(\"{}\")\n", path.display());
        fs::write(directory.join(shared), script).expect("cargo's directory takes files");
    }
    println!("cargo::rustc-link-search=native={}", directory.display());
}

/// Where the C++ compiler has a file of this name.
fn file_of_compiler(name: &str) -> Option<PathBuf> {
    let compiler = env::var("CXX").unwrap_or_else(|_| String::from("c++"));
    // It may carry arguments ("ccache g++").
    let mut words = compiler.split_whitespace();
    let answer = Command::new(words.next()?)
        .args(words)
        .arg(format!("-print-file-name={name}"))
        .output()
        .ok()?;
    // What it does not know, it gives back as it is.
    let path = PathBuf::from(String::from_utf8(answer.stdout).ok()?.trim());
    path.is_absolute().then_some(path)
}

/// Whether a file has these bytes in it.
fn holds(file: &Path, bytes: &[u8]) -> bool {
    fs::read(file).is_ok_and(|content| content.windows(bytes.len()).any(|part| part == bytes))
}
