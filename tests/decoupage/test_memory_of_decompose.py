"""What taking a picture apart takes: against known counts and counts by hand; the rule of tiles."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from decoupage.adapter import AdapterConfig
from decoupage.bases import find_base
from decoupage.bases.small import SmallFill, save_base
from decoupage.images.sizes import working_geometry
from decoupage.live import peak_bytes
from decoupage.memory import GIGA, coding_numbers, decodes_in_tiles, needs, step_numbers
from decoupage.placing import WAYS, Placing
from decoupage.tiles import in_tiles_if_large
from decoupage.weights.sizes import MODELS, TEXT
from tests.decoupage.tiny import flux_fill

FILL = AdapterConfig()
FILL_REPO = "black-forest-labs/FLUX.1-Fill-dev"
SMALL = AdapterConfig(base="small-fill", rank=8, size_px=128)


def meta(*shape):
    return torch.empty(shape, device="meta")


GIVEN = meta(1000)


@pytest.mark.parametrize(
    ("call", "num_numbers"),
    [
        (lambda x: x + 1, 1000),
        (lambda x: (x + 1) + 1, 2000),
        (lambda x: ((x + 1) + 1) + 1, 2000),  # The first result is gone when the third is made.
        (lambda x: (x + 1).view(10, 100).t(), 1000),  # A view is no more memory.
        (lambda x: x.view(10, 100), 0),  # What was there does not count.
        (lambda x: (x + 1).add_(1), 1000),
    ],
)
def test_live_bytes_are_those_that_an_allocator_would_hold(call, num_numbers):
    assert peak_bytes(lambda: call(GIVEN)) == 4 * num_numbers


def test_attention_holds_no_matrix_of_all_pairs():
    q = meta(1, 2, 1000, 8)
    assert peak_bytes(lambda: nn.functional.scaled_dot_product_attention(q, q, q)) == q.numel() * 4


def test_live_bytes_of_a_layer_are_counted_by_hand():
    layer = nn.Sequential(nn.Linear(10, 40), nn.GELU(), nn.Linear(40, 10)).to("meta")
    # At the peak the widest result and what GELU makes of it: 2 x 100 x 40 numbers.
    assert peak_bytes(lambda: layer(meta(100, 10))) == 4 * (2 * 100 * 40 + 100 * 10)


def test_computed_weights_are_those_that_are_published():
    found = needs(FILL, None, Placing())
    assert found.host_prompt_gb - found.host_gb == pytest.approx(TEXT[FILL_REPO] / GIGA, rel=1e-3)
    bare = needs(AdapterConfig(rank=1, maps=()), None, Placing())
    # Two VAEs, and a LoRA of rank 1 with the projection's new columns.
    assert bare.host_prompt_gb - 1 == pytest.approx((MODELS[FILL_REPO, ""] + 167_666_902) / GIGA, rel=2e-3)


def test_figures_of_the_real_geometry():
    assert step_numbers(FILL) * 2 / GIGA == pytest.approx(0.92, abs=0.01)  # facts of the recipe: 0.93 for a block
    # The last but one level at full size: 256 channels, three times.
    assert coding_numbers(FILL) == pytest.approx(3 * 256 * 1024**2, rel=1e-3)
    assert coding_numbers(AdapterConfig(size_px=512)) * 4 == coding_numbers(FILL)


def test_each_way_takes_less_than_the_one_before():
    taken = {way: needs(FILL, None, way) for way in WAYS}
    for form in ("none", "int8"):
        of_form = [taken[Placing(offload, form)].gpu_gb for offload in ("none", "model", "group")]
        assert of_form == sorted(of_form, reverse=True)
    assert taken[Placing("sequential")].gpu_gb < taken[Placing("group")].gpu_gb
    forms = [taken[Placing(quantise=form)].gpu_gb for form in ("none", "int8", "nf4")]
    assert forms == sorted(forms, reverse=True)
    assert all(found.gpu_prompt_gb >= found.gpu_gb and found.host_prompt_gb > found.host_gb for found in taken.values())
    assert needs(FILL, None, Placing(), 4).gpu_gb > 1.9 * taken[Placing()].gpu_gb


def test_a_base_that_knows_no_text_needs_none_of_it():
    found = needs(SMALL, None, Placing())
    assert (found.gpu_gb, found.host_gb) == (found.gpu_prompt_gb, found.host_prompt_gb)


def test_a_folder_is_counted_in_its_own_geometry(tmp_path):
    save_base(SmallFill().new(dim_heads=192), str(tmp_path / "wide"))
    assert needs(SMALL, str(tmp_path / "wide"), Placing()).gpu_gb > needs(SMALL, None, Placing()).gpu_gb
    flux_fill().save_pretrained(tmp_path / "tiny")
    assert needs(AdapterConfig(rank=4), str(tmp_path / "tiny"), Placing()).host_prompt_gb < 1.2


# ---- tiles


def test_pictures_of_the_usual_size_go_whole():
    assert not decodes_in_tiles(FILL, 1024**2)
    assert not decodes_in_tiles(FILL, 1088 * 1008)
    assert decodes_in_tiles(FILL, 1536**2)


def test_where_the_network_leaves_the_card_there_is_room_for_more():
    assert not decodes_in_tiles(FILL, 2048**2, released=26 * 10**9)
    assert decodes_in_tiles(FILL, 8192**2, released=26 * 10**9)


class Coded:
    """A VAE as far as tiles are concerned."""

    def __init__(self):
        self.use_tiling = False

    def enable_tiling(self):
        self.use_tiling = True

    def disable_tiling(self):
        self.use_tiling = False


def tiled_for(size, device="cuda", max_pixels=None, **changes):
    prepared = SimpleNamespace(geometry=working_geometry(size, find_base("flux-fill").pixel_multiple, 1024, max_pixels))
    pipe = SimpleNamespace(
        vae=Coded(), vae_rgba=Coded(), adapter=FILL, _execution_device=torch.device(device), **changes
    )

    def decompose(pipe, prepared):
        return pipe.vae.use_tiling, pipe.vae_rgba.use_tiling

    seen = in_tiles_if_large(decompose)(pipe, prepared)
    assert not pipe.vae.use_tiling and not pipe.vae_rgba.use_tiling  # Afterwards they are as they were.
    return seen


@pytest.mark.parametrize("size", [(1024, 1024), (480, 640), (4000, 6000), (300, 3000)])
def test_no_picture_that_is_brought_to_the_adapters_size_is_tiled(size):
    assert tiled_for(size) == (False, False)


def test_a_larger_one_is_tiled_by_both_vaes_on_a_gpu():
    assert tiled_for((2000, 2000), max_pixels=2000**2) == (True, True)
    assert tiled_for((2000, 2000), "cpu", max_pixels=2000**2) == (False, False)
