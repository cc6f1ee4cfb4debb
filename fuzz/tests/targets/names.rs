//! Paths, names, labels, splitters and sizes. Accepted text follows the rules and survives a round trip.

use fabric_fuzz::{fuzz, text};
use fabric_store::{ObjectPath, ObjectPrefix};
use fabric_types::{
    dataset::Split,
    function::FunctionRef,
    id::{InvocationId, JobId, TenantId},
    label,
    units::ByteSize,
};

#[test]
fn names() {
    let seeds: [&[u8]; 10] = [
        b"weather/2013.csv",
        b"a/../b",
        b"%2e%2e/x",
        "mit Leerzeichen/ü/日本".as_bytes(),
        b"weather:live",
        b"weather@12",
        b"01ARZ3NDEKTSV4RRFFQ69G5FAV",
        b"example.com/zone=a",
        b"records:16:8MiB",
        b"1.5GiB",
    ];
    fuzz("names", &seeds, |input| {
        let text = text(input);
        if let Ok(path) = ObjectPath::new(&text) {
            assert!(
                path.as_str() == text && text.len() <= 1024 && !text.split('/').any(|s| matches!(s, "" | "." | ".."))
            );
        }
        let _ = ObjectPrefix::new(&text);
        if let Ok(reference) = text.parse::<FunctionRef>() {
            assert_eq!(reference.to_string().parse::<FunctionRef>().unwrap(), reference);
        }
        if let Ok(split) = text.parse::<Split>() {
            assert_eq!(split.to_string().parse::<Split>().unwrap(), split);
        }
        let _ = (
            TenantId::new(&text),
            JobId::new(&text),
            InvocationId::new(&text),
            label::parse(&text),
            text.parse::<ByteSize>(),
        );
    });
}
