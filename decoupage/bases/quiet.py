"""Leaves out log lines of libraries that mean nothing to users of this package, by their text."""

import logging

_LEFT_OUT = {"transformers.utils.import_utils": "requires torchvision (not installed); falling back to"}
"""Logger -> what its line contains. No base prepares pictures by the classes that this one is about."""


def leave_out() -> None:
    """Leave these lines out from now on; other lines of the same libraries stay. Nothing is imported."""
    for name, text in _LEFT_OUT.items():
        logger = logging.getLogger(name)
        if not any(isinstance(one, _Without) for one in logger.filters):
            logger.addFilter(_Without(text))


class _Without(logging.Filter):
    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def filter(self, record: logging.LogRecord) -> bool:
        return self._text not in record.getMessage()
