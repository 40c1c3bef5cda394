"""Exports shards as plain folders of PNG files, one folder per triplet, for people and for other tools."""

import json
from pathlib import Path
from typing import Any

from decoupage.faults import BadItem, BadSetup
from decoupage.images.codecs import encode_mask, encode_png
from pipelines.scenes.read import is_key
from pipelines.shards.faults import Fault
from pipelines.shards.reader import Triplet, read_triplets
from pipelines.stages.locks import take
from pipelines.stages.temps import remove_path

SAMPLE = "sample.json"
"""Written last into a sample's folder: only a folder that has it was made here, and may be replaced."""


def export_folder(path: str, out: str, faults: list[Fault] | None = None) -> int:
    """Write each triplet to `OUT/<key>-<layer>/`; returns how many.

    Files: `composite.png`, `background.png`, `mask.png`, `foreground.png` (RGBA on the whole canvas) and
    `sample.json`. A sample's folder appears whole; one of an earlier export is replaced, anything else of that name is
    a fault.

    Args:
        path: of a dataset's root, of a folder of shards, or of one `.tar`.
        out: a local folder; made when absent.
        faults: takes what cannot be read or written, and the other triplets are exported; None = the first one is
            raised.

    Raises:
        BadSetup: there are no shards, `out` cannot be written to, or another process exports to it.
        BadItem: a fault, and `faults` is None.
    """
    target = Path(out)
    lock = take(target / ".export.lock")
    if lock is None:
        raise BadSetup(f"another process exports to {out}; wait until it is done")
    num_samples = 0
    try:
        for triplet in read_triplets(path, faults=faults):
            try:
                _write_sample(target, triplet)
                num_samples += 1
            except BadItem as fault:
                if faults is None:
                    raise
                faults.append(Fault(out, "", f"{triplet.key}-{triplet.layer}", fault.reason, fault.detail))
    except OSError as error:
        raise BadSetup(f"{out} cannot be written to ({error.strerror}); correct that, and export again") from error
    finally:
        lock.release()
    return num_samples


def _write_sample(target: Path, triplet: Triplet) -> None:
    folder = target / f"{triplet.key}-{triplet.layer}"
    # The reader has checked the key already; a name that leads elsewhere must not get here by any way.
    if not is_key(triplet.key) or folder.parent != target:
        raise BadItem("bad_name", "its key cannot be the name of a folder")
    # What a killed run left under these two names is removed here; their names depend on the sample only.
    temp, old = (folder.with_name(f".{folder.name}.{state}.tmp") for state in ("new", "old"))
    for leftover in (temp, old):
        if leftover.is_symlink() or (leftover.exists() and not leftover.is_dir()):
            raise BadItem("in_the_way", f"{leftover} is not a folder that an export left; remove it")
        remove_path(leftover)
    if folder.is_symlink() or (folder.exists() and not (folder / SAMPLE).is_file()):
        raise BadItem("in_the_way", f"{folder} exists and is not an exported sample; remove it, or export elsewhere")
    temp.mkdir()
    (temp / "composite.png").write_bytes(encode_png(triplet.composite))
    (temp / "background.png").write_bytes(encode_png(triplet.background))
    (temp / "mask.png").write_bytes(encode_mask(triplet.mask))
    (temp / "foreground.png").write_bytes(encode_png(triplet.foreground))
    said = json.dumps(sample_record(triplet), indent=1, ensure_ascii=False) + "\n"
    (temp / SAMPLE).write_text(said, encoding="utf-8")
    if folder.exists():
        folder.replace(old)
    temp.replace(folder)
    remove_path(old)


def sample_record(triplet: Triplet) -> dict[str, Any]:
    """The scene's json with the target's entry under `target`, and its place among the layers."""
    record = {name: value for name, value in triplet.record.items() if name != "layers"}
    layers = triplet.record["layers"]
    return {**record, "layer": triplet.layer, "num_layers": len(layers), "target": layers[triplet.layer]}
