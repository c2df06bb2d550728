//! The addresses that are an interface's, and those that a neighbour may give there.

use std::net::Ipv4Addr;

use super::{addr, interface};

#[test]
fn only_addresses_of_the_link_itself_are_taken_from_others() {
    let link = interface(&["10.77.0.1/24", "2001:db9::1/64", "fe80::1/64"]).unwrap();
    let of_the_link = [
        "/ip4/10.77.0.9/tcp/4001",
        "/ip4/10.77.0.1/udp/4001/quic-v1",
        "/ip6/2001:db9::9/udp/1/quic-v1",
    ];
    for text in of_the_link {
        assert!(link.reaches(&addr(text)), "{text}");
    }
    let from_elsewhere = [
        "/ip4/127.0.0.1/tcp/4001",
        "/ip6/::1/tcp/4001",
        "/ip6/::ffff:10.77.0.9/tcp/4001",
        "/ip4/0.0.0.0/tcp/4001",
        "/ip4/10.77.1.9/tcp/4001",
        "/ip4/192.168.1.1/tcp/4001",
        "/ip4/1.1.1.1/tcp/4001",
        "/ip6/2606:4700::1111/tcp/4001",
        "/ip6/fe80::9/tcp/4001",
        "/dns/example.com/tcp/4001",
        "/dns4/localhost/tcp/4001",
        "/dnsaddr/bootstrap.libp2p.io",
    ];
    for text in from_elsewhere {
        assert!(!link.reaches(&addr(text)), "{text}");
    }
}

#[test]
fn a_public_address_is_taken_where_the_link_has_public_addresses() {
    let link = interface(&["8.8.8.1/28"]).unwrap();
    assert!(link.reaches(&addr("/ip4/8.8.8.14/tcp/1")));
    assert!(!link.reaches(&addr("/ip4/8.8.8.17/tcp/1")));
    assert!(!link.reaches(&addr("/ip4/10.0.0.1/tcp/1")));
}

#[test]
fn loopback_is_never_taken_even_where_an_interface_has_it() {
    let odd = interface(&["127.0.0.5/8", "10.77.0.1/24"]).unwrap();
    assert!(!odd.reaches(&addr("/ip4/127.0.0.1/tcp/1")));
}

#[test]
fn a_missing_netmask_is_no_network_of_everybody() {
    let odd = interface(&["10.77.0.1/0"]).unwrap();
    assert!(odd.is_on_link("10.77.0.1".parse().unwrap()));
    assert!(!odd.is_on_link("10.77.0.2".parse().unwrap()));
}

#[test]
fn each_address_is_told_on_its_own_interface_only() {
    let link = interface(&["10.77.0.1/24", "10.78.0.1/16", "2001:db9::1/64", "fe80::1/64"]);
    let link = link.unwrap();
    let owned = ["/ip4/10.77.0.1/tcp/1", "/ip4/10.78.0.1/tcp/1", "/ip6/2001:db9::1/tcp/1"];
    for text in owned {
        assert!(link.owns(&addr(text)), "{text}");
    }
    let others = [
        "/ip4/10.77.0.2/tcp/1",
        "/ip4/127.0.0.1/tcp/1",
        "/ip6/fe80::1/tcp/1",
        "/dns/pk0.local/tcp/1",
    ];
    for text in others {
        assert!(!link.owns(&addr(text)), "{text}");
    }
}

#[test]
fn an_interface_speaks_from_a_real_address_where_it_has_one() {
    let link = interface(&["169.254.3.4/16", "10.77.0.1/24"]).unwrap();
    assert_eq!(link.ipv4, Ipv4Addr::new(10, 77, 0, 1));
    let bare = interface(&["169.254.3.4/16", "2001:db9::1/64"]).unwrap();
    assert_eq!(bare.ipv4, Ipv4Addr::new(169, 254, 3, 4));
    assert!(interface(&["2001:db9::1/64", "fe80::1/64"]).is_none());
}
