//! Runs each fault once, at a fixed seed, over a fleet of real processes. `soak` runs random faults for hours.
//!
//! `FABRIC_SEED` sets another seed, in hexadecimal.

use fabric_tests::faults::{Fault, Fleet, Round, Setup, Work, namespaces_possible};

fn seed() -> u64 {
    std::env::var("FABRIC_SEED").map_or(0xfab, |text| u64::from_str_radix(&text, 16).expect("FABRIC_SEED"))
}

/// Runs one round of a fault on a new fleet.
async fn survives(fault: Fault, work: Work, namespaces: bool) {
    let nats = if fault == Fault::KillOneNats { 3 } else { 1 };
    let mut fleet = Fleet::start(&Setup { seed: seed(), nats, namespaces, args: Vec::new() }).await.unwrap();
    fleet.furnish(&[work]).await.unwrap();
    let round = Round::draw(seed(), &[fault], &[work]).unwrap();
    match round.run(&mut fleet).await {
        Ok(outcome) => {
            eprintln!("{outcome}");
            assert!(
                outcome.met,
                "the fault was injected after the end of the job: the job is too short for this machine"
            );
            assert!(outcome.answered > 0, "no other client received a response");
        }
        Err(error) => panic!("{error:?}\nlogs: {}", fleet.keep().display()),
    }
}

macro_rules! survives {
    ($($name:ident: $fault:ident, $work:ident;)*) => {$(
        #[tokio::test]
        async fn $name() {
            survives(Fault::$fault, Work::$work, false).await;
        }
    )*};
}

survives! {
    a_node_is_killed: KillNode, Weather;
    the_owner_of_the_jobs_is_killed: KillOwner, Words;
    a_gateway_is_killed: KillGateway, Pi;
    nats_is_killed_and_comes_back_empty: KillNats, Words;
    one_of_three_nats_servers_is_killed: KillOneNats, Pi;
    the_store_is_killed_and_comes_back: RestartS3, Weather;
    a_process_is_cut_off_from_nats: CutNats, Words;
    a_process_is_cut_off_from_the_store: CutS3, Weather;
    a_process_is_cut_off_from_both: CutBoth, Pi;
    a_node_is_frozen_until_it_counts_as_lost: FreezeNode, Words;
    the_owner_is_frozen_past_its_lease: FreezeOwner, Weather;
    a_disk_is_full: FullDisk, Words;
    a_clock_jumps: ClockJump, Weather;
    the_network_is_slow_and_loses: RoughNetwork, Pi;
}

/// Runs one round in network namespaces. Each process has its own address, and routes are cut.
async fn survives_in_namespaces(fault: Fault, work: Work) {
    if let Err(why) = namespaces_possible() {
        assert!(std::env::var_os("FABRIC_TEST_NETNS").is_none(), "FABRIC_TEST_NETNS is set: {why:#}");
        eprintln!("not run: {why:#}");
        return;
    }
    survives(fault, work, true).await;
}

#[tokio::test]
async fn in_namespaces_a_process_is_cut_off_from_the_store() {
    survives_in_namespaces(Fault::CutS3, Work::Pi).await;
}

#[tokio::test]
async fn in_namespaces_the_owner_is_killed() {
    survives_in_namespaces(Fault::KillOwner, Work::Pi).await;
}
