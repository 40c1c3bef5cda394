"""Addresses of the root's files on the server of Dagster's UI: browsers open no file:// link from a page.

`root_pages.py` serves them. Every worker loads this module for the addresses, and needs no web server.
"""

from urllib.parse import quote

MOUNT = "/root"
"""Path on the server below which the root's files are."""


def served_url(path_in_root: str) -> str:
    """Address of a file of the root on the UI's own server, for `MetadataValue.url`.

    It has no host and no port, which are not known when an asset is made: the browser takes those of the UI.

    Args:
        path_in_root: a file or folder below one of `root_pages.OPEN`, relative to the root, e.g. `report/report.html`.
    """
    return f"{MOUNT}/{quote(path_in_root)}"
