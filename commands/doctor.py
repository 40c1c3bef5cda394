"""`decoupage doctor`: what a profile resolves to, what it requires, and what of that is missing here.

Nothing is changed and no secret is read: for a key only its presence is reported.
"""

import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from decoupage.faults import BadSetup
from decoupage.fingerprint import fingerprint
from decoupage.requirements import Requirement, Space, as_lines, disks, wrapped
from decoupage.text_files import parse_json
from evaluation.methods.requirements import requirements as baselines_requirements
from evaluation.metrics.networks import requirements as metrics_requirements
from evaluation.test_sets.requirements import requirements as test_sets_requirements
from pipelines.backgrounds.requirements import requirements as backgrounds_requirements
from pipelines.dataset.stand_ins import stand_ins
from pipelines.engines import requirements as engine_requirements
from pipelines.factory import Factory
from pipelines.foregrounds.layerdiffuse.weights import requirements as layerdiffuse_requirements
from pipelines.foregrounds.mulan.requirements import requirements as mulan_requirements
from pipelines.foregrounds.own.stage import requirements as cutouts_requirements
from pipelines.foregrounds.prompts import categories
from pipelines.foregrounds.prompts.requirements import requirements as prompts_requirements
from pipelines.foregrounds.rendered import requirements as rendered_requirements
from pipelines.maps.requirements import requirements as maps_requirements
from pipelines.named_paths import named_paths
from pipelines.pairs.requirements import requirements as pairs_requirements
from pipelines.sources import OPENIMAGES
from pipelines.stages.run import Stage
from pipelines.stages.store import Store
from profiles.commercial import obstacles
from profiles.profile import Profile
from profiles.root import check_root, is_writable
from training.rgba_vae.requirements import requirements as rgba_vae_requirements

PACKAGES: tuple[str, ...] = ("decoupage-layers", "dagster", "torch", "diffusers", "transformers", "peft", "accelerate")
PACKAGES += ("tensorboard", "numpy", "opencv-python-headless", "pillow", "pyarrow", "pandas")
SMALL_BASE = "small-fill"
_SCENE_MB_PER_MEGAPIXEL = 0.8
_DEPTH_MB_PER_MEGAPIXEL = 1.7
"""For scenes at 1024 px (benchmarks/RESULTS.md), and for 16-bit depth at its own size, as the demo's shards hold it."""
_PICTURE_MB_PER_MEGAPIXEL = 1.3
"""A generated picture as it was painted and as a cutout, by estimate: 1 and 0.35 MB at 1024 px."""


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
        """What is missing before the profile can run."""
        return [requirement for requirement in self.requirements if not requirement.present]

    def to_json(self) -> str:
        """One JSON object."""
        found = asdict(self)
        del found["parts"]
        found["requirements"] = [asdict(requirement) for requirement in self.requirements]
        return json.dumps(found | {"missing": [requirement.name for requirement in self.missing]})

    def to_text(self, with_profile: bool = False) -> str:
        """Text for a person, 80 columns wide: what is missing first, then what is present.

        Args:
            with_profile: with all values of the profile at the end.
        """
        short = [part for part, requirements in self.parts.items() if not all(one.present for one in requirements)]
        names = ", ".join(part.partition(":")[0] for part in short)
        lines = wrapped(f"profile {self.profile['name']}: {self.profile['description']}", "", "  ")
        lines += [f"root {self.profile['root']}", ""]
        lines += wrapped(f"{len(self.missing)} missing, for: {names}" if short else "nothing is missing", "", "  ")
        for part in short:
            lines += ["", part]
            lines += [line for one in self.parts[part] if not one.present for line in as_lines(one, "  ")]
        lines += ["", "present"]
        for part, requirements in self.parts.items():
            lines.append(f"  {part}")
            there = [one for one in requirements if one.present]
            lines += [line for one in there for line in as_lines(one)]
            lines += [] if requirements else ["    ok      nothing needed"]
        stand_ins = {name: f"instead of {model}" for name, model in self.stand_ins.items()}
        titled = {"stand-ins": stand_ins or {"none": ""}, "machine": self.machine}
        titled |= {"fingerprints": self.fingerprints} | (self._values() if with_profile else {})
        for title, entries in titled.items():
            lines += ["", title]
            for name, value in entries.items():
                lines += wrapped(f"{name:14} {value}", "  ", " " * 6)
        return "\n".join(lines if with_profile else [*lines, "", "all values of the profile: --profile-values"])

    def _values(self) -> dict[str, dict[str, str]]:
        """The profile's sections, each with its values as JSON writes them."""
        sections = {f"[{name}]": values for name, values in self.profile.items() if isinstance(values, dict)}
        return {
            title: {f"{key} =": json.dumps(value) for key, value in values.items()}
            for title, values in sections.items()
        }


def examine(profile: Profile) -> Examination:
    """Look at a profile and at this machine.

    Raises:
        BadSetup: the profile's root cannot hold files.
    """
    check_root(profile.root)
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
    """Title -> requirements, in the order of the work; every source has its part, even one that requires nothing."""
    packages = _packages()
    licences = [Requirement("licences", False, obstacle, "docs/licences.md") for obstacle in obstacles(profile)]
    maps, baselines = profile.maps, profile.evaluation.baselines
    parts = {
        "packages": packages,
        f"licences: licences.commercial = {json.dumps(profile.licences.commercial)}": licences,
        f"real foregrounds: mulan.source = {profile.mulan.source}": mulan_requirements(profile.mulan),
        f"own cutouts: cutouts.source = {profile.cutouts.source}": cutouts_requirements(profile.cutouts),
        f"prompts: prompts.source = {profile.prompts.source}": prompts_requirements(profile, Store(profile.root)),
        f"generated foregrounds: generated.generator = {profile.generated.generator}": [
            *rendered_requirements(profile.generated),
            *layerdiffuse_requirements(profile.generated),
        ],
        f"backgrounds: backgrounds.source = {profile.backgrounds.source}": backgrounds_requirements(
            profile.backgrounds, f"{profile.root.rstrip('/')}/{OPENIMAGES}"
        ),
        f"before/after pairs: pairs.source = {profile.pairs.source}": pairs_requirements(profile.pairs),
        f"maps: segmentation by {maps.segmentation.model}, depth by {maps.depth.model}": maps_requirements(maps),
        "library": [one for one in named_paths(profile) if one.name == "library.takedowns"],
        f"engine: engine.kind = {profile.engine.kind}": engine_requirements(profile.engine, Store(profile.root)),
        "root": [_writable(profile), _room(profile), _own_recipe(profile)],
        f"training: recipes {profile.training.rgba_vae}, {profile.training.recipe}": [
            *_weights(profile),
            *rgba_vae_requirements(profile.training.rgba_vae_config()),
        ],
        f"baselines: {', '.join(baselines.enabled) or 'classical ones only'}": baselines_requirements(baselines),
        "test sets": test_sets_requirements(profile.evaluation.test_sets),
        "metrics": metrics_requirements(profile.evaluation.metrics),
    }
    return parts | {"disks": list(disks(one for requirements in parts.values() for one in requirements))}


def _packages() -> list[Requirement]:
    """Those that are installed in one line, each of the others in its own."""
    found = {name: _version(name) for name in PACKAGES}
    there = ", ".join(f"{name} {found[name]}" for name in PACKAGES if found[name] != "not installed")
    absent = [name for name in PACKAGES if found[name] == "not installed"]
    return [
        Requirement("installed", True, there, ""),
        *(Requirement(name, False, "not installed", "make .venv") for name in absent),
    ]


def _writable(profile: Profile) -> Requirement:
    fix = "change its owner or its permissions, or name another folder with DECOUPAGE_ROOT"
    found = profile.root if is_writable(profile.root) else f"this user cannot write to {profile.root}"
    return Requirement("folder", is_writable(profile.root), found, fix)


def _weights(profile: Profile) -> list[Requirement]:
    """Published weights of the base that the profile trains; the tiny one is part of the package."""
    name = profile.training.adapter_config().adapter.base
    if name == SMALL_BASE:
        return []
    from decoupage.bases import find_base

    return find_base(name).weights(profile.training.base or None).requirements(name)


def _room(profile: Profile) -> Requirement:
    """What the root will hold in addition to OpenImages' photographs: foregrounds, scenes, and what follows."""
    areas_mp = (profile.scenes.size_px**2 / 1e6, profile.maps.depth.size_px**2 / 1e6)
    scene_mb = areas_mp[0] * _SCENE_MB_PER_MEGAPIXEL + areas_mp[1] * _DEPTH_MB_PER_MEGAPIXEL
    shards_gb, there_gb = 2 * profile.scenes.num_scenes * scene_mb / 1e3, _shards_gb(profile)
    spaces = [Space("scenes, masks, maps and shards", profile.root, max(0.0, shards_gb - (there_gb or 0.0)))]
    generated = profile.generated
    if generated.generator != "rendered":
        num_pictures = len(categories()) * generated.prompts_per_category * generated.images_per_prompt
        picture_mb = generated.size_px**2 / 1e6 * _PICTURE_MB_PER_MEGAPIXEL
        spaces.append(Space("generated foregrounds", profile.root, num_pictures * picture_mb / 1e3))
    found = f"about {shards_gb:.1f} GB of scenes, masks, maps and shards"
    found += "" if there_gb is None else f", of which {there_gb:.1f} GB exist already"
    return Requirement("room", True, found, "", tuple(spaces))


def _shards_gb(profile: Profile) -> float | None:
    """What is there; None in an object store, where each size is a request, and room costs money alone."""
    store = Store(profile.root)
    if not store.is_local:
        return None
    folders = [stage.name for stage in _shard_stages(Factory(profile, store))]
    return sum(store.size(f"{folder}/{name}") for folder in folders for name in store.names(folder, ".tar")) / 1e9


def _own_recipe(profile: Profile) -> Requirement:
    """The root must not hold another recipe."""
    store = Store(profile.root)
    theirs, ours = {}, {}
    for stage in (stage for dataset in Factory(profile, store).datasets for stage in dataset.stages):
        name = f"{stage.name}/recipe.json"
        if store.exists(name):
            theirs[stage.name] = _claimed(store.read(name), store.url(name))
            ours[stage.name] = fingerprint(stage.recipe)
    other = [name for name in ours if theirs[name] != ours[name]]
    if not other:
        return Requirement("recipe", True, "the root holds the profile's recipe" if ours else "the root is empty", "")
    found = ", ".join(f"{name}: the root holds {theirs[name]}, the profile requires {ours[name]}" for name in other)
    fix = f"choose another root with DECOUPAGE_ROOT, restore the profile, or remove the folders {', '.join(other)}"
    return Requirement("recipe", False, found, fix)


def _claimed(data: bytes, where: str) -> str:
    """The fingerprint in a store's recipe.json, or a note that the file is damaged."""
    try:
        values = parse_json(data, where)
    except BadSetup:
        values = None
    found = values.get("fingerprint") if isinstance(values, dict) else None
    return found if isinstance(found, str) else "a damaged recipe.json"
