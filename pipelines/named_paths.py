"""Folders and files that a profile names for its data: whether they are there, asked before the first stage runs."""

from decoupage.requirements import Requirement
from pipelines.backgrounds.requirements import requirements as backgrounds_requirements
from pipelines.config import DataConfig
from pipelines.foregrounds.mulan.requirements import requirements as mulan_requirements
from pipelines.foregrounds.own.stage import requirements as cutouts_requirements
from pipelines.foregrounds.rendered import requirements as rendered_requirements
from pipelines.library.takedowns import takedowns_path
from pipelines.pairs.requirements import requirements as pairs_requirements

_OF_MULAN = ("mulan.annotations", "mulan.images", "mulan.laion.links", "mulan.test_ids", "mulan.coco.info")


def named_paths(config: DataConfig) -> list[Requirement]:
    """One requirement for each path that a stage will read. Single missing pictures are not covered."""
    found = [one for one in mulan_requirements(config.mulan) if one.name in _OF_MULAN]
    found += rendered_requirements(config.generated)
    found += cutouts_requirements(config.cutouts)
    if config.backgrounds.source == "folder":
        found += backgrounds_requirements(config.backgrounds, config.backgrounds.folder)
    found += pairs_requirements(config.pairs)
    takedowns = takedowns_path(config.library)
    fix = "an empty file is enough, or name another in library.takedowns"
    return [*found, Requirement("library.takedowns", takedowns.is_file(), str(takedowns), fix)]
