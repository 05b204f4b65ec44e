"""Networks that are no detectors: what is printed of outputs in every form that a board gives, and how it fails."""

import numpy as np
import pytest

from stages.build.board_outputs import BoardOutput
from stages.core.integer.dumps import packed
from stages.core.integer.quant_params import QuantParams
from tests.build.venus import programs
from tests.build.venus.programs import LOGITS, config, picture

pytestmark = pytest.mark.slow

SCORES = np.array([-1.5, 2.25, 0, 2.25, 7.125, -3, 0.5, 2, 1.75, -0.25], np.float32)
GIVEN = [((1, 10), SCORES.tobytes())]


@pytest.fixture(scope="module")
def classifier(tree, tmp_path_factory):
    """Takes 32 x 24 pixels, gives ten logits."""
    folder = programs.written(tmp_path_factory.mktemp("classifier") / "net", config(), picture(), [LOGITS])
    programs.built(folder, tree)
    return folder


@pytest.fixture
def run_folder(tmp_path):
    """A folder for a run, with a picture of the input's size."""
    (tmp_path / "photo.rgb").write_bytes(bytes(24 * 32 * 3))
    return tmp_path


def test_the_five_greatest_logits(classifier, run_folder):
    done = programs.run(classifier, run_folder, GIVEN, "photo.rgb")
    assert (done.code, done.error) == (0, "")
    assert done.printed == [
        "load: # ms", "run: # ms, mean of 1", "output 0: logits [1,10]",
        "  class 4: 7.1250", "  class 1: 2.2500", "  class 3: 2.2500", "  class 7: 2.0000", "  class 8: 1.7500",
    ]  # fmt: skip
    assert done.calls == ["init", "create, format 1", "load", "run", "deinit, 0 alive"]


def test_a_runtime_may_write_more_sizes_of_one(classifier, run_folder):
    done = programs.run(classifier, run_folder, [((1, 1, 1, 10), SCORES.tobytes())], "photo.rgb")
    assert done.code == 0
    assert "  class 4: 7.1250" in done.printed


@pytest.mark.parametrize("bits", [3, 4, 8, 10, 12])
def test_outputs_with_codes(tree, tmp_path, bits):
    qparams = QuantParams(bits, 0.25, 1 << (bits - 1))
    vector, feature = np.arange(7) % (1 << bits), np.arange(3 * 4 * 5).reshape(1, 3, 4, 5) % (1 << bits)
    outputs = [BoardOutput('a "name" \\ é', (1, 7), qparams), BoardOutput("map", (1, 4, 5, 3), qparams)]
    folder = programs.written(tmp_path / "net", config(), picture(), outputs)
    programs.built(folder, tree, programs.program())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "photo.rgb").write_bytes(bytes(24 * 32 * 3))
    given = [
        ((1, 7), packed(vector.astype(qparams.dtype), qparams)),
        ((1, 4, 5, 3), packed(feature.astype(qparams.dtype), qparams)),
    ]
    done = programs.run(folder, tmp_path / "run", given, "photo.rgb")
    assert done.code == 0, done.error
    reals, ends = (vector - qparams.zero_point) * 0.25, (feature - qparams.zero_point) * 0.25
    assert done.printed[2:] == [
        'output 0: a "name" \\ é [1,7]',
        *(f"  class {index}: {reals[index]:.4f}" for index in (6, 5, 4, 3, 2)),
        "output 1: map [1,4,5,3]",
        f"  {ends.min():g} .. {ends.max():g}",
    ]


WRONG = [
    (["other.rgb"], 2, "error: other.rgb cannot be read\n"),
    (
        ["model.bin"],
        2,
        "error: model.bin has 0 bytes; an input has 2304 (32 x 24, 3 channels): name its WIDTH HEIGHT\n",
    ),
    (["photo.rgb", 30, 24], 2, "error: photo.rgb has 2304 bytes; 30 x 24 pixels of 3 channels have 2160\n"),
    (["photo.rgb", "-3", 24], 2, "error: WIDTH HEIGHT: give pixels, not -3 24\n"),
    (["photo.rgb", "32", "24x"], 2, "error: WIDTH HEIGHT: give pixels, not 32 24x\n"),
    ([], 2, "error: no picture is given, and no img_input.h was compiled in\n"),
]


@pytest.mark.parametrize(("words", "code", "said"), WRONG)
def test_what_is_given_is_wrong(classifier, run_folder, words, code, said):
    done = programs.run(classifier, run_folder, GIVEN, *words)
    assert (done.code, done.error, done.printed) == (code, said, [])
    assert done.calls == []  # the unit was not started


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["photo.rgb", 31, 24], "error: WIDTH HEIGHT: give even numbers of pixels, not 31 24\n"),
        (["photo.rgb", 32, 24], "error: photo.rgb has 2304 bytes; an NV12 frame of 32 x 24 has 1152\n"),
        (["other", 32, 24], "error: other cannot be read\n"),
    ],
)
def test_a_frame_is_wrong(classifier, run_folder, words, said):
    done = programs.run(classifier, run_folder, GIVEN, *words, frame=True)
    assert (done.code, done.error) == (2, said)


@pytest.mark.parametrize("frame", [False, True])
def test_usage(classifier, run_folder, frame):
    done = programs.run(classifier, run_folder, GIVEN, "a", "b" if frame else 3, frame=frame)
    assert done.code == 2
    assert done.error.startswith("usage: ")
    assert "MODEL" in done.error


def test_no_model(classifier, run_folder):
    programs.run(classifier, run_folder, GIVEN, "photo.rgb")
    (run_folder / "log").unlink()
    done = programs.run(classifier, run_folder, GIVEN, "photo.rgb", model="none.bin")
    assert (done.code, done.error, done.calls) == (2, "error: none.bin cannot be read\n", [])


@pytest.mark.parametrize(
    ("call", "said", "calls"),
    [
        ("init", "venus_init failed: are the unit's driver", 1),
        ("create", "net_create failed", 3),
        ("load", "model.bin cannot be loaded: is it a model for the T40? A runtime older than the model", 4),
        ("input", "the model has no input", 4),
        ("run", "run failed", 5),
        ("output", "the model has no output 0 (logits)", 5),
    ],
)
def test_the_runtime_fails(classifier, run_folder, call, said, calls):
    done = programs.run(classifier, run_folder, GIVEN, "photo.rgb", environment={"FAIL": call})
    assert done.code == 1
    assert done.error.startswith(f"error: {said}")
    assert done.error.count("\n") == 1
    assert len(done.calls) == calls
    assert done.calls[-1] == ("init" if call == "init" else "deinit, 0 alive")


def test_the_end_fails(classifier, run_folder):
    done = programs.run(classifier, run_folder, GIVEN, "photo.rgb", environment={"FAIL": "deinit"})
    assert (done.code, done.error) == (0, "warning: venus_deinit failed\n")


def test_another_model_than_this_folders(classifier, run_folder):
    done = programs.run(classifier, run_folder, [((1, 11), bytes(44))], "photo.rgb")
    assert done.code == 1
    assert done.error == "error: output 0 is [1,11]; logits is [1,10]: was the model converted from this folder?\n"


def test_a_debug_build_writes_what_it_fed_and_read(classifier, run_folder, tree):
    programs.built(classifier, tree, "build_type=debug", programs.program(build_type="debug"))
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    (run_folder / "photo.rgb").write_bytes(pixels.tobytes())
    done = programs.run(classifier, run_folder, GIVEN, "photo.rgb", build_type="debug")
    assert done.code == 0, done.error
    fed = np.frombuffer((run_folder / "venus_input.bin").read_bytes(), np.uint8).reshape(24, 32, 4)
    np.testing.assert_array_equal(fed, np.concatenate([pixels, np.zeros((24, 32, 1), np.uint8)], axis=2))
    assert (run_folder / "venus_output_0.bin").read_bytes() == SCORES.tobytes()


def test_a_profile_build_runs_ten_times(classifier, run_folder, tree):
    programs.built(classifier, tree, "build_type=profile", programs.program(build_type="profile"))
    done = programs.run(classifier, run_folder, GIVEN, "photo.rgb", build_type="profile")
    assert done.printed[1] == "run: # ms, mean of 10"
    assert done.calls.count("run") == 10


def test_an_nmem_build_says_where_to_look(classifier, run_folder, tree):
    programs.built(classifier, tree, "build_type=nmem", programs.program(build_type="nmem"))
    done = programs.run(classifier, run_folder, GIVEN, "photo.rgb", build_type="nmem")
    assert "memory: /tmp/nmem_memory.txt" in done.printed
