"""Where a folder keeps the pictures of pairs, and which names they have."""

import pytest

from pipelines.config.pairs import LayoutConfig
from pipelines.pairs.reading import matches


def test_a_pattern_takes_pictures_alone_and_no_folder_below(tmp_path):
    for path in ("img/a.png", "img/b.JPG", "img/c.txt", "img/below/d.png", "other/e.png", "img/f_mask.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    assert list(matches(tmp_path, "img/*")) == ["a", "b", "f_mask"]
    assert list(matches(tmp_path, "img/*_mask.png")) == ["f"]


@pytest.mark.parametrize("pattern", ["img/", "img/*/*", "/img/*", "../img/*", "a/../b/*", "a//*", "a\\*"])
def test_patterns_stay_below_their_folder_and_have_one_star(pattern):
    with pytest.raises(ValueError, match="one \\* for the image's name"):
        LayoutConfig(image=pattern, mask="mask/*", background="gt/*")


@pytest.mark.parametrize(
    ("scene", "says"), [("(", "not a regular expression"), (".*", "one group"), ("(a)(b)", "got 2")]
)
def test_a_scene_is_a_group_of_a_regular_expression(scene, says):
    with pytest.raises(ValueError, match=says):
        LayoutConfig(image="img/*", mask="mask/*", background="gt/*", scene=scene)
