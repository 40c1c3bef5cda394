"""The stage that generates foregrounds from prompts. How they are drawn is the generator's business."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pipelines.config import GateConfig, GeneratedConfig
from pipelines.fingerprint import Recipe, canonical_json
from pipelines.foregrounds.cutout import make_cutout
from pipelines.foregrounds.generator import ForegroundGenerator, make_generator
from pipelines.foregrounds.prompts import Prompt, builtin_prompts
from pipelines.library.records import ForegroundRecord, schema_of, to_row
from pipelines.manifest import Manifest
from pipelines.randomness import hash64
from pipelines.stage import Outcome


@dataclass(frozen=True)
class Request:
    """One picture to generate: the `index`-th of its prompt."""

    id: str
    prompt: Prompt
    index: int
    seed: int


@dataclass(frozen=True)
class Generate:
    """Request -> one cutout; picklable, so that each worker holds its own generator."""

    generator: ForegroundGenerator
    gates: GateConfig

    def __call__(self, request: Request) -> Outcome:
        """Raises BadItem when the generator or a gate gives the picture up."""
        prompt = request.prompt
        data, record = make_cutout(
            self.generator.generate(prompt, request.seed),
            self.gates,
            kind="generated",
            id=request.id,
            source=self.generator.name,
            origin=f"{self.generator.name}:{prompt.category}/{prompt.text}/{request.index}",
            category=prompt.category,
            prompt=prompt.text,
            caption=prompt.text,
            licence=self.generator.licence,
            attribution=self.generator.attribution,
        )
        return Outcome({record.member: data}, [to_row(record)])


@dataclass
class GeneratedForegrounds:
    """Foregrounds with complete shapes, as a `pipelines.stage.Stage`.

    A picture's bytes depend on its prompt, its index, the seed, the generator and the gates only; which shard it
    lies in, on its id and the number of shards. More prompts or pictures make stale exactly the shards they
    fall into, and there they leave the other pictures as they were.

    The prompts are read when the first shard is planned: a stage can be built, and its recipe told, before they
    are written.

    Attributes:
        read: gives the prompts, and raises when there are none yet; None = the built-in list.
    """

    config: GeneratedConfig
    gates: GateConfig
    read: Callable[[], Sequence[Prompt]] | None = None
    name: str = "foregrounds/generated"
    task: Generate = field(init=False)

    def __post_init__(self) -> None:
        self.task = Generate(make_generator(self.config), self.gates)
        self.schema = schema_of(ForegroundRecord)
        self.recipe: Recipe = {
            "generator": self.task.generator.recipe,
            "gates": self.gates.model_dump(mode="json"),
            "seed": self.config.seed,
        }
        self.layout: Recipe = {"num_shards": self.config.num_shards}

    def shards(self) -> Sequence[str]:
        """All shard numbers; one may be empty when there are few pictures."""
        return [f"{shard:05d}" for shard in range(self.config.num_shards)]

    def items(self, shard: str) -> list[tuple[str, Request]]:
        """The requests that fall into the shard, in the order of the prompts."""
        return [(request.id, request) for request in self._requests[shard]]

    def inputs(self, shard: str) -> dict[str, str]:
        """Hash of the shard's list of prompts."""
        wanted = [[request.id, request.prompt.category, request.prompt.text] for request in self._requests[shard]]
        return {"prompts": hashlib.sha256(canonical_json(wanted)).hexdigest()}

    def is_current(self, manifest: Manifest, inputs: dict[str, str]) -> bool:
        """True when the shard was made from the same prompts."""
        return manifest.inputs == inputs

    @cached_property
    def _requests(self) -> dict[str, list[Request]]:
        """By shard. Raises ValueError when two prompts give the same id, and what reading the prompts raises."""
        prompts = self.read() if self.read else builtin_prompts(self.config.prompts_per_category)
        requests: dict[str, list[Request]] = {shard: [] for shard in self.shards()}
        seen: set[str] = set()
        for prompt in prompts:
            for index in range(self.config.images_per_prompt):
                request = self._request(prompt, index)
                if request.id in seen:
                    raise ValueError(f"two prompts give the foreground id {request.id}; the second is {prompt}")
                seen.add(request.id)
                shard = hash64("shard", request.id) % self.config.num_shards
                requests[f"{shard:05d}"].append(request)
        return requests

    def _request(self, prompt: Prompt, index: int) -> Request:
        words = f"{prompt.category}-{prompt.text}"
        slug = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
        # The seed belongs to the words, not to a place in the list: other prompts cannot change it.
        seed = hash64(self.config.seed, "foregrounds/generated", prompt.category, prompt.text, index)
        return Request(f"{self.task.generator.name}-{slug}-{index}", prompt, index, seed)
