"""The pod of a training run, by the models of Kubernetes' own client; none was ever started."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from assets_defs.processes import MODULE, pod_spec
from decoupage.faults import BadSetup
from training.launcher import command

pytest.importorskip("dagster_k8s")
yaml = pytest.importorskip("yaml")

DOCS = Path(__file__).parents[2] / "docs" / "training.md"
LINE = command(MODULE, ["s3://bucket/root/training/adapter/plan.json"], 8, "cuda", python="python")


def example() -> str:
    """The specification in the documentation."""
    return re.search(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)[1]


def test_the_documented_pod_is_what_the_api_takes(tmp_path):
    from dagster_k8s.pipes import build_pod_body
    from kubernetes.client import ApiClient

    (tmp_path / "pod.yaml").write_text(example())
    spec = pod_spec(tmp_path / "pod.yaml", LINE)
    body = build_pod_body("training", None, LINE, {"OMP_NUM_THREADS": "1"}, None, spec)
    client = ApiClient()
    sent = client.sanitize_for_serialization(body)
    (container,) = sent["spec"]["containers"]
    assert container["command"] == LINE and sent["spec"]["restartPolicy"] == "Never"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "8"
    assert {"name": "OMP_NUM_THREADS", "value": "1"} in container["env"]
    assert container["envFrom"] == [{"secretRef": {"name": "decoupage"}}]
    # What the client reads back is what was sent: no field was lost, and none was made up.
    back = client.deserialize(SimpleNamespace(data=json.dumps(sent)), "V1Pod")
    assert client.sanitize_for_serialization(back) == sent


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("containers:\n  - {image: a, gpus: 1}\n", "gpus"),
        ("image: a\n", "image"),
        ("containers:\n  - {name: trains}\n", "image"),
        ("- a\n", "must hold the fields"),
        ("a: [", "cannot be read"),
        ("restartPolicy: Always\ncontainers:\n  - {image: a}\n", "restart policy"),
    ],
)
def test_what_is_no_pod_stops_before_one_is_started(tmp_path, text, reason):
    (tmp_path / "pod.yaml").write_text(text)
    with pytest.raises(BadSetup, match=rf"training\.pod_spec: .*pod\.yaml .*{reason}"):
        pod_spec(tmp_path / "pod.yaml", LINE)
