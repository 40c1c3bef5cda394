"""What the prompts of a profile need of a machine."""

import os

from pipelines.config import DataConfig
from pipelines.foregrounds.prompts.builtin import num_builtin
from pipelines.foregrounds.prompts.client import KEY, sends_key, server
from pipelines.needs import Need


def needs(config: DataConfig) -> list[Need]:
    """Enough built-in prompts; or a key, or a server that is asked without one."""
    wanted = config.generated.prompts_per_category
    if config.prompts.source == "builtin":
        found = f"{wanted} wanted in each category, {num_builtin()} are built in"
        remedy = "lower generated.prompts_per_category, or set DECOUPAGE__PROMPTS__SOURCE=written"
        return [Need("prompts", wanted <= num_builtin(), found, remedy)]
    key = bool(os.environ.get(KEY, "").strip())
    asked = f"{config.prompts.model} at {server(config.prompts)}"
    if config.prompts.base_url:
        sent = "with the key that is set" if key and sends_key(config.prompts) else "without a key"
        return [Need("prompts.base_url", True, f"{asked}, asked {sent}", "")]
    remedy = f"export {KEY}=..., or name a server that needs no key in prompts.base_url"
    return [Need(KEY, key, "set" if key else f"not set, wanted to ask {asked}", remedy)]
