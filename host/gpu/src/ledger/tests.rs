//! Tests of the ledger against requests of guests.
use super::*;
use crate::command::BindingShape;
use proptest::prelude::*;

fn ledger() -> Ledger {
    let limits = AdapterLimits {
        buffers: 4,
        pipelines: 2,
        buffer_bytes: 4096,
        passes_per_submit: 3,
        ..AdapterLimits::default()
    };
    Ledger::new(AdapterLimits { copy_bytes: 6000, read_bytes: 5000, ..limits }, 8192)
}

fn reflection(accesses: &[BindingAccess]) -> Reflection {
    let layout =
        |(at, access): (usize, &BindingAccess)| BindingShape { binding: at as u32, access: *access, min_bytes: 8 };
    Reflection {
        bindings: accesses.iter().enumerate().map(layout).collect(),
        workgroup_size: [64, 1, 1],
        workgroup_memory_bytes: 0,
    }
}

fn bound(binding: u32, buffer: BufferId) -> Binding {
    Binding { binding, buffer, offset: 0, bytes: None }
}

fn dispatch(pipeline: PipelineId, bindings: Vec<Binding>) -> GpuCommand {
    GpuCommand::Dispatch { pipeline, bindings, workgroups: [1, 1, 1] }
}

fn limit(result: Result<impl std::fmt::Debug, Error>) -> (String, u64, u64) {
    match result.unwrap_err() {
        Error::Limit { name, value, limit } => (name, value, limit),
        other => panic!("{other:?}"),
    }
}

fn invalid(result: Result<impl std::fmt::Debug, Error>) -> String {
    match result.unwrap_err() {
        Error::Invalid(message) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn buffers_are_bounded_one_by_one_in_sum_and_in_number() {
    let mut ledger = ledger();
    assert_eq!(limit(ledger.create(4097)), ("buffer-bytes".into(), 4097, 4096));
    assert_eq!(limit(ledger.create(u64::MAX)), ("buffer-bytes".into(), u64::MAX, 4096));
    assert!(invalid(ledger.create(0)).contains("0 bytes"));
    let (first, size) = ledger.create(4093).unwrap();
    assert_eq!(size, 4096);
    ledger.create(4096).unwrap();
    assert_eq!(limit(ledger.create(4)), ("total-bytes".into(), 8196, 8192));
    ledger.destroy(first).unwrap();
    for _ in 0..3 {
        ledger.create(4).unwrap();
    }
    assert_eq!(limit(ledger.create(4)), ("buffers".into(), 5, 4));
}

#[test]
fn pipelines_are_bounded() {
    let mut ledger = ledger();
    let first = ledger.add_pipeline(reflection(&[])).unwrap();
    ledger.add_pipeline(reflection(&[])).unwrap();
    assert_eq!(limit(ledger.add_pipeline(reflection(&[]))).0, "pipelines");
    ledger.drop_pipeline(first).unwrap();
    ledger.add_pipeline(reflection(&[])).unwrap();
    assert!(invalid(ledger.check_submit(&[dispatch(first, vec![])], &[])).contains("no pipeline 1"));
}

#[test]
fn handles_of_the_gone_and_of_others_are_stale() {
    let mut ledger = ledger();
    let (id, _) = ledger.create(16).unwrap();
    ledger.forget();
    assert!(ledger.is_empty());
    assert!(invalid(ledger.size(id)).contains("no buffer 1"));
    let (next, _) = ledger.create(16).unwrap();
    assert_ne!(id, next);
    ledger.destroy(next).unwrap();
    assert!(invalid(ledger.destroy(next)).contains("no buffer"));
    assert!(invalid(ledger.size(BufferId(u64::MAX))).contains("no buffer"));
}

#[test]
fn ranges_stay_inside_and_aligned() {
    let mut ledger = ledger();
    let (buffer, _) = ledger.create(16).unwrap();
    let check = |offset, bytes| ledger.check_range(ByteRange { buffer, offset, bytes });
    assert!(check(0, 16).is_ok() && check(16, 0).is_ok() && check(12, 4).is_ok());
    for (offset, bytes) in [(0, 20), (16, 4), (u64::MAX - 3, 8), (4, u64::MAX - 3), (20, 0)] {
        assert!(invalid(check(offset, bytes)).contains("beyond buffer"), "{offset} {bytes}");
    }
    for (offset, bytes) in [(1, 4), (0, 3)] {
        assert!(invalid(check(offset, bytes)).contains("multiples of 4"), "{offset} {bytes}");
    }
}

#[test]
fn a_submit_is_bounded_in_steps_copies_reads_and_workgroups() {
    let mut ledger = ledger();
    let (a, _) = ledger.create(4096).unwrap();
    let (b, _) = ledger.create(4096).unwrap();
    let whole = |buffer| ByteRange { buffer, offset: 0, bytes: 4096 };
    let clear = GpuCommand::Clear(whole(a));
    assert_eq!(limit(ledger.check_submit(&vec![clear.clone(); 4], &[])), ("passes-per-submit".into(), 4, 3));
    assert_eq!(limit(ledger.check_submit(&[], &[whole(a); 4])).0, "passes-per-submit");
    let copy = GpuCommand::Copy { source: whole(a), target: b, target_offset: 0 };
    assert_eq!(limit(ledger.check_submit(&[clear, copy], &[])), ("copy-bytes".into(), 8192, 6000));
    assert_eq!(limit(ledger.check_submit(&[], &[whole(a); 2])), ("read-bytes".into(), 8192, 5000));
    let pipeline = ledger.add_pipeline(reflection(&[])).unwrap();
    let wide = GpuCommand::Dispatch { pipeline, bindings: vec![], workgroups: [1, 65_536, 1] };
    assert_eq!(limit(ledger.check_submit(&[wide], &[])), ("workgroups-per-dimension".into(), 65_536, 65_535));
    let within = GpuCommand::Copy { source: whole(a), target: a, target_offset: 0 };
    assert!(invalid(ledger.check_submit(&[within], &[])).starts_with("step 1 of the submit: a copy within one buffer"));
}

#[test]
fn bindings_match_the_shader() {
    let mut ledger = ledger();
    let (a, _) = ledger.create(1024).unwrap();
    let (b, _) = ledger.create(4).unwrap();
    let pipeline = ledger.add_pipeline(reflection(&[BindingAccess::Read, BindingAccess::ReadWrite])).unwrap();
    let refused = |bindings| invalid(ledger.check_submit(&[dispatch(pipeline, bindings)], &[]));
    assert!(refused(vec![bound(0, a)]).contains("nothing is bound to @binding(1)"));
    assert!(refused(vec![bound(0, a), bound(1, a), bound(2, a)]).contains("3 buffers are bound"));
    assert!(refused(vec![bound(0, a), bound(1, a)]).contains("written and bound twice"));
    assert!(refused(vec![bound(0, a), bound(1, b)]).contains("the shader needs 8"));
    assert!(refused(vec![bound(0, BufferId(99)), bound(1, a)]).contains("no buffer 99"));
    let at = |offset, bytes| Binding { binding: 0, buffer: a, offset, bytes };
    assert!(refused(vec![at(16, None), bound(1, b)]).contains("multiple of 256"));
    assert!(refused(vec![at(2048, None), bound(1, b)]).contains("beyond"));
    assert!(refused(vec![at(256, Some(1024)), bound(1, b)]).contains("beyond"));
    let (c, _) = ledger.create(8).unwrap();
    ledger.check_submit(&[dispatch(pipeline, vec![at(256, Some(256)), bound(1, c)])], &[]).unwrap();
}

proptest! {
    /// After any sequence of creations and removals, the total is the sum of the live buffers and within the grant.
    #[test]
    fn the_sum_is_that_of_the_live(steps in proptest::collection::vec((any::<bool>(), 0_u64..5000), 0..200)) {
        let mut ledger = ledger();
        let mut live: Vec<(BufferId, u64)> = Vec::new();
        for (create, number) in steps {
            if create {
                if let Ok((id, size)) = ledger.create(number) {
                    prop_assert!(live.iter().all(|(other, _)| *other < id));
                    live.push((id, size));
                }
            } else if !live.is_empty() {
                let (id, _) = live.remove(number as usize % live.len());
                ledger.destroy(id).unwrap();
            }
            prop_assert_eq!(ledger.total_bytes(), live.iter().map(|(_, size)| size).sum::<u64>());
            prop_assert!(ledger.total_bytes() <= 8192 && live.len() <= 4);
        }
    }

    /// A range is accepted if and only if it is inside its buffer and aligned.
    #[test]
    fn no_range_outside_passes(size in 1_u64..4096, offset in any::<u64>(), bytes in any::<u64>(), small in any::<bool>()) {
        let mut ledger = ledger();
        let (buffer, size) = ledger.create(size).unwrap();
        let (offset, bytes) = if small { (offset % 5000, bytes % 5000) } else { (offset, bytes) };
        let inside = u128::from(offset) + u128::from(bytes) <= u128::from(size) && offset % 4 == 0 && bytes % 4 == 0;
        prop_assert_eq!(ledger.check_range(ByteRange { buffer, offset, bytes }).is_ok(), inside);
    }
}
