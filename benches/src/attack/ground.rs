//! The ground of the attacks: the attacked node on a host of its own, everybody else on another one that
//! has all of 10.64.0.0/10, so that each may come from a prefix of its own. Where network namespaces can't
//! be made, or PEERKIT_BENCH_ATTACK_LOOPBACK is set, the addresses are those of 127.64.0.0/10.

use std::net::Ipv4Addr;

use serde_json::Value;

use crate::Result;
use crate::child::Child;
use crate::netns::{Host, Switch};

/// Prefixes of 24 bits, from the first one of the ground: of the user's remote, of mature peers, of
/// newcomers, of one attacking host, and of attackers that have many.
pub const REMOTE: u32 = 100;
pub const MATURE: u32 = 200;
pub const NEWCOMERS: u32 = 1_000;
pub const ATTACKER: u32 = 4_000;
pub const ATTACKERS: u32 = 5_000;

/// Two hosts, or one loopback.
pub struct Ground {
    hosts: Option<(Host, Host)>,
}

impl Ground {
    pub fn new() -> Result<Ground> {
        let loopback = std::env::var_os("PEERKIT_BENCH_ATTACK_LOOPBACK").is_some();
        let switch = if loopback { None } else { Switch::new().ok() };
        let Some(mut switch) = switch else { return Ok(Ground { hosts: None }) };
        let (here, world) = (switch.host()?, switch.host()?);
        here.configure(&format!("route add 10.64.0.0/10 via {}\n", world.ip))?;
        world.configure("route add local 10.64.0.0/10 dev lo\n")?;
        Ok(Ground { hosts: Some((here, world)) })
    }

    /// Returns the host of the attacked node, and of what runs on its machine.
    pub fn here(&self) -> Option<&Host> {
        self.hosts.as_ref().map(|(here, _)| here)
    }

    /// Returns the host of everybody else.
    pub fn world(&self) -> Option<&Host> {
        self.hosts.as_ref().map(|(_, world)| world)
    }

    /// Returns the IP address of the attacked node.
    pub fn ip(&self) -> &str {
        self.here().map_or("127.0.0.1", |here| &here.ip)
    }

    /// Returns an address of everybody else's, in the prefix of this number.
    pub fn far(&self, prefix: u32) -> Ipv4Addr {
        let first = if self.hosts.is_some() { 10 } else { 127 };
        in_prefix(Ipv4Addr::new(first, 64, 0, 1), prefix)
    }

    /// Starts this program in a role of the attacks, at the host of everybody else.
    pub fn far_role(&self, role: &str, options: &Value) -> Result<Child> {
        Child::role_at(self.world(), &["attack", role, &options.to_string()])
    }

    /// Starts it at the host of the attacked node.
    pub fn near_role(&self, role: &str, options: &Value) -> Result<Child> {
        Child::role_at(self.here(), &["attack", role, &options.to_string()])
    }

    /// Says which ground it is, for the table's text.
    pub fn told(&self) -> &'static str {
        match self.hosts {
            Some(_) => "two hosts of their own (network namespaces) on a switch",
            None => "the loopback, with addresses of 127.64.0.0/10",
        }
    }
}

/// Returns the address that many prefixes of 24 bits further.
pub fn in_prefix(address: Ipv4Addr, further: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(address) + (further << 8))
}
