"""Prompts: what foregrounds are generated of. The generators that draw them live elsewhere.

`builtin` holds the packaged list, `write` has a language model write a longer one, and `read_prompts` is how all
others get theirs, whichever it is.
"""

from pipelines.foregrounds.prompts.builtin import Prompt, builtin_prompts, categories
from pipelines.foregrounds.prompts.read import read_prompts

__all__ = ["Prompt", "builtin_prompts", "categories", "read_prompts"]
