"""Rendered objects: each by its name, the same whatever else is asked, and from a folder under the same id."""

import pickle
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from decoupage.faults import BadItem, BadSetup
from pipelines.config import GateConfig, GeneratedConfig
from pipelines.foregrounds.generated_stage import GeneratedForegrounds, make_generator
from pipelines.foregrounds.prompts import Prompt, given_prompts, read_prompts
from pipelines.foregrounds.rendered import RenderedGenerator, requirements
from pipelines.named_paths import named_paths
from pipelines.packaged.cutouts import FOLDER, OTHER_CATEGORY, cutouts_of, name_of, packaged_cutouts
from pipelines.stages.store import Store
from profiles.profile import load_profile

CAT = Prompt("animal", "cat")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The cat, which is packaged, and the same picture under two names that are not."""
    for name in ("1f408", "1f40a", "1f3c3-200d-2642-fe0f-1f3fb"):
        shutil.copyfile(FOLDER / "1f408.webp", tmp_path / f"{name}.webp")
    (tmp_path / "README.md").write_text("More of them.")
    return tmp_path


def test_prompts_are_the_names_of_the_objects_and_each_gives_its_picture(tmp_path: Path) -> None:
    profile = load_profile("demo", str(tmp_path))
    prompts = read_prompts(profile, Store(str(tmp_path)))
    assert [prompt.text for prompt in prompts] == [cutout.name for cutout in packaged_cutouts()]
    generator = make_generator(profile.generated)
    assert generator == RenderedGenerator()
    for prompt, cutout in zip(prompts, packaged_cutouts(), strict=True):
        assert (generator.generate(prompt, 1) == cutout.read()).all()


def test_a_picture_depends_on_its_prompt_alone() -> None:
    first = RenderedGenerator().generate(CAT, 1)
    assert first.shape == (256, 256, 4) and (first[..., 3] > 0).any()
    for config in ({"size_px": 64}, {"prompts_per_category": 1}, {"seed": 9}):
        other = make_generator(GeneratedConfig(**config))
        assert other.recipe == RenderedGenerator().recipe
        assert (other.generate(CAT, 2) == first).all()
    copied = pickle.loads(pickle.dumps(other))
    assert (copied.generate(CAT, 3) == first).all()


def test_an_unknown_name_is_no_prompt() -> None:
    with pytest.raises(ValueError, match="'unheard of'"):
        RenderedGenerator().generate(Prompt("animal", "unheard of"), 0)


def test_a_folder_gives_all_its_pictures_and_the_packaged_ones_keep_their_ids(folder: Path) -> None:
    config = GeneratedConfig(rendered_folder=str(folder), num_shards=1)
    assert given_prompts(config) == [
        Prompt(OTHER_CATEGORY, "runner male sign emoji modifier fitzpatrick type-1-2"),
        CAT,
        Prompt(OTHER_CATEGORY, "crocodile"),
    ]
    ids = {
        place: {id for id, _ in GeneratedForegrounds(config, GateConfig()).items("00000")}
        for place, config in (("folder", config), ("package", GeneratedConfig(num_shards=1)))
    }
    assert ids["folder"] & ids["package"] == {"rendered-animal-cat-0"}
    there, packaged = make_generator(config), RenderedGenerator()
    assert (there.generate(CAT, 0) == packaged.generate(CAT, 0)).all() and there.recipe == packaged.recipe


def test_another_picture_under_a_packaged_name_is_refused(folder: Path) -> None:
    shutil.copyfile(FOLDER / "1f40e.webp", folder / "1f408.webp")
    with pytest.raises(BadItem, match=r"1f408\.webp is not the picture that cutouts\.csv names 'cat'") as fault:
        RenderedGenerator(str(folder)).generate(CAT, 0)
    assert fault.value.reason == "other_picture"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, "which is no folder"),
        ((), r"holds no \.webp file"),
        (("1f408.png",), r"holds no \.webp file"),
        (("1f408.webp", "cat.webp"), r"cat\.webp is not named after code points"),
    ],
)
def test_a_folder_that_cannot_be_used_stops_before_work_starts(tmp_path: Path, files, message: str) -> None:
    folder = tmp_path / "objects"
    if files is not None:
        folder.mkdir()
        for name in files:
            (folder / name).touch()
    config = GeneratedConfig(rendered_folder=str(folder))
    with pytest.raises(BadSetup, match=message):
        given_prompts(config)
    (missing,) = requirements(config)
    assert not missing.present and missing.name == "generated.rendered_folder"
    profile = load_profile("demo", str(tmp_path), {"generated.rendered_folder": str(folder)})
    assert missing in named_paths(profile)


def test_the_doctor_counts_what_a_folder_holds(folder: Path) -> None:
    (there,) = requirements(GeneratedConfig(rendered_folder=str(folder)))
    assert there.present and there.found == f"3 in {folder}"
    assert requirements(GeneratedConfig()) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width_px": 128}, "rendered objects have their own size"),
        ({"images_per_prompt": 2}, "images_per_prompt must be 1 for rendered objects, got 2"),
        ({"generator": "layerdiffuse", "rendered_folder": "objects"}, "rendered_folder is for generator = 'rendered'"),
    ],
)
def test_settings_of_other_generators_are_refused(values, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GeneratedConfig(**values)


def test_nobody_writes_prompts_for_rendered_objects(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the names of its objects"):
        load_profile("demo", str(tmp_path), {"prompts.source": "written"})


@pytest.mark.parametrize(
    ("code_points", "name"),
    [("1f400", "rat"), ("26b1-fe0f", "funeral urn"), ("1f468-200d-1f373", "man cooking"), ("e50a", "symbol e50a")],
)
def test_names_are_unicodes(code_points: str, name: str) -> None:
    assert name_of(code_points) == name


def test_no_name_of_the_table_is_that_of_another_picture() -> None:
    for cutout in packaged_cutouts():
        try:
            code_point = unicodedata.lookup(cutout.name)
        except KeyError:
            continue
        assert f"{ord(code_point):x}" == cutout.path.stem.removesuffix("-fe0f"), cutout.name


def test_all_of_a_larger_set_can_be_used(shared_picture: Callable[[str], Path]) -> None:
    found = cutouts_of(str(shared_picture("training/cutouts_rendered")))
    assert len({cutout.name for cutout in found}) == len(found) > 400
    assert {cutout.sha256 for cutout in packaged_cutouts()} <= {cutout.sha256 for cutout in found}
    for cutout in found[::40]:
        assert np.asarray(cutout.read()).shape == (256, 256, 4)
