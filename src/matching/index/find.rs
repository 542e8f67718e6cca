//! Lookups in an index by meaning: of canonical values read from an event.

use std::hash::BuildHasher;
use std::net::IpAddr;

use super::{Index, Octets, Slot};
use crate::matching::places::Kinds;
use crate::observable::{Kind, Network, domains_above, url};

impl Index {
    /// Shows the values of these kinds that equal this text, and the domains that it is
    /// below.
    #[inline]
    pub(in crate::matching) fn find_text(
        &self,
        text: &str,
        kinds: Kinds,
        mut show: impl FnMut(Slot),
    ) {
        let value = text.as_bytes();
        if self.shapes.may_hold(value) {
            for &slot in self.table.iter_hash(self.hash(value)) {
                let place = self.places[slot as usize];
                let kind = place.kind();
                let counts = kinds.has(kind) && kind != Kind::Subdomain;
                if counts && &self.bytes[place.range()] == value {
                    show(Slot(slot));
                }
            }
        }
        if kinds.has(Kind::Subdomain) {
            self.find_above(text, show);
        }
    }

    /// Shows the domains that a name is below.
    #[inline]
    pub(super) fn find_above(&self, name: &str, mut show: impl FnMut(Slot)) {
        if self.counts.above == 0 {
            return;
        }
        for above in domains_above(name) {
            let value = above.as_bytes();
            if self.shapes.may_hold(value) {
                if let Some(slot) = self.find(self.hash(value), Kind::Subdomain, value) {
                    show(slot);
                }
            }
        }
    }

    /// Shows the address and the networks that contain it.
    #[inline]
    pub(in crate::matching) fn find_address(&self, address: IpAddr, mut show: impl FnMut(Slot)) {
        if self.counts.addresses > 0 {
            let octets = Octets::from(address);
            let value = octets.as_bytes();
            if let Some(slot) = self.find(self.hash(value), Kind::Address, value) {
                show(slot);
            }
        }
        for &(length, _) in &self.lengths {
            let value = Network::new(address, length).to_bytes();
            if let Some(slot) = self.find(self.hash(&value), Kind::Network, &value) {
                show(slot);
            }
        }
    }

    /// The address with this port.
    pub(in crate::matching) fn find_endpoint(&self, address: IpAddr, port: u16) -> Option<Slot> {
        let octets = Octets::with_port(address, port);
        let value = octets.as_bytes();
        self.find(self.hash(value), Kind::Endpoint, value)
    }

    /// Shows the URLs with this host and this target, each with its parts.
    pub(in crate::matching) fn find_urls(
        &self,
        host: Option<&str>,
        target: &str,
        mut show: impl FnMut(Slot, &url::UrlComponents<'_>),
    ) {
        if !self.shapes.may_hold(target.as_bytes()) {
            return;
        }
        for &slot in self.table.iter_hash(self.hasher.hash_one((host, target))) {
            if self.places[slot as usize].kind() != Kind::Url {
                continue;
            }
            let parts = url::parts(self.text(Slot(slot)));
            if (parts.host, parts.target) == (host, target) {
                show(Slot(slot), &parts);
            }
        }
    }

    /// Whether any value is an address with a port.
    pub(in crate::matching) fn has_endpoints(&self) -> bool {
        self.counts.endpoints > 0
    }

    /// Whether any value is searched only in DNS answers.
    pub(in crate::matching) fn has_answers(&self) -> bool {
        self.counts.answers > 0
    }

    /// Whether any value is a URL with a host.
    pub(in crate::matching) fn has_urls(&self) -> bool {
        self.counts.urls > 0
    }

    /// Whether any value is a URL target without a host.
    pub(in crate::matching) fn has_targets(&self) -> bool {
        self.counts.targets > 0
    }

    /// Whether any value is a path end with more than one component.
    pub(in crate::matching) fn has_paths(&self) -> bool {
        self.counts.paths > 0
    }
}
