"""The list of LAION pictures' addresses (`file_id_url_linking.csv`): key -> address, read by the columns' names.

Its columns are published nowhere, so the profile names them. What is at an address is not known here.
"""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from decoupage.faults import BadSetup
from pipelines.config.mulan import LaionConfig

_KEY_DIGITS = 9
_LONGEST_FIELD = 1 << 16
_URL_CHARACTERS = "%/:=&?~#+!$,;@'*"


def read_links(path: Path, columns: LaionConfig) -> dict[str, str]:
    """LAION key -> address, for the rows whose id is a key; rows of other pictures are passed over.

    A key that lost its leading zeros to a table program gets them back, and `.jpg` after it is cut off.

    Raises:
        BadSetup: there is no such file, a column is missing, the file is no CSV, or it gives one key two addresses.
    """
    with _reading(path) as reader:
        missing = {columns.id_column, columns.url_column} - set(reader.fieldnames or ())
        if missing:
            raise BadSetup(
                f"{path} lacks the columns {sorted(missing)}, it has {list(reader.fieldnames or ())[:20]}; set "
                "mulan.laion.id_column and mulan.laion.url_column"
            )
        found: dict[str, str] = {}
        for row in reader:
            id = (row[columns.id_column] or "").strip().removesuffix(".jpg")
            # Addresses of strangers go into attributions: spaces, brackets and control characters are escaped.
            url = quote((row[columns.url_column] or "").strip(), safe=_URL_CHARACTERS)
            if not (id.isascii() and id.isdecimal() and len(id) <= _KEY_DIGITS and url):
                continue
            key = id.zfill(_KEY_DIGITS)
            if found.setdefault(key, url) != url:
                raise BadSetup(f"{path} gives {key} two addresses, in line {reader.line_num} another one than before")
    return found


@contextmanager
def _reading(path: Path) -> Iterator["csv.DictReader[str]"]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            csv.field_size_limit(_LONGEST_FIELD)
            # The README writes its own header as `image, annotation`, with a space.
            yield csv.DictReader(file, skipinitialspace=True)
    except OSError as error:
        raise BadSetup(f"mulan.laion.links names {path}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadSetup(f"{path} is no CSV file in UTF-8: {error}") from error
