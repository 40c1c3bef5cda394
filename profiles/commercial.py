"""The check that a profile as a whole, data and training, may make a commercial build.

The data's part is checked in `pipelines.commercial`, the training's in `training.licences`.
"""

from pipelines.commercial import obstacles as data_obstacles
from pipelines.commercial import refuse
from profiles.profile import Profile, load_profile
from profiles.root import check_root
from training.licences import base_obstacles


def obstacles(profile: Profile) -> list[str]:
    """What forbids a commercial build and what to change, one sentence each; empty if the profile is not commercial."""
    if not profile.licences.commercial:
        return []
    section = profile.training
    return data_obstacles(profile) + base_obstacles(section.adapter_config().adapter.base, section.base)


def load_permitted(
    name: str | None = None, root: str | None = None, overrides: dict[str, str] | None = None
) -> Profile:
    """As `load_profile`, but refuses a commercial profile that includes something that forbids commercial use.

    Raises:
        ValueError: as `load_profile`.
        BadSetup: the root cannot hold files; or each obstacle is named, with what to change.
    """
    profile = load_profile(name, root, overrides)
    check_root(profile.root)
    refuse(obstacles(profile))
    return profile
