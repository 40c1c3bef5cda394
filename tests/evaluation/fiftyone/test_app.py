"""The App in a real browser: composites with masks on, a group with its slices, and tags set by mouse and keyboard."""

import socket

import pytest

from evaluation.fiftyone.app import app_url, serving
from tests.browser import chromium, wait
from tests.evaluation.fiftyone.way_back import NAME, build, gone_after_applying, load

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PICTURE = "[data-cy=fo-grid] [data-cy=looker]"
DRAWN = f"{PICTURE} canvas[canvas-loaded=true]"
CORNER = "[data-cy=fo-grid] [data-cy='looker-checkbox-']"


@pytest.fixture
def page(root, server, tmp_path):
    """The App over a small dataset, at its training scenes."""
    build(root)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (
        serving("127.0.0.1", port, NAME, root / "fiftyone" / "media") as started,
        chromium(tmp_path / "profile") as open_page,
    ):
        started.await_answer()
        page = open_page("about:blank")
        page.desk()
        page.go(f"{app_url('127.0.0.1', port, NAME)}?view=training")
        # What FiftyOne praises lies over the grid, once.
        press(page, "Dismiss")
        page.wait(f"document.querySelectorAll({DRAWN!r}).length === 8")
        yield page


def press(page, words):
    """What bears these words; it goes with the click."""
    found = f"[...document.querySelectorAll('button, span')].find(found => found.textContent === {words!r})"
    page.wait(f"!!{found}")
    page(f"{found}.click()")
    page.wait(f"!{found}")


def checked(page, field):
    """Whether a field is shown on the pictures."""
    return page(f"document.querySelector('[data-cy=checkbox-{field}] input').checked")


def test_composites_have_their_masks_on_and_a_group_opens_with_every_slice(page):
    assert [checked(page, name) for name in ("visible", "imperfect", "layers")] == [True] * 3
    assert not checked(page, "edges")
    page.click(PICTURE)
    slices = "[data-cy=group-carousel] [data-cy=looker]"
    group = next(iter(load().load_saved_view("training").iter_groups(group_slices=["composite"])))
    num_slices = len(load().get_group(group["composite"].group.id))
    page.wait(f"document.querySelectorAll({slices!r}).length === {num_slices}")


def test_two_pictures_tagged_in_the_app_are_gone_after_the_next_run(page, root):
    page.click("[data-cy=selector-slice]")
    page.write("layer0")
    page.wait("document.querySelectorAll('[data-cy^=selector-result-]').length === 1")
    page(f"document.querySelectorAll({PICTURE!r}).forEach(picture => picture.dataset.before = 'yes')")
    page.press("Enter")
    page.wait(f"document.querySelectorAll({DRAWN.replace('looker]', 'looker]:not([data-before])')!r}).length === 8")
    for index in (0, 5):
        page.hover(PICTURE, index)
        page.click(CORNER, index)
    page.click("[data-cy=action-tag-sample-labels]")
    page.wait("document.activeElement.dataset.cy === 'sample-tag-input'")
    page.write("reject")
    page.wait("!!document.querySelector('[data-cy^=\"button-Add\"]')")
    page.click("[data-cy^='button-Add']")
    press(page, "Apply")

    def tagged():
        return load().select_group_slices("layer0").match_tags("reject")

    wait(lambda: len(tagged()) == 2, "two tagged pictures")
    assert set(tagged().values("split")) == {"train"}
    rejected = set(tagged().values("asset"))
    assert gone_after_applying(root) == rejected
