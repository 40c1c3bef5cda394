"""The code in the documentation runs as it stands, but for the paths that a reader fills in."""

import json
import re
import shlex
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import typer
from huggingface_hub import constants
from PIL import Image
from typer.core import TyperGroup
from typer.testing import CliRunner

from assets_defs.definitions import build_defs
from commands.doctor import examine
from commands.main import app, load_command
from decoupage import AdapterConfig, LayerDecompositionPipeline
from decoupage.asked_model import AskedModel
from decoupage.bases import find_base
from decoupage.bases.small import SmallFill, save_base
from decoupage.images.codecs import encode_png
from decoupage.memory import coding_numbers, step_numbers
from decoupage.placing import OFFLOADS, QUANTISED
from decoupage.plan import plan
from decoupage.serve.jobs import Limits
from decoupage.serve.openapi import description
from evaluation.config import EvaluationConfig
from evaluation.config.baselines import BaselinesConfig, ExternalBaseline
from evaluation.methods.baselines import record_baselines
from evaluation.methods.external.catalogue import EXTERNAL
from evaluation.methods.published.catalogue import PUBLISHED
from evaluation.test_sets.folders import FolderPictures
from evaluation.test_sets.listed import ListedSet
from evaluation.test_sets.shards import HeldOut
from pipelines.config.pairs import LAYOUTS
from pipelines.foregrounds.prompts import categories
from pipelines.stages.engine import SerialEngine
from pipelines.stages.store import Store
from pipelines.synthetic import FakeScenes, build_dataset
from profiles.profile import load_profile
from tests.evaluation.test_sets import pairs
from training.config import dotted, with_changes
from training.fitting import by_card, estimate
from training.recipes import ALL, find_recipe

DOCS = Path(__file__).parents[1] / "docs"


def code(page):
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def test_the_page_on_shards(tmp_path, monkeypatch, capsys):
    build_dataset(str(tmp_path / "data" / "demo"), FakeScenes(num_scenes=4, scenes_per_shard=1), SerialEngine())
    monkeypatch.chdir(tmp_path)
    blocks = code("shards.md")
    assert len(blocks) == 2
    for block in blocks:
        exec(block, {})
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("00000000 0 (") and "background.jpg" in shown[1]


def write_adapter(folder):
    """A base and an adapter of random weights, a photograph and its mask."""
    torch.manual_seed(0)
    save_base(SmallFill().new(), str(folder / "base"))
    config = AdapterConfig(base="small-fill", rank=4, num_latents=4, fusion_dim=32, size_px=64)
    LayerDecompositionPipeline.from_base(config, str(folder / "base")).save_pretrained(folder / "adapter")
    Image.new("RGB", (32, 24), (90, 120, 30)).save(folder / "photo.jpg")
    mask = Image.new("L", (32, 24))
    mask.paste(255, (8, 8, 20, 20))
    mask.save(folder / "mask.png")


def test_the_model_page(tmp_path, monkeypatch, capsys):
    write_adapter(tmp_path)
    block, many = code("model.md")
    filled = block.replace('"path/to/adapter", dtype="auto"', '"adapter", base="base"').replace('"cuda"', '"cpu"')
    assert filled != block
    monkeypatch.chdir(tmp_path)
    exec(filled.replace("num_inference_steps=30", "num_inference_steps=1"), {})
    assert Image.open("foreground.png").mode == "RGBA" and Image.open("background.png").size == (32, 24)
    for folder, file in (("photos", "photo.jpg"), ("masks", "mask.png")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"a{Path(file).suffix}").write_bytes((tmp_path / file).read_bytes())
    exec(many, {})
    assert Image.open("layers/a/foreground.png").mode == "RGBA" and "{'made': 1}" in capsys.readouterr().out


def test_the_training_page(capsys):
    (block,) = code("training.md")
    exec(block, {})
    assert capsys.readouterr().out.splitlines() == [
        "schedule.num_steps: 7200 -> 1000",
        "adapter.rank: 256 -> 128",
    ]


def test_the_training_page_names_every_recipe():
    page = (DOCS / "training.md").read_text()
    assert not [name for name in ALL if f"`{name}`" not in page]


def test_the_training_page_estimates_as_the_code_does():
    page = (DOCS / "training.md").read_text()
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in page.splitlines() if line[:1] == "|"]
    for row in by_card(find_recipe("paper")):
        result = "differs" if row.run.alters else "the same"
        cells = [f"{row.num_cards} x {row.card}", row.settings, f"{row.run.total_gb:.0f}", f"{row.hours:.1f}", result]
        assert cells in rows
    for name in ("paper", "rank_128", "rank_1024", "small_gpu"):
        forms = [with_changes(find_recipe(name), {"compute.compile": compiled}) for compiled in (False, True)]
        eager, compiled = (estimate(form).total_gb for form in forms)
        assert f"| `{name}` | {eager:.0f} GB | {compiled:.0f} GB |" in page
    assert f"| `rgba_vae` | {estimate(find_recipe('rgba_vae')).total_gb:.0f} GB | |" in page


def test_the_evaluation_page(tmp_path, monkeypatch, capsys):
    build_dataset(str(tmp_path / "data" / "demo" / "held_out"), FakeScenes(num_scenes=3, scenes_per_shard=3))
    monkeypatch.chdir(tmp_path)
    (block,) = code("evaluation.md")
    exec(block, {})
    assert re.fullmatch(r"[\d.]+ dB, [\d.]+ to [\d.]+, 6 images", capsys.readouterr().out.strip())
    assert (tmp_path / "report" / "report.html").exists()


def test_the_page_on_test_sets(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    unpack, judge = code("test_sets.md")
    (tmp_path / "OBERDataset_ObjectClear/data").mkdir(parents=True)
    ober = pairs.scene(0)
    pictures = {"input": ober["image"], "gt": ober["background"], "object_mask": ober["mask"]}
    pictures["object_effect_mask"] = ober["mask"]
    row = {role: {"bytes": encode_png(picture), "path": "a.png"} for role, picture in pictures.items()}
    table = [row, row | {"gt": None}]
    pq.write_table(pa.Table.from_pylist(table), "OBERDataset_ObjectClear/data/test-00000.parquet")
    exec(unpack, {})
    for layout in ("ober", "ober_effect"):
        cases = ListedSet(FolderPictures("ober", tmp_path / "ober", LAYOUTS[layout], "ober")).cases()
        assert [case.name for case in cases] == ["a"]
    pairs.write_set(tmp_path / "pairs", "a", "b", "c")
    (tmp_path / "pairs/mask/b.png").unlink()
    exec(judge, {})
    assert capsys.readouterr().out.strip() == "2 images, 1 excluded"


def test_the_page_on_test_sets_names_every_layout():
    page = (DOCS / "test_sets.md").read_text()
    for name, layout in LAYOUTS.items():
        assert f"`{name}`" in page
        assert all(f"`{pattern}`" in page for pattern in (layout.image, layout.mask, layout.background))


def test_the_study_page(tmp_path, monkeypatch, capsys):
    build_dataset(str(tmp_path / "data" / "demo" / "held_out"), FakeScenes(num_scenes=3, scenes_per_shard=3))
    monkeypatch.chdir(tmp_path)
    (block,) = code("study.md")
    exec(block, {})
    assert capsys.readouterr().out.splitlines()[-1] == "2 comparisons"
    monkeypatch.setenv("DECOUPAGE_ROOT", "data/demo")
    for line in shell("study.md", run=True):
        program, *words = shlex.split(line)
        if program == "export":
            monkeypatch.setenv(*words[0].split("=", 1))
            continue
        done = CliRunner().invoke(app, words)
        assert program == "decoupage" and done.exit_code == 0, (line, done.output)
    assert len(list((tmp_path / "data" / "demo" / "study" / "bundles").glob("*.html"))) == 2


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (DOCS / page).read_text()):
        assert (DOCS / target).exists(), target


NOT_RUN = "not run"
"""In the info string of a block: it needs a network, a GPU, a key or hours, and says which."""
FEW = {
    "SCENES__NUM_SCENES": "4", "SCENES__SCENES_PER_SHARD": "2", "SCENES__SIZE_PX": "96", "ENGINE__KIND": "serial",
    "GENERATED__PROMPTS_PER_CATEGORY": "2", "GENERATED__SIZE_PX": "160", "MAPS__SEGMENTATION__SIZE_PX": "96",
}  # fmt: skip


def shell(page, run):
    """Command lines of a page's shell blocks, those that are run or those that are not, in order."""
    blocks = re.findall(r"```sh ?(.*?)\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert all(not told or re.fullmatch(f"{NOT_RUN}: .+", told) for told, _ in blocks)
    chosen = [block.replace("\\\n", "") for told, block in blocks if (not told) == run]
    return [line for block in chosen for line in block.splitlines()]


def test_commands_of_the_data_page_that_run_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DECOUPAGE_ROOT", "data/demo")
    for name, value in FEW.items():
        monkeypatch.setenv(f"DECOUPAGE__{name}", value)
    lines = shell("data.md", run=True)
    assert len(lines) == 4
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "decoupage"
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, (line, done.output)
    assert len(list((tmp_path / "data" / "demo" / "shards").glob("*.tar"))) == 2
    assert (tmp_path / "OUT" / "00000000-0" / "foreground.png").is_file()


def test_commands_of_the_data_page_that_do_not_run_here_are_spelt_right(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    profile = load_profile("paper", str(tmp_path))
    fixes = "\n".join(requirement.fix for requirement in examine(profile).missing)
    for line in shell("data.md", run=False):
        words = shlex.split(line)
        if words[0] == "decoupage":
            _parse(words[1:])
        elif words[:2] == ["hf", "download"] and "dataset" not in words:
            assert " ".join(line.split()) in fixes, line
        elif words[0] == "export" and words[1].startswith("DECOUPAGE__"):
            monkeypatch.setenv(*words[1].split("=", 1))
    load_profile("paper", str(tmp_path))  # Refuses a variable that names no field.


def test_commands_of_the_operations_page(tmp_path, monkeypatch):
    monkeypatch.setenv("DECOUPAGE_ROOT", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (line,) = shell("operations.md", run=True)
    assert line == "decoupage prune"
    done = CliRunner().invoke(app, ["prune"])
    assert done.exit_code == 0 and "0 things" in done.output
    for words in map(shlex.split, shell("operations.md", run=False)):
        for name, _, value in (word.partition("=") for word in words if word.startswith("DECOUPAGE__")):
            monkeypatch.setenv(name, value)
    assert load_profile("demo").automation.nightly_cron == "30 1 * * *"


def test_the_operations_page_names_every_switch():
    page = (DOCS / "operations.md").read_text()
    repository = build_defs().get_repository_def()
    switches = [*repository.schedule_defs, *repository.sensor_defs]
    assert switches and not [found.name for found in switches if f"| `{found.name}` |" not in page]


def test_the_page_on_a_first_adapter_is_what_its_profile_does(tmp_path, monkeypatch):
    """Commands are spelt right and change what the profile does, downloads are the doctor's, figures the estimates."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    page, profile = (DOCS / "first_adapter.md").read_text(), load_profile("small", str(tmp_path))
    fixes = "\n".join(requirement.fix for requirement in examine(profile).missing)
    changes = {}
    for line in shell("first_adapter.md", run=False):
        words = shlex.split(line)
        if words[0] == "decoupage" and words[1] != "decompose":  # That one looks whether the files are there.
            _parse(words[1:])
            if words[1] == "train":
                pairs = [word.split("=") for before, word in pairwise(words) if before == "--set"]
                changes[words[2]] = {key: json.loads(value) for key, value in pairs}
        elif words[:2] == ["hf", "download"] or "torchvision" in line:
            assert " ".join(line.split()) in fixes, line
    training = profile.training
    assert dict(dotted(training.changes)) == changes["small_gpu"] and training.recipe == "small_gpu"
    assert dict(dotted(training.rgba_vae_changes)) == changes["rgba_vae"] and training.rgba_vae == "rgba_vae"
    assert f"{profile.scenes.size_px} px, {profile.scenes.num_scenes} scenes, " in page
    assert f"{profile.generated.prompts_per_category * len(categories())} cutouts" in page
    assert f"{profile.backgrounds.openimages.num_images} photographs" in page
    adapter, vae = (by_card(config)[0] for config in (training.adapter_config(), training.rgba_vae_config()))
    assert (adapter.card.memory_gb, adapter.num_cards, vae.run.changes, adapter.run.changes) == (24, 1, {}, {})
    assert f"About {adapter.hours:.0f} hours and {adapter.run.total_gb:.0f} GB" in page
    assert f"About {vae.hours:.0f} hours." in page


def test_the_code_of_the_page_on_a_first_adapter(tmp_path, monkeypatch):
    write_adapter(tmp_path)
    (block,) = code("first_adapter.md")
    options = '"runs/adapter/export", dtype=torch.bfloat16, quantise="int8"'
    move = re.search(r"pipe\.to\(.*", block)[0]
    assert options in block
    filled = block.replace(move, "").replace(options, '"adapter", base="base"')
    monkeypatch.chdir(tmp_path)
    exec(filled, {})
    assert Image.open("foreground.png").mode == "RGBA" and Image.open("background.png").size == (32, 24)


def test_the_page_on_cards_computes_as_the_code_does():
    page = (DOCS / "cards.md").read_text()
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in page.splitlines() if line[:1] == "|"]
    cards = [row for row in rows if re.fullmatch(r"\d+ GB", row[0])]
    assert [row[0] for row in cards] == [f"{gpu_gb} GB" for gpu_gb in (8, 16, 24, 48, 80)]
    assert {row[-1] for row in cards} == {"not measured"}
    place = torch.device("cuda"), torch.bfloat16
    for row in cards:
        cells = []
        for prompt in (False, True):
            asked = AskedModel(None, "flux-fill", "auto", *place, prompt=prompt)
            found = plan(asked, float(row[0].split()[0]))
            taken, flags = found.rows[found.recommended], found.recommended.flags
            gpu_gb, host_gb = (taken.gpu_prompt_gb, taken.host_prompt_gb) if prompt else (taken.gpu_gb, taken.host_gb)
            cells += [f"`{flags}`" if flags else "all on the card", f"{gpu_gb:.1f}", f"{host_gb:.1f}"]
        assert row[1:-1] == cells


def test_the_page_on_cards_names_every_option_and_what_to_download():
    page = (DOCS / "cards.md").read_text()
    assert not [name for name in (*OFFLOADS, *QUANTISED) if f"`{name}`" not in page]
    (download,) = shell("cards.md", run=False)
    assert " ".join(download.split()) == find_base("flux-fill").weights(text=False).fix().split("then: ")[1]
    decode, step = (f"{numbers(AdapterConfig()) * 2 / 1e9:.1f} GB" for numbers in (coding_numbers, step_numbers))
    assert f"decoding holds\n{decode} of results and a step {step}" in page


def test_commands_of_the_page_on_cards(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    lines = shell("cards.md", run=True)
    assert len(lines) == 2
    for line in lines:
        done = CliRunner().invoke(app, shlex.split(line, comments=True)[1:])
        assert done.exit_code == 0 and "decoupage decompose PHOTO" in done.output, line


def _parse(words):
    """Raises click's UsageError for a command, an option or an argument that there is not."""
    command, words = typer.main.get_command(app), list(words)
    while isinstance(command, TyperGroup):
        context = command.make_context(command.name, list(words))
        _, command, words = command.resolve_command(context, words)
    command.make_context(command.name, words)


def test_the_page_on_serve_names_every_limit_status_and_route():
    page = (DOCS / "serve.md").read_text()
    options = {option.opts[0]: option.default for option in load_command("serve").params}
    for option, value in options.items():
        assert option in page or option in ("--base", "--port"), option
        if option.startswith("--max-"):
            assert f"| `{option}` | {value:g} |" in page
    assert f"{Limits().left_s:g} s has left" in page and f"{Limits().max_kept} of them at most" in page
    found = description(Limits())
    statuses = {
        status
        for item in found["paths"].values()
        for each in item.values()
        if "responses" in each
        for status in each["responses"]
    }
    assert [status for status in statuses if status >= "400" and f"| {status} |" not in page] == []
    assert [
        path
        for path in ("/v1/decompose", "/v1/select", "/v1/jobs/", "/v1/docs", "/v1/openapi.json")
        if path not in page
    ] == []


def test_the_data_page_counts_as_its_profile_does():
    page, profile = (DOCS / "data.md").read_text(), load_profile("paper")
    scenes, openimages = profile.scenes, profile.backgrounds.openimages
    assert f"{scenes.num_scenes:,} scenes at {scenes.size_px} px" in page
    assert f"{openimages.num_images:,} x 0.294 MB" in page and f"at most {openimages.max_gb:g} |" in page
    assert f'"{scenes.num_shards - 1:05d}"' in page
    num_pictures = profile.generated.prompts_per_category * len(categories()) * profile.generated.images_per_prompt
    assert f"LayerDiffuse, {num_pictures:,} pictures" in page
    assert f"`max_requests = {profile.prompts.max_requests}`" in page


def test_the_page_on_baselines(tmp_path, monkeypatch):
    """Its wrapper answers a list, its settings are a profile's, and its example judges what the wrapper made."""
    build_dataset(str(tmp_path / "data" / "demo" / "held_out"), FakeScenes(num_scenes=2, scenes_per_shard=1))
    monkeypatch.chdir(tmp_path)
    judge, wrapper = code("baselines.md")
    (tmp_path / "wrapper.py").write_text(wrapper)
    (toml,) = re.findall(r"```toml\n(.*?)```", (DOCS / "baselines.md").read_text(), re.DOTALL)
    section = tomllib.loads(toml)["evaluation"]["baselines"]
    entry = section["external"][0] | {"command": [sys.executable, "wrapper.py", "{input}", "{output}"]}
    assert BaselinesConfig.model_validate(section).models["flux_fill"].num_steps == 28
    config = EvaluationConfig(baselines=BaselinesConfig(enabled=("lama",), external=(ExternalBaseline(**entry),)))
    states = record_baselines(config, HeldOut("data/demo/held_out"), Store(str(tmp_path)))
    state = next(state for state in states if state.name == "lama")
    assert (state.word, state.num_failures) == ("recorded", 0), state.detail
    exec(judge.replace("path/to/outputs", "records/held_out/lama"), {})
    assert json.loads(Path("report/report.json").read_text())["methods"]["theirs"]["failures"] == 0


def test_every_baseline_has_a_page_with_the_line_that_gets_it():
    known = {**PUBLISHED, **EXTERNAL}
    assert {path.stem for path in (DOCS / "baselines").glob("*.md")} == set(known)
    for name, about in known.items():
        page = (DOCS / "baselines" / f"{name}.md").read_text()
        assert page.startswith(f"# {about.title}\n") and f"`{name}`: {about.gives}" in page
        assert f"[`{name}`](baselines/{name}.md) | {about.title} | {about.gives}" in (DOCS / "baselines.md").read_text()
    for name in PUBLISHED:
        config = getattr(BaselinesConfig(), name)
        assert (
            f"hf download {config.weights} --include model_index.json --include '*/*'"
            in (DOCS / "baselines" / f"{name}.md").read_text()
        )


def test_the_page_on_the_paper_names_files_settings_and_commands_that_are_there():
    page = (DOCS / "real_scale.md").read_text()
    places = re.findall(r"`([a-z_]+/[a-z_/.]*)`", page)
    assert len(places) > 30 and not [place for place in places if not (DOCS.parent / place).exists()]
    rows = [line for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    assert all(line.count(" | ") == 3 for line in rows), "statement, here, where, measured"
    assert find_recipe("paper_exact").optimiser.learning_rate == 5e-5
    for command in re.findall(r"^decoupage .*$", page, re.M):
        assert CliRunner().invoke(app, [*shlex.split(command)[1:2], "--help"]).exit_code == 0, command


@pytest.mark.parametrize("page", ["data.md", "sources.md", "shards.md", "operations.md", "first_adapter.md"])
def test_lines_are_not_too_long(page):
    lines = (DOCS / page).read_text().splitlines()
    assert not [line for line in lines if len(line) > 120 and not line.startswith("| ")], "rows of tables cannot wrap"
