"""Whether a profile as a whole, data and training, may make a commercial build. It stands above the packages.

The data's part is judged in `pipelines.commercial`, the training's in `training.licences`.
"""

from pipelines.commercial import obstacles as data_obstacles
from pipelines.commercial import refuse
from profiles.profile import Profile, load_profile
from training.licences import base_obstacles


def obstacles(profile: Profile) -> list[str]:
    """What forbids it and what to change, a sentence each; empty too when the build is not to be commercial."""
    if not profile.licences.commercial:
        return []
    section = profile.training
    return data_obstacles(profile) + base_obstacles(section.adapter_config().adapter.base, section.base)


def load_permitted(
    name: str | None = None, root: str | None = None, overrides: dict[str, str] | None = None
) -> Profile:
    """`profiles.load_profile`, refusing a commercial profile that mixes what forbids commercial use.

    Raises:
        ValueError: as `load_profile`.
        BadSetup: each obstacle is named, with what to change.
    """
    profile = load_profile(name, root, overrides)
    refuse(obstacles(profile))
    return profile
