"""The code location of the environment's profile, all steps of a run in one process: for a real daemon in tests."""

import dagster as dg

from assets_defs.definitions import build_defs

defs = build_defs(executor=dg.in_process_executor)
