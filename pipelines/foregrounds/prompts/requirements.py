"""What the prompts of a profile need of a machine."""

import os

from decoupage.faults import BadSetup
from decoupage.requirements import Requirement
from pipelines.config import DataConfig
from pipelines.foregrounds.prompts.builtin import categories, num_builtin
from pipelines.foregrounds.prompts.client import KEY, sends_key, server
from pipelines.foregrounds.prompts.ledger import ledger_path, read_ledger
from pipelines.stages.store import Store


def requirements(config: DataConfig, store: Store) -> list[Requirement]:
    """Enough built-in prompts; or a list that is whole; or a key, or a server that is asked without one.

    Args:
        store: the root, where a written list lies.
    """
    wanted = config.generated.prompts_per_category
    if config.prompts.source == "builtin":
        found = f"{wanted} wanted in each category, {num_builtin()} are built in"
        fix = "lower generated.prompts_per_category, or set DECOUPAGE__PROMPTS__SOURCE=written"
        return [Requirement("prompts", wanted <= num_builtin(), found, fix)]
    try:
        num_there, num_wanted = _num_written(config, store), wanted * len(categories())
    except BadSetup as fault:
        found, _, fix = str(fault).rpartition("; ")
        return [Requirement("prompts.list", False, found, fix)]
    if num_there == num_wanted:
        # Nobody is asked any more, so nothing is needed to ask.
        return [Requirement("prompts.list", True, f"{num_there} in {store.url(ledger_path(config.prompts))}", "")]
    return [_someone_to_ask(config, f"{num_there} of {num_wanted} prompts are written")]


def _num_written(config: DataConfig, store: Store) -> int:
    """Prompts that are there, those beyond what is wanted apart. Raises BadSetup: the list is damaged."""
    ledger = read_ledger(config.prompts, store)
    wanted = config.generated.prompts_per_category
    return sum(min(wanted, len(ledger.texts(name))) for name in categories()) if ledger else 0


def _someone_to_ask(config: DataConfig, told: str) -> Requirement:
    key = bool(os.environ.get(KEY, "").strip())
    asked = f"{config.prompts.model} at {server(config.prompts)}"
    step = "`decoupage prompts write` asks"
    if config.prompts.base_url:
        sent = "with the key that is set" if key and sends_key(config.prompts) else "without a key"
        return Requirement("prompts.base_url", True, f"{told}; {step} {asked}, {sent}", "")
    fix = f"export {KEY}=..., or name a server that needs no key in prompts.base_url"
    return Requirement(KEY, key, f"{'set' if key else 'not set'}; {told}, {step} {asked}", fix)
