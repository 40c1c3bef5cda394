"""What a scene draws from the library: its plan and assets, evenly, and such that a library change moves few scenes.

A plan's size classes depend on how many cutouts can fill them (`rings.class_weights`). Draws depend on (recipe, key,
layer, turn) and the library's records only, never on pixels, so that a later run knows without making a scene
whether a changed library would change it. A layer draws from the cutouts of its kind that can fill its size class.
Redraws are plain consistent hashing. First draws also know the first draws of the keys before theirs: of the next
`CHOICES` assets on the ring, the first of those drawn least is taken ("the power of two choices", Mitzenmacher 2001).
Keys are numbered through in epochs of `EPOCH`; no epoch knows of another, which bounds what a worker has to work out
before it can make a scene.

Layers of the rule `supported` draw from the cutouts whose object has a known support, small things with small ones,
and the background from the photographs that offer the supports of all of them.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from decoupage.fingerprint import canonical_json
from decoupage.randomness import digest, hash64
from pipelines.config import ScenesConfig
from pipelines.config.scenes import SizeClass
from pipelines.library.objects import objects
from pipelines.library.records import AnyRecord, BackgroundRecord, ForegroundRecord, Split
from pipelines.library.ring import Ring
from pipelines.library.table import RecordTable, origin_codes
from pipelines.scenes.plan import ClassWeights, Kind, LayerPlan, Rule, plan_scene
from pipelines.scenes.rings import background_ring, class_weights, foreground_rings, support_needs
from pipelines.stages.store import Store

REDRAW_EVERY = 4
"""Attempts that a set of assets gets before others are drawn."""
NOTHING: frozenset[str] = frozenset()
CHOICES = 8
EPOCH = 65_536
_PLACE = ("tar", "offset", "num_bytes", "layout_tar", "layout_offset", "layout_num_bytes")
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
        foreground_rings: kind, size class, rule -> the cutouts of the kind that can fill the class and follow the rule.
        background_rings: supports that are needed -> the photographs that offer them, and that fill the canvas without
            being enlarged too much; filled in when it is asked for, but for the ring of all.
        needs: by row of a foreground, the support that it needs of a photograph; empty where it needs none.
        class_weights: how often plans ask for each size class, by kind.
        version: hash of both catalogues.
    """

    config: ScenesConfig
    foregrounds: RecordTable[ForegroundRecord]
    backgrounds: RecordTable[BackgroundRecord]
    foreground_rings: Mapping[tuple[Kind, SizeClass, Rule], Ring]
    background_rings: dict[frozenset[str], Ring]
    needs: Sequence[str]
    class_weights: ClassWeights
    version: str
    _epochs: dict[int, _Epoch] = field(default_factory=dict, compare=False)
    _alike_rings: dict[tuple[Kind, SizeClass, Rule, bool], Ring] = field(default_factory=dict, compare=False)

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
        rings = foreground_rings(foregrounds, fronts, config, split)
        version = digest(foregrounds.version, backgrounds.version).hex()
        anywhere = {NOTHING: background_ring(backgrounds, backs, config, split)}
        needs, weights = support_needs(foregrounds, config), class_weights(rings, config)
        return cls(config, foregrounds, backgrounds, rings, anywhere, needs, weights, version)

    def plan(self, key: str) -> tuple[LayerPlan, ...]:
        """What the scene of a key is to be."""
        return plan_scene(self.config, self.class_weights, key)

    def draw(self, key: str, plan: Sequence[LayerPlan], attempt: int) -> Draw | None:
        """The assets of an attempt, no photograph twice; None when the library is too small for that.

        It is also too small where no background offers the supports of the foregrounds; those of another turn may fit.
        """
        rows = self.rows(key, plan, attempt // REDRAW_EVERY)
        if rows is None:
            return None
        return Draw(self.backgrounds[rows[-1]], tuple(self.foregrounds[row] for row in rows[:-1]))

    def trail(self, key: str, plan: Sequence[LayerPlan], last_attempt: int) -> list[str]:
        """Tokens of the plan and of every asset drawn up to an attempt, in order: equal trails make equal scenes.

        A token is `id@digest` of everything of the asset's record that can reach a scene; the first is `plan@digest`.
        """
        tokens = [f"plan@{_short_digest([asdict(layer) for layer in plan])}"]
        for attempt in range(0, last_attempt + 1, REDRAW_EVERY):
            draw = self.draw(key, plan, attempt)
            records: list[AnyRecord] = [] if draw is None else [draw.background, *draw.foregrounds]
            tokens += [_token(record) for record in records] or ["none"]
        return tokens

    def rows(self, key: str, plan: Sequence[LayerPlan], turn: int) -> Rows | None:
        """The rows that the attempts of a turn draw; None when the library is too small."""
        return self._first_rows(int(key)) if turn == 0 else self._turn_rows(key, plan, turn, _nearest)

    def _first_rows(self, number: int) -> Rows | None:
        """The first draw of a scene, and so of all before it in its epoch."""
        epoch = self._epochs.get(number // EPOCH)
        if epoch is None:
            epoch = _Epoch([], [0] * len(self.foregrounds), [0] * len(self.backgrounds))
            self._epochs[number // EPOCH] = epoch
        for i in range(number - number % EPOCH + len(epoch.rows), number + 1):
            key = f"{i:08d}"
            rows = self._turn_rows(key, self.plan(key), 0, _least_drawn, epoch)
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
        for slot in range(len(plan) + 1):
            is_background = slot == len(plan)
            ring = self._backgrounds_for(rows) if is_background else self._foregrounds_for(plan[slot], rows)
            point = hash64(self.config.seed, "background" if is_background else "foreground", key, slot, turn)
            uses = [] if epoch is None else epoch.background_uses if is_background else epoch.foreground_uses
            row = choose(ring.clockwise(point, refused), uses)
            if row is None:
                return None
            rows.append(row)
            refused.add(int(ring.groups[row]))
        return tuple(rows)

    def _foregrounds_for(self, layer: LayerPlan, below: Sequence[int]) -> Ring:
        """The ring of a layer: an object that lies on a table is joined by others that do, not by a truck."""
        group = (layer.kind, layer.size_class, layer.rule)
        first = next((self.needs[row] for row in below if self.needs[row]), "")
        if layer.rule == "free" or not first:
            return self.foreground_rings[group]
        lies = first == "surface"
        if (*group, lies) not in self._alike_rings:
            alike = np.array([(need == "surface") == lies for need in self.needs], bool)
            self._alike_rings[*group, lies] = self.foreground_rings[group].among(alike)
        return self._alike_rings[*group, lies]

    def _backgrounds_for(self, foregrounds: Sequence[int]) -> Ring:
        """The ring of the photographs that can carry these foregrounds."""
        needs = frozenset(filter(None, (self.needs[row] for row in foregrounds)))
        if needs not in self.background_rings:
            offered = [set(offers.split()) for offers in self.backgrounds.texts("offers")]
            fit = np.array([needs <= found for found in offered], bool)
            self.background_rings[needs] = self.background_rings[NOTHING].among(fit)
        return self.background_rings[needs]


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


def _token(record: AnyRecord) -> str:
    values = {key: value for key, value in asdict(record).items() if key not in _PLACE}
    if isinstance(record, ForegroundRecord) and record.object in objects():
        values["object"] = asdict(objects()[record.object])
    return f"{record.id}@{_short_digest(values)}"


def _short_digest(values: Any) -> str:
    return digest(canonical_json(values).decode()).hex()[:12]
