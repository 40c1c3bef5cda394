"""Addresses under which the UI's own server shows files of the data root; browsers block file links."""


def served_url(path_in_root: str) -> str:
    """Address of a file, relative to the UI's."""
    return f"/root/{path_in_root}"
