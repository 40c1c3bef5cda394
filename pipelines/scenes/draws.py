"""Which assets a scene draws from the library: by consistent hashing, so that a library change moves few scenes.

Draws depend on (seed, key, slot, attempt) and the library only, never on pixels, so that a later run can tell
without making a scene whether a changed library would change it.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from decoupage.faults import BadSetup
from decoupage.fingerprint import canonical_json
from decoupage.randomness import digest, hash64
from pipelines.config import ScenesConfig
from pipelines.library.catalogue import read_catalogue
from pipelines.library.records import BackgroundRecord, ForegroundRecord, Kind
from pipelines.library.ring import Ring
from pipelines.scenes.plan import LayerPlan
from pipelines.stages.store import Store

REDRAW_EVERY = 4
"""Attempts that a set of assets gets before others are drawn."""
_PLACE = ("tar", "offset", "num_bytes")


@dataclass(frozen=True)
class Draw:
    """The assets of one attempt; foregrounds from bottom to top."""

    background: BackgroundRecord
    foregrounds: tuple[ForegroundRecord, ...]


@dataclass(frozen=True)
class Pool:
    """The part of the library that scenes of one split draw from, as rings.

    Attributes:
        version: hash of both catalogues.
        tokens: asset id -> `id@digest` of everything of its record that can reach a scene.
        by_origin: photograph -> ids of all assets taken from it.
    """

    foregrounds: Mapping[str, ForegroundRecord]
    backgrounds: Mapping[str, BackgroundRecord]
    foreground_rings: Mapping[Kind, Ring]
    background_ring: Ring
    tokens: Mapping[str, str]
    by_origin: Mapping[str, frozenset[str]]
    version: str

    @classmethod
    def read(cls, store: Store, config: ScenesConfig, split: str) -> "Pool":
        """Read both catalogues and build the rings.

        Raises:
            BadSetup: a catalogue is missing, or lacks a kind of foreground that the profile asks for.
        """
        foregrounds, foreground_hash = read_catalogue(store, ForegroundRecord)
        backgrounds, background_hash = read_catalogue(store, BackgroundRecord)
        front = {record.id: record for record in foregrounds if record.split == split}
        back = {record.id: record for record in backgrounds if record.split == split}
        rings: dict[Kind, Ring] = {
            kind: Ring.of([record.id for record in front.values() if record.kind == kind], config.virtual_nodes)
            for kind in ("real", "generated")
        }
        wanted = {"real": config.generated_share < 1, "generated": config.generated_share > 0}
        for kind, ring in rings.items():
            if wanted[kind] and not ring.ids:
                raise BadSetup(
                    f"scenes.generated_share is {config.generated_share}, but the library has no {kind} foreground "
                    f"in split {split!r}; add a source or change the share"
                )
        if not back:
            raise BadSetup(f"the library has no background in split {split!r}; add a source")
        everything: list[ForegroundRecord | BackgroundRecord] = [*front.values(), *back.values()]
        tokens = {record.id: _token(record) for record in everything}
        by_origin: defaultdict[str, set[str]] = defaultdict(set)
        for record in everything:
            by_origin[record.origin].add(record.id)
        origins = {origin: frozenset(ids) for origin, ids in by_origin.items()}
        version = digest(foreground_hash, background_hash).hex()
        return cls(front, back, rings, Ring.of(list(back), config.virtual_nodes), tokens, origins, version)

    def draw(self, seed: int, key: str, plan: Sequence[LayerPlan], attempt: int) -> Draw | None:
        """The assets of an attempt, no photograph twice; None when the library is too small for that."""
        turn = attempt // REDRAW_EVERY
        chosen: list[ForegroundRecord] = []
        refused: frozenset[str] = frozenset()
        for slot, layer in enumerate(plan):
            drawn = self.foreground_rings[layer.kind].draw(hash64(seed, "foreground", key, slot, turn), refused)
            if drawn is None:
                return None
            chosen.append(self.foregrounds[drawn])
            refused |= self.by_origin[chosen[-1].origin]
        drawn = self.background_ring.draw(hash64(seed, "background", key, turn), refused)
        return None if drawn is None else Draw(self.backgrounds[drawn], tuple(chosen))

    def trail(self, seed: int, key: str, plan: Sequence[LayerPlan], last_attempt: int) -> list[str]:
        """Tokens of every asset drawn up to an attempt, in order: equal trails make equal scenes."""
        tokens: list[str] = []
        for attempt in range(0, last_attempt + 1, REDRAW_EVERY):
            draw = self.draw(seed, key, plan, attempt)
            assets = [] if draw is None else [draw.background.id, *(record.id for record in draw.foregrounds)]
            tokens += [self.tokens[asset] for asset in assets] or ["none"]
        return tokens


def _token(record: ForegroundRecord | BackgroundRecord) -> str:
    values = {key: value for key, value in asdict(record).items() if key not in _PLACE}
    return f"{record.id}@{digest(canonical_json(values).decode()).hex()[:12]}"
