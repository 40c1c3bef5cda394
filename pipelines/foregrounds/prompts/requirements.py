"""The requirements of a profile's prompts: an API key, a server, or a finished list."""

import os

from decoupage.faults import BadSetup
from decoupage.requirements import Requirement
from pipelines.config import DataConfig
from pipelines.foregrounds.prompts.builtin import categories, num_builtin
from pipelines.foregrounds.prompts.client import KEY, sends_key, server
from pipelines.foregrounds.prompts.ledger import ledger_path, read_ledger
from pipelines.stages.store import Store


def requirements(config: DataConfig, store: Store) -> list[Requirement]:
    """Enough built-in prompts; or a complete written list; or an API key or a server that needs none.

    Rendered objects bring their prompts.

    Args:
        store: the root, where a written list lies.
    """
    wanted = config.generated.prompts_per_category
    if config.generated.generator == "rendered":
        return []
    if config.prompts.source == "builtin":
        found = f"{wanted} needed in each category, {num_builtin()} are built in"
        fix = "lower generated.prompts_per_category, or set DECOUPAGE__PROMPTS__SOURCE=written"
        return [Requirement("prompts", wanted <= num_builtin(), found, fix)]
    try:
        num_there, num_wanted = _num_written(config, store), wanted * len(categories())
    except BadSetup as fault:
        found, _, fix = str(fault).rpartition("; ")
        return [Requirement("prompts.list", False, found, fix)]
    if num_there == num_wanted:
        # The list is complete: no more requests are sent, so no key is needed.
        return [Requirement("prompts.list", True, f"{num_there} in {store.url(ledger_path(config.prompts))}", "")]
    return [_server(config, f"{num_there} of {num_wanted} prompts are written")]


def _num_written(config: DataConfig, store: Store) -> int:
    """Number of written prompts, counting at most the wanted number per category. Raises BadSetup: damaged list."""
    ledger = read_ledger(config.prompts, store)
    wanted = config.generated.prompts_per_category
    return sum(min(wanted, len(ledger.texts(name))) for name in categories()) if ledger else 0


def _server(config: DataConfig, progress: str) -> Requirement:
    key = bool(os.environ.get(KEY, "").strip())
    asked = f"{config.prompts.model} at {server(config.prompts)}"
    step = "`decoupage prompts write` asks"
    if config.prompts.base_url:
        sent = "with the key that is set" if key and sends_key(config.prompts) else "without a key"
        return Requirement("prompts.base_url", True, f"{progress}; {step} {asked}, {sent}", "")
    fix = f"export {KEY}=..., or name a server that needs no key in prompts.base_url"
    return Requirement(KEY, key, f"{'set' if key else 'not set'}; {progress}, {step} {asked}", fix)
