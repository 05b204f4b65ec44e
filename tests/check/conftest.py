import os
from pathlib import Path

import numpy as np
import pytest

from tests.check import plants
from tests.check.plants import Board


@pytest.fixture(scope="session")
def experiments(tmp_path_factory):
    """Bits of features -> a folder with the experiment, two pictures and the PC's dumps; prepared once."""
    prepared: dict[int, Path] = {}
    here = Path.cwd()

    def experiment(bits: int) -> Path:
        if bits not in prepared:
            prepared[bits] = tmp_path_factory.mktemp(f"bits{bits}")
            os.chdir(prepared[bits])
            try:
                plants.make_experiment(f"quant.feature_bits={bits}")
                np.save("cat.npy", plants.picture(1))
                np.save("dog.npy", plants.picture(2))
                plants.dump("cat.npy", into="pc")
                plants.dump("dog.npy", into="dog")
                plants.dump("cat.npy", "dog.npy", into="both")
            finally:
                os.chdir(here)
        return prepared[bits]

    return experiment


@pytest.fixture
def at(experiments, monkeypatch, tmp_path):
    """Go to a copy of an experiment's folder; gives the board's folder that agrees with `pc`."""
    import shutil

    def go(bits: int = 8) -> Board:
        folder = tmp_path / f"bits{bits}"
        shutil.copytree(experiments(bits), folder, symlinks=True)
        monkeypatch.chdir(folder)
        return plants.board_of(Path("pc"))

    return go
