import torch
from hypothesis import given
from hypothesis import strategies as st

from training.data.recolour import Recolouring, draw_recolouring
from training.losses import over


@given(st.integers(0, 10_000))
def test_layers_still_make_up_the_picture(key):
    random = torch.Generator().manual_seed(key)
    background = torch.rand(3, 4, 5, generator=random) * 2 - 1
    foreground = torch.rand(4, 4, 5, generator=random) * 2 - 1
    foreground[3, :2] = -1.0
    foreground[:3, :2] = 0.0
    colours = draw_recolouring(3, 0, str(key), 0, 1.0)
    composite = over(foreground[None], background[None])[0]
    laid = over(colours.rgba(foreground)[None], colours.rgb(background)[None])[0]
    torch.testing.assert_close(laid, colours.rgb(composite), rtol=0, atol=1e-5)
    assert laid.abs().max() <= 1.0 + 1e-5
    assert colours.rgba(foreground)[:3, :2].abs().max() == 0.0
    assert torch.equal(colours.rgba(foreground)[3], foreground[3])


def test_it_is_drawn_by_seed_epoch_and_scene_as_often_as_asked():
    drawn = [draw_recolouring(1, 0, str(key), 0, 0.5) for key in range(400)]
    assert drawn == [draw_recolouring(1, 0, str(key), 0, 0.5) for key in range(400)]
    assert 150 < sum(each is not None for each in drawn) < 250
    assert draw_recolouring(1, 0, "a", 0, 1.0) != draw_recolouring(1, 1, "a", 0, 1.0)
    assert draw_recolouring(1, 0, "a", 0, 1.0) != draw_recolouring(1, 0, "a", 1, 1.0)
    assert draw_recolouring(1, 0, "a", 0, 0.0) is None


def test_channels_are_swapped_and_values_scaled():
    picture = torch.tensor([0.1, 0.2, 0.3]).reshape(3, 1, 1)
    changed = Recolouring((2, 0, 1), 0.5, 0.25).rgb(picture)
    torch.testing.assert_close(changed.flatten(), torch.tensor([0.4, 0.3, 0.35]))
