"""`decoupage prompts write` as a user meets it, and killed while it runs."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets_defs.plan import Plan
from assets_defs.sources.generated import generated_assets
from tests.pipelines.foregrounds.prompts_server import serving
from tests.pipelines.foregrounds.test_prompts_written import SECRET, profile


def start(root: Path, url: str, per_category: int = 4, **prompts: Any) -> subprocess.Popen[str]:
    values = {"source": "written", "base_url": url, "per_request": 3, "max_requests": 200, **prompts}
    env = {**os.environ, "PYTHONPATH": str(Path.cwd()), "OPENAI_API_KEY": SECRET}
    env |= {f"DECOUPAGE__PROMPTS__{key.upper()}": str(value) for key, value in values.items()}
    env["DECOUPAGE__GENERATED__GENERATOR"] = "layerdiffuse"
    env["DECOUPAGE__GENERATED__PROMPTS_PER_CATEGORY"] = str(per_category)
    command = [sys.executable, "-m", "commands.main", "prompts", "write", "--root", str(root), "--json"]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lines(root: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for path in root.rglob("*.jsonl") for line in path.read_text().splitlines()]
    return [line for line in found if line["kind"] == "answer"]


@pytest.mark.slow
@pytest.mark.faults
def test_a_killed_run_pays_nothing_twice_but_what_was_on_its_way(tmp_path: Path) -> None:
    outputs = ""
    with serving() as (server, url):
        server.delay_s = 0.1
        for kills in range(1, 4):
            run = start(tmp_path, url)
            before = server.answered
            while server.answered < before + 4 and run.poll() is None:
                time.sleep(0.01)
            assert run.poll() is None
            run.kill()
            outputs += "".join(run.communicate())
            assert len(lines(tmp_path)) >= server.answered - kills
        run = start(tmp_path, url)
        out, err = run.communicate(timeout=120)
        outputs += out + err
        assert run.returncode == 0, err
        report = json.loads(out)
        assert min(report["by_category"].values()) >= 4
        # Each kill lost at most one answer, and one that was being worked on when the count was read.
        assert sum(report["requests"].values()) == len(lines(tmp_path)) >= server.answered - 3
        assert report["tokens_in"] == 100 * len(lines(tmp_path))
        again = start(tmp_path, url)
        assert json.loads(again.communicate(timeout=120)[0])["by_category"] == report["by_category"]
        short = start(tmp_path, url, per_category=9, max_requests=len(lines(tmp_path)))
        out, err = short.communicate(timeout=120)
        assert short.returncode == 1 and "raise it" in err and json.loads(out)["unfinished"] in err
        refused = start(tmp_path, url, source="builtin")
        out, err = refused.communicate(timeout=120)
        assert refused.returncode == 2 and "nothing to write" in err
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert server.keys[0] == f"Bearer {SECRET}"
    assert SECRET not in outputs + out + err + "".join(files)
    assert not list(tmp_path.rglob(".*.tmp"))


def test_the_asset_writes_the_same_list_and_tells_what_it_took(tmp_path: Path) -> None:
    with serving() as (server, url):
        config = profile(tmp_path, url, usd_per_million_tokens_in=1.0, usd_per_million_tokens_out=1.0)
        prompts, _ = generated_assets(Plan(config))
        first = dg.materialize([prompts]).asset_materializations_for_node("foreground_prompts")[0]
        paid = server.answered
        second = dg.materialize([prompts]).asset_materializations_for_node("foreground_prompts")[0]
    assert server.answered == paid == 10
    assert first.metadata["dagster/row_count"].value == 30
    assert first.metadata["tokens_in"].value == 1000 and first.metadata["cost_usd"].value == pytest.approx(0.0015)
    assert len(first.metadata["prompts"].records) == 30
    tag = "dagster/data_version"
    assert first.tags and second.tags and first.tags[tag] == second.tags[tag]
