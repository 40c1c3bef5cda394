"""Named files of a Hub repository at a revision: in a folder that is named instead, else in the Hub's cache.

A setting names a repository as `owner/name`, or as `owner/name@revision` with a branch, a tag or a commit; without one,
`main` is meant. Weights come as safetensors wherever they are published so: a `.bin` file is a pickle, and pickles run
code.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from decoupage.fingerprint import canonical_json
from decoupage.requirements import Requirement, Space
from decoupage.weights.files import file_fault, hashes
from decoupage.weights.sizes import FILES, told

_TRANSFORMERS = "model.safetensors"
MAIN = "main"
"""The revision that a repository gives where none is asked for."""
HubId = Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+(@[\w.-][\w./-]*)?$")]
"""`owner/name` on the Hub, or `owner/name@revision`."""


@dataclass(frozen=True)
class HubFiles:
    """Files that belong together.

    Attributes:
        repo_id: `owner/name` on the Hub.
        names: paths in the repository.
        revision: branch, tag or commit.
        folder: where the files lie instead of in the Hub's cache; empty = in the cache.
    """

    repo_id: str
    names: tuple[str, ...]
    revision: str = MAIN
    folder: str = ""

    def find(self) -> Path | None:
        """The folder, or the snapshot of the revision in the cache that has one of the files; None = not here."""
        if self.folder:
            return Path(self.folder)
        return next((found for name in self.names if (found := snapshot(self.repo_id, name, self.revision))), None)

    def fault(self) -> str:
        """What is missing or damaged; empty when all files are here and whole."""
        folder = self.find()
        if folder is None:
            files = f"{', '.join(self.names)}, {told(self.num_bytes)}"
            return f"{named(self.repo_id, self.revision)} is not in the Hub's cache ({files})"
        if missing := [name for name in self.names if not (folder / name).is_file()]:
            return f"{folder} has no {', '.join(missing)}{_pickles(folder) if _TRANSFORMERS in missing else ''}"
        tensors = [folder / name for name in self.names if name.endswith(".safetensors")]
        return next((f"{path.parent}/{found}" for path in tensors if (found := file_fault(path))), "")

    def sha256(self) -> str:
        """Hash of all the files. Raises FileNotFoundError when one is not here."""
        folder = self.find()
        if folder is None:
            raise FileNotFoundError(f"{self.repo_id} is not in the Hub's cache")
        return hashlib.sha256(canonical_json(hashes(folder, [folder / name for name in self.names]))).hexdigest()

    @property
    def num_bytes(self) -> int | None:
        """Size of the weights among the published files; None = not known."""
        weights = [name for name in self.names if Path(name).suffix != ".json"]
        sizes = [FILES[self.repo_id, name] for name in weights if (self.repo_id, name) in FILES]
        return sum(sizes) if len(sizes) == len(weights) else None

    @property
    def space(self) -> tuple[Space, ...]:
        """Room that their download takes; none where they are here, or lie in a folder."""
        return () if self.folder or not self.fault() else cache_space(self.repo_id, self.num_bytes)

    def fix(self) -> str:
        """The command that gets the files into the cache."""
        return download(self.repo_id, " ".join(self.names), self.revision)


def snapshot(repo_id: str, name: str, revision: str = MAIN) -> Path | None:
    """The folder of a repository's revision in the Hub's cache, where that holds a file; None = it does not."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(repo_id, name, revision=revision)
    except HFValidationError:  # No name of a repository.
        return None
    return Path(cached).parents[name.count("/")] if isinstance(cached, str) else None


def is_folder(place: str) -> bool:
    """Whether a setting that may name a folder or a Hub repository (`owner/name`) names a folder."""
    return "/" not in place or place.startswith((".", "/", "~")) or Path(place).is_dir()


def split_revision(place: str) -> tuple[str, str]:
    """(`owner/name`, revision) of a repository that a setting names; a folder or plain name is returned unchanged."""
    repo_id, _, revision = place.partition("@")
    return (place, MAIN) if is_folder(place) else (repo_id, revision or MAIN)


def cache_space(repo_id: str, num_bytes: int | None) -> tuple[Space, ...]:
    """Room that a download takes in the Hub's cache; none where its size is not known."""
    from huggingface_hub import constants

    return () if num_bytes is None else (Space(repo_id, constants.HF_HUB_CACHE, num_bytes / 1e9),)


def named(repo_id: str, revision: str) -> str:
    """A repository with its revision, for messages."""
    return repo_id if revision == MAIN else f"{repo_id} at {revision}"


def download(repo_id: str, files: str, revision: str = MAIN) -> str:
    """The command that downloads files, named or as `--include` patterns."""
    return f"hf download {repo_id} {files}" + ("" if revision == MAIN else f" --revision {revision}")


def page(repo_id: str) -> str:
    """Where a repository's licence is read and accepted."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{repo_id}"


def token_requirement() -> Requirement:
    """The token that a gated download asks for; only its presence is checked."""
    from huggingface_hub import constants

    fix = f"make a token with read access at {constants.ENDPOINT}/settings/tokens"
    if os.environ.get("HF_TOKEN"):
        return Requirement("HF_TOKEN", True, "set", "")
    if Path(constants.HF_TOKEN_PATH).is_file():
        return Requirement("HF_TOKEN", True, "stored by hf auth login", "")
    return Requirement("HF_TOKEN", False, "not set", fix)


def _pickles(folder: Path) -> str:
    """A note on the same weights in transformers' older format, where they are there."""
    found = sorted(path.name for path in folder.glob("*.bin")) + sorted(path.name for path in folder.glob("*.pt*"))
    return f" ({', '.join(found)} is a pickle, which is not read)" if found else ""
