//! Whom trimming chooses, by ages that the tests make up.

#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr};

use super::*;

const GRACE: Duration = Duration::from_secs(20);

fn room(low_water: usize, high_water: usize) -> Room {
    Room { low_water, high_water, grace: high_water, shares: Rules::of(512) }
}

/// Makes a candidate by age in seconds, from this machine.
fn local(age: u64) -> Candidate {
    Candidate {
        peer: PeerId::random(),
        ours: false,
        kept: false,
        source: Source::Local,
        age: Duration::from_secs(age),
        connections: 1,
    }
}

/// Makes one from 11.0.A.B.
fn from(a: usize, b: usize, age: u64) -> Candidate {
    let [a, b] = [a, b].map(|part| u8::try_from(part).unwrap());
    Candidate { source: IpAddr::from(Ipv4Addr::new(11, 0, a, b)).into(), ..local(age) }
}

fn gone(all: &[Candidate], room: &Room) -> Vec<PeerId> {
    choose(all.to_vec(), room, GRACE).0
}

/// Counts those of these who are among the victims.
fn lost(victims: &[PeerId], of: &[Candidate]) -> usize {
    of.iter().filter(|candidate| victims.contains(&candidate.peer)).count()
}

#[test]
fn the_youngest_that_came_to_us_go_first_and_no_more_than_needed() {
    let [old, middle, young] = [500, 450, 300].map(local);
    let ours = Candidate { ours: true, ..local(290) };
    let kept = Candidate { kept: true, ..local(280) };
    let double = Candidate { connections: 2, ..local(295) };
    let all = [old, ours, middle, kept, young, double];
    let down_to = |low_water| gone(&all, &room(low_water, 6));
    assert_eq!(down_to(6), [double.peer]);
    assert_eq!(down_to(5), [double.peer]);
    assert_eq!(down_to(4), [double.peer, young.peer]);
    assert_eq!(down_to(0), [double.peer, young.peer, middle.peer, old.peer, ours.peer]);
}

#[test]
fn those_in_their_grace_period_are_spared_while_there_is_room() {
    let all = [30, 15, 5].map(local);
    let spare = Room { grace: 8, ..room(1, 2) };
    let left = Duration::from_secs(5);
    assert_eq!(choose(all.to_vec(), &spare, GRACE), (vec![], Some(left)));
    let later = [35, 20, 10].map(local);
    assert_eq!(choose(later.to_vec(), &spare, GRACE), (vec![], Some(GRACE / 2)));
    let mature = [45, 30, 20].map(local);
    let (victims, next) = choose(mature.to_vec(), &spare, GRACE);
    assert_eq!((victims, next), (vec![mature[2].peer, mature[1].peer], None));
    let scarce = room(1, 2);
    assert_eq!(gone(&all, &scarce), [all[2].peer], "without room the youngest of them goes");
}

#[test]
fn a_young_crowd_from_anywhere_takes_no_mature_peer_s_place() {
    let honest: Vec<_> = (0..60).map(|nth| from(nth, 1, 100)).collect();
    let newcomers: Vec<_> = (100..110).map(|nth| from(nth, 1, 2)).collect();
    let of_one_host = (0..400).map(|_| from(200, 1, 5)).collect::<Vec<_>>();
    let of_forty_networks = (0..400).map(|nth| from(120 + nth / 10, nth % 10, 5)).collect();
    let of_this_machine = (0..400).map(|_| local(5)).collect();
    for crowd in [of_one_host, of_forty_networks, of_this_machine] {
        let victims = gone(&[&honest[..], &newcomers[..], &crowd[..]].concat(), &room(32, 384));
        assert_eq!((lost(&victims, &honest), lost(&victims, &newcomers)), (0, 0));
        assert!(lost(&victims, &crowd) >= 86, "{}", victims.len());
    }
}

#[test]
fn a_crowd_that_waits_until_it_is_mature_takes_no_place_of_who_was_there_long_before() {
    let honest: Vec<_> = (0..60).map(|nth| from(nth, 1, 100)).collect();
    let slow: Vec<_> = (0..330).map(|nth| from(100 + nth / 10, nth % 10, 25)).collect();
    let victims = gone(&[&honest[..], &slow[..]].concat(), &room(32, 384));
    assert_eq!((lost(&victims, &honest), lost(&victims, &slow)), (0, 330));
    // One of a few addresses makes room even where it was there first.
    let early: Vec<_> = (0..330).map(|nth| from(100 + nth / 165, 1, 1000)).collect();
    let victims = gone(&[&honest[..], &early[..]].concat(), &room(32, 384));
    assert_eq!((lost(&victims, &honest), lost(&victims, &early)), (0, 102));
}
