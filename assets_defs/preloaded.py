"""What each step's process begins with: it is a fork of one that has imported this module (`jobs.steps_at_once`).

That is what Dagster's own command imports, whose main module every fork would import again, and our definitions with
what Dagster builds of them. Without it, a step takes two to four seconds to begin.
"""

import dagster._cli  # noqa: F401

from assets_defs.definitions import defs

defs.get_repository_def()
