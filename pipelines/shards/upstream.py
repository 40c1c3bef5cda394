"""What a stage needs of the stages it follows: their plan, and that their shards are finished.

Maps follow the scenes; the join follows the scenes and the maps.
"""

from decoupage.faults import BadSetup
from decoupage.fingerprint import fingerprint
from pipelines.scenes.read import Span, spans
from pipelines.stages.manifest import Manifest, read_manifest
from pipelines.stages.run import Planned
from pipelines.stages.store import Store


def finished(store: Store, stage: Planned, shard: str) -> Manifest:
    """The manifest of a finished shard of another stage.

    Raises:
        BadSetup: it is absent, damaged, or made by another recipe than the stage's.
    """
    try:
        manifest = read_manifest(store, stage.name, shard)
    except ValueError as error:
        raise BadSetup(str(error)) from error
    if manifest is None:
        raise BadSetup(f"{store.url(stage.name)} has no finished shard {shard}; materialize {stage.name} first")
    if manifest.fingerprint != fingerprint(stage.recipe):
        raise BadSetup(
            f"{store.url(stage.name)}/{shard} has recipe {manifest.fingerprint}, the profile asks for "
            f"{fingerprint(stage.recipe)}; materialize {stage.name} again"
        )
    return manifest


def counted_spans(manifest: Manifest) -> list[Span]:
    """The spans of a shard, as many as it has items.

    Raises:
        BadSetup: the manifest counts other items than it lists.
    """
    found = spans(manifest)
    if len(found) != manifest.num_items:
        raise BadSetup(
            f"{manifest.stage}/{manifest.shard} counts {manifest.num_items} items and lists {len(found)}; "
            f"remove its .json and materialize {manifest.stage} again"
        )
    return found
