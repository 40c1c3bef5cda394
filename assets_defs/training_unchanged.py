"""Whether a training process would find nothing to do: asked here, without starting one, which takes many seconds.

The process itself compares more, and knows better; here only a run of the very same plan over the same bytes is
recognized.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from decoupage.fingerprint import fingerprint
from pipelines.shards.folder import find_shards
from training.config import RunConfig, TrainingConfig
from training.exports import IDENTITY, exported_identity
from training.facts import Facts, contents_digest, facts_of
from training.launcher import PLAN
from training.pairs import find_pairs
from training.remote import fetch_if_there
from training.rgba_vae.config import RgbaVaeConfig
from training.run import RunPlan, on_this_machine

_AT_ONCE = 256
"""Manifests that are in memory at the same time."""
ASKED = "asked.json"
"""File beside `export/`: hash of the plan and of all that it reads, and the version of what came of it."""


def question_of(run: RunPlan, config: RunConfig) -> str | None:
    """Hash of a plan, its recipe, and the bytes that it reads; None = something of it is not there.

    Raises:
        BadSetup: there are no shards, or pairs, where the plan says.
    """
    from decoupage.bases import find_base  # torch comes with it.

    assert isinstance(config, TrainingConfig | RgbaVaeConfig)
    name = config.adapter.base if isinstance(config, TrainingConfig) else config.base
    # Where the machine keeps its copy decides nothing.
    plan = PLAN.dump_json(replace(run, out=Path()) if run.home else run).decode()
    run = on_this_machine(run)
    base = find_base(name).weights(run.base).find()
    vae, start = (Path(folder) if folder else None for folder in (run.rgba_vae, run.start))
    if base is None or (vae is not None and not vae.is_dir()):
        return None
    weights = [contents_digest(folder) for folder in (base, vae, start) if folder is not None]
    share = config.data.pairs_share if isinstance(config, TrainingConfig) else 0.0
    data = [_contents(path) for path in (*run.data, *([find_pairs(run.data[0], share)] if share else []))]
    if None in data:
        return None
    return fingerprint({"plan": plan, "recipe": config.fingerprint(), "weights": weights, "data": data})


def unchanged(run: RunPlan, question: str | None) -> Facts | None:
    """The facts of what is there, where it answers this question; else None."""
    if question is None:
        return None
    if run.home is not None:
        fetch_if_there(run.home, ASKED, IDENTITY)
    asked = run.out / ASKED
    if not asked.is_file() or question.encode() not in asked.read_bytes():
        return None
    if run.home is not None:
        fetch_if_there(run.home, "export")
    if exported_identity(run.out) is None:
        return None
    facts = facts_of(run, None)
    return facts if asked.read_bytes() == _answered(question, facts) else None


def keep(run: RunPlan, question: str | None, facts: Facts) -> None:
    """Write down what came of a question."""
    if question is not None:
        (run.out / ASKED).write_bytes(_answered(question, facts))
        if run.home is not None:
            run.home.put(ASKED)


def _answered(question: str, facts: Facts) -> bytes:
    return json.dumps({"question": question, "version": facts["version"]}, indent=1).encode()


def _contents(path: str) -> str | None:
    """Hash of all shards behind a path; None = one is not finished."""
    found = find_shards(path)
    sha = hashlib.sha256()
    for first in range(0, len(found.shards), _AT_ONCE):
        for manifest in found.store.read_many([f"{name}.json" for name in found.shards[first : first + _AT_ONCE]]):
            if manifest is None:
                return None
            sha.update(manifest)  # It holds the hash of the tar.
    return sha.hexdigest()
