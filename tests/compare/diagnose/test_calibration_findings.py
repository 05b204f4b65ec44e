import pytest

from stages.compare.diagnose.calibration_findings import calibration_findings, debug_findings, source_override
from stages.compare.gather.picture_sets import CalibrationSet, DebugSet
from stages.core.config.schema import DataConfig, PictureSet
from stages.core.integer.network_params import NetworkParams
from tests.compare.diagnose.examples import feature, observed

DATA = DataConfig("d", debug=PictureSet("file:debug"))
FEATURES = [feature(name) for name in "abcd"]


def find(beyond=(0.0, 0.0, 0.0, 0.0), pictures=12, available=12, flat=()):
    seen = {name: observed((-1.0,), (9.0,), beyond=part) for name, part in zip("abcd", beyond, strict=True)}
    return calibration_findings(NetworkParams(FEATURES, []), seen, CalibrationSet(pictures, available, flat), DATA)


def test_ranges_that_the_debug_pictures_leave():
    (finding,) = find((0.02, 0.3, 0.0, 0.0))
    assert finding.kind == "calibration"
    assert finding.evidence == {
        "features": 4, "outgrown": 2, "worst": "b_node", "worst_share_beyond": 0.3, "worst_energy_beyond": 0.3,
    }  # fmt: skip
    assert finding.cure == 'data.calibration.source="file:debug"'


@pytest.mark.parametrize(("pictures", "said"), [("aaab", ", 3 of them furthest on a.jpg;"), ("aabb", "are cut; ")])
def test_one_picture_that_is_to_blame_is_named(pictures, said):
    seen = {
        name: observed((-1.0,), (9.0,), beyond=0.3, furthest=f"x/{picture}.jpg")
        for name, picture in zip("abcd", pictures, strict=True)
    }
    (finding,) = calibration_findings(NetworkParams(FEATURES, []), seen, CalibrationSet(12, 12), DATA)
    assert said in finding.sentence


def test_of_one_folder_there_is_no_other_source_to_take():
    """Its parts are the sets, as init writes them: only more pictures help."""
    seen = {name: observed((-1.0,), (9.0,), beyond=0.3) for name in "abcd"}
    one = PictureSet("file:all")
    data = DataConfig("d", calibration=one, debug=one)
    (finding,) = calibration_findings(NetworkParams(FEATURES, []), seen, CalibrationSet(12, 12), data)
    assert finding.cure is None
    assert finding.sentence.endswith("Calibrate on more pictures")


@pytest.mark.parametrize("beyond", [(0.0, 0.0, 0.0, 0.0), (0.009, 0.009, 0.009, 0.009), (0.5, 0.0, 0.0, 0.0)])
def test_a_feature_of_four_or_a_little_is_as_usual(beyond):
    assert find(beyond) == []


@pytest.mark.parametrize(("flat", "count"), [(3, 0), (4, 1)])
def test_flat_pictures_are_bad_in_numbers(flat, count):
    """A quarter of 12 is 3. Where the debug pictures show no more than they do, as text on paper, they do no harm."""
    assert len(find((0.5, 0.0, 0.0, 0.0), flat=["f"] * flat)) == count
    assert find(flat=["f"] * flat) == []


def test_few_pictures():
    (finding,) = find(pictures=9, available=500)
    assert (finding.sentence, finding.cure) == (
        "9 calibration pictures are few: take 10 to 200",
        "data.calibration.size=100",
    )
    assert [finding.cure for finding in find(pictures=9, available=9)] == [None]
    assert find(pictures=10) == []


def test_debug_pictures_that_calibrated():
    (finding,) = debug_findings(DebugSet(["a.png", "b.png", "c.png", "d.png"], ["a.png"]))
    assert (finding.kind, finding.evidence) == ("debug", {"pictures": 4, "known": 1})
    assert debug_findings(DebugSet(["a.png"])) == []


def test_a_list_of_sources():
    assert source_override("k", ["package:a==1/b", "file:c"]) == 'k=["package:a==1/b", "file:c"]'


def test_pixels_that_calibration_never_saw():
    features = [feature("x", node="x"), *FEATURES]
    seen = {name: observed((-1.0,), (9.0,), beyond=0.5 if name == "x" else 0.0) for name in "xabcd"}
    (finding,) = calibration_findings(NetworkParams(features, []), seen, CalibrationSet(12, 12), DATA)
    assert finding.evidence["outgrown"] == 1
