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
use std::process::{Command, Stdio};
use std::time::Instant;

use data::Random;

const INDICATORS: usize = 100_000;
/// One event in this many holds a value that is looked for.
const HIT_EVERY: usize = 10_000;
const RUNS: usize = 3;

fn main() {
    let megabytes = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let megabytes: usize = megabytes.unwrap_or(1000);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let events = directory.path().join("eve.json");
    let values = directory.path().join("indicators.txt");
    let written = write_events(&events, megabytes * 1_000_000);
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
            match command.and_then(|command| measure(command, name)) {
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

/// The best of several runs: seconds, and lines printed.
fn measure(mut command: Command, name: &str) -> Option<(f64, usize)> {
    let mut best: Option<(f64, usize)> = None;
    for _ in 0..RUNS {
        let start = Instant::now();
        let output = command
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .ok()?;
        let seconds = start.elapsed().as_secs_f64();
        assert!(output.status.success(), "{name} failed");
        let lines = memchr::memchr_iter(b'\n', &output.stdout).count();
        if best.is_none_or(|(least, _)| seconds < least) {
            best = Some((seconds, lines));
        }
    }
    best
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

struct Written {
    bytes: usize,
    events: usize,
}

fn write_events(path: &Path, size: usize) -> Written {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).expect("a file"));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut written = Written {
        bytes: 0,
        events: 0,
    };
    while written.bytes < size {
        let nth = match written.events % HIT_EVERY {
            0 => random.next(INDICATORS),
            _ => INDICATORS + random.next(10_000_000),
        };
        let line = event(&mut random, nth);
        written.bytes += line.len();
        written.events += 1;
        file.write_all(line.as_bytes())
            .expect("a temporary file takes all");
    }
    file.flush().expect("a temporary file takes all");
    written
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
        "1709632{}.{:06}\tC{:013x}\t10.{}.{}.{}\t{}\t{}",
        100 + random.next(900),
        random.next(1_000_000),
        random.next(1 << 50),
        random.next(256),
        random.next(256),
        random.next(254) + 1,
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

/// Below [`INDICATORS`] these are looked for.
fn domain(nth: usize) -> String {
    const WORDS: [&str; 8] = [
        "cdn", "update", "login", "static", "mail", "img", "secure", "api",
    ];
    format!(
        "{}{nth:x}.{}-site.example",
        WORDS[nth % 8],
        WORDS[nth / 8 % 8]
    )
}

fn address(nth: usize) -> String {
    let [_, b, c, d] = (nth as u32).to_be_bytes();
    format!("198.{b}.{c}.{d}")
}

/// One line: flows, DNS, HTTP and TLS in the shares of an office network.
fn event(random: &mut Random, nth: usize) -> String {
    let head = format!(
        r#"{{"timestamp":"2024-03-{:02}T17:{:02}:51.{:06}+0000","flow_id":{},"in_iface":"eth0","src_ip":"10.{}.{}.{}","src_port":{},"dest_ip":"{}","dest_port":443,"proto":"TCP""#,
        random.next(28) + 1,
        random.next(60),
        random.next(1_000_000),
        random.next(1 << 50),
        random.next(256),
        random.next(256),
        random.next(254) + 1,
        random.next(65_536),
        address(nth),
    );
    let name = domain(nth);
    let body = match random.next(10) {
        0..=3 => format!(
            r#","event_type":"flow","app_proto":"tls","flow":{{"pkts_toserver":{},"pkts_toclient":{},"bytes_toserver":{},"bytes_toclient":{},"start":"2024-03-01T17:00:51.000000+0000","end":"2024-03-01T17:01:51.000000+0000","age":60,"state":"closed","reason":"timeout","alerted":false}},"tcp":{{"tcp_flags":"1b","tcp_flags_ts":"1b","tcp_flags_tc":"1b","syn":true,"fin":true,"psh":true,"ack":true,"state":"closed"}}}}"#,
            random.next(100),
            random.next(100),
            random.next(100_000),
            random.next(1_000_000),
        ),
        4..=6 => format!(
            r#","event_type":"dns","dns":{{"version":2,"type":"answer","id":{},"flags":"8180","qr":true,"rd":true,"ra":true,"rrname":"{name}","rrtype":"A","rcode":"NOERROR","answers":[{{"rrname":"{name}","rrtype":"A","ttl":299,"rdata":"{}"}}],"grouped":{{"A":["{}"]}}}}}}"#,
            random.next(65_536),
            address(nth + 1),
            address(nth + 1),
        ),
        7..=8 => format!(
            r#","event_type":"tls","tls":{{"subject":"CN={name}","issuerdn":"C=US, O=Let's Encrypt, CN=R3","serial":"04:{:032x}","fingerprint":"{:040x}","sni":"{name}","version":"TLS 1.2","notbefore":"2024-01-01T00:00:00","notafter":"2024-04-01T00:00:00","ja3":{{}},"ja3s":{{}}}}}}"#,
            random.next(usize::MAX),
            random.next(usize::MAX),
        ),
        _ => format!(
            r#","event_type":"http","tx_id":0,"http":{{"hostname":"{name}","url":"/a/{:x}/index.php?id={}","http_user_agent":"Mozilla/5.0 (X11; Linux x86_64; rv:86.0) Gecko/20100101 Firefox/86.0","http_content_type":"text/html","http_method":"GET","protocol":"HTTP/1.1","status":200,"length":{}}}}}"#,
            random.next(1 << 30),
            random.next(1000),
            random.next(100_000),
        ),
    };
    head + &body + "\n"
}
