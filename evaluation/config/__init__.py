"""The evaluation section of a profile: numbers and ranges only, a file for each of its parts."""

from pydantic import Field

from evaluation.config.ablations import AblationsConfig
from evaluation.config.baselines import BaselinesConfig
from evaluation.config.gate import GateConfig
from evaluation.config.inspection import InspectionConfig
from evaluation.config.metrics import MetricsConfig
from evaluation.config.study import StudyConfig
from evaluation.config.test_sets import TestSetsConfig
from pipelines.config import Section


class EvaluationConfig(Section):
    """How methods are compared. What is compared, and where files lie, is not part of it."""

    num_steps: int = Field(30, ge=1, le=1000, description="sampling steps of the methods that sample")
    size_px: int | None = Field(None, ge=16, le=2048, description="side at which all is judged; absent = the scenes'")
    seed: int = Field(0, ge=0, lt=2**63, description="of each image's noise, and of what is drawn at random in a study")
    batch_size: int = Field(8, ge=1, le=4096, description="images that a method gets at once; changes no result")
    bootstrap_draws: int = Field(10_000, ge=100, le=1_000_000, description="resamples behind each interval of a study")
    max_images: int | None = Field(None, ge=1, description="judge only the list's first ones; absent = all")
    test_sets: TestSetsConfig = TestSetsConfig()
    metrics: MetricsConfig = MetricsConfig()
    baselines: BaselinesConfig = BaselinesConfig()
    ablations: AblationsConfig = AblationsConfig()
    gate: GateConfig = GateConfig()
    study: StudyConfig = StudyConfig()
    inspection: InspectionConfig = InspectionConfig()
