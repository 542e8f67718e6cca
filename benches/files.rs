//! How fast log files are searched: `cargo bench --bench files [-- MEGABYTES]`.
//!
//! Runs the built program over Suricata EVE and over Zeek's tab-separated logs made
//! here (the same in every run) with 100,000 indicators, and `rg -F -f` and
//! `grep -F -f`, which only find text, over the same EVE with the same values, where
//! they are installed.
//! Prints a table, then the same as JSON, one result a line.

mod data;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use data::Random;
use data::eve::{address, domain, measure, write_events};

const INDICATORS: usize = 100_000;
/// One event in this many holds a value that is searched.
const HIT_EVERY: usize = 10_000;
const RUNS: usize = 3;

fn main() {
    let megabytes = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let megabytes: usize = megabytes.unwrap_or(1000);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let events = directory.path().join("eve.json");
    let values = directory.path().join("indicators.txt");
    let written = write_events(&events, megabytes * 1_000_000, INDICATORS, HIT_EVERY);
    write_values(&values);
    let (conn, dns) = (
        directory.path().join("conn.log"),
        directory.path().join("dns.log"),
    );
    let zeek = write_zeek([&conn, &dns], megabytes * 1_000_000);
    println!(
        "{} MB of EVE in {} events, {INDICATORS} values, {} threads\n",
        written.bytes / 1_000_000,
        written.events,
        std::thread::available_parallelism().map_or(1, |number| number.get()),
    );
    let program = |logs: &[&Path]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_vast-threatbus"));
        program
            .args(["-l", "ERROR", "--indicators"])
            .arg(&values)
            .arg("--events")
            .args(logs);
        Some(program)
    };
    let (table, json) = [
        ("vast-threatbus", written.bytes, program(&[&events])),
        ("  Zeek's tables", zeek, program(&[&conn, &dns])),
        (
            "rg -F -f",
            written.bytes,
            search("rg", &["-F", "-f"], &values, &events),
        ),
        (
            "grep -F -f",
            written.bytes,
            search("grep", &["-F", "-f"], &values, &events),
        ),
    ]
    .into_iter()
    .fold(
        <(String, String)>::default(),
        |(mut table, mut json), (name, bytes, command)| {
            match command.and_then(|command| measure(command, name, RUNS)) {
                Some((seconds, lines)) => {
                    let rate = bytes as f64 / seconds / 1e6;
                    writeln!(
                        table,
                        "{name:<16}{seconds:>8.2} s{rate:>8.0} MB/s{lines:>9} lines"
                    )
                    .expect("a string takes all");
                    let result = serde_json::json!({
                        "bench": "files", "program": name.trim(), "seconds": seconds,
                        "megabytes_per_second": rate.round(), "lines": lines,
                    });
                    writeln!(json, "{result}").expect("a string takes all");
                }
                None => writeln!(table, "{name:<16} is not installed").expect("a string takes all"),
            }
            (table, json)
        },
    );
    println!("{table}\n{json}");
}

/// A search for text, in the locale that makes it fastest.
fn search(program: &str, flags: &[&str], values: &Path, events: &Path) -> Option<Command> {
    let mut command = Command::new(program);
    command
        .env("LC_ALL", "C")
        .args(flags)
        .arg(values)
        .arg(events);
    Some(command)
}

fn write_values(path: &Path) {
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    for nth in 0..INDICATORS {
        match nth % 3 {
            0 => writeln!(file, "{}", domain(nth)),
            1 => writeln!(file, "{}", address(nth)),
            _ => writeln!(file, "http://{}/a/{nth:x}/index.php?id={nth}", domain(nth)),
        }
        .expect("a temporary file takes all");
    }
}

/// Two of Zeek's logs, in halves, as it writes them; gives the bytes of both.
fn write_zeek(paths: [&Path; 2], size: usize) -> usize {
    const HEAD: &str =
        "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n";
    const CONN: &str = "#path\tconn\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes\tconn_state\tlocal_orig\tlocal_resp\tmissed_bytes\thistory\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\ttunnel_parents\n#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tinterval\tcount\tcount\tstring\tbool\tbool\tcount\tstring\tcount\tcount\tcount\tcount\tset[string]\n";
    const DNS: &str = "#path\tdns\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\ttrans_id\trtt\tquery\tqclass\tqclass_name\tqtype\tqtype_name\trcode\trcode_name\tAA\tTC\tRD\tRA\tZ\tanswers\tTTLs\trejected\n#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tcount\tinterval\tstring\tcount\tstring\tcount\tstring\tcount\tstring\tbool\tbool\tbool\tbool\tcount\tvector[string]\tvector[interval]\tbool\n";
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut all = 0;
    for (path, columns) in paths.into_iter().zip([CONN, DNS]) {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path).expect("a file"));
        let mut line = format!("{HEAD}{columns}");
        let (mut bytes, mut events) = (0, 0);
        while bytes < size / 2 {
            bytes += line.len();
            file.write_all(line.as_bytes())
                .expect("a temporary file takes all");
            let nth = match events % HIT_EVERY {
                0 => random.next(INDICATORS),
                _ => INDICATORS + random.next(10_000_000),
            };
            events += 1;
            line = row(&mut random, nth, columns == CONN);
        }
        file.flush().expect("a temporary file takes all");
        all += bytes;
    }
    all
}

/// One line of `conn.log`, or of `dns.log`.
fn row(random: &mut Random, nth: usize, is_conn: bool) -> String {
    let head = format!(
        "1709632{}.{:06}\tC{:013x}\t{}\t{}\t{}",
        100 + random.next(900),
        random.next(1_000_000),
        random.next(1 << 50),
        random.address(),
        random.next(65_536),
        address(nth),
    );
    if is_conn {
        format!(
            "{head}\t443\ttcp\tssl\t0.{:06}\t{}\t{}\tSF\tT\tF\t0\tShADadfF\t{}\t{}\t{}\t{}\t(empty)\n",
            random.next(1_000_000),
            random.next(100_000),
            random.next(1_000_000),
            random.next(100),
            random.next(100_000),
            random.next(100),
            random.next(1_000_000),
        )
    } else {
        format!(
            "{head}\t53\tudp\t{}\t0.{:06}\t{}\t1\tC_INTERNET\t1\tA\t0\tNOERROR\tF\tF\tT\tT\t0\t{}\t299.000000\tF\n",
            random.next(65_536),
            random.next(1_000_000),
            domain(nth),
            address(nth + 1),
        )
    }
}
