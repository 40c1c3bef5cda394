"""The training section of a profile: recipes by name, changes by key, faults before anything runs."""

import pytest

from profiles.profile import load_profile
from training.profile import TrainingSection
from training.recipes import demo, paper


def test_the_demo_and_the_paper_name_their_recipes():
    assert load_profile("demo").training.adapter_config() == demo()
    assert load_profile("paper").training.adapter_config() == paper()
    assert load_profile("demo").training.rgba_vae_config().base == "small-fill"


def test_changes_may_be_dotted_keys_or_tables(monkeypatch):
    tables = TrainingSection(recipe="paper", changes={"schedule": {"num_steps": 500}, "seed": 3})
    assert tables.changes == {"schedule.num_steps": 500, "seed": 3}
    assert tables.adapter_config().schedule.num_steps == 500
    monkeypatch.setenv("DECOUPAGE__TRAINING__CHANGES__SCHEDULE__NUM_STEPS", "400")
    assert load_profile("demo").training.adapter_config().schedule.num_steps == 400


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"recipe": "papre"}, "there is no recipe 'papre'"),
        ({"recipe": "rgba_vae"}, "another kind"),
        ({"changes": {"schedule.steps": 1}}, "unknown key schedule.steps"),
        ({"changes": {"schedule.num_steps": 0}}, "schedule.num_steps must be"),
        ({"recipe": "demo"}, "choose two of one base"),
        ({"launcher": "k8s"}, "pod_spec must name"),
        ({"launcher": "slurm"}, "subprocess"),
    ],
)
def test_faults_are_named_when_the_profile_is_loaded(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        TrainingSection(**values)
