"""What every net with published weights says of itself, as a `MapMaker`."""

import json
from abc import abstractmethod
from typing import Any, ClassVar

from decoupage.faults import BadSetup
from decoupage.fingerprint import Recipe
from decoupage.maps.config import ModelConfig
from decoupage.maps.maker import MapMaker
from decoupage.maps.net import NetFiles, is_here
from decoupage.requirements import Space
from decoupage.weights.hub import HubFiles, split_revision

FILES = ("config.json", "preprocessor_config.json", "model.safetensors")
"""Of transformers' published layout, what is read."""


class PublishedNet(MapMaker):
    """A `MapMaker` whose weights are found, hashed and loaded; see `net.py` for what is equal between machines."""

    config: ModelConfig
    section: ClassVar[str]
    """Section of the profile that configures it, for messages."""
    in_process: ClassVar[bool] = True

    @property
    def recipe(self) -> Recipe:
        """Published model and size. What its files hold, at any revision, is among `inputs`; they need not be here."""
        return {"model": self.model, "weights": self.weights, "size_px": self.config.size_px}

    @property
    def weights(self) -> str:
        """Hub id of the weights, without a revision; it decides the licence."""
        return self._wanted.repo_id

    @property
    def batch_size(self) -> int:
        """Pictures at once."""
        return self.config.batch_size

    @abstractmethod
    def judge(self, config: dict[str, Any]) -> str:
        """What is wrong with a `config.json`; empty when it is of this net."""

    def look(self) -> NetFiles | str:
        """The net's files; a sentence on what is wrong where they are not there, not whole or of another net."""
        files = self._wanted
        folder, fault = files.find(), files.fault()
        if folder is None or fault:
            return fault
        try:
            config = json.loads((folder / "config.json").read_bytes())
        except ValueError as error:
            return f"{folder}/config.json cannot be read ({error})"
        fault = self.judge(config) if isinstance(config, dict) else "it holds no object"
        return f"{folder}/config.json describes another network: {fault}" if fault else NetFiles(files, folder, config)

    @property
    def fix(self) -> str:
        """What gets the files."""
        return f"{self._wanted.fix()}, or name a folder with them in {self.section}.folder"

    @property
    def space(self) -> tuple[Space, ...]:
        """Room that getting the files takes."""
        return self._wanted.space

    @property
    def files(self) -> NetFiles:
        """The net's files. Raises BadSetup as `look` finds fault."""
        found = self.look()
        if isinstance(found, str):
            raise BadSetup(f"{self.section}: {found}; {self.fix}")
        return found

    @property
    def _wanted(self) -> HubFiles:
        repo_id, revision = split_revision(self.config.weights)
        return HubFiles(repo_id, FILES, revision, self.config.folder)

    def inputs(self) -> dict[str, str]:
        """Hash of the net's files. Raises BadSetup as `files`, and when the device is not here."""
        if not is_here(self.config.device):
            raise BadSetup(f'{self.section}.device: there is no {self.config.device} here; "auto" takes what there is')
        return {"weights": self.files.sha256}
