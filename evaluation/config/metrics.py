"""The part `evaluation.metrics` of a profile."""

from pydantic import Field

from pipelines.config import Section


class WeightsConfig(Section):
    """One file of published weights, and what it must hold."""

    path: str = Field(min_length=1, description="of a file with a PyTorch state dict; it is read without unpickling")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the file; another content stops the work")


class LpipsConfig(Section):
    """LPIPS is a trunk that sees and a head that weighs what it sees."""

    trunk: WeightsConfig = Field(description="torchvision's AlexNet, trained on ImageNet")
    head: WeightsConfig = Field(description="`weights/v0.1/alex.pth` of the package lpips")


class MetricsConfig(Section):
    """Where the weights of learned metrics lie. What is absent is not measured, and the report says so."""

    lpips: LpipsConfig | None = Field(None, description="for LPIPS; absent = not measured")
    inception: WeightsConfig | None = Field(None, description="for FID and KID; absent = not measured")
