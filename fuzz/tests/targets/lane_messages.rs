//! Messages between scheduler and nodes, as received from NATS.

use fabric_fuzz::fuzz;

#[test]
fn lane_messages() {
    let seeds = fabric_fleet::fuzzing::lane_messages();
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    fuzz("lane-messages", &seeds, fabric_fleet::fuzzing::decode_lane_message);
}
