"""Brings fiftyone in: quiet, without telemetry, and with a word on how to get it where it is absent."""

import os
from typing import Any

from pipelines.faults import BadSetup

_SETTINGS = {
    "FIFTYONE_DO_NOT_TRACK": "true",
    # Else every start tells that the oldest supported MongoDB is the oldest supported one.
    "FIFTYONE_DATABASE_VALIDATION": "false",
    "FIFTYONE_SHOW_PROGRESS_BARS": "false",
}


def fiftyone() -> Any:
    """The module, imported inside `database.database`, for it connects as soon as it is used.

    Raises:
        BadSetup: it is not installed.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import fiftyone as fo
    except ModuleNotFoundError as error:
        if error.name != "fiftyone":
            raise
        raise BadSetup("FiftyOne is not installed; get it with: pip install 'decoupage[inspect]'") from error
    # A process that has used another private database before.
    fo.config.database_uri = os.environ.get("FIFTYONE_DATABASE_URI", fo.config.database_uri)
    return fo
