import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from stages.build.__main__ import build
from stages.check.__main__ import main
from stages.core.config.load import load_params
from tests.build.runtime.programs import Runtime, compiled
from tests.check import plants
from tests.check.plants import LAST, LEFT, POOL, RIGHT, SHAPES, STEM, SUM

CODES = "images_codes"
REST = [SUM, POOL, "flatten", LAST]  # what follows both branches


def run(monkeypatch, *arguments, json_file="check.json"):
    """Exit code, and the cases of the JSON file."""
    monkeypatch.setattr(sys, "argv", ["check/__main__.py", *map(str, arguments), "--json", json_file])
    Path(json_file).unlink(missing_ok=True)
    with pytest.raises(SystemExit) as caught:
        main()
    written = Path(json_file)
    return caught.value.code, json.loads(written.read_text()) if written.exists() else []


def first_wrong(case):
    """The first layer that differs by itself."""
    return next((row for row in case["layers"] if row["state"] == "differs"), None)


def rows(case):
    return {row["layer"]: row for row in case["layers"]}


@pytest.mark.slow
def test_equal_folders_pass(at, monkeypatch, capsys):
    for bits in (8, 4, 12):
        at(bits)
        code, (case,) = run(monkeypatch, "pc", "board")
        assert code == 0
        assert case["equal"]
        assert case["verdict"] == "all 8 layers are equal"
        assert {row["state"] for row in case["layers"]} == {"equal"}
        assert [row["layer"] for row in case["layers"]] == [
            "images/codes", STEM, LEFT, RIGHT, SUM, POOL, "flatten", LAST,
        ]  # fmt: skip
        assert case["input"]["state"] == "equal"
        assert case["missing"] == case["extra"] == []
    assert "all 8 layers are equal" in capsys.readouterr().out


@pytest.mark.slow
def test_the_reference_runtimes_dumps_are_equal(at, monkeypatch):
    """Its debug build, on the input that infer dumped; four channels, as a board's."""
    for bits in (8, 4):
        at(bits)
        build(load_params(Path("params.yaml")))
        program = Runtime(compiled(Path("debug"), "debug", "CXXFLAGS=-O0"))
        pixels = Path("pc/input_data_shape_1_16_12_3.bin").read_bytes()
        Path("dump").mkdir()
        Path("dump/input_data_shape_1_16_12_4.bin").write_bytes(plants.padded(pixels, 3, 4))
        done = program.run("out/build/t40/runtime/my.sqm", "dump/input_data_shape_1_16_12_4.bin", "-o", "dump")
        assert done.returncode == 0, done.stderr
        code, (case,) = run(monkeypatch, "pc", "dump")
        assert (code, case["verdict"]) == (0, "all 8 layers are equal")
        assert (case["missing"], case["extra"], case["input"]["state"]) == ([], [], "layout")


@pytest.mark.parametrize(
    ("bits", "layer", "plant", "read_as"),
    [
        (8, STEM, lambda b: plants.planes(b, *SHAPES[STEM]), ["NCHW"]),
        (12, STEM, lambda b: plants.planes(b, *SHAPES[STEM], 2), ["NCHW"]),
        (8, STEM, lambda b: plants.grouped(b, *SHAPES[STEM]), ["NDHWC32"]),
        (8, STEM, lambda b: plants.turned(b, *SHAPES[STEM]), ["NWHC"]),
        (8, CODES, lambda b: plants.padded(b, 3, 4), ["channels padded to 4"]),
        (8, SUM, lambda b: plants.padded(b, 36, 64, 7), ["channels padded to 32"]),
        (4, LEFT, plants.exchanged_nibbles, ["nibbles exchanged"]),
        (4, LEFT, plants.unpacked, ["a byte a code"]),
        (8, RIGHT, plants.widened, ["uint16"]),
        (8, RIGHT, lambda b: plants.widened(b, ">H"), ["big-endian uint16"]),
        (12, RIGHT, plants.swapped_bytes, ["big-endian uint16"]),
        (12, RIGHT, plants.low_bytes, ["low bytes only"]),
        (8, SUM, lambda b: plants.widened(b, "<f"), ["float32"]),
        (8, LAST, lambda b: plants.swapped_bytes(b, 4), ["big-endian float32"]),
        (8, STEM, plants.signed, ["signed codes"]),
        # compositions
        (4, LEFT, lambda b: plants.packed(plants.planes(plants.unpacked(b), *SHAPES[LEFT])), ["NCHW"]),
        (
            4,
            LEFT,
            lambda b: plants.exchanged_nibbles(plants.packed(plants.planes(plants.unpacked(b), *SHAPES[LEFT]))),
            ["NCHW", "nibbles exchanged"],
        ),
        (8, STEM, lambda b: plants.widened(plants.planes(b, *SHAPES[STEM])), ["NCHW", "uint16"]),
        (8, STEM, lambda b: plants.signed(plants.grouped(b, *SHAPES[STEM])), ["NDHWC32", "signed codes"]),
        (8, CODES, lambda b: plants.planes(plants.padded(b, 3, 4), 16, 12, 4), ["NCHW", "channels padded to 4"]),
        (
            4,
            SUM,
            lambda b: plants.packed(plants.grouped(plants.unpacked(b), *SHAPES[SUM])),
            ["NDHWC32"],
        ),
    ],
)  # fmt: skip
def test_layouts_are_named_and_passed_through(at, monkeypatch, bits, layer, plant, read_as):
    board = at(bits)
    board.change(layer, plant)
    code, (case,) = run(monkeypatch, "pc", "board")
    name = "images/codes" if layer == CODES else layer
    assert rows(case)[name]["read_as"] == read_as
    assert {key: row["state"] for key, row in rows(case).items() if row["state"] != "equal"} == {name: "layout"}
    assert case["verdict"] == "all 8 layers have the same values; 1 of them written another way"
    assert rows(case)[name]["do"]
    assert code == 1
    assert run(monkeypatch, "pc", "board", "--any-layout")[0] == 0


def test_a_layout_of_all_layers_hides_no_other_difference(at, monkeypatch, capsys):
    board = at()
    for layer in (STEM, LEFT, RIGHT, SUM):
        if layer == LEFT:
            board.change(layer, plants.off_by_one, 5)
        board.change(layer, lambda b, name=layer: plants.planes(b, *SHAPES[name]))
    board.spoil(POOL, "flatten")
    _, (case,) = run(monkeypatch, "pc", "board")
    states = {key: row["state"] for key, row in rows(case).items()}
    assert (states[STEM], states[LEFT], states[RIGHT], states[SUM]) == ("layout", "differs", "layout", "layout")
    assert rows(case)[LEFT]["read_as"] == ["NCHW"]
    assert rows(case)[LEFT]["cause"] == "rounding"
    assert case["verdict"].startswith("left_relu is the first layer that differs: the board's file lies as NCHW")
    assert "do: transpose (0, 2, 3, 1) before comparing" in capsys.readouterr().out
    layouts = [line["found"] for line in case["advice"] if "3 layers" in line["found"]]
    assert layouts == ["3 layers, first stem_relu: the board's file lies as NCHW instead of NHWC"]


@pytest.mark.parametrize(
    ("layer", "plant", "cause", "said"),
    [
        (LEFT, lambda b: plants.off_by_one(b, 4), "rounding", "off by one in 25.00% of the values, up: rounding"),
        (LEFT, lambda b: plants.clamped(b, 100), "saturation", "only values that the board clamps at 100 differ"),
        (RIGHT, lambda b: plants.wrapped(b, [3, 20, 9]), "overflow", "the board wraps where it should clamp"),
        (LEFT, lambda b: plants.shifted(b, 6), "zero point", "codes are 6 above the PC's everywhere"),
        (LEFT, lambda b: plants.in_channel(b, 36, 11, 9), "channels", "only 1 channel of 36 differs (11)"),
        (LEFT, lambda b: plants.on_border(b, 8, 6, 36, 40), "border", "only the border differs"),
        (LEFT, lambda b: bytes([7]) * len(b), "constant", "the board has 7 everywhere"),
        (LEFT, lambda b: b[:1000], "cut off", "ends after 1000 of 1728 bytes, equal until there"),
        (LEFT, lambda b: b + b, "too long", "begins with the PC's 1728 bytes and goes on to 3456"),
        (LEFT, lambda b: b[:100] + bytes([b[100] ^ 64]) + b[101:], "few values", "1 value alone differs"),
        (LEFT, lambda b: bytes(np.random.default_rng(0).integers(0, 256, len(b), np.uint8)), "unrelated", "nothing in"),
        (LEFT, plants.spoiled, "values", "of the values differ (correlation"),
        (LEFT, lambda b: b[:-36], "cut off", "equal until there"),
        (LEFT, lambda b: b"\1" + b[:-36], "size", "another shape or bit width"),
    ],
)  # fmt: skip
def test_the_first_layer_that_differs_is_named_with_its_cause(at, monkeypatch, layer, plant, cause, said):
    board = at()
    board.change(layer, plant)
    board.spoil(SUM, POOL, "flatten")
    code, (case,) = run(monkeypatch, "pc", "board")
    layer_row = first_wrong(case)
    assert code == 1
    assert (layer_row["layer"], layer_row["cause"]) == (layer, cause)
    assert said in layer_row["sentence"]
    assert layer_row["do"]
    assert case["verdict"] == f"{layer} is the first layer that differs: {layer_row['sentence']}"
    follows = [row["layer"] for row in case["layers"] if row["state"] == "follows"]
    assert follows == [SUM, POOL, "flatten"]
    assert len([row for row in case["layers"] if row["state"] == "differs"]) == 1


def test_the_difference_is_measured(at, monkeypatch):
    """Two values of `left_relu`: (0, 2, 1, 3) is 5 more, (0, 7, 5, 35) is 2 less."""
    board = at()
    content = bytearray(board.path(LEFT).read_bytes())
    places = [(2 * 6 + 1) * 36 + 3, (7 * 6 + 5) * 36 + 35]
    content[places[0]], content[places[1]] = 10, 20
    Path("pc/left_relu_Quantize.bin").write_bytes(content)
    content[places[0]], content[places[1]] = 15, 18
    board.path(LEFT).write_bytes(content)
    _, (case,) = run(monkeypatch, "pc", "board")
    layer_row = first_wrong(case)
    assert (layer_row["values"], layer_row["differ"], layer_row["largest"], layer_row["mean"]) == (1728, 2, 5.0, 1.5)
    assert (layer_row["first"], layer_row["expected"], layer_row["found"]) == ([0, 2, 1, 3], 10.0, 15.0)


def test_two_branches_differ_each_by_itself(at, monkeypatch):
    board = at()
    board.change(RIGHT, plants.off_by_one, 9)
    board.change(LEFT, plants.in_channel, 36, 4, 3)
    board.spoil(SUM)
    _, (case,) = run(monkeypatch, "pc", "board")
    states = {key: row["state"] for key, row in rows(case).items()}
    assert (states[LEFT], states[RIGHT], states[SUM], states[POOL]) == ("differs", "differs", "follows", "equal")
    assert case["verdict"].startswith("left_relu is the first layer that differs")


def test_exchanged_files_are_named(at, monkeypatch):
    board = at()
    board.path(LEFT).write_bytes(board.path(RIGHT).read_bytes())
    _, (case,) = run(monkeypatch, "pc", "board")
    assert first_wrong(case)["sentence"] == "the board's file is what the PC has for right_relu"


# --- the input


def board_fed(pixels, monkeypatch):
    """A board that ran on other pixels: all its layers, not the input's own file."""
    np.save("fed.npy", pixels)
    plants.dump("fed.npy", into="fed")
    board = plants.board_of(Path("fed"))
    next(board.folder.glob("input_data*")).unlink()
    return board


def wide(pixels):
    """The first 16 * 12 * 3 bytes of pixels of four."""
    content = plants.padded(pixels.tobytes(), 3, 4)
    return np.frombuffer(content[: pixels.size], np.uint8).reshape(pixels.shape)


def mean_and_normal(pixels):
    return ((pixels - np.float32([110, 120, 130])) / np.float32([60, 64, 70])).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "cause", "said"),
    [
        (lambda p: p[..., ::-1], "colour order", "the board was fed red and blue exchanged"),
        (mean_and_normal, "mean twice", "mean and normal applied twice"),
        (lambda p: p * np.float32([60, 64, 70]) + np.float32([110, 120, 130]), "no mean", "without mean and normal"),
        (lambda p: p.astype(np.float32) / 255, "0..1", "divided by 255"),
        (lambda p: p.transpose(2, 0, 1).reshape(16, 12, 3), "input planes", "planes (NCHW) where it takes pixels"),
        (wide, "input padding", "pixels of four bytes read as three"),
        (lambda p: p[::-1], "upside down", "the picture upside down"),
        (lambda p: p[:, ::-1], "mirrored", "the picture mirrored"),
        (lambda p: p * 0, "no input", "all pixels 0"),
    ],
)
@pytest.mark.parametrize("first_layer", [True, False])
def test_a_wrongly_fed_board_is_told_how(at, monkeypatch, change, cause, said, first_layer):
    """Also where the board dumps no input codes, as the vendor's: then by the first convolution."""
    at()
    board = board_fed(change(plants.picture(1)), monkeypatch)
    if not first_layer:
        board.path(CODES).unlink()
    code, (case,) = run(monkeypatch, "pc", "board")
    layer_row = first_wrong(case)
    assert code == 1
    assert (layer_row["layer"], layer_row["cause"]) == ("images/codes" if first_layer else STEM, cause)
    assert said in layer_row["sentence"]
    assert rows(case)[LEFT]["state"] == "follows"


def test_what_follows_another_input_is_only_said_to_follow(at, monkeypatch):
    """No layout is read out of a float output of five values."""
    at()
    np.save("fed.npy", plants.picture(4))
    plants.dump("fed.npy", into="fed")
    plants.board_of(Path("fed"))
    _, (case,) = run(monkeypatch, "pc", "board")
    assert {row["state"] for row in case["layers"]} == {"follows"}
    assert all((row["read_as"], row["cause"]) == ([], None) for row in case["layers"])
    assert rows(case)[LAST]["largest"] < 100
    assert (case["input"]["cause"], case["input"]["do"]) == (
        "other input",
        "run the board on the PC's *_data_shape_*.bin (a picture in its colour order; of 4 channels, channel 3 zero), "
        "mean and normal applied once",
    )


def test_an_input_that_is_no_picture_has_no_colours(tmp_path, monkeypatch):
    """A network of one vector, as the files' names tell."""
    monkeypatch.chdir(tmp_path)
    Path("pc").mkdir()
    Path("board").mkdir()
    rng = np.random.default_rng(0)
    for folder, end in (("pc", ""), ("board", "_out")):
        Path(f"{folder}/input_data_shape_1_10.bin").write_bytes(rng.normal(0, 1, 10).astype("<f4").tobytes())
        Path(f"{folder}/first_Quantize{end}.bin").write_bytes(bytes(rng.integers(0, 256, 40).tolist()))
    _, (case,) = run(monkeypatch, "pc", "board")
    assert case["input"]["read_as"] == []
    assert case["input"]["do"] == "run the board on the PC's *_data_shape_*.bin, mean and normal applied once"


def test_another_picture(at, monkeypatch):
    """Another picture than the PC's, then one of several that the PC ran."""
    at()
    board_fed(plants.picture(4), monkeypatch)
    _, (case,) = run(monkeypatch, "pc", "board")
    assert (first_wrong(case)["layer"], first_wrong(case)["cause"]) == ("images/codes", "other input")
    assert "another input" in case["verdict"]


def test_the_boards_own_input_is_compared(at, monkeypatch):
    board = at()
    path = board.folder / "input_data_shape_1_16_12_3.bin"
    path.rename(board.folder / "input_data_shape_1_16_12_4.bin")
    path = board.folder / "input_data_shape_1_16_12_4.bin"
    pixels = path.read_bytes()
    path.write_bytes(plants.padded(pixels, 3, 4))
    code, (case,) = run(monkeypatch, "pc", "board")
    assert (code, case["input"]["state"], case["input"]["read_as"]) == (0, "layout", ["channels padded to 4"])
    # red and blue exchanged, in four channels, and the layers with it
    path.write_bytes(plants.padded(plants.reversed_channels(pixels), 3, 4))
    board.spoil(CODES, STEM, LEFT, RIGHT, SUM)
    code, (case,) = run(monkeypatch, "pc", "board")
    assert case["input"]["read_as"] == ["channels padded to 4", "red and blue exchanged"]
    assert case["verdict"].startswith("the input differs: ")
    assert "red and blue exchanged" in case["verdict"]
    assert first_wrong(case) is None
    assert code == 1


def test_several_inputs(at, monkeypatch, capsys):
    at()
    for name in ("cat", "dog"):
        plants.board_of(Path("both") / name, f"boards_{name}")
    Path("boards").mkdir()
    Path("boards_cat").rename("boards/cat")
    Path("boards_dog").rename("boards/dog")
    code, cases = run(monkeypatch, "both", "boards")
    assert (code, [case["name"] for case in cases]) == (0, ["cat", "dog"])
    # one wrong input among them
    for path in Path("boards/dog").iterdir():
        path.unlink()
    for path in Path("boards/cat").iterdir():
        (Path("boards/dog") / path.name).write_bytes(path.read_bytes())
    next(Path("boards/dog").glob("input_data*")).unlink()
    code, cases = run(monkeypatch, "both", "boards")
    assert (code, [case["equal"] for case in cases]) == (1, [True, False])
    said = "the board's values are those of the input cat: another input"
    assert cases[1]["verdict"] == f"images/codes is the first layer that differs: {said}"
    # a single dump is the picture's that it agrees with
    code, (case,) = run(monkeypatch, "both", "boards/cat")
    assert (code, case["name"]) == (0, "cat")
    assert "cat: all 8 layers are equal" in capsys.readouterr().out


# --- files


def test_missing_and_extra_files_are_said(at, monkeypatch, capsys):
    board = at()
    board.path(RIGHT).unlink()
    (board.folder / "older_Quantize_out.bin").write_bytes(b"1")
    code, (case,) = run(monkeypatch, "pc", "board")
    assert code == 1
    assert case["verdict"] == "1 layer missing on the board, first right_relu; what is there is equal"
    assert (case["missing"], case["extra"]) == (["right_relu_Quantize.bin"], ["older_Quantize_out.bin"])
    shown = capsys.readouterr().out
    assert "missing on the board: right_relu" in shown
    assert "on the board alone: older_Quantize_out.bin" in shown


def test_a_board_need_not_dump_its_inputs_codes(at, monkeypatch):
    """The vendor's does not."""
    board = at()
    board.path(CODES).unlink()
    code, (case,) = run(monkeypatch, "pc", "board")
    assert (code, case["verdict"]) == (0, "all 7 layers are equal")
    assert "not compared: the board has no dump of its input's codes (images/codes)" in case["notes"]


def test_a_board_that_stopped(at, monkeypatch):
    board = at()
    for layer in REST:
        board.path(layer).unlink()
    code, (case,) = run(monkeypatch, "pc", "board")
    assert code == 1
    assert case["verdict"] == "the board stopped after right_relu: 4 layers missing from sum on"


def test_a_file_that_the_pcs_list_does_not_know_is_no_layer_of_the_board(at, monkeypatch):
    at()
    Path("pc/zzz_Quantize.bin").write_bytes(b"1")
    code, (case,) = run(monkeypatch, "pc", "board")
    assert (code, case["verdict"]) == (0, "all 8 layers are equal")
    known = "zzz_Quantize.bin in pc, which pc/model_node_info.json does not list"
    assert f"not compared: {known}; nor has the board it" in case["notes"]


def test_an_extra_file_alone_does_no_harm(at, monkeypatch):
    board = at()
    (board.folder / "model.bin").write_bytes(b"1")
    code, (case,) = run(monkeypatch, "pc", "board")
    assert (code, case["extra"]) == (0, ["model.bin"])


def test_the_converters_own_dump_of_codes(at, monkeypatch):
    """ptq_model/: a byte a code at 4 bits, no suffix, the list one folder up."""
    at(4)
    Path("magik/ptq_model").mkdir(parents=True)
    listed = json.loads(Path("pc/model_node_info.json").read_text())
    for info in listed["files"].values():
        content = (Path("pc") / info["file"]).read_bytes()
        if "bits" in info:
            row = info["shape"][-1]
            codes = [code for value in content for code in (value & 15, value >> 4)]
            size = row + row % 2
            content = bytes(code for i, code in enumerate(codes) if i % size < row)
            info["file"] = info["file"].replace("_Quantize", "")
        (Path("magik/ptq_model") / info["file"]).write_bytes(content)
    Path("magik/model_node_info.json").write_text(json.dumps(listed))
    code, (case,) = run(monkeypatch, "magik/ptq_model", "board", "--any-layout")
    assert code == 0
    assert rows(case)[LEFT]["read_as"] == ["a byte a code"]
    assert "the PC's file has a byte for each 4-bit code" in rows(case)[LEFT]["sentence"]


def test_a_training_kits_floats(at, monkeypatch):
    """float32 NCHW, what codes stand for."""
    at()
    Path("kit").mkdir()
    for layer in (STEM, LEFT, RIGHT, SUM):
        file = f"{layer}_Quantize.bin"
        scale, zero_point = plants.meaning(Path("pc"), file)
        content = plants.planes((Path("pc") / file).read_bytes(), *SHAPES[layer])
        (Path("kit") / f"{layer}.bin").write_bytes(plants.dequantized(content, scale, zero_point))
    code, (case,) = run(monkeypatch, "kit", "board", "--any-layout")
    assert code == 0
    assert {row["state"] for row in case["layers"]} == {"layout"}
    assert rows(case)[STEM]["read_as"] == ["NCHW", "float32"]
    assert (
        rows(case)[STEM]["sentence"]
        == "the PC's file lies as NCHW instead of NHWC and holds float32, as training kits dump"
    )
    Path("out").rename("elsewhere")
    _, (case,) = run(monkeypatch, "kit", "board")
    assert first_wrong(case)["cause"] == "float32"
    assert "out/quantize lies, which has the scales" in first_wrong(case)["do"]


# --- without a list, without an experiment


def test_shapes_are_guessed_where_nothing_tells_them(at, monkeypatch, tmp_path):
    board = at()
    plants.forget(Path("pc"))
    board.change(STEM, lambda b: plants.planes(b, *SHAPES[STEM]))
    board.change(LEFT, plants.off_by_one, 7)
    Path("out").rename("elsewhere")
    _, (case,) = run(monkeypatch, "pc", "board")
    assert case["layers_known_from"].startswith("guessed from names and sizes")
    assert rows(case)[STEM]["read_as"] == ["NCHW"]
    assert (first_wrong(case)["layer"], first_wrong(case)["cause"]) == (LEFT, "rounding")
    shutil.copytree("pc", "reference")
    assert run(monkeypatch, "pc", "reference")[0] == 0


def test_a_log_tells_shapes_and_order(at, monkeypatch):
    board = at()
    plants.forget(Path("pc"))
    Path("out").rename("elsewhere")
    order = [CODES, STEM, RIGHT, LEFT, SUM]
    lines = [
        f"Log: Data dumping to::./MAGIK_DATA_DUMP/{name}_Quantize.bin--->shape:[1,{','.join(map(str, SHAPES[name]))}]"
        for name in order
    ]
    damaged = f"Log: Data dumping to::./MAGIK_DATA_DUMP/{'x' * 300}.bin--->shape:[1,2,2,2]"  # longer than a file's name
    Path("pc.log").write_text("\n".join([*lines, damaged]))
    board.change(STEM, lambda b: plants.grouped(b, *SHAPES[STEM]))
    _, (case,) = run(monkeypatch, "pc", "board", "--log", "pc.log")
    assert case["layers_known_from"] == "the log"
    assert [row["layer"] for row in case["layers"]][:5] == order
    assert rows(case)[STEM]["read_as"] == ["NDHWC32"]


def test_the_experiment_tells_them_if_it_is_the_dumps(at, monkeypatch):
    at()
    plants.forget(Path("pc"))
    _, (case,) = run(monkeypatch, "pc", "board")
    assert case["layers_known_from"] == "out/quantize/integer.onnx"
    assert rows(case)["images/codes"]["state"] == "equal"
    for folder in ("pc", "board"):
        for path in Path(folder).iterdir():
            path.rename(path.with_name(f"x{path.name}"))
    _, (case,) = run(monkeypatch, "pc", "board")
    assert case["layers_known_from"].startswith("guessed")


# --- versions

OLD = """\
The soc-nna version is 20220525
INFO(magik): venus version:0.9.5.2.ALPHA(00000906_aa6e9e7) built:20220721-2110(
7.2.0 r5.1.3 glibc2.29 mips@NNA1)
INFO(magik): model version:0.9.6.NNA1_aa6e9e7
"""


def test_a_runtime_older_than_the_model_is_refused(at, monkeypatch, capsys):
    board = at()
    (board.folder / "console.txt").write_text(OLD)
    code, cases = run(monkeypatch, "pc", "board")
    assert (code, cases) == (2, [])
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("error: board/console.txt: the board's runtime 0.9.5.2.ALPHA is older than the model, 0.9.6")
    Path("new.log").write_text(OLD.replace("0.9.5.2", "0.9.6.2"))
    code, (case,) = run(monkeypatch, "pc", "board", "--log", "new.log")
    assert code == 0
    assert case["notes"] == ["runtime 0.9.6.2.ALPHA runs models of 0.9.6.NNA1_aa6e9e7 (new.log)"]


# --- mistakes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none", "board"], "error: none is missing: give a folder of dumps"),
        (["pc", "params.yaml"], "error: params.yaml is no folder: give a folder of dumps"),
        (["conf", "board"], "error: conf holds no dumps (.bin files): `python -m stages.infer INPUT --dump DIR`"),
        (["pc", "conf"], "error: conf holds no dumps (.bin files): copy there what the board's debug build wrote"),
        (["board", "pc"], "error: board has a board's files (..._out.bin), pc a PC's: give the PC's folder first"),
        (
            ["pc", "others"],
            "error: no file of others is named after one of pc: the PC's are such as fc.bin, the board's",
        ),
        (["pc", "board", "--log", "none.log"], "error: none.log cannot be read: "),
        (["pc", "board", "--count", "-1"], "error: --count -1: give a number of layers"),
        (["both", "conf"], "error: conf holds no dumps"),
        (["pc", "pc"], "error: pc and pc are the same folder: give the PC's dump, then the board's"),
        (["pc", "others/../pc"], "error: pc and others/../pc are the same folder"),
        (["linked", "pc"], "error: linked and pc are the same folder"),
        (["both", "both"], "error: both and both are the same folder"),
        (["both", "both/cat"], "error: both and both/cat are the same folder"),
        (["pc", "both"], "error: both holds no dumps itself, but folders of them: give one of cat, dog"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(at, monkeypatch, capsys, arguments, said):
    at()
    Path("linked").symlink_to("pc")
    Path("others").mkdir()
    Path("others/x_Quantize_out.bin").write_bytes(b"1")
    code, cases = run(monkeypatch, *arguments)
    out, err = capsys.readouterr()
    assert (code, cases, out) == (2, [], "")
    assert err.startswith(said)
    assert err.count("\n") == 1


@pytest.mark.parametrize("option", ["--html", "--json"])
def test_a_folder_for_the_result_is_refused_before_the_work(at, monkeypatch, capsys, option):
    at()
    monkeypatch.setattr("stages.check.__main__.compare_dumps", lambda *_: pytest.fail("compared"))
    monkeypatch.setattr(sys, "argv", ["check", "pc", "board", option, "both"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert (caught.value.code, capsys.readouterr().err) == (2, "error: both is a folder: name a file\n")


def test_a_damaged_list_is_refused(at, monkeypatch, capsys):
    at()
    Path("pc/model_node_info.json").write_text('{"files": {"stem": {"file": "a.bin"}}}')
    assert run(monkeypatch, "pc", "board")[0] == 2
    assert "pc/model_node_info.json: the entry of 'stem' is damaged" in capsys.readouterr().err


# --- the page


def test_the_page_needs_nothing_else_and_is_the_same_every_time(at, monkeypatch):
    board = at()
    board.change(LEFT, plants.on_border, 8, 6, 36, 40)
    board.spoil(SUM)
    run(monkeypatch, "pc", "board", "--html", "one.html")
    run(monkeypatch, "pc", "board", "--html", "two.html")
    text = Path("one.html").read_text()
    assert text == Path("two.html").read_text()
    assert "http" not in text
    assert "left_relu is the first layer that differs" not in text.split("<body>")[0]
    assert "left_relu is the first layer that differs: only the border differs" in text
    assert text.count('<tr class="follows">') == 1
    assert 'class="differs" title="2 left_relu: differs"' in text
