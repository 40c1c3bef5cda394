"""Where the before/after pairs of a dataset are, for whoever reads, licenses or compares them. Imports no torch."""

from decoupage.faults import BadSetup
from pipelines.pairs.stage import PAIRS
from pipelines.shards.folder import find_shards


def find_pairs(data: str, share: float) -> str:
    """The folder of the pairs that were made with a dataset: beside its folder of shards.

    Args:
        data: path or fsspec URL of the dataset, as `find_shards` takes it.
        share: `data.pairs_share` of the recipe, for the message.

    Raises:
        BadSetup: there are no shards, or no pairs beside them.
    """
    shards = find_shards(data).store.url("")
    place = f"{shards.rpartition('/')[0]}/{PAIRS}"
    try:
        find_shards(place)
    except BadSetup as fault:
        raise BadSetup(
            f"data.pairs_share = {share:g} draws samples from before/after pairs, and the dataset has none ({fault}): "
            'set pairs.source = "folder" and pairs.folder in its profile and run `decoupage scenes make`, or set '
            "data.pairs_share = 0"
        ) from fault
    return place
