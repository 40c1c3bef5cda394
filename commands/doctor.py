"""`decoupage doctor`: what a profile resolves to, what it requires, and what of that is missing here.

Nothing is changed and no secret is read: for a key only its presence is reported.
"""

import json
import os
import platform
import re
import textwrap
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from decoupage.fingerprint import fingerprint
from decoupage.requirements import Requirement, Space, disks
from evaluation.methods.requirements import requirements as baselines_requirements
from evaluation.metrics.networks import requirements as metrics_requirements
from evaluation.test_sets.requirements import requirements as test_sets_requirements
from pipelines.backgrounds.requirements import requirements as backgrounds_requirements
from pipelines.dataset.stand_ins import stand_ins
from pipelines.factory import OPENIMAGES, Factory
from pipelines.foregrounds.layerdiffuse.weights import requirements as layerdiffuse_requirements
from pipelines.foregrounds.mulan.requirements import requirements as mulan_requirements
from pipelines.foregrounds.prompts import categories
from pipelines.foregrounds.prompts.requirements import requirements as prompts_requirements
from pipelines.maps.requirements import requirements as maps_requirements
from pipelines.stages.run import Stage
from pipelines.stages.store import Store
from profiles.commercial import obstacles
from profiles.profile import Profile
from training.rgba_vae.requirements import requirements as rgba_vae_requirements

PACKAGES: tuple[str, ...] = ("decoupage-layers", "dagster", "torch", "diffusers", "transformers", "peft", "accelerate")
PACKAGES += ("tensorboard", "numpy", "opencv-python-headless", "pillow", "pyarrow", "pandas")
TINY_BASE = "tiny-fill"
_SCENE_MB_PER_MEGAPIXEL = 0.8
_DEPTH_MB_PER_MEGAPIXEL = 1.7
"""For scenes at 1024 px (benchmarks/RESULTS.md), and for 16-bit depth at its own size, as the demo's shards hold it."""
_PICTURE_MB_PER_MEGAPIXEL = 1.3
"""A generated picture as it was painted and as a cutout, by estimate: 1 and 0.35 MB at 1024 px."""
_WIDTH = 100
_COMMAND = re.compile(r"hf download .*?(?=, or |$)")


@dataclass(frozen=True)
class Examination:
    """All that `doctor` found."""

    profile: dict[str, Any]
    stand_ins: dict[str, str]
    fingerprints: dict[str, str]
    machine: dict[str, str]
    packages: dict[str, str]
    parts: dict[str, list[Requirement]]
    """What each part of the profile requires, by the setting that decides it."""

    @property
    def requirements(self) -> list[Requirement]:
        """The requirements of all parts."""
        return [requirement for requirements in self.parts.values() for requirement in requirements]

    @property
    def missing(self) -> list[Requirement]:
        """What must be got before the profile can run."""
        return [requirement for requirement in self.requirements if not requirement.present]

    def to_json(self) -> str:
        """One JSON object."""
        found = asdict(self)
        del found["parts"]
        found["requirements"] = [asdict(requirement) for requirement in self.requirements]
        return json.dumps(found | {"missing": [requirement.name for requirement in self.missing]})

    def to_text(self) -> str:
        """Text for a person."""
        lines = [f"profile {self.profile['name']}: {self.profile['description']}", f"root {self.profile['root']}", ""]
        for name, values in self.profile.items():
            if isinstance(values, dict):
                listed = ", ".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
                lines += _wrapped(listed, f"[{name}] ", "    ")
        for title, entries in (
            ("stand-ins", self.stand_ins or {"none": ""}),
            ("fingerprints", self.fingerprints),
            ("machine", self.machine),
            ("installed", self.packages),
        ):
            lines += ["", title] + [f"  {name:24} {value}".rstrip() for name, value in entries.items()]
        lines += ["", "requirements"]
        for part, requirements in self.parts.items():
            lines.append(f"  {part}")
            lines += [line for one in requirements for line in _lines(one)] or ["    ok      nothing more"]
        short = [part for part, requirements in self.parts.items() if not all(one.present for one in requirements)]
        names = ", ".join(part.partition(":")[0] for part in short)
        summary = f"{len(self.missing)} missing, for: {names}" if short else "nothing is missing"
        return "\n".join([*lines, "", *_wrapped(summary, "", "  ")])


def _lines(requirement: Requirement) -> list[str]:
    """A requirement in lines. A command has one to itself, whole, so that it can be copied."""
    lines = _wrapped(
        f"{requirement.name}: {requirement.found}", f"    {'ok     ' if requirement.present else 'MISSING'} ", " " * 12
    )
    if requirement.present:
        return lines
    command = _COMMAND.search(requirement.fix)
    if command is None:
        return lines + _wrapped(requirement.fix, " " * 12, " " * 12)
    before, after = requirement.fix[: command.start()].strip(), requirement.fix[command.end() :].lstrip(", ")
    around = [_wrapped(text, " " * 12, " " * 12) if text else [] for text in (before, after)]
    return [*lines, *around[0], " " * 12 + command[0], *around[1]]


def _wrapped(text: str, first: str, others: str) -> list[str]:
    """Lines of at most `_WIDTH`, where no word (an address, a path) is longer."""
    return textwrap.wrap(
        text, _WIDTH, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )


def examine(profile: Profile) -> Examination:
    """Look at a profile and at this machine."""
    factory = Factory(profile, Store(profile.root))
    return Examination(
        profile=profile.model_dump(mode="json"),
        stand_ins=stand_ins(profile),
        fingerprints=_fingerprints(factory),
        machine=_machine(),
        packages={name: _version(name) for name in PACKAGES},
        parts=_parts(profile),
    )


def _fingerprints(factory: Factory) -> dict[str, str]:
    stages: list[Stage] = [factory.generated_foregrounds, *_shard_stages(factory)]
    return {stage.name: fingerprint(stage.recipe) for stage in stages}


def _shard_stages(factory: Factory) -> list[Stage]:
    """The shards and the stages that they are joined from, in the order of the work."""
    return factory.training.stages


def _machine() -> dict[str, str]:
    import torch

    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory_gb:.1f} GiB",
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _parts(profile: Profile) -> dict[str, list[Requirement]]:
    """Title -> requirements, in the order of the work; every source has its part, also where it requires nothing."""
    packages = [Requirement(name, _version(name) != "not installed", _version(name), "make .venv") for name in PACKAGES]
    licences = [Requirement("licences", False, obstacle, "docs/licences.md") for obstacle in obstacles(profile)]
    maps, baselines = profile.maps, profile.evaluation.baselines
    parts = {
        "packages": packages,
        f"licences: licences.commercial = {json.dumps(profile.licences.commercial)}": licences,
        f"real foregrounds: mulan.source = {profile.mulan.source}": mulan_requirements(profile.mulan),
        f"prompts: prompts.source = {profile.prompts.source}": prompts_requirements(profile, Store(profile.root)),
        f"generated foregrounds: generated.generator = {profile.generated.generator}": layerdiffuse_requirements(
            profile.generated
        ),
        f"backgrounds: backgrounds.source = {profile.backgrounds.source}": backgrounds_requirements(
            profile.backgrounds, f"{profile.root.rstrip('/')}/{OPENIMAGES}"
        ),
        f"maps: segmentation by {maps.segmentation.model}, depth by {maps.depth.model}": maps_requirements(maps),
        "root": [_room(profile), _own_recipe(profile)],
        f"training: recipes {profile.training.rgba_vae}, {profile.training.recipe}": [
            *_weights(profile),
            *rgba_vae_requirements(profile.training.rgba_vae_config()),
        ],
        f"baselines: {', '.join(baselines.enabled) or 'classical ones only'}": baselines_requirements(baselines),
        "test sets": test_sets_requirements(profile.evaluation.test_sets),
        "metrics": metrics_requirements(profile.evaluation.metrics),
    }
    return parts | {"disks": list(disks(one for requirements in parts.values() for one in requirements))}


def _weights(profile: Profile) -> list[Requirement]:
    """Published weights of the base that the profile trains; the tiny one is part of the package."""
    name = profile.training.adapter_config().adapter.base
    if name == TINY_BASE:
        return []
    from decoupage.bases import find_base

    return find_base(name).weights(profile.training.base or None).requirements(name)


def _room(profile: Profile) -> Requirement:
    """What will be written to the root beside OpenImages' photographs: foregrounds, scenes, and what follows."""
    areas_mp = (profile.scenes.size_px**2 / 1e6, profile.maps.depth.size_px**2 / 1e6)
    scene_mb = areas_mp[0] * _SCENE_MB_PER_MEGAPIXEL + areas_mp[1] * _DEPTH_MB_PER_MEGAPIXEL
    shards_gb, there_gb = 2 * profile.scenes.num_scenes * scene_mb / 1e3, _shards_gb(profile)
    spaces = [Space("scenes, masks, maps and shards", profile.root, max(0.0, shards_gb - there_gb))]
    generated = profile.generated
    if generated.generator != "procedural":
        num_pictures = len(categories()) * generated.prompts_per_category * generated.images_per_prompt
        picture_mb = generated.size_px**2 / 1e6 * _PICTURE_MB_PER_MEGAPIXEL
        spaces.append(Space("generated foregrounds", profile.root, num_pictures * picture_mb / 1e3))
    found = f"about {shards_gb:.1f} GB of scenes, masks, maps and shards, {there_gb:.1f} GB of it there"
    return Requirement("room", True, found, "", tuple(spaces))


def _shards_gb(profile: Profile) -> float:
    store = Store(profile.root)
    folders = [stage.name for stage in _shard_stages(Factory(profile, store))]
    return sum(store.size(f"{folder}/{name}") for folder in folders for name in store.names(folder, ".tar")) / 1e9


def _own_recipe(profile: Profile) -> Requirement:
    """The root must not hold another recipe."""
    store = Store(profile.root)
    theirs, ours = {}, {}
    for stage in (stage for dataset in Factory(profile, store).datasets for stage in dataset.stages):
        if store.exists(f"{stage.name}/recipe.json"):
            theirs[stage.name] = json.loads(store.read(f"{stage.name}/recipe.json"))["fingerprint"]
            ours[stage.name] = fingerprint(stage.recipe)
    other = [name for name in ours if theirs[name] != ours[name]]
    if not other:
        return Requirement("recipe", True, "the root holds that of the profile" if ours else "the root is empty", "")
    found = ", ".join(f"{name}: the root holds {theirs[name]}, the profile asks for {ours[name]}" for name in other)
    fix = f"choose another root with DECOUPAGE_ROOT, put the profile back, or remove the folders {', '.join(other)}"
    return Requirement("recipe", False, found, fix)
