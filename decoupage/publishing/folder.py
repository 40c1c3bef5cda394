"""The published folder: `adapter.json`, checksums, writing it whole or not at all. `finding` says where it lies."""

import hashlib
import importlib.metadata
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from diffusers.loaders.lora_base import LORA_WEIGHT_NAME_SAFE
from pydantic import BaseModel, ConfigDict, ValidationError

from decoupage.weights.files import share

MANIFEST = "adapter.json"
CARD = "README.md"
WEIGHTS = str(LORA_WEIGHT_NAME_SAFE)
"""Name of the LoRA file that diffusers looks for."""
TEXT = "prompt.safetensors"
"""The embedding of the empty prompt (`publishing.text`); not in older folders, nor for bases that know no text."""
FORMAT = 3
"""Version of the folder's layout, of how pictures are prepared for it (`decoupage.preparation`), and of what a token
holds (`decoupage.sequences`)."""
_EARLIER = {
    1: "which prepared pictures by other rules",
    2: "whose network learned from its maps, not from separate channels, which half a token belongs to",
}
"""What is different in folders of earlier versions, none of which can be used."""
Kind = Literal["adapter", "remove-only"]
OURS = {MANIFEST, CARD, WEIGHTS, TEXT, "fusion", "vae_rgba", "pipeline.py"}


class BaseFacts(BaseModel):
    """The base that an adapter belongs to."""

    model_config = ConfigDict(frozen=True)

    name: str
    repo_id: str
    licence: str


class Manifest(BaseModel):
    """Content of `adapter.json`.

    Attributes:
        adapter: `AdapterConfig.to_dict()`.
        files: sha256 by path of every file that decides a result. The card is left out: people edit cards.
        figures: measured figures by name; None = not measured.
    """

    model_config = ConfigDict(frozen=True)

    format: int
    kind: Kind
    decoupage_version: str
    base: BaseFacts
    adapter: dict[str, Any]
    data_fingerprint: str | None = None
    data_licences: tuple[str, ...] = ()
    figures: dict[str, float | None] = {}
    files: dict[str, str]


def version() -> str:
    """Version of the installed package."""
    return importlib.metadata.version("decoupage-layers")


# ---- writing


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Context with a new folder to write to; it replaces `folder` when the block ends without a fault.

    Raises:
        ValueError: at the start, when `folder` is not a published folder, or holds other files too.
    """
    folder = folder.resolve()
    _check_replaceable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        new, old = Path(temporary) / "new", Path(temporary) / "old"
        new.mkdir()
        yield new
        share(new)
        if folder.exists():
            folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise


def write_manifest(folder: Path, **facts: Any) -> None:
    """Write `adapter.json` for the files in the folder; to be called last."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = {name: _sha256(folder / name) for name in names if name not in (CARD, MANIFEST)}
    manifest = Manifest(format=FORMAT, decoupage_version=version(), files=files, **facts)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file, not a folder")
    names = {path.name for path in folder.iterdir()}
    if not names:
        return
    if MANIFEST not in names:
        raise ValueError(f"{folder} holds files but no {MANIFEST}: not a published adapter, so it is not replaced")
    _parsed(folder)  # Of whatever layout: it is to be replaced, not read.
    if names - OURS:
        raise ValueError(
            f"{folder} holds more than a published adapter ({', '.join(sorted(names - OURS))}), which would be deleted "
            "with it; move that away or write elsewhere"
        )


# ---- reading


def read_manifest(folder: Path, check_sums: bool = True) -> Manifest:
    """Read `adapter.json`.

    Args:
        check_sums: also compare the sha256 of every file, which reads them once (seconds for gigabytes).

    Raises:
        ValueError: it is missing, damaged or of another layout; a listed file is missing, or its sha256 differs.
    """
    manifest = _parsed(folder)
    check_format(manifest, str(folder / MANIFEST))
    _check_files(folder, check_sums)
    return manifest


def check_format(manifest: Manifest, where: str) -> None:
    """Raise ValueError, which begins with where it lies, for a folder of another layout than this version reads."""
    if manifest.format > FORMAT:
        raise ValueError(
            f"{where} is of layout {manifest.format}, written by decoupage {manifest.decoupage_version}; this is "
            f"{version()}, which reads up to {FORMAT}: update it"
        )
    if manifest.format < FORMAT:
        raise ValueError(
            f"{where} is of layout {manifest.format}, written by decoupage {manifest.decoupage_version}, "
            f"{_EARLIER.get(manifest.format, 'which no version reads')}: train the adapter again"
        )


def parse_manifest(data: bytes, where: str) -> Manifest:
    """The content of an `adapter.json`. Raises ValueError, which begins with where it lies: it is damaged."""
    try:
        return Manifest.model_validate_json(data.removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where} is damaged: {f'{place}: ' if place else ''}{first['msg']}") from error


def _parsed(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError(f"{folder}: {MANIFEST} is missing; is this a folder of a published adapter?")
    return parse_manifest(path.read_bytes(), str(path))


def require(folder: Path, manifest: Manifest, *names: str) -> None:
    """Raise ValueError, naming the file, where the manifest does not list one of these files."""
    for name in names:
        if name not in manifest.files:
            raise ValueError(f"{folder}: {name} is missing, and {MANIFEST} does not list it")


def listed_files(folder: Path) -> dict[str, str]:
    """SHA-256 by path of what `adapter.json` lists, whether it is there or not. Raises ValueError: it is damaged."""
    files = _parsed(folder).files
    for name in files:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError(f"{folder / MANIFEST} lists a file outside of its folder: {name}")
    return files


def _check_files(folder: Path, check_sums: bool) -> None:
    for name, expected in listed_files(folder).items():
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: {name} is missing")
        if check_sums and _sha256(folder / name) != expected:
            raise ValueError(f"{folder}: {name} is not the published file (its sha256 differs); fetch it again")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
