"""Prompts: the texts that foregrounds are generated from. The generators live elsewhere.

`builtin` holds the packaged list, `write` has a language model write a longer one, and `read_prompts` gives the
profile's list, whichever it is; rendered objects bring their own.
"""

from pipelines.foregrounds.prompts.builtin import Prompt, builtin_prompts, categories
from pipelines.foregrounds.prompts.ledger import given_prompts, read_prompts

__all__ = ["Prompt", "builtin_prompts", "categories", "given_prompts", "read_prompts"]
