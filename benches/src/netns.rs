//! Networks of their own for measurements: hosts, which are network namespaces, on a switch, which is a
//! bridge in another one. A host's counters count what the programs in it sent: it has no IPv6, of which
//! the kernel would speak by itself, and no name server that answers. (ARP counts, and IGMP's reports.)

use std::ffi::OsStr;
use std::process::Command;
use std::sync::Arc;

use crate::Result;
use crate::namespace::{BRIDGE, Holder, QUIET};

/// The hosts have its resolv.conf too.
const NO_NAMES: &str = "
    f=$(mktemp) && echo nameserver 127.0.0.1 > $f && mount --bind $f /etc/resolv.conf && rm $f || exit
";

/// A switch that hosts are plugged into.
pub struct Switch {
    holder: Arc<Holder>,
    ports: u8,
}

/// A machine on a switch, with `lo` and `eth0`, and everything else beyond `eth0`.
pub struct Host {
    holder: Holder,
    /// Its address at `eth0`.
    pub ip: String,
    _switch: Arc<Holder>,
}

/// The traffic through an interface: bytes with all headers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counters {
    pub bytes_in: f64,
    pub bytes_out: f64,
    pub packets_out: f64,
}

impl Switch {
    /// Makes a switch. Fails where the machine doesn't permit it.
    pub fn new() -> Result<Switch> {
        let holder = Holder::new(&[QUIET, BRIDGE, NO_NAMES].concat())?;
        Ok(Switch { holder: Arc::new(holder), ports: 0 })
    }

    /// Makes a further host, at the next address of 10.77.0.0/24.
    pub fn host(&mut self) -> Result<Host> {
        let holder = self.holder.neighbour(QUIET)?;
        self.ports += 1;
        let ip = format!("10.77.0.{}", self.ports);
        self.holder.plug(&format!("port{}", self.ports), &holder, "eth0")?;
        holder.ip(&format!(
            "link set eth0 up\naddress add {ip}/24 dev eth0\nroute add default dev eth0\n"
        ))?;
        Ok(Host { holder, ip, _switch: Arc::clone(&self.holder) })
    }
}

impl Host {
    /// Returns a command that runs any program, inside.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.holder.enter();
        command.arg("--").arg(program);
        command
    }

    /// Runs `ip` commands inside, a line each.
    pub fn configure(&self, commands: &str) -> Result<()> {
        Ok(self.holder.ip(commands)?)
    }

    /// Returns the traffic through its interface `lo` or `eth0`.
    pub fn counters(&self, interface: &str) -> Result<Counters> {
        let numbers = self.holder.counters(interface)?;
        let number = |at: usize| numbers.get(at).map_or(f64::NAN, |number| *number as f64);
        Ok(Counters { bytes_in: number(0), bytes_out: number(8), packets_out: number(9) })
    }
}
