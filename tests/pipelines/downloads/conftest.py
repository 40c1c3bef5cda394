"""The misbehaving server of these tests."""

import pytest

from tests.pipelines.downloads.server import serving


@pytest.fixture
def files():
    with serving() as running:
        yield running
