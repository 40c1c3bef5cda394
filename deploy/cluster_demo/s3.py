"""An S3 server on loopback with one empty bucket: moto's, which keeps objects in memory; and what its log tells."""

import re
import secrets
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from deploy.cluster_demo.processes import Programs, answers, free_port

BUCKET = "decoupage"
CLIENT = "AWS_SDK_UA_APP_ID"
"""Variable by which a client tells the server's log who it is."""
_START_S = 60.0
_MADE = re.compile(r"(\S+) (?:PUT|POST) /[^/]+/.*?([a-z_]+)/[0-9]{5}\.json[? ].*2[0-9]{2}$")
"""A line of the log on a shard's manifest, which whoever made the shard writes last."""


@contextmanager
def s3(programs: Programs, environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Context with a running server; gives the variables by which clients find it.

    Raises:
        BadSetup: it does not start.
    """
    port = free_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": secrets.token_hex(10),
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    line = [sys.executable, "-m", "deploy.cluster_demo.s3_server", str(port)]
    with programs.running("s3", line, environment) as process:
        programs.wait("s3", process, lambda: answers(port), _START_S)
        _make_bucket(variables)
        yield variables


def _make_bucket(variables: Mapping[str, str]) -> None:
    import boto3  # type: ignore[import-untyped]

    client = boto3.client(
        "s3",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        region_name=variables["AWS_REGION"],
    )
    client.create_bucket(Bucket=BUCKET)


def shards_by_client(programs: Programs) -> dict[str, Counter[str]]:
    """How many shards of each stage every client has written, by the server's log."""
    found: dict[str, Counter[str]] = {}
    for line in programs.log("s3").read_text(errors="replace").splitlines():
        made = _MADE.fullmatch(line)
        if made:
            found.setdefault(made[1], Counter())[made[2]] += 1
    return found
