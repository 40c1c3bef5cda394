"""A cutout's bytes and record: what is stored decodes to what was gated, with colour where it is invisible."""

import hashlib
from dataclasses import asdict
from typing import Any

import cv2
import numpy as np
import pytest

from decoupage.faults import BadItem
from decoupage.images.codecs import decode_rgba
from pipelines.config import GateConfig
from pipelines.foregrounds.cutout import make_cutout
from pipelines.library.picture_hashes import perceptual_hash
from pipelines.library.records import ForegroundRecord, schema_of

NAMES: dict[str, Any] = {"source": "mulan", "origin": "o", "licence": "cc0-1.0", "attribution": "somebody"}


def disc(y: int = 100) -> np.ndarray:
    rgba = np.zeros((200, 240, 4), np.uint8)
    cv2.circle(rgba, (120, y), 60, (200, 120, 40, 255), -1)
    return rgba


def make(rgba: np.ndarray, **names: Any) -> tuple[bytes, ForegroundRecord]:
    return make_cutout(rgba, GateConfig(min_area_px=2000), **{"kind": "real", "id": "mulan-1-1", **NAMES, **names})


def test_the_record_describes_the_bytes() -> None:
    data, record = make(disc(), category="ball", caption="a ball", split="test", consistency_error=1.5)
    rgba = decode_rgba(data)
    assert rgba.shape == (record.height_px, record.width_px, 4) == (121, 121, 4)
    assert record.sha256 == hashlib.sha256(data).hexdigest()
    assert record.member == "mulan-1-1.webp"
    assert record.area_px == (disc()[..., 3] == 255).sum()
    assert (record.category, record.caption, record.split, record.consistency_error) == ("ball", "a ball", "test", 1.5)
    assert set(asdict(record)) == set(schema_of(ForegroundRecord).names)


def test_visible_colours_are_kept_and_invisible_ones_bled() -> None:
    rgba = decode_rgba(make(disc())[0])
    assert (rgba[rgba[..., 3] == 255][:, :3] == (200, 120, 40)).all()
    corner = rgba[0, 0]
    assert corner[3] == 0 and np.abs(corner[:3].astype(int) - (200, 120, 40)).max() <= 2


@pytest.mark.parametrize(
    ("kind", "y", "completeness", "sides"),
    [
        ("real", 100, "unknown", ""),
        ("generated", 100, "complete", ""),
        ("real", 170, "cut", "b"),
        ("generated", 170, "cut", "b"),
    ],
)
def test_completeness(kind: str, y: int, completeness: str, sides: str) -> None:
    record = make(disc(y), kind=kind)[1]
    assert (record.completeness, record.cut_sides) == (completeness, sides)


def halves(second: int = 45) -> np.ndarray:
    rgba = np.zeros((200, 240, 4), np.uint8)
    for x, radius in ((60, 50), (180, second)):
        cv2.circle(rgba, (x, 100), radius, (200, 120, 40, 255), -1)
    return rgba


@pytest.mark.parametrize("names", [{"prompt": "sneakers"}, {"caption": "a pair of sneakers on a white background"}])
def test_a_pair_passes_where_its_prompt_or_caption_names_one(names: dict[str, str]) -> None:
    assert make(halves(), **names)[1].width_px == 216


@pytest.mark.parametrize("names", [{"prompt": "dog"}, {"caption": "a dog"}, {}, {"prompt": "dog", "caption": "dogs"}])
def test_two_halves_of_one_thing_are_refused(names: dict[str, str]) -> None:
    with pytest.raises(BadItem, match="islands"):
        make(halves(), **names)


def test_a_plural_lets_neither_unequal_parts_nor_a_third_pass() -> None:
    with pytest.raises(BadItem, match="islands"):
        make(halves(second=30), prompt="sneakers")
    three = halves()
    cv2.rectangle(three, (0, 0), (239, 20), (200, 120, 40, 255), -1)
    with pytest.raises(BadItem, match="outside the two largest parts"):
        make(three, prompt="sneakers")
    assert make(disc(), prompt="scissors")[1].width_px == 121


def test_the_hash_is_near_for_alike_and_far_for_other_pictures() -> None:
    random = np.random.default_rng(1)
    noise = cv2.GaussianBlur(random.integers(0, 256, (160, 160, 3), np.uint8), (0, 0), 9)
    noise = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX)
    solid = np.full((160, 160, 1), 255, np.uint8)
    rgba = np.dstack([noise, solid])

    def distance(other: np.ndarray) -> int:
        return (int(perceptual_hash(rgba), 16) ^ int(perceptual_hash(other), 16)).bit_count()

    assert len(perceptual_hash(rgba)) == 16
    assert distance(cv2.resize(rgba, (100, 100), interpolation=cv2.INTER_AREA)) <= 4
    assert distance(np.dstack([noise[::-1], solid])) > 12


def test_gates_refuse_and_ids_are_checked() -> None:
    with pytest.raises(BadItem, match="empty_alpha"):
        make(np.zeros((50, 50, 4), np.uint8))
    with pytest.raises(ValueError, match="letters, digits"):
        make(disc(), id="../x")
