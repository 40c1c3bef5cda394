"""Values of weight files are looked at one by one, in every number format."""

import math

import pytest
import torch
from safetensors.torch import save_file

from decoupage.weights.files import check_values


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_value_that_is_not_finite_is_found(tmp_path, dtype, value):
    tensors = {"first": torch.randn(1001).to(dtype), "second": torch.randn(7, 333).to(dtype), "count": torch.arange(3)}
    save_file(tensors, tmp_path / "a.safetensors")
    check_values(tmp_path / "a.safetensors")
    tensors["second"][5, 300] = value
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"a\.safetensors: second holds values that are not finite"):
        check_values(tmp_path / "a.safetensors")
