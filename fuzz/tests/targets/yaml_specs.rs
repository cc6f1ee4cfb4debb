//! Job specifications in YAML.

use fabric_fuzz::fuzz;
use fabric_types::job::JobSpec;

#[test]
fn yaml_specs() {
    let spec = b"function: weather:live\ninput:\n  objects: {path: data/, split: 'lines:1MiB'}\nparams:\n  list: [1, ~, true]\n  text: |\n    two\n    lines\n";
    let items = b"---\nfunction: f\ninput:\n  items:\n  - 1\n  - {a: \"b\\u0041\"}\n  - - 'x'\n# end\n...\n";
    let refused = b"a: &a [x]\nb: *a\nc: {<<: *a}\nd: !t e\n---\n? k\n: v\n";
    fuzz("yaml-specs", &[spec, items, refused], |input| {
        if let Err(error) = JobSpec::from_yaml(input) {
            assert!(error.to_string().chars().count() <= 400);
        }
    });
}
