//! The addresses of this machine's network interfaces.
//!
//! if-addrs asks the kernel over a netlink socket, as libc does. A sandbox may refuse those (AF_NETLINK is
//! left out of many a systemd unit's `RestrictAddressFamilies=`); then Linux's `/proc` has the same.

use std::io;
use std::net::IpAddr;

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InterfaceAddress {
    /// The interface's name; empty where it can't be told.
    pub name: String,
    pub index: Option<u32>,
    pub ip: IpAddr,
    pub prefix: u8,
    pub loopback: bool,
    pub point_to_point: bool,
    /// True where it is known to be in use.
    pub up: bool,
}

/// Returns all addresses, in the system's order.
pub(crate) fn addresses() -> io::Result<Vec<InterfaceAddress>> {
    let asked = if_addrs::get_if_addrs().map(|found| found.into_iter().map(of_system).collect());
    #[cfg(target_os = "linux")]
    return asked.or_else(|error| proc::addresses().map_err(|_| error));
    #[cfg(not(target_os = "linux"))]
    asked
}

fn of_system(interface: if_addrs::Interface) -> InterfaceAddress {
    let prefix = match &interface.addr {
        if_addrs::IfAddr::V4(addr) => addr.prefixlen,
        if_addrs::IfAddr::V6(addr) => addr.prefixlen,
    };
    InterfaceAddress {
        index: interface.index,
        ip: interface.ip(),
        prefix,
        loopback: interface.is_loopback(),
        point_to_point: interface.is_p2p(),
        up: interface.is_oper_up(),
        name: interface.name,
    }
}

#[cfg(target_os = "linux")]
mod proc {
    use std::fs::read_to_string;
    use std::io;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::InterfaceAddress;

    /// Flags of an interface, see netdevice(7).
    const UP: u32 = 0x1;
    const LOOPBACK: u32 = 0x8;
    const POINT_TO_POINT: u32 = 0x10;

    pub(super) fn addresses() -> io::Result<Vec<InterfaceAddress>> {
        let local = read_to_string("/proc/self/net/fib_trie")?;
        let routes = read_to_string("/proc/self/net/route").unwrap_or_default();
        let ipv6 = read_to_string("/proc/self/net/if_inet6").unwrap_or_default();
        let ipv4s =
            ipv4s(&local, &routes).into_iter().map(|(ip, prefix, name)| (ip.into(), prefix, name));
        let ipv6s = ipv6s(&ipv6).into_iter().map(|(ip, prefix, name)| (ip.into(), prefix, name));
        Ok(ipv4s.chain(ipv6s).map(described).collect())
    }

    fn described((ip, prefix, name): (IpAddr, u8, String)) -> InterfaceAddress {
        let of_interface =
            |file: &str| read_to_string(format!("/sys/class/net/{name}/{file}")).ok();
        let index = of_interface("ifindex").and_then(|index| index.trim().parse().ok());
        let flags = of_interface("flags")
            .and_then(|flags| u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).ok());
        let has = |flag| flags.is_some_and(|flags| flags & flag != 0);
        InterfaceAddress {
            index,
            ip,
            prefix,
            loopback: ip.is_loopback() || has(LOOPBACK),
            point_to_point: has(POINT_TO_POINT),
            // Its route says as much where sysfs can't be read.
            up: flags.map_or(!name.is_empty(), |_| has(UP)),
            name,
        }
    }

    /// Reads this machine's addresses in the table `local`, and of each the network it is on in the routes.
    pub(super) fn ipv4s(local: &str, routes: &str) -> Vec<(Ipv4Addr, u8, String)> {
        let mut found: Vec<Ipv4Addr> = Vec::new();
        let mut leaf = None;
        for line in local.lines().map(str::trim) {
            if let Some(ip) = line.strip_prefix("|-- ") {
                leaf = ip.parse().ok();
            } else if line == "/32 host LOCAL" {
                found.extend(leaf.filter(|ip| !found.contains(ip)));
            }
        }
        let networks: Vec<_> = routes.lines().filter_map(network).collect();
        let with_network = found.into_iter().map(|ip| {
            let its = networks.iter().filter(|(_, net, prefix)| masked(ip, *prefix) == *net);
            match its.max_by_key(|(_, _, prefix)| *prefix) {
                Some((name, _, prefix)) => (ip, *prefix, name.clone()),
                None if ip.is_loopback() => (ip, 8, "lo".to_owned()),
                None => (ip, 32, String::new()),
            }
        });
        with_network.collect()
    }

    /// Reads a route without a gateway: its interface, network and prefix.
    fn network(line: &str) -> Option<(String, Ipv4Addr, u8)> {
        let words: Vec<_> = line.split_whitespace().collect();
        let [name, network, gateway, _, _, _, _, mask, ..] = words[..] else { return None };
        let ip = |hex| u32::from_str_radix(hex, 16).ok().map(|ip| Ipv4Addr::from(ip.to_ne_bytes()));
        let prefix = ip(mask)?.to_bits().leading_ones() as u8;
        (ip(gateway)?.is_unspecified() && prefix > 0)
            .then(|| ip(network))?
            .map(|net| (name.to_owned(), net, prefix))
    }

    fn masked(ip: Ipv4Addr, prefix: u8) -> Ipv4Addr {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        Ipv4Addr::from_bits(ip.to_bits() & mask)
    }

    /// Reads lines such as `fe80..01 04 40 20 80 eth0`: address, index, prefix, scope, flags and name.
    pub(super) fn ipv6s(table: &str) -> Vec<(Ipv6Addr, u8, String)> {
        let read = table.lines().filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let [ip, _, prefix, _, _, name] = words[..] else { return None };
            let ip = u128::from_str_radix(ip, 16).ok()?;
            let prefix = u8::from_str_radix(prefix, 16).ok()?;
            Some((Ipv6Addr::from_bits(ip), prefix, name.to_owned()))
        });
        read.collect()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        const LOCAL: &str = "Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 127.0.0.0
        /8 host LOCAL
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 192.0.2.2
        /32 host LOCAL
     |-- 192.0.2.255
        /32 link BROADCAST
Local:
     |-- 192.0.2.2
        /32 host LOCAL
     |-- 198.51.100.7
        /32 host LOCAL
";
        const ROUTES: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
";

        #[test]
        #[cfg(target_endian = "little")]
        fn the_kernels_tables_have_each_address_with_its_network() {
            let found = ipv4s(LOCAL, ROUTES);
            let found: Vec<_> =
                found.iter().map(|(ip, prefix, name)| format!("{ip}/{prefix} {name}")).collect();
            assert_eq!(found, ["127.0.0.1/8 lo", "192.0.2.2/24 eth0", "198.51.100.7/32 "]);
            let table = "fe8000000000000000fc00fffe000001 04 40 20 80     eth0\nshort\n";
            let ip = "fe80::fc:ff:fe00:1".parse().unwrap();
            assert_eq!(ipv6s(table), [(ip, 64, "eth0".to_owned())]);
        }

        #[test]
        fn proc_has_what_the_system_tells() {
            let Ok(asked) = if_addrs::get_if_addrs() else { return };
            let found = addresses().unwrap();
            for asked in asked.into_iter().map(super::super::of_system).filter(|each| each.up) {
                let same = |each: &&InterfaceAddress| each.ip == asked.ip;
                let its = found.iter().find(same).unwrap_or_else(|| panic!("{asked:?}: {found:?}"));
                assert_eq!(its.loopback, asked.loopback, "{its:?}");
            }
        }
    }
}
