from tests.core.render.figures import drawn


def test_same_figure_same_bytes():
    assert drawn() == drawn()
    assert drawn(rasterized=True) == drawn(rasterized=True)


def test_no_date_and_no_tool_in_the_file():
    assert "dc:date" not in drawn()
    assert "matplotlib.org" not in drawn()
