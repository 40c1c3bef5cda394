"""What every net with published weights says of itself, as a `Model`."""

from abc import ABC, abstractmethod
from typing import Any

from decoupage.faults import BadSetup
from decoupage.fingerprint import Recipe
from decoupage.maps.config import ModelConfig
from decoupage.maps.net import is_here
from decoupage.weights.nets import NetFiles, fix, look_for


class PublishedNet(ABC):
    """A `Model` whose weights are found, hashed and loaded; see `net.py` for what is equal between machines."""

    config: ModelConfig
    name: str
    section: str
    """Of the profile, for messages."""
    in_process = True
    stands_in_for = ""

    @property
    def recipe(self) -> Recipe:
        """Published model and size. What its files hold is among `inputs`; they need not be here to plan."""
        return {"model": self.name, "weights": self.config.weights, "size_px": self.config.size_px}

    @property
    def weights(self) -> str:
        """Hub id of the weights; their licence goes by it."""
        return self.config.weights

    @property
    def batch_size(self) -> int:
        """Pictures at once."""
        return self.config.batch_size

    @abstractmethod
    def judge(self, config: dict[str, Any]) -> str:
        """What is wrong with a `config.json`; empty when it is of this net."""

    @property
    def files(self) -> NetFiles:
        """The net's files. Raises BadSetup when they are not there, not whole or of another net."""
        found = look_for(self.config, self.judge)
        if isinstance(found, str):
            raise BadSetup(f"{self.section}: {found}; {fix(self.section, self.config)}")
        return found

    def inputs(self) -> dict[str, str]:
        """Hash of the net's files. Raises BadSetup as `files`, and when the device is not here."""
        if not is_here(self.config.device):
            raise BadSetup(f'{self.section}.device: there is no {self.config.device} here; "auto" takes what there is')
        return {"weights": self.files.sha256}
