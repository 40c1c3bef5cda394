"""The data card and the Croissant file: read back by the libraries that will read them."""

import json
from pathlib import Path

import pytest
import yaml

from pipelines.config import DataConfig, PlacementConfig
from pipelines.dataset.build import write_dataset
from pipelines.dataset.card import size_category
from pipelines.dataset.stand_ins import stand_ins
from pipelines.library.leaks import LeakReport
from pipelines.licences.terms import hub_licences, licence_url, why_not_commercial
from pipelines.stages.store import Store


@pytest.fixture(scope="module")
def written(built: Store) -> Path:
    return Path(built.root)


@pytest.fixture(scope="module")
def card(written: Path) -> str:
    return (written / "dataset/README.md").read_text()


def test_the_front_matter_is_what_the_hub_reads(card: str):
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == ["cc-by-2.0", "cc-by-nc-sa-4.0", "cc0-1.0"]
    assert front["size_categories"] == ["n<1K"]
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": "shards/*.tar"}]


def test_the_card_names_stand_ins_licences_and_drops(card: str):
    for words in ("felzenszwalb", "SegFormer", "dark_channel", "Depth-Anything-V2", "LayerDiffuse", "OpenImages"):
        assert words in card
    assert "**Not for commercial use**: CC-BY-NC-SA-4.0" in card
    assert "| foregrounds-mulan | truncated | 1 |" in card


def test_the_card_sets_the_areas_of_masks_against_measured_ones(card: str):
    rows = {
        line.split("|")[1].strip(): line for line in card.split("### Masks")[1].splitlines() if line.startswith("|")
    }
    assert rows["none"].endswith("| 5 | 1.00, 1.00, 1.00 | 1.00, 1.00, 1.00 |")
    assert rows["all"].startswith("| all | 19 |  | 0.")
    assert "RORD" in card and "3.7" in card and "CORNE" in card and "1.8 times" in card
    assert "| enlargement of backgrounds, of scenes | 10 | 1.00 | 1.00 | 1.00 |" in card
    assert "| log2 of sharpness inside / around, of layers | 16 |" in card


def test_the_card_says_what_the_whole_is_under_and_asks_for(card: str):
    assert "the set is under **cc-by-nc-sa-4.0**" in card
    assert "must name the authors" in card and "under the same licence" in card and "commercial build" not in card
    assert "| CC-BY-NC-SA-4.0 | " in card and " | no | yes | yes |" in card
    assert "| dark_channel (`maps.depth.model`) | apache-2.0 |" in card


def test_the_card_counts_takedowns_and_names_none(config: DataConfig, store: Store):
    assert "Nothing was taken down." in card_of(store, config)
    drops = [{"id": "secret-1", "reason": "takedown", "detail": "listed"}, {"id": "x", "reason": "leak", "detail": ""}]
    lines = b"".join(json.dumps(drop).encode() + b"\n" for drop in drops)
    store.write("quarantine/library-backgrounds.jsonl", lines)
    written = card_of(store, config)
    assert "Left out of this build: 1 backgrounds." in written and "secret" not in written


def test_the_card_says_what_training_was_compared_with(config: DataConfig, store: Store):
    assert "Training was not compared with evaluation" in card_of(store, config)
    leaks = LeakReport(9, {"held-out foregrounds": 3, "/home/me/test.txt": 1234}, (), (), ())
    written = card_of(store, config, leaks)
    assert "| test.txt | 1,234 | 0 |" in written and "/home/me" not in written


def test_the_card_names_shadows_where_scenes_have_them(config: DataConfig, store: Store):
    assert ".shadow<i>.png" not in card_of(store, config)
    placement = PlacementConfig(kind="supported", contact_shadow=True)
    shadowed = config.model_copy(update={"scenes": config.scenes.model_copy(update={"placement": placement})})
    rows = [line for line in card_of(store, shadowed).splitlines() if line.startswith("| `<key>.")]
    assert [row.split("`")[1] for row in rows][1:4] == [
        "<key>.layer<i>.webp",
        "<key>.shadow<i>.png",
        "<key>.mask<i>.png",
    ]


def card_of(store: Store, config: DataConfig, leaks: LeakReport | None = None) -> str:
    write_dataset(store, "demo", config, leaks)
    return store.read("dataset/README.md").decode()


def test_every_picture_that_the_card_shows_is_there(card: str, written: Path):
    shown = [part.split(")")[0] for part in card.split("](")[1:]]
    assert len(shown) >= 7
    assert all((written / "dataset" / path).is_file() for path in shown)


def test_the_loading_code_in_the_card_runs(card: str, written: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(written)
    blocks = [part.split("```")[0] for part in card.split("```python\n")[1:]]
    assert len(blocks) == 2
    for block in blocks:
        names: dict = {}
        exec(compile(block, "README.md", "exec"), names)
        assert names["parts"].composite.shape == (96, 96, 3)


def test_no_folder_of_this_machine_is_named(card: str, written: Path):
    assert str(written) not in card and str(written) not in (written / "dataset/croissant.json").read_text()


def test_croissant_finds_no_fault_and_reads_the_records(written: Path):
    import mlcroissant as mlc

    dataset = mlc.Dataset(written / "dataset/croissant.json")
    assert not dataset.metadata.issues.errors
    # A date would be a clock's; it is given when the data set is published.
    assert [w for w in dataset.metadata.issues.warnings if "datePublished" not in w] == []
    records = list(dataset.records("layers"))
    assert len(records) == 19
    assert records[0]["layers/key"] == b"00000000" and len(records[0]["layers/box"]) == 4


def test_croissant_with_a_date_has_nothing_left_to_say(written: Path):
    import mlcroissant as mlc

    data = json.loads((written / "dataset/croissant.json").read_text())
    data |= {"url": "https://example.org/demo", "datePublished": "2030-01-02"}
    issues = mlc.Dataset(jsonld=data).metadata.issues
    assert not issues.errors and not issues.warnings


@pytest.mark.parametrize(
    ("licence", "url"),
    [
        ("CC BY-NC-SA 4.0", "https://creativecommons.org/licenses/by-nc-sa/4.0/"),
        ("CC0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
        ("BSD-3-Clause", "https://spdx.org/licenses/BSD-3-Clause.html"),
        ("in the public domain", "in the public domain"),
    ],
)
def test_licences_have_addresses(licence: str, url: str):
    assert licence_url(licence) == url


def test_unknown_licences_are_other():
    assert hub_licences(["CC BY 2.0", "unknown", "mine"]) == ["cc-by-2.0", "other"]


def test_non_commercial_is_told_by_the_name():
    assert why_not_commercial("CC BY-NC-SA 4.0") and why_not_commercial("NVIDIA non-commercial")
    assert not why_not_commercial("CC-BY-2.0")


@pytest.mark.parametrize(("num", "name"), [(999, "n<1K"), (1000, "1K<n<10K"), (250_000, "100K<n<1M")])
def test_size_categories(num: int, name: str):
    assert size_category(num) == name


def test_a_profile_of_real_sources_names_no_stand_in_for_them(config: DataConfig):
    real = config.model_copy(
        update={
            "mulan": config.mulan.model_copy(update={"source": "folder"}),
            "backgrounds": config.backgrounds.model_copy(update={"source": "folder"}),
        }
    )
    assert {"the MULAN data set", "OpenImages backgrounds"} == set(stand_ins(config).values()) - set(
        stand_ins(real).values()
    )
