//! Made-up data that several of the benches use, the same in every run.
// Each bench compiles this module for itself and uses only a part of it.
#![allow(dead_code)]

pub mod eve;

/// xorshift64: enough for test data.
pub struct Random(pub u64);

impl Random {
    /// A number below this one.
    pub fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }

    /// An address of a private network.
    pub fn address(&mut self) -> String {
        let [a, b, c] = [self.next(256), self.next(256), self.next(254) + 1];
        format!("10.{a}.{b}.{c}")
    }
}

/// A connection as VAST prints it, to this address or to any.
pub fn conn(random: &mut Random, responder: Option<String>) -> String {
    let responder = responder.unwrap_or_else(|| random.address());
    format!(
        r#"{{"ts": "2021-03-{:02}T17:{:02}:51.{:09}", "uid": "C{:016x}", "id.orig_h": "{}", "id.orig_p": {}, "id.resp_h": "{responder}", "id.resp_p": 443, "proto": "tcp", "service": {}, "duration": "{}.{:02}ms", "orig_bytes": {}, "resp_bytes": {}, "conn_state": "SF", "local_orig": null, "local_resp": null, "missed_bytes": 0, "history": "ShADadFf", "orig_pkts": {}, "orig_ip_bytes": {}, "resp_pkts": {}, "resp_ip_bytes": {}, "tunnel_parents": []}}"#,
        random.next(28) + 1,
        random.next(60),
        random.next(1_000_000_000),
        random.next(usize::MAX),
        random.address(),
        random.next(65_536),
        ["\"ssl\"", "\"dns\"", "null"][random.next(3)],
        random.next(1000),
        random.next(100),
        random.next(100_000),
        random.next(10_000_000),
        random.next(100),
        random.next(100_000),
        random.next(10_000),
        random.next(10_000_000),
    )
}
