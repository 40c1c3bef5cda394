"""What launchers have made of a run's processes."""

import os

import pytest

from decoupage.faults import BadSetup
from training.processes import accelerate_asks_for_fsdp, check_processes


def launched(*options: str) -> dict[str, str]:
    """Environment that `accelerate launch` gives a process that it does not join to others."""
    from accelerate.commands.launch import launch_command_parser
    from accelerate.utils.launch import prepare_simple_launcher_cmd_env

    given = [*options, "--mixed_precision", "no", "--num_machines", "1", "--dynamo_backend", "no", "-m", "m"]
    args = launch_command_parser().parse_args(given)
    args.num_cpu_threads_per_process = 1
    return prepare_simple_launcher_cmd_env(args)[1]


def test_processes_that_were_asked_for_and_never_joined_are_a_wrong_setup(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    check_processes(None, 1)
    check_processes(2, 2)
    for asked, got in ((2, 1), (1, 2), (8, 4)):
        with pytest.raises(
            BadSetup, match=rf"^{asked} processes were requested, but {got} joined.*nproc_per_node {asked}"
        ):
            check_processes(asked, got)
    monkeypatch.setattr(os, "environ", launched("--num_processes", "1", "--cpu"))
    check_processes(None, 1)
    monkeypatch.setattr(os, "environ", launched("--num_processes", "2", "--cpu"))
    with pytest.raises(BadSetup, match=r"^several processes were requested, but 1 joined.*torch\.distributed\.run"):
        check_processes(None, 1)


def test_fsdp_of_accelerates_configuration_is_ours_and_not_done_twice(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert accelerate_asks_for_fsdp() and "ACCELERATE_USE_FSDP" not in os.environ
    assert not accelerate_asks_for_fsdp()
