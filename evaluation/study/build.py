"""Makes a study's folder from the methods' outputs on a list. Rating is not known here."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from decoupage.faults import BadItem, BadSetup
from decoupage.fingerprint import canonical_json
from decoupage.images.codecs import encode_png
from decoupage.images.types import Rgb
from evaluation.config import Aspect, StudyConfig
from evaluation.records.room import Records
from evaluation.study.folder import KEY, KEY_BYTES, PICTURES, PLAN, VOTES, Study
from evaluation.study.pictures import broken, reference, shown
from evaluation.study.plan import attention_pool, choose_cases, comparisons
from evaluation.study.votes import Votes
from pipelines.stages.progress import Progress, Steps
from pipelines.stages.store import Store


def build_study(records: Records, config: StudyConfig, folder: Path | str, steps: Steps | None = None) -> Study:
    """Plan the comparisons and write the pictures that raters see; `study.json` comes last.

    Built again over the same pictures and profile, the same folder comes out, and votes are kept.

    Args:
        steps: of the work that this is the last step of.

    Raises:
        BadSetup: fewer than two methods give an aspect, a picture is damaged, or the folder holds votes of another
            study.
    """
    check_aspects({name: method.gives for name, method in records.methods.items()}, config)
    root = Path(folder)
    cases = choose_cases(records.names, config)
    methods = tuple(records.methods)
    every = comparisons(config, methods, cases, lambda *asked: _state(records, *asked))
    asked = [comparison for comparison in every if comparison.can_be_asked]
    if not asked:
        raise BadSetup(f"{records.store.root}: no image has answers of two methods, so nothing can be compared")
    attention = attention_pool(asked, config)
    missing: dict[str, dict[str, list[str]]] = {
        aspect: {
            method: [case for case in cases if not records.methods[method].has(case, aspect)]
            for method in methods
            if aspect in records.methods[method].gives
        }
        for aspect in config.aspects
    }
    scenes = {case: records.scenes[case] for case in cases}
    clusters: dict[str, dict[str, str]] = {
        aspect: {case: _cluster(records, aspect, case) for case in cases} for aspect in config.aspects
    }
    store = Store(str(root))
    plan = ("", records.list_sha256, config, methods, scenes, clusters, tuple(every), tuple(attention), missing)
    study = _with_id(Study(root, _key(store), *plan), records)
    _check_votes(study)
    store.remove(PLAN)
    _write_pictures(store, study, records, "study" if steps is None else steps.next("the study's pictures"))
    store.write(PLAN, (json.dumps(study.plan(), indent=1) + "\n").encode())
    return study


def check_aspects(gives: Mapping[str, frozenset[str]], config: StudyConfig) -> None:
    """Raises BadSetup when fewer than two methods give an aspect.

    Args:
        gives: method -> the parts that it promises.
    """
    for aspect in config.aspects:
        giving = [method for method, parts in gives.items() if aspect in parts]
        if len(giving) < 2:
            raise BadSetup(
                f"a study of the {aspect} compares at least two methods that give one, got "
                f"{', '.join(giving) or 'none'}; name more with --methods, or remove {aspect} from "
                "evaluation.study.aspects"
            )


def _state(records: Records, aspect: str, method: str, case: str) -> bool | None:
    found = records.methods[method]
    return found.has(case, aspect) if aspect in found.gives else None


def _cluster(records: Records, aspect: Aspect, case: str) -> str:
    """What it shares with cases that turn out alike: of backgrounds the photograph, of foregrounds the origin."""
    shared = records.shared[case]
    return shared.photograph if aspect == "background" else shared.origin


def _with_id(study: Study, records: Records) -> Study:
    """The plan alone is not enough: the same methods may have given other pictures."""
    sha = hashlib.sha256(canonical_json(study.plan()))
    for aspect, case, what in study.picture_names():
        if what in study.methods:
            sha.update(records.methods[what].png(case, aspect))
    return replace(study, study_id=sha.hexdigest()[:16])


def _key(store: Store) -> bytes:
    if store.exists(KEY):
        key = store.read(KEY)
        if len(key) == KEY_BYTES:
            return key
    # Not from the study's seed, or anyone who knows the recipe could compute every name.
    key = secrets.token_bytes(KEY_BYTES)
    store.write(KEY, key)
    Path(store.url(KEY)).chmod(0o600)
    return key


def _check_votes(study: Study) -> None:
    if study.votes.exists() and (number := Votes(study.votes, study.study_id).num_of_others()):
        raise BadSetup(
            f"{study.root} holds {number} votes of another study; build this one into another folder with --out, "
            f"or move {VOTES} away"
        )


def _write_pictures(store: Store, study: Study, records: Records, title: str) -> None:
    kept = {f"{picture_id}.png" for picture_id in study.picture_ids}
    for name in store.names(PICTURES):
        if name not in kept:
            store.remove(f"{PICTURES}/{name}")
    names = study.picture_names()
    with Progress(title, "pictures", len(names)) as progress:
        for aspect, case, what in progress.counting(names):
            try:
                rgb = _picture(records, aspect, case, what, study.config.seed)
            except BadItem as fault:
                raise BadSetup(f"{records.store.root}: {what} of {case}: {fault}; repair or remove the file") from fault
            except FileNotFoundError as error:
                raise BadSetup(f"{records.store.root} lacks a picture of {case}: {error}") from error
            store.write(f"{PICTURES}/{study.picture_id(aspect, case, what)}.png", encode_png(rgb))


def _picture(records: Records, aspect: Aspect, case: str, what: str, seed: int) -> Rgb:
    if what == "reference":
        return reference(*records.given(case))
    if not what.startswith("broken/"):
        return shown(records.methods[what], case, aspect)
    _, method, number = what.split("/")
    return broken(shown(records.methods[method], case, aspect), seed, f"{method}/{case}", int(number))
