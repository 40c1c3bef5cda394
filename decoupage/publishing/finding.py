"""Where a published folder lies: a folder here, a repository of the Hub, or an address such as s3://bucket/adapter."""

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

from decoupage.cache import cache_folder
from decoupage.publishing.folder import CARD, MANIFEST, listed_files, read_manifest
from decoupage.requirements import install_line

COPIES = "adapters"
"""Of this machine's cache: copies of published folders, each under the hash of what it holds."""


def find_folder(source: str | Path, revision: str | None = None, **hub: Any) -> Path:
    """The folder itself, or a local copy of what an address or the name of a Hub repository stands for.

    Args:
        revision: branch, tag or commit of the repository.
        hub: for `huggingface_hub.snapshot_download` (`token`, `cache_dir`, `local_files_only`).

    Raises:
        ValueError: neither a folder, nor a repository or an object store that can be reached.
    """
    if Path(source).is_dir():
        return Path(source)
    name = str(source)
    if "://" in name:
        return _copied(name.rstrip("/"))
    if Path(source).is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise ValueError(f"there is no folder {name}, and it is not the name of a Hub repository (owner/name)")
    from huggingface_hub import snapshot_download

    patterns = [MANIFEST, CARD, "*.safetensors", "*/config.json", "pipeline.py"]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns, **hub))
    except OSError as error:
        raise ValueError(f"there is no folder {name}, and no such Hub repository can be reached: {error}") from error


def _copied(address: str) -> Path:
    """A local copy of a published folder in an object store; made once for each content that it has had.

    Raises:
        ValueError: there is none, it is damaged, or the store cannot be read.
    """
    import fsspec  # It comes with the Hub's library.

    try:
        fs, base = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise ValueError(f"{address} cannot be opened: {error}; for s3://, {install_line('s3')}") from error
    try:
        found = {MANIFEST: bytes(fs.cat_file(f"{base}/{MANIFEST}"))}
        if fs.exists(f"{base}/{CARD}"):
            found[CARD] = bytes(fs.cat_file(f"{base}/{CARD}"))
        place = cache_folder() / COPIES / hashlib.sha256(b"".join(found.values())).hexdigest()[:32]
        if place.is_dir():
            return place
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".copy-") as temporary:
            new = Path(temporary) / "adapter"
            new.mkdir()
            for name, data in found.items():
                (new / name).write_bytes(data)
            for name in listed_files(new):
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                with fs.open(f"{base}/{name}", "rb") as theirs, (new / name).open("wb") as ours:
                    shutil.copyfileobj(theirs, ours, 1 << 22)
            read_manifest(new)  # Compares every file with its hash.
            if not place.is_dir():
                new.rename(place)
    except FileNotFoundError as error:
        raise ValueError(f"there is no published adapter at {address}: {error}") from error
    except _faults() as error:
        raise ValueError(f"{address} cannot be read: {error}") from error
    return place


def _faults() -> tuple[type[Exception], ...]:
    """What an object store's client raises when it cannot read; S3's has kinds of its own."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return (OSError,)
    return (OSError, BotoCoreError, ClientError)
