"""The decision: takes candidate, champion, list and demands; gives one recorded event, and a champion."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from decoupage.faults import BadSetup
from decoupage.fingerprint import canonical_json, fingerprint
from evaluation.config import EvaluationConfig
from evaluation.gate.champions import (
    adapter_folder,
    alone,
    drop_scores,
    keep,
    keep_scores,
    kept_scores,
    next_version,
)
from evaluation.gate.history import Event, add_event, current_version, point, read_history, withdrawn
from evaluation.gate.judgement import Line, check_metrics, judge, missing_outputs
from evaluation.gate.luck import Luck, luck_of
from evaluation.saved_scores import SavedScores, files_of, read_scores
from pipelines.checks import CheckResult
from pipelines.stages.store import Store

METHOD = "adapter"
FIRST = "v0000"
"""The version of the published adapter from which training starts."""
FIRST_OPPONENTS = ("base", "given_mask")
"""What every candidate must beat: the base for backgrounds, the mask that it was given for foregrounds."""
Rescore = Callable[[str], Mapping[str, bytes]]
"""Folder or address of a published adapter -> an evaluation's files under today's list and protocol."""


@dataclass(frozen=True)
class Candidate:
    """A trained adapter that wants to be champion.

    Attributes:
        adapter: folder or address of its published form.
        report: folder of its evaluation, below the root; empty where it has none yet.
        manifest: facts of the published form: `base`, `data_fingerprint`, `files` with their hashes.
        identity: what it was made from: fingerprints of `recipe`, `data`, `masks`, `base`, `rgba_vae`; empty where
            another profile made it.
    """

    adapter: str
    report: str
    manifest: Mapping[str, Any]
    identity: Mapping[str, str]

    @property
    def weights_sha256(self) -> str:
        """One hash for the files of the published adapter, from the hash of each."""
        return hashlib.sha256(canonical_json(dict(self.manifest["files"]))).hexdigest()

    def facts(self) -> dict[str, Any]:
        """For the record."""
        known = {name: self.manifest.get(name) for name in ("base", "data_fingerprint")}
        return {"weights_sha256": self.weights_sha256, **known, "identity": dict(self.identity)}


def decide(
    store: Store,
    candidate: Candidate,
    config: EvaluationConfig,
    leaks: CheckResult,
    forbidden: Sequence[str],
    rescore: Rescore,
    profile: str,
    start: Candidate | None = None,
) -> Event:
    """Promote or refuse the candidate, and record the decision. The same question gets the same answer, recorded once.

    Where there is no champion and the candidate's training began from a published adapter, that one is recorded as the
    first champion before, so that training has to have made it better.

    Args:
        leaks: whether training data and evaluation share a picture.
        forbidden: why the candidate's licences forbid the profile's intended use.
        rescore: judges the champion again if its scores are of another list or protocol.
        profile: its name, for the record.
        start: the published adapter from which training began.

    Raises:
        BadSetup: there are no scores of these very weights, the gate names an unknown metric, the list has
            changed since the candidate was judged, or another process decides.
    """
    check_metrics(config.gate)
    scores = read_scores(store, candidate.report, METHOD)
    if scores.facts.get("files") != candidate.manifest["files"]:
        raise BadSetup(f"{store.url(candidate.report)} judges other weights than {candidate.adapter}: evaluate again")
    with alone(store):
        point(store)
        if start is not None and current_version(read_history(store)) is None:
            _begin(store, start, candidate, scores, rescore, profile)
        history = read_history(store)
        current = current_version(history)
        luck = luck_of(store, candidate.identity, scores.terms, config.gate)
        question = _question(candidate, scores, current, config, leaks, forbidden, luck)
        if history and history[-1].details.get("question") == question:
            return history[-1]
        details = {
            "question": question,
            **_judged(candidate, scores, profile),
            "gate": config.gate.model_dump(mode="json"),
            "seeds": None if luck.seeds is None else luck.seeds.to_dict(),
        }
        reasons = [*_obstacles(candidate, scores, leaks, history), *(f"licence: {why}" for why in forbidden)]
        lines: list[Line] = []
        if not reasons:
            first = {name: read_scores(store, candidate.report, name) for name in FIRST_OPPONENTS}
            lines = judge(scores, first, config, luck, partial=True, lenient=current is None)
            if current is not None:
                champion = _champion(store, candidate, scores, current, rescore)
                lines += judge(scores, {current: champion}, config, luck)
            reasons = [line.sentence for line in lines if not line.passed]
        details["lines"] = [asdict(line) for line in lines]
        if reasons:
            return add_event(store, "refused", current, current, tuple(reasons), details)
        files, version = files_of(store, candidate.report, METHOD), next_version(history)
        keep(store, version, candidate.adapter, files, scores.terms)
        sentences = tuple(line.sentence for line in lines)
        return add_event(store, "promoted", version, current, sentences, details)


def _begin(
    store: Store, start: Candidate, candidate: Candidate, scores: SavedScores, rescore: Rescore, profile: str
) -> None:
    """Make the adapter from which training starts the champion, with its scores on the candidate's list."""
    keep(store, FIRST, start.adapter, rescore(start.adapter), scores.terms)
    theirs = _champion(store, candidate, scores, FIRST, rescore)
    reasons = ("training starts from it: what is trained has to be better",)
    add_event(store, "begun", FIRST, None, reasons, _judged(start, theirs, profile))


def _judged(adapter: Candidate, scores: SavedScores, profile: str) -> dict[str, Any]:
    """For the record: what was judged, and how."""
    return {
        "candidate": adapter.facts(),
        "profile": profile,
        "list_sha256": scores.list_sha256,
        "protocol": dict(scores.protocol),
        "num_images": len(scores.images),
    }


def _question(
    candidate: Candidate,
    scores: SavedScores,
    current: str | None,
    config: EvaluationConfig,
    leaks: CheckResult,
    forbidden: Sequence[str],
    luck: Luck,
) -> str:
    """Hash of everything that an answer depends on."""
    return fingerprint(
        {
            "weights": candidate.weights_sha256,
            "champion": current,
            "terms": scores.terms,
            "gate": config.gate.model_dump(mode="json"),
            "leaks": [leaks.passed, leaks.sentence],
            **({"forbidden": list(forbidden)} if forbidden else {}),
            "scores": scores.digest,
            "seeds": None if luck.seeds is None else luck.seeds.to_dict(),
        }
    )


def _obstacles(candidate: Candidate, scores: SavedScores, leaks: CheckResult, history: list[Event]) -> list[str]:
    """What excludes a candidate however good its scores are."""
    found = [] if leaks.passed else [f"leak: {leaks.sentence}"]
    missing = missing_outputs(scores)
    if missing:
        found.append(missing)
    taken_back = withdrawn(history).get(candidate.weights_sha256)
    if taken_back is not None:
        found.append(
            f"these weights are {taken_back.before}, which a person rolled back on {taken_back.at} "
            f"({taken_back.reasons[0]}); `decoupage champion rollback --to {taken_back.before}` restores them"
        )
    return found


def _champion(store: Store, candidate: Candidate, scores: SavedScores, current: str, rescore: Rescore) -> SavedScores:
    """The champion's scores on the candidate's list; if they are of another list, it is judged again."""
    theirs = kept_scores(store, current, scores.terms, METHOD)
    if theirs is None:
        files = rescore(adapter_folder(store, current))
        keep_scores(store, current, scores.terms, files)
        theirs = kept_scores(store, current, scores.terms, METHOD)
        if theirs is None or theirs.terms != scores.terms:
            drop_scores(store, current, scores.terms)
            raise BadSetup(
                f"the list has changed since {store.url(candidate.report)} was written: evaluate the candidate again"
            )
    return theirs
