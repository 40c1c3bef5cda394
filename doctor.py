"""`decoupage doctor`: what a profile resolves to, what it needs, and what of that is missing here.

Nothing is changed and no secret is read: for a key only its presence is told.
"""

import json
import os
import platform
import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from commercial import obstacles
from pipelines.backgrounds.needs import needs as backgrounds_needs
from pipelines.dataset.stand_ins import stand_ins
from pipelines.factory import Factory
from pipelines.fingerprint import fingerprint
from pipelines.foregrounds.layerdiffuse.weights import needs as layerdiffuse_needs
from pipelines.foregrounds.mulan.needs import needs as mulan_needs
from pipelines.foregrounds.prompts.needs import needs as prompts_needs
from pipelines.maps.needs import needs as maps_needs
from pipelines.needs import Need
from pipelines.stage import Stage
from pipelines.store import Store
from profiles import Profile

PACKAGES: tuple[str, ...] = ("decoupage", "dagster", "torch", "diffusers", "transformers", "peft", "accelerate")
PACKAGES += ("tensorboard", "webdataset", "numpy", "opencv-python-headless", "pillow", "pyarrow", "pandas")
TINY_BASE = "tiny-fill"
_SHARD_MB_PER_MEGAPIXEL = 1.0


@dataclass(frozen=True)
class Examination:
    """All that `doctor` found."""

    profile: dict[str, Any]
    stand_ins: dict[str, str]
    fingerprints: dict[str, str]
    machine: dict[str, str]
    packages: dict[str, str]
    needs: list[Need]

    @property
    def missing(self) -> list[Need]:
        """What must be got before the profile can run."""
        return [need for need in self.needs if not need.present]

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(asdict(self) | {"missing": [need.name for need in self.missing]})

    def to_text(self) -> str:
        """For a person."""
        lines = [f"profile {self.profile['name']}: {self.profile['description']}", f"root {self.profile['root']}", ""]
        sections = {key: value for key, value in self.profile.items() if isinstance(value, dict)}
        lines += [f"[{name}] " + json.dumps(values) for name, values in sections.items()]
        for title, entries in (
            ("stand-ins", self.stand_ins),
            ("fingerprints", self.fingerprints),
            ("machine", self.machine),
            ("installed", self.packages),
        ):
            lines += ["", title] + [f"  {name:24} {value}" for name, value in entries.items()]
        lines += ["", "needs"]
        for need in self.needs:
            mark = "ok     " if need.present else "MISSING"
            lines.append(f"  {mark} {need.name}: {need.found}" + ("" if need.present else f"\n          {need.remedy}"))
        return "\n".join(lines)


def examine(profile: Profile) -> Examination:
    """Look at a profile and at this machine."""
    factory = Factory(profile, Store(profile.root))
    return Examination(
        profile=profile.model_dump(mode="json"),
        stand_ins=stand_ins(profile),
        fingerprints=_fingerprints(factory),
        machine=_machine(),
        packages={name: _version(name) for name in PACKAGES},
        needs=_needs(profile),
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


def _needs(profile: Profile) -> list[Need]:
    needs = [Need(name, _version(name) != "not installed", _version(name), "make .venv") for name in PACKAGES]
    needs += [Need("licences", False, obstacle, "docs/licences.md") for obstacle in obstacles(profile)]
    needs += mulan_needs(profile.mulan)
    needs += prompts_needs(profile)
    needs += layerdiffuse_needs(profile.generated)
    needs += backgrounds_needs(profile.backgrounds, profile.root)
    needs += maps_needs(profile.maps)
    needs.append(_disk(profile))
    needs.append(_own_recipe(profile))
    return needs + _weights(profile)


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
    scenes = profile.scenes
    wanted_gb = 2 * scenes.num_scenes * scenes.size_px**2 / 1e6 * _SHARD_MB_PER_MEGAPIXEL / 1e3
    if not Store(profile.root).is_local:
        return Need("disk", True, f"about {wanted_gb:.1f} GB in {profile.root}, not measured there", "")
    folder = Path(profile.root)
    while not folder.exists():
        folder = folder.parent
    free_gb = shutil.disk_usage(folder).free / 1e9
    found = f"about {wanted_gb:.1f} GB wanted, {free_gb:.1f} GB free at {folder}"
    return Need("disk", free_gb > wanted_gb, found, "free space, or set DECOUPAGE_ROOT to a larger disk")


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
