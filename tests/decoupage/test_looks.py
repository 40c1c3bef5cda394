"""Where an object shows, as a first look tells."""

import torch

from decoupage.looks import shown_mask

RED, GREEN, BLUE = (
    torch.tensor(colour).reshape(3, 1, 1) for colour in ((0.8, 0.1, 0.1), (0.1, 0.6, 0.2), (0.1, 0.1, 0.9))
)


def square(left, right):
    mask = torch.zeros(1, 1, 40, 60)
    mask[..., 10:30, left:right] = 1
    return mask


def looked_at(mask, alpha=None):
    """A red square from 10 to 40 on green, a blue one from 30 to 50 before it; found whole by the first look."""
    whole, cover = square(10, 40), square(30, 50)
    behind = GREEN * (1 - cover) + BLUE * cover
    picture = torch.where(cover > 0, BLUE, torch.where(whole > 0, RED, GREEN))
    red = RED.expand(1, 3, 40, 60)
    return shown_mask(whole if alpha is None else alpha, red, behind, picture, mask, 1.0)


def test_what_the_mask_missed_is_shown_and_what_it_took_in_besides_is_not():
    found = looked_at(square(5, 20))
    assert torch.equal(found[..., 12:28, 12:28], square(10, 30)[..., 12:28, 12:28])
    assert found[..., :9].sum() == 0


def test_what_is_hidden_is_not_shown():
    assert looked_at(square(10, 30))[..., 32:].sum() == 0


def test_where_nothing_was_found_the_given_mask_stays():
    given = square(5, 20)
    assert torch.equal(looked_at(given, torch.zeros(1, 1, 40, 60)), given)
