"""The safety filter on generated people: Stable Diffusion's safety checker, which compares a picture with concepts.

A picture is refused when CLIP's embedding of it is nearer to one of the checker's concepts than that concept's
threshold. It runs on the CPU in float32, so that verdicts do not depend on the GPU.
Source: `StableDiffusionSafetyChecker` in diffusers; weights: CompVis/stable-diffusion-safety-checker.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from decoupage.faults import BadItem, BadSetup
from decoupage.fingerprint import Recipe
from decoupage.images.alpha import blend
from decoupage.images.types import Rgba
from decoupage.requirements import Requirement, require
from decoupage.weights.hub import HubFiles, split_revision
from pipelines.config.foregrounds import SafetyFilterConfig
from pipelines.foregrounds.prompts import Prompt

FILES = ("config.json", "preprocessor_config.json", "model.safetensors")
SHOWS_PEOPLE = frozenset({"human", "profession", "clothes"})
"""Categories whose pictures are judged; clothes are often painted on a wearer."""
BEHIND = 255
"""Level of the plain background that a picture is judged on: white."""


@dataclass(frozen=True)
class SafetyFilter:
    """Refuses unsafe pictures of people; picklable, the weights are loaded on first use."""

    config: SafetyFilterConfig

    @property
    def recipe(self) -> Recipe:
        """What decides which pictures pass, wherever the files are."""
        return {"weights": self.config.weights, "shows_people": sorted(SHOWS_PEOPLE)}

    def requirement(self) -> Requirement:
        """The checker's files."""
        files = self._files
        fault = files.fault()
        fix = f"{files.fix()}, or name a folder with them in generated.safety_filter.folder"
        found = fault or f"{self.config.weights} in {files.find()}"
        return Requirement("safety_filter", not fault, found, fix, files.space)

    def check(self, prompts: Iterable[Prompt]) -> None:
        """Look for the weights where one of the prompts needs them. Raises BadSetup when they are not here."""
        if any(prompt.category in SHOWS_PEOPLE for prompt in prompts):
            require([self.requirement()])

    def judge(self, rgba: Rgba, prompt: Prompt) -> None:
        """Raises BadItem `unsafe` when a picture of people is refused."""
        if prompt.category not in SHOWS_PEOPLE:
            return
        files = self._files
        require([self.requirement()])
        folder = files.find()
        assert folder, "what is required is here"
        if refused(blend(np.full_like(rgba[..., :3], BEHIND), rgba), folder):
            raise BadItem("unsafe", f"{self.config.weights} refused a picture of {prompt.text!r}")

    @property
    def _files(self) -> HubFiles:
        repo_id, revision = split_revision(self.config.weights)
        return HubFiles(repo_id, FILES, revision, self.config.folder)


def refused(rgb: np.ndarray, folder: Path) -> bool:
    """Whether the checker in a folder refuses a picture, [H, W, 3] uint8."""
    import torch

    checker, processor = _load(folder)
    pixels = torch.from_numpy(np.stack(processor(rgb)["pixel_values"]))
    # The checker blackens what it refuses, in the pictures that it is given.
    _, verdicts = checker(clip_input=pixels, images=[np.zeros((1, 1, 3), np.float32)])
    return bool(verdicts[0])


@lru_cache(1)
def _load(folder: Path) -> tuple[Any, Any]:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    # The processor that needs no torchvision.
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    try:
        checker, report = StableDiffusionSafetyChecker.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise BadSetup(f"{folder} cannot be loaded as a safety checker: {error}") from error
    # What a file lacks would be drawn at random.
    if lacking := sorted(map(str, report["missing_keys"])):
        raise BadSetup(f"{folder}/model.safetensors lacks {len(lacking)} tensors, such as {lacking[0]}")
    # What is not a number is below every threshold: all pictures would pass.
    if damaged := [name for name, weight in checker.named_parameters() if not bool(weight.isfinite().all())]:
        raise BadSetup(f"{folder}/model.safetensors holds values that are not finite, in {damaged[0]}; get it again")
    return checker.float().eval(), CLIPImageProcessorPil.from_pretrained(folder, local_files_only=True)
