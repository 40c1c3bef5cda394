"""The stage that generates foregrounds from prompts, with whichever generator the profile names."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from decoupage.fingerprint import Recipe, canonical_json
from decoupage.randomness import hash64
from pipelines.config import GateConfig, GeneratedConfig
from pipelines.foregrounds.gates import gates_recipe
from pipelines.foregrounds.generate import Generate, GenerateBatches, RawPictures
from pipelines.foregrounds.generator import BatchGenerator, ForegroundGenerator, Request
from pipelines.foregrounds.layerdiffuse.generator import LayerDiffuseGenerator
from pipelines.foregrounds.layerdiffuse.safety import SafetyFilter
from pipelines.foregrounds.layerdiffuse.settings import settings
from pipelines.foregrounds.prompts import Prompt, given_prompts
from pipelines.foregrounds.rendered import RenderedGenerator
from pipelines.library.records import ForegroundRecord, schema_of
from pipelines.stages.manifest import CurrentByInputs, read_manifest
from pipelines.stages.store import Store


def make_generator(config: GeneratedConfig) -> ForegroundGenerator:
    """The generator that the profile names in `generated.generator`."""
    if config.generator == "rendered":
        return RenderedGenerator(config.rendered_folder)
    return LayerDiffuseGenerator(settings(config))


@dataclass
class GeneratedForegrounds(CurrentByInputs):
    """Generated foregrounds, whose shapes are complete; a `pipelines.stages.run.Stage`.

    A picture's bytes depend only on its prompt, its index, the seed, the generator and the filters; its shard depends
    on its id and the number of shards. More prompts or pictures make exactly the shards stale that they fall into, and
    leave the other pictures there unchanged.

    The prompts are read when the first shard is planned, so the stage and its recipe exist before they are written.

    Attributes:
        read: returns the prompts, and raises when there are none yet; None = those that are given.
        store: where the pictures of an expensive generator are stored; a fast generator needs none.
    """

    config: GeneratedConfig
    gates: GateConfig
    read: Callable[[], Sequence[Prompt]] | None = None
    name: str = "foregrounds/generated"
    store: Store | None = None
    task: Generate | GenerateBatches = field(init=False)

    def __post_init__(self) -> None:
        generator = make_generator(self.config)
        self._safety = SafetyFilter(self.config.safety_filter) if self.config.safety_filter.use else None
        self.task = Generate(generator, self.gates, self._safety)
        if isinstance(generator, BatchGenerator):
            if self.store is None:
                raise ValueError(f"GeneratedForegrounds needs a store for the pictures of {generator.name}")
            self.task = GenerateBatches(generator, self.gates, RawPictures(self.store, generator), self._safety)
        self.schema = schema_of(ForegroundRecord)
        self.recipe: Recipe = {
            "generator": generator.recipe,
            "gates": gates_recipe(self.gates),
            "seed": self.config.seed,
        }
        if self._safety:
            self.recipe["safety_filter"] = self._safety.recipe
        self.layout: Recipe = {"num_shards": self.config.num_shards}

    def shards(self) -> Sequence[str]:
        """All shard numbers; one may be empty when there are few pictures."""
        return [f"{shard:05d}" for shard in range(self.config.num_shards)]

    def items(self, shard: str) -> list[tuple[str, Request]]:
        """The requests that fall into the shard, in the order of the prompts."""
        return [(request.id, request) for request in self._requests[shard]]

    def inputs(self, shard: str) -> dict[str, str]:
        """Hash of the shard's list of prompts.

        Raises:
            BadSetup: the shard is to be made, and a requirement of the generator or the safety filter is missing.
        """
        wanted = [[request.id, request.prompt.category, request.prompt.text] for request in self._requests[shard]]
        inputs = {"prompts": hashlib.sha256(canonical_json(wanted)).hexdigest()}
        if not self._is_made(shard, inputs):
            self._check(shard)
        return inputs

    def _is_made(self, shard: str, inputs: dict[str, str]) -> bool:
        manifest = read_manifest(self.store, self.name, shard) if self.store else None
        return manifest is not None and self.is_current(manifest, inputs)

    def _check(self, shard: str) -> None:
        """Check the requirements of the safety filter, and of the generator where pictures are left to generate."""
        if self._safety:
            self._safety.check(request.prompt for request in self._requests[shard])
        if isinstance(self.task, GenerateBatches) and self.task.pictures.lacks(self._requests[shard]):
            self.task.generator.check()

    @cached_property
    def _requests(self) -> dict[str, list[Request]]:
        """Shard -> its requests. Raises ValueError when two prompts give the same id, and what `read` raises."""
        prompts = self.read() if self.read else given_prompts(self.config)
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
        # The seed depends on the prompt, not on its position in the list: other prompts cannot change it.
        seed = hash64(self.config.seed, "foregrounds/generated", prompt.category, prompt.text, index)
        return Request(f"{self.task.generator.name}-{slug}-{index}", prompt, index, seed)
