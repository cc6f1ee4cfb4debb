//! Copies a job's results to the output path of its specification.

use fabric_results::ResultStore;
use fabric_store::{ObjectPath, PutOptions, Store};
use fabric_types::{Fault, id::TenantId, work::OutputRef};

/// Returns the path of result `index` of `count`: `output` itself for a single result, unless it ends in `/`; otherwise
/// `part-00000` and so on under `output`.
#[must_use]
pub fn path(output: &str, index: usize, count: usize) -> String {
    match output.strip_suffix('/') {
        None if count == 1 => output.to_owned(),
        folder => format!("{}/part-{index:05}", folder.unwrap_or(output)),
    }
}

/// Writes every result. A repeated write overwrites with the same bytes.
///
/// # Errors
/// `invalid-path`, or the store's fault.
pub async fn write(
    results: &ResultStore,
    store: &Store,
    tenant: &TenantId,
    outputs: &[OutputRef],
    to: &str,
) -> Result<(), Fault> {
    let objects = store.objects(tenant);
    for (index, output) in outputs.iter().enumerate() {
        let path = ObjectPath::new(path(to, index, outputs.len())).map_err(Fault::from)?;
        let opened = results.open(tenant, output, None).await?;
        objects.put(&path, opened.body, PutOptions::default()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn one_result_takes_the_path_and_many_take_parts() {
        assert_eq!(path("out/a.json", 0, 1), "out/a.json");
        assert_eq!(path("out/", 0, 1), "out/part-00000");
        assert_eq!(path("out", 3, 9), "out/part-00003");
    }
}
