//! Logs of Suricata, made up, and programs that look through them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::Random;

/// The best of several runs: seconds, and lines printed.
pub fn measure(mut command: Command, name: &str, runs: usize) -> Option<(f64, usize)> {
    let mut best: Option<(f64, usize)> = None;
    for _ in 0..runs {
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

/// What a log of events holds.
pub struct Written {
    /// Its size.
    pub bytes: usize,
    /// Its lines.
    pub events: usize,
}

/// Writes so many bytes of events; one in `hit_every` has a number below `indicators`, and
/// all others have none.
pub fn write_events(path: &Path, size: usize, indicators: usize, hit_every: usize) -> Written {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).expect("a file"));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut written = Written {
        bytes: 0,
        events: 0,
    };
    while written.bytes < size {
        let nth = match written.events % hit_every {
            0 => random.next(indicators),
            _ => indicators + random.next(10_000_000),
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

/// The domain of this number.
pub fn domain(nth: usize) -> String {
    const WORDS: [&str; 8] = [
        "cdn", "update", "login", "static", "mail", "img", "secure", "api",
    ];
    format!(
        "{}{nth:x}.{}-site.example",
        WORDS[nth % 8],
        WORDS[nth / 8 % 8]
    )
}

/// The address of this number.
pub fn address(nth: usize) -> String {
    let [_, b, c, d] = (nth as u32).to_be_bytes();
    format!("198.{b}.{c}.{d}")
}

/// One line: flows, DNS, HTTP and TLS in the shares of an office network.
fn event(random: &mut Random, nth: usize) -> String {
    let head = format!(
        r#"{{"timestamp":"2024-03-{:02}T17:{:02}:51.{:06}+0000","flow_id":{},"in_iface":"eth0","src_ip":"{}","src_port":{},"dest_ip":"{}","dest_port":443,"proto":"TCP""#,
        random.next(28) + 1,
        random.next(60),
        random.next(1_000_000),
        random.next(1 << 50),
        random.address(),
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
