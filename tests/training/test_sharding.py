"""What may be shared out among processes; that it works is shown in `test_ranks.py`."""

import pytest
import torch
from torch import nn

from decoupage.faults import BadSetup
from tests.training.toy_task import Layer, Line, ToyTask, toy_config
from training.config import ComputeConfig, OptimiserConfig
from training.loop import fit, make_accelerator
from training.sharding import _units, is_sharded, shard

SHARDED = ComputeConfig(precision="fp32", loader_workers=0, sharded=True)


def test_one_process_keeps_what_it_has_and_says_so(tmp_path, caplog):
    config = toy_config(3, compute=SHARDED)
    with caplog.at_level("WARNING"):
        fit(ToyTask(config), make_accelerator(config, "cpu"), tmp_path)
    assert "compute.sharded has no effect on one process" in caplog.text
    assert not is_sharded(config, 1) and is_sharded(config, 2) and not is_sharded(toy_config(), 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"compute": SHARDED.model_copy(update={"base_quantisation": "int8"})}, "compute.base_quantisation = none"),
        ({"compute": SHARDED, "optimiser": OptimiserConfig(name="adamw8bit")}, "optimiser.name = adamw"),
    ],
)
def test_what_cannot_be_shared_out_is_named_with_its_fix(changes, said):
    with pytest.raises(BadSetup, match=f"{said}, or compute.sharded = false"):
        is_sharded(toy_config(**changes), 2)


def test_a_module_without_blocks_is_refused():
    with pytest.raises(BadSetup, match="shares out the repeated blocks of a network, and Linear has none"):
        shard(nn.Linear(2, 2), torch.device("cpu"))


def test_each_block_is_gathered_by_itself_then_the_rest_of_its_network_and_parts_without_blocks_whole():
    network, other = Line(Layer(2, 2), nn.Tanh(), Layer(2, 2)), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    both = nn.ModuleDict({"network": network, "other": other})
    assert _units(both) == [network[0], network[2], network, other]
