"""What becomes of a request: a picture, then a cutout. One by one where drawing is cheap, else in batches."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from decoupage.faults import BadItem
from decoupage.images.types import Rgba
from pipelines.config import GateConfig
from pipelines.foregrounds.cutout import make_cutout
from pipelines.foregrounds.generator import BatchGenerator, ForegroundGenerator, Request
from pipelines.foregrounds.raw_pictures import RawPictures
from pipelines.library.records import to_row
from pipelines.stages.run import Outcome


@dataclass(frozen=True)
class Generate:
    """Request -> one cutout; picklable, so that each worker holds its own generator."""

    generator: ForegroundGenerator
    gates: GateConfig

    def __call__(self, request: Request) -> Outcome:
        """Raises BadItem when the generator or a gate gives the picture up."""
        return cut_out(self.generator.generate(request.prompt, request.seed), request, self.generator, self.gates)


@dataclass
class GenerateBatches:
    """Requests -> cutouts, as a `pipelines.stages.task.BatchTask`; the weights stay in this process."""

    generator: BatchGenerator
    gates: GateConfig
    pictures: RawPictures
    in_process: bool = True
    _claimed: bool = field(default=False, init=False)

    @property
    def batch_size(self) -> int:
        """As many as the generator takes at once."""
        return self.generator.batch_size()

    def many(self, requests: Sequence[Request]) -> list[Outcome | BadItem]:
        """Paint what has not been painted, keep it, and cut all out."""
        found: dict[str, Rgba | BadItem | None] = {r.id: self.pictures.read(r) for r in requests}
        missing = [request for request in requests if found[request.id] is None]
        if missing:
            found |= dict(zip((request.id for request in missing), self._paint(missing), strict=True))
        return [self._cut_out(found[request.id], request) for request in requests]

    def _paint(self, requests: list[Request]) -> list[Rgba | BadItem]:
        if not self._claimed:
            self.pictures.claim()
            self._claimed = True
        painted = self.generator.generate_many(requests)
        for request, picture in zip(requests, painted, strict=True):
            if not isinstance(picture, BadItem):
                self.pictures.write(request, picture)
        return painted

    def _cut_out(self, picture: Rgba | BadItem | None, request: Request) -> Outcome | BadItem:
        assert picture is not None, "a request was neither kept nor painted"
        if isinstance(picture, BadItem):
            return picture
        try:
            return cut_out(picture, request, self.generator, self.gates)
        except BadItem as fault:
            return fault


def cut_out(rgba: Rgba, request: Request, generator: ForegroundGenerator, gates: GateConfig) -> Outcome:
    """A generated picture as a foreground with its provenance. Raises BadItem when a gate refuses it."""
    prompt = request.prompt
    data, record = make_cutout(
        rgba,
        gates,
        kind="generated",
        id=request.id,
        source=generator.name,
        origin=f"{generator.name}:{prompt.category}/{prompt.text}/{request.index}",
        category=prompt.category,
        prompt=prompt.text,
        caption=prompt.text,
        licence=generator.licence,
        attribution=generator.attribution,
    )
    return Outcome({record.member: data}, [to_row(record)])
