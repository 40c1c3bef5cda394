"""The name of a profile's dataset in the database, and the local folder of pictures and database."""

from pathlib import Path

from decoupage.faults import BadSetup
from evaluation.config import EvaluationConfig
from pipelines.stages.store import Store


def dataset_name(profile: str) -> str:
    """Name of a profile's dataset."""
    return f"decoupage-{profile}"


def folder_for(config: EvaluationConfig, store: Store) -> Path:
    """The local folder of pictures and database.

    Raises:
        BadSetup: the root is not local, and the profile names no folder.
    """
    if config.inspection.folder:
        return Path(config.inspection.folder)
    if not store.is_local:
        raise BadSetup(f"FiftyOne shows local files, and {store.root} is none: name a folder in evaluation.inspection")
    return Path(store.url("fiftyone"))
