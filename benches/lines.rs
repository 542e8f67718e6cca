//! How fast sightings go through commands: `cargo bench --bench lines [-- SIGHTINGS]`.
//!
//! Runs the built program over Suricata EVE made here and takes the rate of each
//! command with a process for each sighting and with one that stays: for sightings
//! of one indicator, and of one in ten. A process for each is so slow that it gets
//! fewer sightings. Prints a table, then the same as JSON, one result a line.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Sightings for a process each.
const FEW: usize = 400;

/// One command to be measured.
struct Row {
    name: &'static str,
    arguments: Vec<String>,
    mode: &'static str,
    /// How many sightings an indicator has; `None` = there is one indicator.
    of_each: Option<usize>,
    /// What is to be gained at the least.
    wanted: f64,
}

fn main() {
    let many = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let many: usize = many.unwrap_or(10_000);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let socket = folder.path().join("log");
    let listener = UnixDatagram::bind(&socket).expect("a socket");
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while listener.recv(&mut buffer).is_ok() {}
    });
    let (mut table, mut json) = (String::new(), String::new());
    for row in rows(&socket) {
        if !is_installed(&row.arguments[1]) {
            writeln!(table, "{:<34} is not installed", row.name).expect("a string takes all");
            continue;
        }
        let each = rate(folder.path(), &row, "each", many.min(FEW));
        let lines = rate(folder.path(), &row, "lines", many);
        let gain = lines / each;
        let verdict = if gain >= row.wanted {
            ""
        } else {
            "  less than wanted"
        };
        writeln!(
            table,
            "{:<34}{each:>8.0}/s{lines:>10.0}/s{gain:>8.0} times{verdict}",
            row.name
        )
        .expect("a string takes all");
        let result = serde_json::json!({
            "bench": "lines", "command": row.name, "each_per_second": each.round(),
            "lines_per_second": lines.round(), "wanted": row.wanted,
        });
        writeln!(json, "{result}").expect("a string takes all");
    }
    println!("{:<34}{:>10}{:>12}", "command", "each", "lines");
    println!("{table}\n{json}");
}

fn rows(socket: &Path) -> Vec<Row> {
    let fever = "fever alertify --alert-prefix 'MY PREFIX' --extra-key my-ioc --ioc %ioc";
    let row = |name, option: &str, command: &str, mode, of_each, wanted| Row {
        name,
        arguments: vec![option.to_owned(), command.to_owned()],
        mode,
        of_each,
        wanted,
    };
    let transform = "--transform-mode";
    let logger = format!(
        "logger --tag bridge --size 8KiB --socket {}",
        socket.display()
    );
    vec![
        row("fever, one indicator", "-T", fever, transform, None, 50.0),
        row(
            "fever, ten of an indicator",
            "-T",
            fever,
            transform,
            Some(10),
            10.0,
        ),
        row(
            "jq -c, one indicator",
            "-T",
            "jq -c .",
            transform,
            None,
            50.0,
        ),
        row("cat, one indicator", "-T", "cat", transform, None, 50.0),
        row("cat as a sink", "-S", "cat", "--sink-mode", None, 50.0),
        row("logger as a sink", "-S", &logger, "--sink-mode", None, 50.0),
    ]
}

fn is_installed(command: &str) -> bool {
    let name = command.split(' ').next().unwrap_or(command);
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// Sightings in a second.
fn rate(folder: &Path, row: &Row, mode: &str, sightings: usize) -> f64 {
    let (events, values) = (folder.join("eve.json"), folder.join("values"));
    let indicators = row.of_each.map_or(1, |of_each| sightings / of_each);
    let host = |n: usize| format!("h{n}.example");
    let lines: String = (0..sightings)
        .map(|n| event(&host(n % indicators), n))
        .collect();
    fs::write(&events, lines).expect("a temporary file");
    let hosts: String = (0..indicators).map(|n| host(n) + "\n").collect();
    fs::write(&values, hosts).expect("a temporary file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_vast-threatbus"));
    command
        .args(["-l", "ERROR", "--indicators"])
        .arg(&values)
        .arg("--events")
        .arg(&events)
        .args(&row.arguments)
        .args([row.mode, mode])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let start = Instant::now();
    let output = command.output().expect("the program runs");
    let seconds = start.elapsed().as_secs_f64();
    assert!(output.status.success(), "{} failed", row.name);
    if row.arguments[0] == "-T" {
        let got = memchr::memchr_iter(b'\n', &output.stdout).count();
        assert_eq!(got, sightings, "{}", row.name);
    }
    sightings as f64 / seconds
}

fn event(host: &str, n: usize) -> String {
    format!(
        "{{\"timestamp\":\"2024-03-05T09:00:15.075954+0000\",\"flow_id\":{n},\"event_type\":\"http\",\
         \"src_ip\":\"192.0.2.10\",\"src_port\":52535,\"dest_ip\":\"198.51.100.7\",\"dest_port\":80,\
         \"proto\":\"TCP\",\"http\":{{\"hostname\":\"{host}\",\"url\":\"/index.php?id={n}\",\
         \"http_user_agent\":\"Mozilla/5.0\",\"http_method\":\"GET\",\"status\":200}}}}\n"
    )
}
