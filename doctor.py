"""`decoupage doctor`: what a profile resolves to, what it needs, and what of that is missing here.

Nothing is changed and no secret is read: for a key only its presence is told.
"""

import json
import os
import platform
import re
import textwrap
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from commercial import obstacles
from evaluation.methods.needs import needs as baselines_needs
from evaluation.metrics.networks import needs as metrics_needs
from evaluation.test_sets.needs import needs as test_sets_needs
from pipelines.backgrounds.needs import needs as backgrounds_needs
from pipelines.dataset.stand_ins import stand_ins
from pipelines.factory import Factory
from pipelines.fingerprint import fingerprint
from pipelines.foregrounds.layerdiffuse.weights import needs as layerdiffuse_needs
from pipelines.foregrounds.mulan.needs import needs as mulan_needs
from pipelines.foregrounds.prompts.needs import needs as prompts_needs
from pipelines.maps.needs import needs as maps_needs
from pipelines.needs import Need, free_space
from pipelines.stage import Stage
from pipelines.store import Store
from profiles import Profile

PACKAGES: tuple[str, ...] = ("decoupage", "dagster", "torch", "diffusers", "transformers", "peft", "accelerate")
PACKAGES += ("tensorboard", "webdataset", "numpy", "opencv-python-headless", "pillow", "pyarrow", "pandas")
TINY_BASE = "tiny-fill"
_SCENE_MB_PER_MEGAPIXEL = 0.8
_DEPTH_MB_PER_MEGAPIXEL = 1.7
"""Of scenes at 1024 px (benchmarks/RESULTS.md), and of 16-bit depth at its own size, as the demo's shards hold it."""
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
    parts: dict[str, list[Need]]
    """What each part of the profile needs, by the setting that decides it."""

    @property
    def needs(self) -> list[Need]:
        """Of all parts."""
        return [need for needs in self.parts.values() for need in needs]

    @property
    def missing(self) -> list[Need]:
        """What must be got before the profile can run."""
        return [need for need in self.needs if not need.present]

    def to_json(self) -> str:
        """One JSON object."""
        found = asdict(self)
        del found["parts"]
        found["needs"] = [asdict(need) for need in self.needs]
        return json.dumps(found | {"missing": [need.name for need in self.missing]})

    def to_text(self) -> str:
        """For a person."""
        lines = [f"profile {self.profile['name']}: {self.profile['description']}", f"root {self.profile['root']}", ""]
        for name, values in self.profile.items():
            if isinstance(values, dict):
                told = ", ".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
                lines += _wrapped(told, f"[{name}] ", "    ")
        for title, entries in (
            ("stand-ins", self.stand_ins or {"none": ""}),
            ("fingerprints", self.fingerprints),
            ("machine", self.machine),
            ("installed", self.packages),
        ):
            lines += ["", title] + [f"  {name:24} {value}".rstrip() for name, value in entries.items()]
        lines += ["", "needs"]
        for part, needs in self.parts.items():
            lines.append(f"  {part}")
            lines += [line for need in needs for line in _told(need)] or ["    ok      nothing more"]
        short = [part for part, needs in self.parts.items() if not all(need.present for need in needs)]
        names = ", ".join(part.partition(":")[0] for part in short)
        told = f"{len(self.missing)} missing, for: {names}" if short else "nothing is missing"
        return "\n".join([*lines, "", *_wrapped(told, "", "  ")])


def _told(need: Need) -> list[str]:
    """A need in lines. A command has one to itself, whole, so that it can be copied."""
    lines = _wrapped(f"{need.name}: {need.found}", f"    {'ok     ' if need.present else 'MISSING'} ", " " * 12)
    if need.present:
        return lines
    command = _COMMAND.search(need.remedy)
    if command is None:
        return lines + _wrapped(need.remedy, " " * 12, " " * 12)
    before, after = need.remedy[: command.start()].strip(), need.remedy[command.end() :].lstrip(", ")
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
    stages: list[Stage] = [factory.generated_foregrounds, factory.scenes, *factory.maps.values(), factory.shards]
    return {stage.name: fingerprint(stage.recipe) for stage in stages}


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


def _parts(profile: Profile) -> dict[str, list[Need]]:
    """Title -> needs, in the order of the work; every source has its part, also where it needs nothing."""
    packages = [Need(name, _version(name) != "not installed", _version(name), "make .venv") for name in PACKAGES]
    licences = [Need("licences", False, obstacle, "docs/licences.md") for obstacle in obstacles(profile)]
    maps = profile.maps
    return {
        "packages": packages,
        f"licences: licences.commercial = {json.dumps(profile.licences.commercial)}": licences,
        f"real foregrounds: mulan.source = {profile.mulan.source}": mulan_needs(profile.mulan),
        f"prompts: prompts.source = {profile.prompts.source}": prompts_needs(profile, Store(profile.root)),
        f"generated foregrounds: generated.generator = {profile.generated.generator}": layerdiffuse_needs(
            profile.generated
        ),
        f"backgrounds: backgrounds.source = {profile.backgrounds.source}": backgrounds_needs(
            profile.backgrounds, profile.root
        ),
        f"maps: segmentation by {maps.segmentation.model}, depth by {maps.depth.model}": maps_needs(maps),
        "root": [_disk(profile), _own_recipe(profile)],
        f"training: recipe {profile.training.recipe}": _weights(profile),
        f"baselines: {', '.join(profile.evaluation.baselines.enabled) or 'classical ones only'}": baselines_needs(
            profile.evaluation.baselines
        ),
        "test sets": test_sets_needs(profile.evaluation.test_sets),
        "metrics": metrics_needs(profile.evaluation.metrics),
    }


def _weights(profile: Profile) -> list[Need]:
    """Published weights of the base that the profile trains; the tiny one is part of the package."""
    name = profile.training.adapter_config().adapter.base
    if name == TINY_BASE:
        return []
    from decoupage.bases import find_base
    from decoupage.weights import check_weights

    return [Need(**asdict(finding)) for finding in check_weights(find_base(name), profile.training.base or None)]


def _disk(profile: Profile) -> Need:
    """Room for the shards and for the stages they are joined from."""
    areas_mp = (profile.scenes.size_px**2 / 1e6, profile.maps.depth.size_px**2 / 1e6)
    scene_mb = areas_mp[0] * _SCENE_MB_PER_MEGAPIXEL + areas_mp[1] * _DEPTH_MB_PER_MEGAPIXEL
    wanted_gb = 2 * profile.scenes.num_scenes * scene_mb / 1e3
    store = Store(profile.root)
    if not store.is_local:
        return Need("disk", True, f"about {wanted_gb:.1f} GB in {profile.root}, not measured there", "")
    free_gb, folder = free_space(profile.root)
    there_gb = _shards_gb(store)
    found = f"about {wanted_gb:.1f} GB wanted, {there_gb:.1f} GB of it there, {free_gb:.1f} GB free at {folder}"
    return Need("disk", free_gb > wanted_gb - there_gb, found, "free space, or set DECOUPAGE_ROOT to a larger disk")


def _shards_gb(store: Store) -> float:
    folders = ("scenes", "edges", "segmentation", "depth", "shards")
    return sum(store.size(f"{folder}/{name}") for folder in folders for name in store.names(folder, ".tar")) / 1e9


def _own_recipe(profile: Profile) -> Need:
    """The root must not hold another recipe."""
    factory = Factory(profile, Store(profile.root))
    path = f"{factory.scenes.name}/recipe.json"
    ours = fingerprint(factory.scenes.recipe)
    if not factory.store.exists(path):
        return Need("recipe", True, f"{ours}, the root is empty", "")
    theirs = json.loads(factory.store.read(path))["fingerprint"]
    remedy = "choose another root with DECOUPAGE_ROOT, or put the profile back"
    return Need("recipe", theirs == ours, f"{ours}; the root holds {theirs}", remedy)
