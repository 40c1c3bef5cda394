"""The asset `report`: pages from what an evaluation left in the root, without any model."""

import dagster as dg

from assets_defs.evaluation import evaluation_assets
from assets_defs.plan import Plan
from assets_defs.summary import judgement
from evaluation.page.answer import QUESTION
from evaluation.rivals import SIMPLE
from pipelines.stages.store import Store
from profiles.profile import load_profile
from tests.evaluation.page.reports import judged


def materialize(root):
    assets = evaluation_assets(Plan(load_profile("demo", str(root))))
    chosen = [asset for asset in assets if asset.key == dg.AssetKey("report")]
    return dg.materialize(chosen, instance=dg.DagsterInstance.ephemeral(), raise_on_error=False)


def test_it_shows_at_a_glance_what_was_found(tmp_path):
    judged(tmp_path / "report")
    result = materialize(tmp_path)
    assert result.success
    (event,) = result.asset_materializations_for_node("report")
    # Of this one each pixel is 8 levels off, around the target as well, where the base is right.
    summary = event.metadata["summary"].value
    assert "`adapter` against `base`: better (PSNR, where the target shows" in summary
    assert "but worse (PSNR, around it" in summary and "`adapter` is better than `grabcut`" in summary
    page = tmp_path / "report" / "report.html"
    assert event.metadata["report"].value == "/root/report/report.html" and "best" in page.read_text()
    assert (tmp_path / "report" / "report.md").read_text().startswith("# Evaluation of the profile `demo`")
    again = materialize(tmp_path).asset_materializations_for_node("report")[0]
    assert again.tags["dagster/data_version"] == event.tags["dagster/data_version"]


def test_the_console_leads_with_the_answer_and_names_every_rival_with_its_counts(tmp_path):
    judged(tmp_path / "report")
    lines = list(judgement(Store(str(tmp_path))))
    text = "\n".join(lines)
    assert lines[0] == QUESTION and lines[1].startswith("  Yes: its background is better than that of biharmonic")
    first = lines.index("Adapter minus each rival, background, PSNR, where the target shows; all metrics:") + 1
    assert lines[first].split()[0] == "biharmonic" and "better; 9 better, 2 worse, 5 undecided" in lines[first]
    for name in (*SIMPLE["background"], *SIMPLE["foreground"]):
        assert text.count(f"\n  {name} ") >= 2
    assert text.endswith("report/answer.png")


def test_without_an_evaluation_it_says_what_to_do(tmp_path):
    result = materialize(tmp_path)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "evaluate first" in failure.step_failure_data.error.cause.message
