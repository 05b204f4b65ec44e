"""The logs are TPU-MLIR's own, shortened."""

from pathlib import Path

import pytest

from stages.compile.failures import explained

LOGS = Path(__file__).parent / "logs"
TRANSFORM = ["model_transform.py", "--model_name", "net"]
DEPLOY = ["model_deploy.py", "--quantize", "F16", "--chip", "bm1684", "--tolerance", "0.8,0.5"]
GUIDE = """\
min_similiarity = (0.7610371112823486, -0.6141192159850581, -16.15570902824402)
Target    yolov8s_bm1684_int8_sym_tpu_outputs.npz
Reference yolov8s_top_outputs.npz
npz compare FAILED.
"""


def said(log, call=DEPLOY, code=1, missing=()):
    text = (LOGS / log).read_text() if log.endswith(".log") else log
    return explained(call, code, text.splitlines(keepends=True), missing)


def test_a_network_that_is_too_unlike_the_float_one():
    assert said("gate.log") == (
        "model_deploy.py: the quantized network is too unlike the float one (cosine 1.000, euclidean similarity 0.993; "
        "at least 0.8,0.5): choose ranges by another quant.feature_method, or keep layers in float (quant.head=float "
        "of a detector, quant.skip_nodes); `python -m stages.compare` says which layers lose and what helps"
    )
    assert "(cosine 0.761, euclidean similarity -0.614; at least 0.8,0.5)" in said(GUIDE)  # the guide's, section 2.3


def test_a_float_network_that_is_another():
    assert said("transform.log", TRANSFORM).startswith(
        "model_transform.py: the float network differs from model.onnx ("
    )


def test_a_compiled_network_that_is_another():
    text = GUIDE.replace("_tpu_outputs", "_model_outputs").replace("_top_outputs", "_tpu_outputs")
    assert "the compiled network differs from its own simulation before compiling (cosine 0.761, " in said(text)


def test_a_type_that_the_chip_lacks():
    assert said("refused.log") == (
        "model_deploy.py: the bm1684 does not run this as F16 at Softmax: soc.float_types lists what its layers in "
        "float may be"
    )


def test_a_missing_row():
    assert "the calibration table lacks the row of a layer: run `dvc repro build`" in said("missing_row.log")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("python3: /lib/libc.so.6: version `GLIBC_2.36' not found (required by python3)\n", "C library does not fit"),
        ("Traceback:\nModuleNotFoundError: No module named 'psutil'\n", "its Python lacks the package psutil"),
        ("one\nERROR: disk is full\nlast\n", "it ended with exit code 1: ERROR: disk is full"),
        ("", "it ended with exit code 1: it printed nothing"),
    ],
)
def test_other_reasons(text, part):
    assert part in said(text)


def test_a_killed_tool():
    assert said("working\n", code=-9) == "model_deploy.py: it was killed by SIGKILL: is there enough memory?"
    assert said("working\n", code=-15) == "model_deploy.py: it was killed by SIGTERM"


def test_exit_code_0_is_not_believed():
    assert (
        said("done\n", code=0, missing=["a.bmodel"])
        == "model_deploy.py: it ended without an error, and wrote no a.bmodel"
    )
