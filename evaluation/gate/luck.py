"""What a gain must exceed to be more than the luck of a training's seed."""

from collections.abc import Mapping
from dataclasses import dataclass

from decoupage.faults import BadSetup
from evaluation.ablations.seeds import Seeds
from evaluation.ablations.table import TABLE
from evaluation.config import GateConfig
from pipelines.stages.store import Store


@dataclass(frozen=True)
class Luck:
    """The gain that is required.

    Attributes:
        seeds: the spread of seeds; None where it is not measured for this recipe on this list.
        unmeasured: the gain that is required in that case.
    """

    seeds: Seeds | None
    unmeasured: float

    def asked(self, metric: str, num_trained: int) -> tuple[float, str]:
        """(gain that the mean must exceed, how it is known); arguments as `Seeds.reach`."""
        reach = None if self.seeds is None else self.seeds.reach(metric, num_trained)
        if self.seeds is None or reach is None:
            return self.unmeasured, "spread of seeds not measured: evaluation.gate.min_gain"
        return reach, f"the effect of another seed, from {len(self.seeds.rows)} trainings"


def luck_of(store: Store, identity: Mapping[str, str], terms: str, config: GateConfig) -> Luck:
    """What the table of ablations says of the candidate's own recipe on the candidate's list.

    Args:
        identity: what the candidate was made from; its `recipe` must be one of those whose seeds were varied.
        terms: list and protocol of the candidate's scores.

    Raises:
        BadSetup: the table is damaged.
    """
    seeds = None
    if store.exists(TABLE):
        try:
            found = store.read_json(TABLE).get("seeds")
            seeds = None if found is None else Seeds.from_dict(found)
        except BadSetup as fault:
            raise BadSetup(f"{fault}; materialize `ablation_table` again") from fault
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadSetup(f"{store.url(TABLE)} is damaged ({error}); materialize `ablation_table` again") from error
    fits = seeds is not None and seeds.terms == terms and identity.get("recipe") in seeds.recipes
    return Luck(seeds if fits else None, config.min_gain)
