"""One method's raw scores as an evaluation left them in its folder: read, checked, and returned.

Differences are taken between such scores, image by image; so what is compared must be of one list and one protocol.
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from decoupage.faults import BadSetup
from decoupage.fingerprint import fingerprint
from evaluation.cases import Entry, list_sha256
from evaluation.results import read_result
from evaluation.statistics import Clusters
from pipelines.stages.store import Store

REPORT, SCORES, LIST = "report.json", "scores.csv", "list.json"
_NAMES = ("image", "scene", "photograph", "origin")
"""Columns of `scores.csv` that are names, even where they are all digits."""


@dataclass(frozen=True)
class SavedScores:
    """Scores of one method.

    Attributes:
        method: its name in the report.
        list_sha256: of the list; scores compare only under the same one.
        protocol: what else decides a score (`evaluation.protocol`).
        images: name of each image, in the list's order.
        clusters: what these images have in common.
        columns: `<part>.<metric>` -> [images] float64; NaN = not measured.
        failed: images without an output.
        facts: what identifies the method's weights.
    """

    method: str
    list_sha256: str
    protocol: Mapping[str, Any]
    images: tuple[str, ...]
    clusters: Clusters
    columns: Mapping[str, np.ndarray]
    failed: tuple[str, ...]
    facts: Mapping[str, Any]

    def column(self, name: str) -> np.ndarray:
        """[images] float64; NaN = not measured."""
        found = self.columns.get(name)
        return np.full(len(self.images), np.nan) if found is None else found

    @property
    def digest(self) -> str:
        """16 hex digits of the scores themselves, and of the clusters that decide their intervals."""
        columns = {name: hashlib.sha256(column.tobytes()).hexdigest() for name, column in self.columns.items()}
        clusters = {"photographs": list(self.clusters.photographs), "origins": list(self.clusters.origins)}
        return fingerprint({"images": list(self.images), "failed": list(self.failed), "columns": columns} | clusters)

    @property
    def terms(self) -> str:
        """16 hex digits of list and protocol: scores of the same terms compare."""
        return fingerprint({"list": self.list_sha256, "protocol": dict(self.protocol)})


def read_scores(store: Store, folder: str, method: str) -> SavedScores:
    """A method's scores from the folder of an evaluation.

    Raises:
        BadSetup: there is no evaluation, the method was not in it, or its files do not belong together.
    """
    import pandas as pd  # Costs a second, and every worker of Dagster loads this module.

    report = read_result(store, f"{folder}/{REPORT}", "list_sha256", "protocol", "models")
    listed = read_result(store, f"{folder}/{LIST}", "images")
    try:
        names = [Entry(entry["name"], entry["sha256"]) for entry in listed["images"]]
        protocol = dict(report["protocol"])
        expected, facts = str(report["list_sha256"]), report["models"].get(method, {})
        frame = pd.read_csv(io.BytesIO(store.read(f"{folder}/{SCORES}")), dtype=dict.fromkeys(_NAMES, str))
        rows = frame[frame["method"] == method]
        images, clusters = tuple(rows["image"]), Clusters(list(rows["photograph"]), list(rows["origin"]))
        if rows["failed"].dtype != bool:
            raise ValueError("the column failed holds values other than True and False")
        failed = tuple(rows["image"][rows["failed"]])
        values = {str(name): rows[name].to_numpy(np.float64) for name in rows.columns if "." in str(name)}
    except (KeyError, TypeError, ValueError, AttributeError, FileNotFoundError) as error:
        raise _unusable(store, folder, f"{type(error).__name__}: {error}") from error
    if not images:
        raise BadSetup(f"{store.url(folder)} holds no scores of {method!r}; evaluate it first")
    if list_sha256(names) != expected or images != tuple(name.name for name in names):
        raise _unusable(store, folder, f"{SCORES}, {LIST} and {REPORT} are from different evaluations")
    return SavedScores(method, expected, protocol, images, clusters, values, failed, facts)


def files_of(store: Store, folder: str, method: str) -> dict[str, bytes]:
    """An evaluation's files as they are, but of the scores only one method's rows; `report.json` last."""
    import pandas as pd

    frame = pd.read_csv(io.BytesIO(store.read(f"{folder}/{SCORES}")), dtype=str, keep_default_na=False)
    rows = frame[frame["method"] == method].to_csv(index=False).encode()
    return {SCORES: rows, **{name: store.read(f"{folder}/{name}") for name in (LIST, REPORT)}}


def _unusable(store: Store, folder: str, why: str) -> BadSetup:
    return BadSetup(f"the evaluation in {store.url(folder)} cannot be used ({why}); evaluate again")
