"""Imports fiftyone: quiet, without telemetry, and with an error that says how to get it where it is absent."""

import os
from typing import Any

from decoupage.faults import BadSetup
from decoupage.requirements import install_line
from evaluation.fiftyone.database import URI

SETTINGS = {
    "FIFTYONE_DO_NOT_TRACK": "true",
    # Else every start warns that this MongoDB is the oldest that is supported.
    "FIFTYONE_DATABASE_VALIDATION": "false",
    "FIFTYONE_SHOW_PROGRESS_BARS": "false",
    "FIFTYONE_LOGGING_LEVEL": "WARNING",
}


def fiftyone() -> Any:
    """The module fiftyone. To be called inside `database.database`, because it connects as soon as it is imported.

    Raises:
        BadSetup: it is not installed.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import fiftyone as fo
    except ModuleNotFoundError as error:
        if error.name != "fiftyone":
            raise
        raise BadSetup(f"FiftyOne is not installed; {install_line('inspect')}") from error
    uri = os.environ[URI]
    if fo.config.database_uri != uri:
        # This process has used another private database before.
        from fiftyone.core.odm import establish_db_conn
        from fiftyone.core.odm.database import _disconnect

        _disconnect()
        fo.config.database_uri = uri
        establish_db_conn(fo.config)
    return fo
