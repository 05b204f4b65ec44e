"""A project whose pictures are calibrated, for tests of candidates."""

import pytest

from stages.calibrate.__main__ import calibrate
from stages.calibset.__main__ import calibset
from stages.export.__main__ import export
from tests.conftest import composed


@pytest.fixture
def calibrated(project):
    config = composed()
    for stage in (export, calibset, calibrate):
        stage(config)
    return project
