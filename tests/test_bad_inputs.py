"""What a user mistypes or mislays: one line that names it, exit code 2."""

from pathlib import Path

import pytest

from tests.conftest import Run, project_overrides


def refused(result, *expected: str) -> None:
    """Exit code 2 and a single line on standard error that holds each expected text."""
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert (result.returncode, len(lines)) == (2, 1), result.stderr
    assert lines[0].startswith("error: ")
    for text in expected:
        assert text in lines[0]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("soc=t99", ("soc=t99", "t40", "bm1684x")),
        ("quant.feature_bits=9", ("quant.feature_bits=9", "T40", "4, 8, 10, 12")),
        ("quant.weight_bits=5", ("quant.weight_bits=5", "T40", "2, 4, 6, 8")),
        ("quant.feature_bit=8", ("quant.feature_bit", "feature_bits")),
        ("quant.feature_method=KLD", ("quant.feature_method", "MAX_ABS, KL")),
        ("model.source=my.onnx", ("model.source", "file:PATH")),
        ("model.source=file:absent.onnx", ("model.source", "absent.onnx", "does not exist")),
        ("data.calibration.source=file:absent", ("data.calibration.source", "absent", "does not exist")),
        ("model.name='a b'", ("model.name", "letters, digits")),
        ("watch.model=conf", ("watch.model", "stages.compose")),
        ("data.evaluation.labels='pattern:abc'", ("data.evaluation.labels", "a group ( )")),
        ("soc.name=T41", ("soc.name=T41", "soc=t41")),
        ("soc=t40,t41", ("give one value",)),
    ],
)
def test_refused_config(command: Run, override: str, expected: tuple[str, ...]) -> None:
    refused(command("compose", override), *expected)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        pytest.param("model.inputs=[{name: imagez}]", ("imagez", "did you mean 'images'"), marks=pytest.mark.slow),
        ("model.outputs=[logitz]", ("logitz", "did you mean 'logits'")),
        pytest.param(
            "model.inputs=[{mean: [1, 2]}]",
            ("model.inputs[0].mean", "2 values", "1 value or 3"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_refused_model(command: Run, override: str, expected: tuple[str, ...]) -> None:
    assert command("compose", *project_overrides(override)).returncode == 0
    refused(command("export"), *expected)


@pytest.mark.parametrize("content", ["", "# python -m stages.compose\n", "{}\n"])
def test_empty_parameters(project: Path, command: Run, content: str) -> None:
    (project / "params.yaml").write_text(content)
    refused(command("export"), "params.yaml is empty", "python -m stages.compose")


def test_parameters_that_are_a_list(project: Path, command: Run) -> None:
    (project / "params.yaml").write_text("- soc\n")
    refused(command("export"), "params.yaml is a list", "python -m stages.compose")


def test_not_an_onnx_file(project: Path, command: Run) -> None:
    (project / "tiny.onnx").write_text("this is a text")
    refused(command("export"), "tiny.onnx", "not an ONNX file")


def test_empty_calibration_folder(project: Path, command: Run) -> None:
    assert command("export").returncode == 0
    for picture in (project / "calibration").iterdir():
        picture.unlink()
    refused(command("calibset"), "data.calibration", "no pictures")


def test_corrupt_jpeg(project: Path, command: Run) -> None:
    assert command("export").returncode == 0
    good = next((project / "calibration").glob("*.png"))
    (project / "calibration" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0" + good.read_bytes()[:200])
    refused(command("calibset"), "broken.jpg", "cannot be read")
    assert not (project / "out" / "calibset").exists()


@pytest.mark.parametrize("stage", ["calibset", "calibrate", "quantize", "compare", "build", "evaluate", "track"])
def test_a_stage_without_its_inputs_names_the_stage_that_makes_them(command: Run, stage: str) -> None:
    refused(command(stage), "is missing", "dvc repro")
