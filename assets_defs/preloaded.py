"""What a step's process has when it begins: it is a fork of one that has imported this module.

Dagster's own programs are the main module of runs, so a fork would import them; and all that it builds of our
definitions is built once.
"""

import dagster._cli  # noqa: F401
from assets_defs.definitions import defs

defs.get_repository_def()
