//! Names in addresses: this machine's name servers and hosts file as they are now, whatever is odd in them,
//! and all addresses that a name leads to.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::netns::{Host, Switch};
use crate::support::{Peer, eventually, failed, succeeded};

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
/// The time of a call in which a dead address or server mustn't cost all.
const IN_TIME_MS: u64 = 5_000;

fn start(host: &Host, keys: Value) -> Peer {
    let mut config = json!({
        "profile": "lan",
        "listen": [format!("/ip4/{}/tcp/0", host.ip())],
        "discovery": { "mdns": false, "dht": "off", "gossip": false, "interval_s": 1 },
    });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    host.peer(config)
}

/// Returns the peer's address with a name in the place of its IP address.
fn by_name(peer: &Peer, name: &str) -> String {
    let address = peer.at("tcp");
    let ip = address.split('/').nth(2).unwrap().to_owned();
    address.replace(&format!("/ip4/{ip}/"), &format!("/dns4/{name}/"))
}

fn warnings(peer: &Peer) -> Vec<String> {
    let warnings = peer.ok("status", json!({}))["warnings"].clone();
    serde_json::from_value(warnings).unwrap()
}

fn attempts(reply: &Value) -> Vec<Value> {
    let attempts = reply["detail"]["attempts"].as_array().or(reply["attempts"].as_array());
    attempts.unwrap_or_else(|| panic!("{reply:#}")).clone()
}

fn disconnect(peer: &Peer, other: &Peer) {
    peer.ok("disconnect_peer", json!({ "peer_id": other.id() }));
}

#[test]
fn an_odd_line_leaves_the_name_servers_and_is_told_of_until_it_is_mended() {
    let Some(switch) = Switch::new() else { return };
    let b = start(&switch.host("10.77.0.2/24"), json!({}));
    let host = switch.host("10.77.0.1/24").with_dns(json!({ "b.test": { "A": ["10.77.0.2"] } }));
    host.rewrite(RESOLV_CONF, b"domain (none)\nnameserver 127.0.0.1\n");
    let a = start(&host, json!({}));
    assert!(warnings(&a)[0].contains("(none)"), "{:?}", warnings(&a));
    a.connect(&by_name(&b, "b.test"));
    host.rewrite(RESOLV_CONF, b"domain test\nnameserver 127.0.0.1\n");
    assert_eq!(warnings(&a), [""; 0]);
    disconnect(&a, &b);
    a.connect(&by_name(&b, "b"));
}

#[test]
fn options_and_hosts_that_can_not_be_meant_leave_the_rest() {
    let Some(switch) = Switch::new() else { return };
    let b = start(&switch.host("10.77.0.2/24"), json!({}));
    let host = switch.host("10.77.0.1/24").with_dns(json!({ "b.test": { "A": ["10.77.0.2"] } }));
    let text = "nameserver localhost\nnameserver 127.0.0.1\noptions timeout:0 attempts:many\n";
    host.rewrite(RESOLV_CONF, text.as_bytes());
    host.mount(HOSTS, b"10.77.0.9 caf\xe9\n10.77.0.2 listed\n");
    let a = start(&host, json!({}));
    let told = warnings(&a);
    let expected = ["nameserver localhost", "attempts:many", "10.77.0.9 caf"];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    assert!(told.iter().zip(expected).all(|(told, part)| told.contains(part)), "{told:#?}");
    for name in ["b.test", "listed"] {
        a.connect(&by_name(&b, name));
        disconnect(&a, &b);
    }
}

#[test]
fn a_text_record_of_several_strings_is_one_value() {
    let Some(switch) = Switch::new() else { return };
    let b = start(&switch.host("10.77.0.2/24"), json!({}));
    let long = format!("{0}.{0}.{0}.test", "b".repeat(60));
    let record = format!("dnsaddr={}", by_name(&b, &long));
    assert!(record.len() > 255);
    let strings: Vec<_> = record.as_bytes().chunks(100).map(String::from_utf8_lossy).collect();
    let host = switch.host("10.77.0.1/24").with_dns(json!({
        "_dnsaddr.b.test": { "TXT": [strings] },
        long: { "A": ["10.77.0.2"] },
    }));
    let a = start(&host, json!({}));
    a.connect(&format!("/dnsaddr/b.test/p2p/{}", b.id()));
}

#[test]
fn a_node_that_started_before_the_network_looks_up_names_later() {
    let Some(switch) = Switch::new() else { return };
    let b = start(&switch.host("10.77.0.2/24"), json!({}));
    let host = switch.host("10.77.0.1/24");
    let dns = json!({
        "listen": "127.0.0.1:53", "records": { "b.test": { "A": ["10.77.0.2"] } },
    });
    let a = start(&host, json!({}));
    let address = by_name(&b, "b.test");
    let failure = a.call_within(IN_TIME_MS, "connect_peer", json!({ "multiaddr": address }));
    let attempt = &attempts(&failure)[0];
    assert_eq!(attempt["stage"], "resolve", "{failure:#}");
    assert!(
        attempt["error"].as_str().unwrap().contains("this machine has no name server"),
        "{failure:#}"
    );
    assert!(warnings(&a)[0].contains("names no name server"), "{:?}", warnings(&a));

    let _server = host.dns(dns);
    host.mount(RESOLV_CONF, b"nameserver 127.0.0.1\n");
    a.connect(&address);
    assert_eq!(warnings(&a), [""; 0]);

    // In the hosts file a moment later, and on the bootstrap list.
    disconnect(&a, &b);
    host.mount(HOSTS, b"10.77.0.2 only-here\n");
    a.connect(&by_name(&b, "only-here"));
}

#[test]
fn changed_name_servers_are_asked_even_while_a_call_waits_for_others() {
    let Some(switch) = Switch::new() else { return };
    let [b, c] = ["10.77.0.2/24", "10.77.0.3/24"].map(|ip| start(&switch.host(ip), json!({})));
    let host = switch.host("10.77.0.1/24").with_dns(json!({ "it.test": { "A": ["10.77.0.2"] } }));
    let _other = host.dns(json!({
        "listen": "127.0.0.2:53", "records": { "it.test": { "A": ["10.77.0.3"] } },
    }));
    let a = start(&host, json!({}));
    a.connect(&by_name(&b, "it.test"));
    host.rewrite(RESOLV_CONF, b"nameserver 127.0.0.2\n");
    a.connect(&by_name(&c, "it.test"));

    disconnect(&a, &b);
    host.swallow("10.77.0.99");
    host.rewrite(RESOLV_CONF, b"nameserver 10.77.0.99\n");
    let call = json!({ "multiaddr": by_name(&b, "it.test") });
    let call = a.begin(IN_TIME_MS, "connect_peer", call);
    assert!(call.still_waits_after(Duration::from_millis(300)));
    host.rewrite(RESOLV_CONF, b"nameserver 127.0.0.1\n");
    succeeded(call.reply());
}

#[test]
fn a_dead_address_of_a_name_costs_a_moment_only() {
    let Some(switch) = Switch::new() else { return };
    let b = start(&switch.host("10.77.0.2/24"), json!({}));
    let dead = ["10.77.0.97", "10.77.0.98", "10.77.0.99"];
    let host = switch.host("10.77.0.1/24").with_dns(json!({
        "last.test": { "A": ["10.77.0.2", dead[0]] },
        "first.test": { "A": [dead[0], dead[1], dead[2], "10.77.0.2"] },
        "dead.test": { "A": dead },
    }));
    dead.iter().for_each(|ip| host.swallow(ip));
    let a = start(&host, json!({}));
    for name in ["last.test", "first.test"] {
        let address = by_name(&b, name);
        let started = Instant::now();
        let connected = a.call_within(IN_TIME_MS, "connect_peer", json!({ "multiaddr": address }));
        let connected = succeeded(connected);
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        let won: Vec<_> =
            attempts(&connected).into_iter().filter(|one| one["stage"].is_null()).collect();
        assert_eq!(won.len(), 1, "{connected:#}");
        assert_eq!(won[0]["address"], b.bare("tcp"));
        let name = address.split("/p2p/").next().unwrap();
        assert_eq!(won[0]["resolved_from"], name);
        // The name is what is remembered.
        assert_eq!(connected["address"], name);
        assert!(a.info(b.id())["multiaddrs"].as_array().unwrap().contains(&json!(name)));
        disconnect(&a, &b);
    }
    // Knows no other address of the peer.
    let c = start(&host, json!({}));
    let address = by_name(&b, "dead.test");
    let failure = c.call_within(1_500, "connect_peer", json!({ "multiaddr": address }));
    failed(failure.clone(), "dial_timeout");
    let mut tried: Vec<_> = attempts(&failure)
        .iter()
        .filter(|one| one["resolved_from"].as_str().is_some_and(|name| name.contains("dead")))
        .map(|one| {
            assert_eq!(
                (&one["stage"], &one["code"]),
                (&json!("transport"), &json!("dial_timeout"))
            );
            one["address"].as_str().unwrap().split('/').nth(2).unwrap().to_owned()
        })
        .collect();
    tried.sort();
    assert_eq!(tried, dead, "{failure:#}");
}

#[test]
fn a_bootstrap_entry_of_several_addresses_connects_whichever_is_dead() {
    let Some(switch) = Switch::new() else { return };
    let [b, c] = ["10.77.0.2/24", "10.77.0.3/24"].map(|ip| start(&switch.host(ip), json!({})));
    let lost = |ip: &str| b.at("tcp").replace("10.77.0.2", ip);
    let record = |address: &str| format!("dnsaddr={address}");
    let host = switch.host("10.77.0.1/24").with_dns(json!({
        "_dnsaddr.all.test": { "TXT": [
            record("/dnsaddr/all.test"),
            record(&format!("/dnsaddr/b.test/p2p/{}", b.id())),
        ] },
        "_dnsaddr.b.test": { "TXT": [
            record(&lost("10.77.0.98")),
            record(&by_name(&b, "nowhere.test")),
            record(&format!("{}/ws/p2p/{}", b.bare("tcp"), b.id())),
            record(&lost("10.77.0.99")),
            record(&b.at("tcp")),
        ] },
        "c.test": { "A": ["10.77.0.3", "10.77.0.97"] },
    }));
    // These records don't fit into the 512 bytes of a plain answer, and the server has no TCP.
    host.rewrite(RESOLV_CONF, b"nameserver 127.0.0.1\noptions edns0\n");
    ["10.77.0.97", "10.77.0.98", "10.77.0.99"].iter().for_each(|ip| host.swallow(ip));
    let entries = json!(["/dnsaddr/all.test", by_name(&c, "c.test")]);
    let a = start(&host, json!({ "bootstrap": entries }));
    for peer in [&b, &c] {
        eventually(Duration::from_secs(5), "it is connected", || {
            a.call("get_peer", json!({ "peer_id": peer.id() }))["peer_info"]["connected"] == true
        });
    }

    disconnect(&a, &b);
    let address = format!("/dnsaddr/b.test/p2p/{}", b.id());
    let connected =
        succeeded(a.call_within(IN_TIME_MS, "connect_peer", json!({ "multiaddr": address })));
    let tried = attempts(&connected);
    let its = |part: &str| tried.iter().find(|one| one["address"].as_str().unwrap().contains(part));
    assert_eq!(its("nowhere.test").unwrap()["stage"], "resolve", "{connected:#}");
    assert_eq!(its("/ws").unwrap()["code"], "unsupported", "{connected:#}");
}

#[test]
fn eight_silent_addresses_of_a_peer_leave_time_for_the_others() {
    let Some(switch) = Switch::new() else { return };
    let b = start(&switch.host("10.77.0.2/24"), json!({}));
    let host = switch.host("10.77.0.1/24");
    let silent = (80..88).map(|n| format!("10.77.0.{n}")).inspect(|ip| host.swallow(ip));
    let silent: Vec<_> = silent.map(|ip| b.bare("tcp").replace("10.77.0.2", &ip)).collect();
    let a = start(&host, json!({}));
    // Those added last are dialled first.
    for addresses in [vec![b.bare("tcp")], silent] {
        a.ok("add_peer", json!({ "peer_id": b.id(), "multiaddrs": addresses }));
    }
    let known = a.info(b.id())["multiaddrs"].clone();
    assert_eq!(known.as_array().unwrap().iter().position(|at| *at == b.bare("tcp")), Some(8));
    succeeded(a.call_within(IN_TIME_MS, "connect_peer", json!({ "peer_id": b.id() })));
}
