"""Stand-ins for programs that reach what others publish: `hf`, `curl`, `unar`, `unzip`, as docs/data.md calls them.

They take the options that the page uses and no others, and give from a folder (`PUBLISHERS`) what is published there:
`hub/` in the form of the Hub's cache, `web/` by address without its scheme. What is not published is refused.
"""

import argparse
import io
import os
import shutil
import sys
import zipfile
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

MULAN = "mulan-dataset/v1.0"
PART_BYTES = 20_000


def install(folder: Path) -> None:
    """Put the programs into a folder for `PATH`."""
    folder.mkdir(parents=True)
    for name in PROGRAMS:
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "$@"\n')
        program.chmod(0o755)


def publish(
    folder: Path, hub: Path, annotations: Iterable[Path], photographs: dict[str, bytes], info: Iterable[Path]
) -> None:
    """Write what is published: a copy of a Hub's cache, MULAN's archive in parts, COCO's three archives.

    Args:
        photographs: `train2017/ID.jpg` or `val2017/ID.jpg` -> bytes.
        info: COCO's annotation files.
    """
    shutil.copytree(hub, folder / "hub")
    packed = _zipped({f"mulan/{path.name}": path.read_bytes() for path in annotations})
    parts = repository(folder / "hub", MULAN, "dataset") / "snapshots" / "main"
    parts.mkdir(parents=True)
    for number, start in enumerate(range(0, len(packed), PART_BYTES), 1):
        (parts / f"mulan.part{number:03d}.rar").write_bytes(packed[start : start + PART_BYTES])
    coco = folder / "web/images.cocodataset.org/annotations/annotations_trainval2017.zip"
    coco.parent.mkdir(parents=True)
    coco.write_bytes(_zipped({f"annotations/{path.name}": path.read_bytes() for path in info}))
    for half in ("train2017", "val2017"):
        address = folder / "web/images.cocodataset.org/zips" / f"{half}.zip"
        address.parent.mkdir(parents=True, exist_ok=True)
        address.write_bytes(_zipped({name: data for name, data in photographs.items() if name.startswith(half)}))


def repository(hub: Path, repo_id: str, kind: str = "model") -> Path:
    """A repository's folder in a cache of the Hub."""
    return hub / f"{kind}s--{repo_id.replace('/', '--')}"


def hf(words: list[str]) -> None:
    """`hf download`: files by name, each of which must be there, or by pattern; into the cache or `--local-dir`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["download"])
    parser.add_argument("repo_id")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--include", action="append", default=[])
    parser.add_argument("--revision", default="main")
    parser.add_argument("--repo-type", default="model")
    parser.add_argument("--local-dir", type=Path)
    given = parser.parse_args(words)
    held = repository(_published("hub"), given.repo_id, given.repo_type)
    reference = held / "refs" / given.revision
    commit = reference.read_text() if reference.is_file() else given.revision
    source = held / "snapshots" / commit
    there = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    if absent := sorted({*given.names} - there) or ([] if there else [given.revision]):
        sys.exit(f"404: {given.repo_id} at {given.revision} has no {', '.join(absent)}")
    chosen = {*given.names} | {name for name in there if any(fnmatchcase(name, each) for each in given.include)}
    cached = repository(Path(os.environ["HF_HUB_CACHE"]), given.repo_id, given.repo_type)
    for name in chosen:
        target = (given.local_dir or cached / "snapshots" / commit) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, target)
    if reference.is_file() and not given.local_dir:
        named = cached / "refs" / given.revision
        named.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(reference, named)


def curl(words: list[str]) -> None:
    """`curl -L -C - -o FILE ADDRESS`."""
    *options, file, address = words
    assert options == ["-L", "-C", "-", "-o"], words
    shutil.copy(_published("web") / address.partition("://")[2], file)


def unar(words: list[str]) -> None:
    """`unar -D -o FOLDER FIRST_PART PATTERN`: the members that match, of an archive in parts."""
    *options, folder, first, pattern = words
    assert options == ["-D", "-o"], words
    parts = sorted(Path(first).parent.glob(Path(first).name.replace("001", "*")))
    with zipfile.ZipFile(io.BytesIO(b"".join(part.read_bytes() for part in parts))) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if fnmatchcase(name, pattern)])


def unzip(words: list[str]) -> None:
    """`unzip -q FILE -d FOLDER`."""
    quiet, file, into, folder = words
    assert (quiet, into) == ("-q", "-d"), words
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder)


PROGRAMS = {"hf": hf, "curl": curl, "unar": unar, "unzip": unzip}


def _published(part: str) -> Path:
    return Path(os.environ["PUBLISHERS"]) / part


def _zipped(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](sys.argv[2:])
