"""Weights that are damaged: one fault that names folder and file, whatever a library makes of them."""

import shutil

import pytest

from decoupage.bases import find_base
from decoupage.bases.small import WEIGHTS

NETWORK = "transformer/diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize(
    ("file", "data", "reason"),
    [
        (NETWORK, lambda data: data[:-500], "diffusion_pytorch_model.safetensors is damaged"),
        (NETWORK, lambda data: b"", "diffusion_pytorch_model.safetensors is damaged"),
        (NETWORK, lambda data: b"x" * 999, "diffusion_pytorch_model.safetensors is damaged"),
        ("vae/config.json", lambda data: b"", "config.json is not JSON"),
        ("vae/config.json", lambda data: b"{\xff", "config.json is not UTF-8"),
        ("vae/config.json", lambda data: b"[" * 99_999, "config.json is not usable JSON: its brackets"),
        ("vae/config.json", lambda data: data.replace(b"64", b'"many"'), "TypeError"),
        ("transformer/config.json", lambda data: b"{}", "ValueError"),
        ("scheduler/scheduler_config.json", lambda data: b"[1]", "scheduler_config.json holds no table"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, file, data, reason):
    folder = tmp_path / "base"
    shutil.copytree(WEIGHTS, folder)
    (folder / file).write_bytes(data((folder / file).read_bytes()))
    with pytest.raises(ValueError, match=r"^the weights in \S+ cannot be read: ") as refusal:
        find_base("small-fill").load(str(folder))
    assert reason in str(refusal.value)
    assert str(folder) in str(refusal.value)


def test_a_folder_that_is_not_there_is_told_as_it_was(tmp_path):
    with pytest.raises(OSError, match="absent"):
        find_base("small-fill").load(str(tmp_path / "absent"))
