"""Which version of the code a process has: what must be equal on all machines that make shards of one stage."""

import hashlib
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from decoupage import faults
from decoupage.faults import BadSetup

PACKAGES: tuple[str, ...] = (
    "diffusers",
    "imagehash",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "pyarrow",
    "scikit-image",
)
PACKAGES += ("scikit-learn", "scipy", "torch", "transformers")
"""Packages that decide bytes."""


@cache
def code_version() -> str:
    """16 hex digits: a hash of the sources of `decoupage` and `pipelines`, of Python, and of the packages they use."""
    sha = hashlib.sha256(platform.python_version().encode())
    for name in PACKAGES:
        sha.update(f"\0{name} {_version(name)}".encode())
    for root in (Path(faults.__file__).parent, Path(__file__).parents[1]):
        for file in sorted(root.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                data = file.read_bytes()
                sha.update(f"\0{root.name}/{file.relative_to(root).as_posix()} {len(data)}\0".encode() + data)
    return sha.hexdigest()[:16]


def require_code(wanted: str) -> None:
    """Raise BadSetup where this process has another version of the code than the one that runs the stage."""
    if code_version() != wanted:
        raise BadSetup(
            f"the worker on {platform.node()} has code {code_version()}, the process that runs the stage has {wanted}: "
            "install the same commit and the same constraints.txt on all machines, restart Ray there, and run again"
        )


def _version(package: str) -> str:
    try:
        # Builds of one version for another processor (2.13.0+cpu) are made of the same sources.
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        return "absent"
