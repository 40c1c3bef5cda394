"""Which assets a scene draws from the library: evenly, and such that a library change moves few scenes.

Draws depend on (recipe, key, layer, turn) and the library's records only, never on pixels, so that a later run can
tell without making a scene whether a changed library would change it. A layer draws from the cutouts of its kind that
can fill its size class. Redraws are plain consistent hashing. First draws also know the first draws of the keys before
theirs: of the next `CHOICES` assets on the ring, the first of those drawn least is taken ("the power of two choices",
Mitzenmacher 2001). Keys are numbered through in epochs of `EPOCH`; no epoch knows of another, which bounds what a
worker has to work out before it can make a scene.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decoupage.faults import BadSetup
from decoupage.fingerprint import canonical_json
from decoupage.randomness import digest, hash64
from pipelines.config import ScenesConfig
from pipelines.config.scenes import SizeClass
from pipelines.library.records import AnyRecord, BackgroundRecord, ForegroundRecord, Kind, Split
from pipelines.library.ring import Ring
from pipelines.library.table import RecordTable, origin_codes
from pipelines.scenes.plan import LayerPlan, plan_scene
from pipelines.stages.store import Store

REDRAW_EVERY = 4
"""Attempts that a set of assets gets before others are drawn."""
CHOICES = 8
EPOCH = 65_536
_PLACE = ("tar", "offset", "num_bytes")
Rows = tuple[int, ...]
"""Rows of a scene's foregrounds from bottom to top, then the row of its background."""
_Choose = Callable[[Iterator[int], list[int]], int | None]


@dataclass(frozen=True)
class Draw:
    """The assets of one attempt; foregrounds from bottom to top."""

    background: BackgroundRecord
    foregrounds: tuple[ForegroundRecord, ...]


@dataclass
class _Epoch:
    """The first draws of an epoch as far as they are worked out.

    Attributes:
        rows: by number of the scene in the epoch.
        foreground_uses, background_uses: by row, the scenes so far that drew it.
    """

    rows: list[Rows | None]
    foreground_uses: list[int]
    background_uses: list[int]


@dataclass(frozen=True)
class Pool:
    """The part of the library that scenes of one split draw from, as rings.

    Attributes:
        foreground_rings: kind, size class -> the cutouts of the kind that can fill the class.
        background_ring: the photographs that fill the canvas without being enlarged too much.
        version: hash of both catalogues.
    """

    config: ScenesConfig
    foregrounds: RecordTable[ForegroundRecord]
    backgrounds: RecordTable[BackgroundRecord]
    foreground_rings: Mapping[tuple[Kind, SizeClass], Ring]
    background_ring: Ring
    version: str
    _epochs: dict[int, _Epoch] = field(default_factory=dict, compare=False)

    @classmethod
    def read(cls, store: Store, config: ScenesConfig, split: Split, without: Collection[str] = ()) -> "Pool":
        """Read both catalogues and build the rings.

        Args:
            without: ids of assets to leave out, to see what would be drawn in their place.

        Raises:
            BadSetup: a catalogue is missing, or lacks what the profile's plans can ask for.
        """
        foregrounds = RecordTable.read(store, ForegroundRecord, split, without)
        backgrounds = RecordTable.read(store, BackgroundRecord, split, without)
        fronts, backs = origin_codes(foregrounds, backgrounds)
        rings = _foreground_rings(foregrounds, fronts, config, split)
        version = digest(foregrounds.version, backgrounds.version).hex()
        return cls(
            config, foregrounds, backgrounds, rings, _background_ring(backgrounds, backs, config, split), version
        )

    def draw(self, key: str, plan: Sequence[LayerPlan], attempt: int) -> Draw | None:
        """The assets of an attempt, no photograph twice; None when the library is too small for that."""
        rows = self.rows(key, plan, attempt // REDRAW_EVERY)
        if rows is None:
            return None
        return Draw(self.backgrounds[rows[-1]], tuple(self.foregrounds[row] for row in rows[:-1]))

    def trail(self, key: str, plan: Sequence[LayerPlan], last_attempt: int) -> list[str]:
        """Tokens of every asset drawn up to an attempt, in order: equal trails make equal scenes.

        A token is `id@digest` of everything of the asset's record that can reach a scene.
        """
        tokens: list[str] = []
        for attempt in range(0, last_attempt + 1, REDRAW_EVERY):
            draw = self.draw(key, plan, attempt)
            records: list[AnyRecord] = [] if draw is None else [draw.background, *draw.foregrounds]
            tokens += [_token(record) for record in records] or ["none"]
        return tokens

    def rows(self, key: str, plan: Sequence[LayerPlan], turn: int) -> Rows | None:
        """The rows that the attempts of a turn draw; None when the library is too small."""
        return (
            self._first_rows(int(key))
            if turn == 0
            else self._turn_rows(key, plan, turn, lambda met, _: next(met, None))
        )

    def _first_rows(self, number: int) -> Rows | None:
        """The first draw of a scene, and so of all before it in its epoch."""
        epoch = self._epochs.get(number // EPOCH)
        if epoch is None:
            epoch = _Epoch([], [0] * len(self.foregrounds), [0] * len(self.backgrounds))
            self._epochs[number // EPOCH] = epoch
        for i in range(number - number % EPOCH + len(epoch.rows), number + 1):
            key = f"{i:08d}"
            rows = self._turn_rows(key, plan_scene(self.config, key), 0, _least_drawn, epoch)
            for row in () if rows is None else rows[:-1]:
                epoch.foreground_uses[row] += 1
            if rows is not None:
                epoch.background_uses[rows[-1]] += 1
            epoch.rows.append(rows)
        return epoch.rows[number % EPOCH]

    def _turn_rows(
        self, key: str, plan: Sequence[LayerPlan], turn: int, choose: _Choose, epoch: _Epoch | None = None
    ) -> Rows | None:
        rows: list[int] = []
        refused: set[int] = set()
        rings = [self.foreground_rings[layer.kind, layer.size_class] for layer in plan] + [self.background_ring]
        for slot, ring in enumerate(rings):
            is_background = slot == len(plan)
            point = hash64(self.config.seed, "background" if is_background else "foreground", key, slot, turn)
            uses = [] if epoch is None else epoch.background_uses if is_background else epoch.foreground_uses
            row = choose(ring.clockwise(point, refused), uses)
            if row is None:
                return None
            rows.append(row)
            refused.add(int(ring.groups[row]))
        return tuple(rows)


def largest_share(width_px: Any, height_px: Any, area_px: Any, config: ScenesConfig) -> Any:
    """The share of the canvas that a cutout can fill, for numbers or arrays: by enlargement, and by its box.

    At most `scenes.size.max_enlargement`, and so that its box is within the canvas, turned too.
    """
    turn = np.deg2rad(config.max_rotation_deg)
    long, short = np.maximum(width_px, height_px), np.minimum(width_px, height_px)
    side_px = long * np.cos(turn) + short * np.sin(turn)
    return area_px * np.minimum(config.size.max_enlargement / config.size_px, 1 / side_px) ** 2


def _nearest(met: Iterator[int], uses: list[int]) -> int | None:
    return next(met, None)


def _least_drawn(met: Iterator[int], uses: list[int]) -> int | None:
    """Of the next few assets, the first of those drawn least, where only a doubling counts as more.

    Without this coarseness every use would echo: an asset that goes would move several times as many scenes.
    """
    best: int | None = None
    for row in islice(met, CHOICES):
        if best is None or uses[row].bit_length() < uses[best].bit_length():
            best = row
        if not uses[best]:
            break
    return best


def _foreground_rings(
    table: RecordTable[ForegroundRecord], origins: NDArray[np.int32], config: ScenesConfig, split: Split
) -> dict[tuple[Kind, SizeClass], Ring]:
    shares: dict[Kind, float] = {"real": 1 - config.generated_share, "generated": config.generated_share}
    ring = Ring.of(table.texts("id"), origins, config.virtual_nodes)
    areas_px = table.numbers("area_px")
    reachable = largest_share(table.numbers("width_px"), table.numbers("height_px"), areas_px, config)
    rings = {}
    for kind in [kind for kind, share in shares.items() if share > 0]:
        of_kind = table.equals("kind", kind)
        if not of_kind.any():
            raise BadSetup(
                f"scenes.generated_share is {config.generated_share}, but the library has no {kind} foreground "
                f"in split {split!r}; add a source or change the share"
            )
        for size_class in config.size.drawn:
            rings[kind, size_class] = ring.among(of_kind & (reachable >= config.size.shares(size_class)[0]))
            if not len(rings[kind, size_class].owners):
                raise BadSetup(
                    f"no {kind} foreground in split {split!r} can fill the size class {size_class} at "
                    f"{config.size_px} px: it needs {config.min_area_px(size_class):.0f} px in a box that fits the "
                    f"canvas, and the largest of {of_kind.sum()} has {areas_px[of_kind].max():.0f} px; add larger "
                    f"ones, set the class's weight in scenes.size.weights to 0, or raise scenes.size.max_enlargement"
                )
    return rings


def _background_ring(
    table: RecordTable[BackgroundRecord], origins: NDArray[np.int32], config: ScenesConfig, split: Split
) -> Ring:
    if not len(table):
        raise BadSetup(f"the library has no background in split {split!r}; add a source")
    sides_px = np.minimum(table.numbers("width_px"), table.numbers("height_px"))
    large = sides_px * config.max_background_enlargement >= config.size_px
    if not large.any():
        raise BadSetup(
            f"no background in split {split!r} can fill {config.size_px} px: the largest of {len(table)} has a shorter "
            f"side of {sides_px.max()} px; add larger ones, or raise scenes.max_background_enlargement"
        )
    return Ring.of(table.texts("id"), origins, config.virtual_nodes).among(large)


def _token(record: AnyRecord) -> str:
    values = {key: value for key, value in asdict(record).items() if key not in _PLACE}
    return f"{record.id}@{digest(canonical_json(values).decode()).hex()[:12]}"
