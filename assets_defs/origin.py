"""Where the UI shows a run that was not started through it."""

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg

DEFINITIONS = "assets_defs.definitions"
"""Module of the code location, and its name in the UI."""


def name_origin(instance: "dg.DagsterInstance", job_name: str) -> None:
    """Let runs that this process creates on an instance name the job in the code location that they belong to.

    The UI shows a run on its timeline and under its job only if it says so, and `execute_in_process` does not.
    """
    from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
    from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteRepositoryOrigin
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

    location = ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name=DEFINITIONS), DEFINITIONS)
    origin = RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME).get_job_origin(job_name)
    # It calls this method of the instance, but has no parameter for the origin.
    instance.__dict__["create_run_for_job"] = partial(instance.create_run_for_job, remote_job_origin=origin)
