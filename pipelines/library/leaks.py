"""The leak check: whether finished shards and the library share a picture with evaluation.

The library separates them when it is built; this compares again, with the assets that the shards show and with the
current lists.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pipelines.config import LibraryConfig
from pipelines.library.catalogue import read_catalogue
from pipelines.library.comparison import Leak, compare, read_lists
from pipelines.library.records import AnyRecord, BackgroundRecord, ForegroundRecord
from pipelines.stages.manifest import read_manifests
from pipelines.stages.store import Store

LEAKS = "library/leaks.csv"
"""The table of all leaks, for inspection."""
COLUMNS = ("training", "evaluation", "list", "by", "bits")


@dataclass(frozen=True)
class LeakReport:
    """The lists that were compared, and the leaks that were found.

    Attributes:
        num_training: number of assets that training may draw or shows.
        lists: name of each list -> number of its entries.
        leaks: the leaks that were found.
        unknown: assets of finished shards that no library holds, which therefore cannot be compared.
        unreadable: evaluation pictures that could not be hashed.
    """

    num_training: int
    lists: dict[str, int]
    leaks: tuple[Leak, ...]
    unknown: tuple[str, ...]
    unreadable: tuple[str, ...]

    @property
    def by_list(self) -> dict[str, int]:
        """List -> number of training assets that leak into it."""
        found = Counter(name for _, name in {(leak.training, leak.list) for leak in self.leaks})
        return {name: found[name] for name in self.lists}


def find_leaks(
    store: Store, photographs: Store, config: LibraryConfig, trained_on: Iterable[str], tested_on: Iterable[str]
) -> LeakReport:
    """Compare all assets that training may see with all pictures that evaluation shows, and write `leaks.csv`.

    Args:
        trained_on, tested_on: ids of the assets that finished shards of training and of testing show.

    Raises:
        BadSetup: a catalogue or a list is missing.
    """
    records: list[AnyRecord] = [
        *read_catalogue(store, ForegroundRecord)[0],
        *read_catalogue(store, BackgroundRecord)[0],
    ]
    shown, tested = set(trained_on), set(tested_on)
    training = [record for record in records if record.split == "train" or record.id in shown]
    held_out = [record for record in records if record.split == "test" or record.id in tested]
    lists = read_lists(store, photographs, config, held_out)
    leaks = compare(training, lists, config.duplicate_distance_bits)
    store.write(LEAKS, leaks_csv(leaks))
    return LeakReport(
        num_training=len(training),
        lists={found.name: found.num_entries for found in lists},
        leaks=tuple(leaks),
        unknown=tuple(sorted((shown | tested) - {record.id for record in records})),
        unreadable=tuple(name for found in lists for name in found.unreadable),
    )


def shown_assets(store: Store, folder: str) -> set[str]:
    """Ids of all assets that the finished shards of a folder show, also of shards that the profile no longer plans."""
    shards = [name.removesuffix(".parquet") for name in store.names(folder, ".parquet")]
    manifests = read_manifests(store, folder, shards)
    return {asset for manifest in manifests if manifest for asset in manifest.assets}


def leaks_csv(leaks: Iterable[Leak]) -> bytes:
    """`leaks.csv`: one line per leak."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([getattr(leak, column) for column in COLUMNS] for leak in leaks)
    return text.getvalue().encode()
