import xml.etree.ElementTree as ET

import cv2
import pytest

from stages.sweep.sweep_plots import draw, interactive
from tests.sweep.sweeps import POINTS, ranking, result


@pytest.mark.slow
@pytest.mark.parametrize("points", [POINTS, POINTS[:1], [POINTS[1], POINTS[2]]])
@pytest.mark.parametrize("varied", [("quant.feature_bits", "quant.weight_bits"), ()])
def test_the_plots_are_the_same_each_time(tmp_path, points, varied):
    files = [tmp_path / "a.png", tmp_path / "a.svg"]
    draw(ranking(*points, varied=varied), files)
    before = [file.read_bytes() for file in files]
    draw(ranking(*points, varied=varied), files)
    assert [file.read_bytes() for file in files] == before
    assert cv2.imread(str(files[0])) is not None
    assert "agreement" in " ".join(ET.parse(files[1]).getroot().itertext())


def test_no_tick_stands_above_a_share_of_1(tmp_path):
    draw(ranking(result(0, "8", "8", 1.0, 0.9, 4)), [tmp_path / "a.svg"])
    axis = next(e for e in ET.parse(tmp_path / "a.svg").getroot().iter() if e.get("id") == "matplotlib.axis_2")
    ticks = [float("".join(e.itertext())) for e in axis.iter() if e.tag.endswith("text") and e.text != "agreement"]
    assert max(ticks) == 1.0


def test_the_page_needs_no_network(tmp_path):
    pytest.importorskip("plotly")
    interactive(ranking(*POINTS), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert '"label":"feature_bits"' in text
    assert "<script src=" not in text
