"""OpenImages' lists: read by name, judged by named filters, chosen in a stable order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoupage.faults import BadSetup
from pipelines.backgrounds.openimages.boxes import union_share
from pipelines.backgrounds.openimages.candidates import licence_name
from pipelines.backgrounds.openimages.choose import choose
from pipelines.backgrounds.openimages.labels import class_names
from pipelines.backgrounds.openimages.lists import find, gather, wanted
from pipelines.config import OpenImagesConfig
from tests.pipelines.backgrounds.lists import box, id_of, image, label, lists, write


def chosen(tmp_path, images, labels, boxes, flat=False, gz=False, heading=False, **changes):
    write(tmp_path / "lists", lists(images, labels, boxes, heading=heading), flat, gz)
    config = OpenImagesConfig(lists=str(tmp_path / "lists"), **changes)
    return choose(config, gather(config, tmp_path / "fetched"))


def plain(number: int) -> list[list[dict[str, str]]]:
    """So many images that pass: (images, labels, boxes)."""
    ids = [id_of(i) for i in range(number)]
    return [[image(id) for id in ids], [label(id, "Sky") for id in ids], [box(id, 0, 0.1, 0, 0.1) for id in ids]]


@pytest.mark.parametrize(("flat", "gz", "heading"), [(False, False, False), (True, False, True), (False, True, True)])
def test_lists_are_found_as_people_keep_them(tmp_path, flat, gz, heading):
    choice = chosen(tmp_path, *plain(3), flat=flat, gz=gz, heading=heading)
    assert sorted(choice.images) == sorted(f"train/{id_of(i)}.jpg" for i in range(3))


def test_each_filter_takes_away_what_it_names(tmp_path):
    images, labels, boxes = plain(14)
    ids = [row["ImageID"] for row in images]
    images[1]["Rotation"] = ""
    images[2]["Rotation"] = "nan"
    images[3]["Rotation"] = "45"
    images[4]["License"] = "https://example.org/all-mine"
    images[5]["OriginalSize"] = "1000"
    labels[6]["Confidence"] = "0"
    labels.append(label(ids[7], "Dog"))
    labels.append(label(ids[0], "Person", "0"))
    boxes[8] |= {"XMax": "0.9", "YMax": "0.9"}
    boxes[9]["IsInside"] = "1"
    boxes[10]["IsDepiction"] = "1"
    boxes[11] |= {"XMin": "nan"}
    # Overlapping boxes count once: three times the same 4 per cent.
    boxes += [box(ids[12], 0.5, 0.7, 0.5, 0.7)] * 3
    boxes[13] |= {"IsInside": "-1", "IsDepiction": "-1"}
    images.append(image("../../etc/passwd"))
    images.append(image("ABCDEF0123456789"))
    choice = chosen(tmp_path, images, labels, boxes, min_original_kb=100)
    assert sorted(choice.images) == sorted(f"train/{ids[i]}.jpg" for i in (0, 12, 13))
    assert choice.num_listed == 16
    assert {reason: number for reason, number in choice.drops.items() if number} == {
        "bad_id": 2,
        "unknown_rotation": 2,
        "bad_rotation": 1,
        "unknown_licence": 1,
        "small_original": 1,
        "no_scene": 1,
        "object": 1,
        "bad_box": 1,
        "boxes_too_large": 1,
        "inside": 1,
        "depiction": 1,
    }


def test_what_is_said_of_an_image_is_kept(tmp_path):
    images, labels, boxes = plain(2)
    id = images[1]["ImageID"]
    images[1] |= {
        "Rotation": "90.0",
        "Title": "A day\nat the\tsea",
        "License": "https://creativecommons.org/licenses/by-sa/2.0/",
    }
    labels.append(label(id, "Beach"))
    said = chosen(tmp_path, images, labels, boxes).images[f"train/{id}.jpg"]
    assert (said.origin, said.licence, said.rotation_deg_ccw) == (id, "cc-by-sa-2.0", 90)
    assert said.caption == "sky, beach"
    assert said.attribution == (
        f'"A day at the sea" by Ann, of course (https://photographs.example/people/ann), https://photographs.example/{id}'
    )


def test_a_larger_number_appends_and_another_seed_takes_others(tmp_path):
    few, many = (list(chosen(tmp_path, *plain(60), num_images=n).images) for n in (10, 40))
    assert many[:10] == few and len(many) == 40
    assert set(chosen(tmp_path, *plain(60), num_images=10, seed=1).images) != set(few)


def test_order_of_lines_and_columns_does_not_matter(tmp_path):
    images, labels, boxes = plain(20)
    boxes += [box(row["ImageID"], 0.6, 0.65, 0.1, 0.2) for row in images]
    first = chosen(tmp_path / "a", images, labels, boxes, num_images=8)
    turned = [{name: row[name] for name in reversed(row)} for row in reversed(images)]
    assert chosen(tmp_path / "b", turned, labels[::-1], boxes[::-1], num_images=8) == first


@pytest.mark.parametrize("kind", ["images", "labels", "boxes"])
def test_a_damaged_list_stops_the_run(tmp_path, kind):
    files = lists(*plain(3))
    config = OpenImagesConfig(lists=str(tmp_path))
    path = wanted(config)[f"train.{kind}"].removeprefix(f"{tmp_path}/")
    whole = files[path]
    for damaged in (whole[:-30], whole.replace(b"ImageID", b"Image"), b"", b"\x00\xff" * 100):
        write(tmp_path, files | {path: damaged})
        with pytest.raises(BadSetup, match=path):
            choose(config, gather(config, tmp_path / "fetched"))


def test_missing_lists_and_empty_choices_say_what_to_do(tmp_path):
    config = OpenImagesConfig(lists=str(tmp_path / "nowhere"))
    with pytest.raises(BadSetup, match=r"backgrounds\.openimages\.paths"):
        gather(config, tmp_path)
    assert find(str(tmp_path / "nowhere" / "a.csv")) is None
    images, _, boxes = plain(2)
    with pytest.raises(BadSetup, match="no_scene 2"):
        chosen(tmp_path, images, [], boxes)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://creativecommons.org/licenses/by/2.0/", "cc-by-2.0"),
        ("http://creativecommons.org/licenses/by-nc-sa/2.0", "cc-by-nc-sa-2.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "cc0-1.0"),
        ("https://creativecommons.org.example/licenses/by/2.0/", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_licences_are_named_or_unknown(address, name):
    assert licence_name(address) == name


def test_shipped_class_names_are_disjoint():
    assert not set(class_names("scenes.txt")) & set(class_names("objects.txt"))


@given(st.lists(st.tuples(*[st.integers(0, 12)] * 4), min_size=1, max_size=8))
def test_union_counts_each_cell_once(corners):
    raster = np.zeros((12, 12), bool)
    edges = []
    for a, b, c, d in corners:
        left, right, top, bottom = min(a, b), max(a, b), min(c, d), max(c, d)
        raster[top:bottom, left:right] = True
        edges.append([left, right, top, bottom])
    share = union_share((np.array(edges) * 65535 // 12).astype(np.uint16))
    assert share == pytest.approx(raster.mean(), abs=0.002)


IMAGES = "2018_04/train/train-images-boxable-with-rotation.csv"
BOXES = "v6/oidv6-train-annotations-bbox.csv"
CLASSES = "v7/oidv7-class-descriptions.csv"


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (IMAGES, lambda data: data.replace(b"Ann, of", b"Ren\xe9", 1), r"line 2, byte \d+ .e9. is not UTF-8"),
        (IMAGES, lambda data: data.decode().encode("utf-16"), "is UTF-16"),
        (IMAGES, lambda data: data + b"0000000000000009,train\n", r"line 5: 2 values, the heading has \d+"),
        (BOXES, lambda data: data.replace(b",0.1", b",none", 1), r"line 2: XMax is 'none', which is not a number"),
        (CLASSES, lambda data: data + b"/m/lonely\n", r"line \d+: the label /m/lonely has no name"),
        (CLASSES, lambda data: data + b"/m/x,Ren\xe9\n", r"line \d+, byte 9 .e9. is not UTF-8"),
    ],
)
def test_a_bad_line_of_a_list_is_named(tmp_path, gz, name, change, message):
    content = lists(*plain(3))
    assert change(content[name]) != content[name]
    content[name] = change(content[name])
    write(tmp_path / "lists", content, False, gz)
    config = OpenImagesConfig(lists=str(tmp_path / "lists"))
    with pytest.raises(BadSetup, match=message):
        choose(config, gather(config, tmp_path / "fetched"))


def test_lists_with_a_byte_order_mark_are_read_as_without(tmp_path):
    content = {name: b"\xef\xbb\xbf" + data for name, data in lists(*plain(3)).items()}
    write(tmp_path / "lists", content, False, False)
    config = OpenImagesConfig(lists=str(tmp_path / "lists"))
    assert len(choose(config, gather(config, tmp_path / "fetched")).images) == 3
