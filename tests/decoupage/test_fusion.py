"""Multi-modal latent fusion: any subset of modalities, what it costs, and that it learns."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from decoupage.fusion import MultiModalLatentFusion, positions
from decoupage.maps.table import MAPS

GRID = (4, 6)
NUM_TOKENS = GRID[0] * GRID[1]
SUBSETS = [(), ("depth",), ("edges", "depth"), tuple(MAPS)]
VARIANTS = [{}, {"direct_queries": True}, {"num_decode_blocks": 2}]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def fusion(**changes: Any) -> MultiModalLatentFusion:
    torch.manual_seed(0)
    small = {"token_dim": 16, "dim": 32, "num_latents": 8, "num_heads": 4, "num_self_blocks": 2}
    return MultiModalLatentFusion(**{**small, **changes}).eval()


def on_meta(**changes: Any) -> MultiModalLatentFusion:
    """At its real size, without memory; the counter's hooks want either all gradients or none."""
    with torch.device("meta"):
        return MultiModalLatentFusion(**changes).eval().requires_grad_(False)


def tokens(num_pictures: int = 2, names: Sequence[str] = (*MAPS,), num_tokens: int = NUM_TOKENS) -> tuple[Tensor, dict]:
    random = torch.Generator().manual_seed(1)
    drawn = {name: torch.randn(num_pictures, num_tokens, 16, generator=random) for name in ("image", *MAPS)}
    return drawn["image"], {name: drawn[name] for name in names}


def gflops(model: MultiModalLatentFusion, side: int) -> float:
    tokens_BND = torch.zeros(1, side * side, 64, device="meta")
    with FlopCounterMode(display=False) as counter:
        model(tokens_BND, dict.fromkeys(model.modalities, tokens_BND), (side, side))
    return counter.get_total_flops() / 1e9


@pytest.mark.parametrize("names", SUBSETS, ids=lambda names: "+".join(names) or "none")
@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_any_subset_gives_context_like_latents(names: Sequence[str], changes: dict):
    image, modality = tokens(names=names)
    context = fusion(**changes)(image, modality, GRID)
    assert context.shape == image.shape
    assert torch.allclose(context.square().mean(-1), torch.ones(2, NUM_TOKENS), atol=1e-3)


@pytest.mark.parametrize("names", SUBSETS, ids=lambda names: "+".join(names) or "none")
@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_a_missing_modality_equals_a_dropped_one(names: Sequence[str], changes: dict):
    model = fusion(**changes)
    image, modality = tokens()
    present = torch.tensor([[name in names for name in MAPS]]).expand(2, -1)
    missing = model(image, {name: modality[name] for name in names}, GRID)
    assert torch.allclose(model(image, modality, GRID, present), missing, atol=1e-5)
    # What was dropped does not shine through.
    other = {name: modality[name] if name in names else modality[name] * 100 for name in MAPS}
    assert torch.allclose(model(image, other, GRID, present), missing, atol=1e-5)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_each_picture_has_its_own_present_modalities(changes: dict):
    model = fusion(**changes)
    image, modality = tokens(4)
    present = torch.tensor([[True, True, True], [False, False, False], [True, False, True], [False, True, False]])
    together = model(image, modality, GRID, present)
    for i, row in enumerate(present.tolist()):
        own = {name: modality[name][i : i + 1] for name, there in zip(MAPS, row, strict=True) if there}
        assert torch.allclose(together[i : i + 1], model(image[i : i + 1], own, GRID), atol=1e-5)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_context_hears_image_each_modality_and_position(changes: dict):
    model = fusion(**changes)
    image, modality = tokens()
    context = model(image, modality, GRID)
    for name in MAPS:
        assert not torch.allclose(model(image, {**modality, name: modality[name].flip(1)}, GRID), context, atol=1e-4)
    swapped = {**modality, "edges": modality["depth"], "depth": modality["edges"]}
    assert not torch.allclose(model(image, swapped, GRID), context, atol=1e-4)
    assert not torch.allclose(model(image.flip(1), modality, GRID), context, atol=1e-4)
    assert not torch.allclose(model(image, modality, (6, 4)), context, atol=1e-4)


def test_the_order_of_the_mapping_does_not_matter():
    image, modality = tokens()
    model = fusion()
    backwards = {name: modality[name] for name in reversed(MAPS)}
    assert torch.equal(model(image, modality, GRID), model(image, backwards, GRID))


def test_dropout_only_while_training_and_reproducible():
    image, modality = tokens(64)
    model = fusion(modality_dropout=0.5)
    assert torch.equal(model(image, modality, GRID), model(image, modality, GRID))
    model.train()
    drawn = model.draw_present(64, torch.Generator().manual_seed(3))
    first = model(image, modality, GRID, generator=torch.Generator().manual_seed(3))
    assert torch.equal(first, model(image, modality, GRID, generator=torch.Generator().manual_seed(3)))
    assert torch.equal(first, model(image, modality, GRID, drawn))
    assert not torch.equal(first, model(image, modality, GRID, generator=torch.Generator().manual_seed(4)))
    torch.manual_seed(5)
    from_global = model(image, modality, GRID)
    torch.manual_seed(5)
    assert torch.equal(from_global, model(image, modality, GRID))


def test_dropout_has_the_asked_share_and_hits_modalities_independently():
    drawn = fusion(modality_dropout=0.25).draw_present(20_000, torch.Generator().manual_seed(0)).double()
    assert torch.allclose(drawn.mean(0), torch.full((3,), 0.75, dtype=torch.float64), atol=0.02)
    assert torch.corrcoef(drawn.T).fill_diagonal_(0).abs().max() < 0.03


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_gradients_reach_every_parameter(changes: dict, checkpointing: bool):
    model = fusion(**changes).train()
    if checkpointing:
        model.enable_gradient_checkpointing()
    image, modality = tokens()
    target = torch.randn(image.shape, generator=torch.Generator().manual_seed(2))
    # One picture has nothing at all: its empty attention must not poison the others.
    present = torch.tensor([[True, True, True], [False, False, False]])
    (model(image, modality, GRID, present) * target).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_checkpointing_changes_no_gradient():
    gradients = []
    for checkpointing in (False, True):
        model = fusion(modality_dropout=0.0).train()
        if checkpointing:
            model.enable_gradient_checkpointing()
        image, modality = tokens()
        model(image, modality, GRID)[..., 0].sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(plain, again) for plain, again in zip(*gradients, strict=True))


def test_it_can_learn_what_only_a_map_knows():
    model = fusion(modality_dropout=0.0).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    random = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(150):
        image = torch.randn(16, 4, 16, generator=random)
        depth = torch.randn(16, 1, 16, generator=random).expand(-1, 4, -1)
        wanted = depth * depth.square().mean(-1, keepdim=True).rsqrt()
        loss = (model(image, {"depth": depth}, (2, 2)) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # 2 = nothing in common.
    assert sum(losses[-10:]) / 10 < 0.7 * sum(losses[:10]) / 10


def test_what_a_map_says_at_a_place_is_heard_there_most():
    image, given = tokens()
    model = fusion()
    changed = {name: tokens_BND.clone() for name, tokens_BND in given.items()}
    changed["depth"][:, 3] += 1.0
    moved_BN = (model(image, changed, GRID) - model(image, given, GRID)).abs().mean(-1)
    elsewhere_BN = torch.cat([moved_BN[:, :3], moved_BN[:, 4:]], dim=1)
    assert (moved_BN[:, 3:4] > 5 * elsewhere_BN).all()


def test_it_learns_where_things_are_from_a_map_at_once():
    model = fusion(modality_dropout=0.0, num_latents=2).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    random = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(150):
        image, depth = (torch.randn(16, 16, 16, generator=random) for _ in range(2))
        wanted = depth * depth.square().mean(-1, keepdim=True).rsqrt()
        loss = (model(image, {"depth": depth}, (4, 4)) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # 2 = nothing in common. Two latents cannot hold sixteen places.
    assert sum(losses[-10:]) / 10 < 0.5 * sum(losses[:10]) / 10


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_saved_and_loaded_bit_for_bit(tmp_path: Path, changes: dict, dtype: torch.dtype):
    model = fusion(modalities=("depth", "edges"), **changes).to(dtype)
    model.save_pretrained(tmp_path)
    loaded = MultiModalLatentFusion.from_pretrained(tmp_path, torch_dtype=dtype)
    assert not loaded.training and loaded.modalities == ("depth", "edges")
    for name in ("dim", "num_latents", "num_decode_blocks", "direct_queries", "modality_dropout"):
        assert loaded.config[name] == model.config[name]
    image, modality = tokens(names=("edges", "depth"))
    context = loaded(image, modality, GRID)
    assert context.dtype == dtype and torch.equal(context, model(image, modality, GRID))


def test_bf16_stays_close_to_fp32():
    image, modality = tokens()
    exact = fusion()(image, modality, GRID)
    rounded = fusion().to(torch.bfloat16)(image, modality, GRID).float()
    assert (rounded - exact).square().mean().sqrt() < 0.05


def test_positions_tell_all_tokens_apart_and_do_not_depend_on_the_grid():
    small, large = positions((3, 5), 32), positions((64, 80), 32)
    assert torch.equal(large.view(64, 80, 32)[:3, :5].flatten(0, 1), small)
    distances = torch.cdist(large, large)
    assert (distances + torch.eye(64 * 80)).min() > 0.05


def test_size_and_cost_at_1024_px():
    model, direct = on_meta(), on_meta(direct_queries=True)
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    print(f"fusion: {millions:.2f} M parameters, {gflops(model, 64):.1f} GF; direct {gflops(direct, 64):.1f} GF")
    assert millions == pytest.approx(18.2, rel=0.01)
    assert gflops(model, 64) == pytest.approx(45.1, rel=0.01)


def test_cost_grows_linearly_with_the_tokens_and_the_direct_variants_with_their_square():
    model, direct = on_meta(), on_meta(direct_queries=True)
    quarter, one, four = (gflops(model, side) for side in (64, 128, 256))
    # A straight line: four times the tokens cost four times as much, but for what the latents cost by themselves.
    assert (four - one) == pytest.approx(4 * (one - quarter), rel=1e-9)
    assert 3.7 < four / one < 4
    assert gflops(direct, 256) / gflops(direct, 128) > 14


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modalities": ()}, "modalities must be different names"),
        ({"modalities": ("edges", "edges")}, "modalities must be different names"),
        ({"dim": 30}, "dim must be a multiple of 4"),
        ({"num_decode_blocks": 0}, "num_decode_blocks must be at least 1"),
        ({"modality_dropout": 1.0}, r"modality_dropout must be in \[0, 1\)"),
    ],
)
def test_impossible_sizes_are_refused(changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        fusion(**changes)


def test_tokens_that_do_not_fit_are_refused():
    model, (image, modality) = fusion(), tokens()
    with pytest.raises(ValueError, match="modalities must be among edges, segmentation, depth, got normals"):
        model(image, {"normals": image}, GRID)
    with pytest.raises(ValueError, match=r"image tokens must be \[B, 25, 16\], got \[2, 24, 16\]"):
        model(image, modality, (5, 5))
    with pytest.raises(ValueError, match=r"depth tokens must be \[2, 24, 16\], got \[2, 23, 16\]"):
        model(image, {"depth": image[:, 1:]}, GRID)
    with pytest.raises(ValueError, match=r"present_BM must be \[2, 3\], got \[2, 1\]"):
        model(image, modality, GRID, torch.ones(2, 1, dtype=torch.bool))
