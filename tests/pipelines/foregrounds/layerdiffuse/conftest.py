"""The weights are written once a session."""

from pathlib import Path

import pytest

from tests.pipelines.foregrounds.layerdiffuse.tiny_weights import save_all


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_all(tmp_path_factory.mktemp("weights"))
