"""Pictures as a dear generator painted them, kept one by one under `sources/<generator>/<fingerprint>/`.

They are written as they come, so a killed run repeats at most the batch in flight; and they come before the gates, so
other gates repaint nothing.
"""

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from decoupage.faults import BadItem, BadSetup
from decoupage.fingerprint import fingerprint
from decoupage.images.codecs import decode_rgba, encode_webp
from decoupage.images.types import Rgba
from pipelines.foregrounds.generator import BatchGenerator, Request
from pipelines.stages.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RawPictures:
    """The pictures of one generator in one store."""

    store: Store
    generator: BatchGenerator

    @property
    def folder(self) -> str:
        """Where they lie; its last part is the fingerprint of all that decides a picture beside prompt and seed."""
        return f"sources/{self.generator.name}/{fingerprint(self.generator.recipe)}"

    def lacks(self, requests: Iterable[Request]) -> bool:
        """True when one of these has not been painted yet."""
        names = set(self.store.names(self.folder, ".webp"))
        return any(_name(request) not in names for request in requests)

    def read(self, request: Request) -> Rgba | None:
        """The picture as it was painted, or None when it was not, or its file has been damaged since."""
        path = f"{self.folder}/{_name(request)}"
        try:
            return decode_rgba(self.store.read(path))
        except FileNotFoundError:
            return None
        except BadItem as fault:
            log.warning("%s is damaged (%s) and is painted again", self.store.url(path), fault)
            return None

    def write(self, request: Request, rgba: Rgba) -> None:
        """Keep a picture: lossless WebP, whole or not at all."""
        self.store.write(f"{self.folder}/{_name(request)}", encode_webp(rgba))

    def claim(self) -> None:
        """Before painting: remove what a killed run left half-written, and refuse to mix two sets of weights.

        Raises:
            BadSetup: the pictures there were painted by other weights of the same names.
        """
        self.store.remove_leftovers(self.folder)
        path, ours = f"{self.folder}/weights.json", self.generator.digests()
        if not self.store.exists(path):
            self.store.write(path, json.dumps(ours, indent=1).encode())
            return
        theirs = json.loads(self.store.read(path))
        if theirs != ours:
            files = sorted(name for name in theirs.keys() | ours.keys() if theirs.get(name) != ours.get(name))
            raise BadSetup(
                f"{self.store.url(self.folder)} holds pictures painted by other weights ({', '.join(files)} differ). "
                "Put those back, choose another root, or remove that folder and the folders made from it"
            )


def _name(request: Request) -> str:
    # The seed stands for the words as they are written, which an id holds only roughly, and for the profile's seed.
    return f"{request.id}-{request.seed:016x}.webp"
