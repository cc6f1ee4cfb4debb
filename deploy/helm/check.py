"""Renders the chart with Helm's own engine, checks it against Kubernetes' schemas, and writes the rendered files.

    python deploy/helm/check.py OUT

requires `helm-python-sdk` and `kubernetes-validate` from PyPI. OUT receives one YAML file for each case below.
tests/tests/e2e/deploy.rs checks the meaning of the cases for `fabric` (flags, ports, probes).
"""

import pathlib
import re
import sys

import helm_python as helm
import kubernetes_validate
import yaml

CHART = pathlib.Path(__file__).parent / "fabric"
VERSIONS = ["1.27", "1.33"]
NEEDED = {"store": {"url": "s3://bucket/prefix"}, "nats": {"url": "nats://nats:4222"}}
EVERYTHING = {
    "store": {"url": "s3://bucket/prefix?endpoint=http://s3:8333", "credentials": {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}},
    "nats": {"url": "tls://a:4222,tls://b:4222", "existingSecret": "nats-login", "caSecret": "nats-ca"},
    "env": {"FABRIC_OTLP_ENDPOINT": "http://otel:4318"},
    "image": {"repository": "registry.example/fabric", "tag": "x", "pullSecrets": [{"name": "pull"}]},
    "node": {"slots": 4, "nodeSelector": {"pool": "guests"}, "tolerations": [{"key": "guests", "operator": "Exists"}], "affinity": {"nodeAffinity": {}}},
    "autoscaling": {"enabled": True},
    "service": {"annotations": {"a": "b"}},
    "serviceAccount": {"annotations": {"role": "r"}},
    "networkPolicy": {
        "clients": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
        "metrics": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "storePorts": [443, 8333],
        "egress": [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}],
    },
    "metrics": {"podMonitor": {"enabled": True, "tokenSecret": "scrape", "labels": {"release": "prometheus"}}},
}
CASES = {
    "least": NEEDED,
    "everything": EVERYTHING,
    "daemonset": NEEDED | {"node": {"kind": "DaemonSet"}, "networkPolicy": {"enabled": False}, "podDisruptionBudget": {"enabled": False}},
    "own-nats": {"store": NEEDED["store"], "nats": {"server": {"enabled": True}}},
    "existing-secret": {"store": NEEDED["store"] | {"existingSecret": "store"}, "nats": NEEDED["nats"]},
}
# Values that must be rejected, with a part of the reason.
REFUSED = {
    "no store": ({"nats": NEEDED["nats"]}, "store.url is needed"),
    "no NATS": ({"store": NEEDED["store"]}, "nats.url is needed"),
    "a NATS of its own and another": ({"store": NEEDED["store"], "nats": NEEDED["nats"] | {"server": {"enabled": True}}}, "starts a server of its own"),
    "a DaemonSet that scales": (NEEDED | {"node": {"kind": "DaemonSet"}, "autoscaling": {"enabled": True}}, "needs node.kind Deployment"),
    "metrics without a token": (NEEDED | {"metrics": {"podMonitor": {"enabled": True}}}, "tokenSecret is needed"),
    "an unknown value": (NEEDED | {"gatway": {}}, "gatway"),
    "a value of the wrong kind": (NEEDED | {"port": "http"}, "port"),
    "a password in the URL of NATS": ({"store": NEEDED["store"], "nats": {"url": "nats://u:p@nats"}}, "pattern"),
}
# Kinds of other projects, for which Kubernetes has no schema.
FOREIGN = {"ScaledObject", "PodMonitor"}


def leaves(values, path=""):
    """Yields the paths of single values. An empty map or list is one, because the user decides its content."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    else:
        yield path


def check_values(values):
    """Checks that every value is used and every used value exists. Helm reports neither. Returns the number of values."""
    used = set()
    for template in (CHART / "templates").iterdir():
        text = template.read_text()
        names = {"Values": [""], "values": [""], "own": ["gateway", "scheduler", "node"], "policy": ["networkPolicy"], "monitor": ["metrics.podMonitor"]}
        for name, path in re.findall(r"[.$](Values|values|own|policy|monitor)\.([A-Za-z.]+)", text):
            used |= {f"{start}.{path}" if start else path for start in names[name]}
    there = set(leaves(values))
    groups = {leaf.rsplit(".", n)[0] for leaf in there for n in range(leaf.count(".") + 1)}
    for path in sorted(used - there - groups):
        # Only nodes have `slots`, and templates read it only for nodes.
        if path not in {"gateway.slots", "scheduler.slots"}:
            sys.exit(f"a template reads {path}, which values.yaml does not define")
    for leaf in sorted(there):
        if not any(leaf == path or leaf.startswith(f"{path}.") for path in used):
            sys.exit(f"no template reads {leaf} of values.yaml")
    return len(there)


def documents(rendered):
    for path, text in sorted(rendered.items()):
        if path.endswith(".txt"):
            continue
        for document in yaml.safe_load_all(text):
            if document is not None:
                yield path, document


def main(out):
    out.mkdir(parents=True, exist_ok=True)
    for finding in helm.lint(str(CHART), values=NEEDED).get("messages") or []:
        text = str(finding)
        if "icon is recommended" not in text:
            sys.exit(f"lint: {text}")
    with helm.Chart.load(str(CHART)) as chart:
        print(f"{check_values(chart.values)} values, each used")
        for case, values in CASES.items():
            chart.validate_schema(values)
            found = list(documents(chart.render(values, name="demo", namespace="fabric")))
            for path, document in found:
                if document["kind"] in FOREIGN:
                    continue
                for version in VERSIONS:
                    try:
                        kubernetes_validate.validate(document, version, strict=True)
                    except Exception as error:
                        sys.exit(f"{case}: {path}, Kubernetes {version}: {str(error).splitlines()[0]}")
            text = yaml.safe_dump_all([document for _, document in found], sort_keys=False)
            (out / f"{case}.yaml").write_text(text)
            print(f"{case}: {len(found)} objects are valid")
        for case, (values, reason) in REFUSED.items():
            try:
                chart.validate_schema(values)
                chart.render(values, name="demo", namespace="fabric")
            except helm.HelmError as error:
                if reason not in str(error):
                    sys.exit(f"{case}: refused for another reason: {error}")
            else:
                sys.exit(f"{case}: was accepted")
        print(f"{len(REFUSED)} mistakes are refused")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
