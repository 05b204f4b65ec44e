import json
import sys
from pathlib import Path

import pytest

from stages.compose import run as compose_into
from stages.core.base.errors import UserError
from stages.core.config.load import load_params
from stages.core.cost import CostModel, load_cost
from stages.export.__main__ import export
from stages.profile.__main__ import main, profile
from stages.profile.board_log import parse_log
from stages.profile.options import Request, parse_bits
from tests.conftest import project_overrides
from tests.profile.logs import ADD, EXAMPLE, log_text, row

KNOWN = CostModel("T40", "", {"8/8": 4.0, "4/4": 1.0}, 0.5, 0.0625)
# name, input, output, kernel: MACs = 64 * kernel's elements
LAYERS = [
    ("a", (1, 8, 8, 16), (1, 8, 8, 32), (3, 3, 16, 32)),
    ("b", (1, 8, 8, 32), (1, 8, 8, 512), (1, 1, 32, 512)),
    ("c", (1, 8, 8, 512), (1, 8, 8, 512), (3, 3, 512, 512)),
    ("d", (1, 8, 8, 512), (1, 8, 8, 8), (1, 1, 512, 8)),
]


def known_ms(inputs, output, kernel, bits):
    """Time by KNOWN, by hand: computing, moving, a layer's price."""
    sizes = 1
    for size in kernel:
        sizes *= size
    bytes_ = (inputs[1] * inputs[2] * inputs[3] + output[1] * output[2] * output[3] + sizes) * bits / 8
    return KNOWN.ms_per_gmac[f"{bits}/{bits}"] * 64 * sizes / 1e9 + 0.5 * bytes_ / 2**20 + 0.0625


def written(path, bits=8):
    rows = [row(name, known_ms(*shapes, bits), *shapes) for name, *shapes in LAYERS]
    path.write_text(log_text(rows))
    return path


def exit_code(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["profile/__main__.py", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


def test_a_log_written_from_a_cost_model_gives_it_back(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    logs = [written(tmp_path / "wide.log"), written(tmp_path / "narrow.log", 4)]
    assert exit_code(monkeypatch, *map(str, logs), "--bits", "8/8", "4/4", "--write", "c.yaml", "--json", "c.json") == 0
    model = load_cost(Path("c.yaml"))
    assert model.ms_per_gmac == pytest.approx(KNOWN.ms_per_gmac)
    assert (model.ms_per_mbyte, model.ms_per_layer) == pytest.approx((0.5, 0.0625))
    assert model.measured == {}  # there is no network to name the layers
    assert model.note == "measured on a board: wide.log at 8/8, narrow.log at 4/4"
    content = json.loads(Path("c.json").read_text())
    assert [log["layers"][0]["layer"] for log in content["logs"]] == ["c", "c"]
    assert content["fit"]["model"]["ms_per_mbyte"] == pytest.approx(0.5)
    out = capsys.readouterr().out
    assert "the 4 slowest of 4 layers" in out
    assert "per GMAC 4/4 1 ms, 8/8 4 ms; per MB 0.5 ms; per layer 0.0625 ms" in out


def test_the_same_logs_give_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = written(tmp_path / "board.log")
    for name in ("one", "two"):
        profile(Request([log], [(8, 8)], write=Path(f"{name}.yaml"), json=Path(f"{name}.json")))
    assert Path("one.yaml").read_bytes() == Path("two.yaml").read_bytes()
    assert Path("one.json").read_bytes() == Path("two.json").read_bytes()


def test_layers_of_the_exported_network_are_measured_by_name(project, capsys):
    export(load_params(Path("params.yaml")))
    rows = [row("stem", 0.5), row("r1", 0.25), row("logits", 0.125), row("other", 1.0), row("another", 2.0)]
    Path("board.log").write_text(log_text(rows))
    profile(Request([Path("board.log")], [(8, 8)], write=Path("c.yaml")))
    model = load_cost(Path("c.yaml"))
    # the first two rows are one layer, a convolution and its activation
    assert model.measured == {"stem_relu": {"8/8": 0.75}, "fc": {"8/8": 0.125}}
    assert model.name == "T40"
    assert "3 of 5 rows named as a layer of out/export/model.onnx" in capsys.readouterr().out


def test_a_run_by_its_number_or_the_mean(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("board.log").write_text(log_text([row("a", 1.0)]) + log_text([row("a", 3.0)]))
    for arguments, total in ((["--run", "2"], "3.000 ms"), ([], "2.000 ms")):
        assert exit_code(monkeypatch, "board.log", *arguments) == 0
        assert f"8/8 bits: {total}" in capsys.readouterr().out


def test_missing_rows_are_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("board.log").write_text(log_text([EXAMPLE, ADD], ["Convolution 0.247 0.3 0.2 66% 0.1 1"], "37.351"))
    assert exit_code(monkeypatch, "board.log") == 0
    out, err = capsys.readouterr()
    assert "board.log: its rows add up to 0.347 ms of a total of 37.351 ms: are lines missing?" in err
    assert "warning: 2 rows fix no cost model: give logs of whole networks" in err
    assert "by operator" in out


def test_another_cost_file_gives_further_bit_widths(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text("ms_per_gmac: {8/8: 2, 4/4: 1}\n")
    log = written(tmp_path / "board.log")
    assert exit_code(monkeypatch, str(log), "--base", "base.yaml", "--write", "c.yaml") == 0
    assert load_cost(Path("c.yaml")).ms_per_gmac == pytest.approx({"8/8": 4.0, "4/4": 2.0})
    assert "4/4 2 ms (scaled, not measured)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.log"], "error: none.log is missing"),
        (["text.log"], "error: text.log is no profile log: expected a line LayerName"),
        (["board.log", "--run", "2"], "error: --run 2: board.log holds 1 run\n"),
        ([], "error: give a profile log, or --nmem FILE; --help shows one\n"),
        (["--nmem", "text.log"], "error: text.log is no nmem report: expected a line `nmem total = ...K`"),
        (["board.log", "--bits", "7/3"], "error: --bits 7/3: SOCs have features of 2, 4, 6, 8, 10, 12, 16 bits\n"),
        (["board.log", "--bits", "8/5"], "error: --bits 8/5: SOCs have weights of 2, 4, 6, 8, 10, 12, 16 bits\n"),
        (
            ["two.log", "--write", "c.yaml"],
            "error: --write: 2 layers fix no cost model of 3 prices: 4 are the least, 10 and more can be trusted",
        ),
        (["board.log", "--nmem", "n.txt", "--json", "n.txt"], "error: --json n.txt would replace that log"),
        (["board.log", "--track"], "error: --track: out/track/run.json is missing: run `dvc repro` first"),
        (["board.log", "--bits", "8"], "error: --bits 8: give feature bits/weight bits, as in 8/8 or 8/4\n"),
        (["board.log", "--bits", "8/8", "4/4"], "error: --bits: 2 pairs for 1 log; give one, or one for each\n"),
        (["board.log", "--base", "none.yaml"], "error: none.yaml is missing"),
        (["board.log", "--count", "-1"], "error: --count -1: give a number of layers"),
        (["board.log", "--write", "./board.log"], "error: --write board.log would replace that log"),
        (["board.log", "--json", "board.log"], "error: --json board.log would replace that log"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "board.log")
    Path("text.log").write_text("hello\n")
    Path("two.log").write_text(log_text([EXAMPLE, ADD]))
    assert exit_code(monkeypatch, *arguments) == 2
    assert not Path("c.yaml").exists()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(said)
    assert err.count("\n") == 1


def test_bits_for_each_log():
    assert parse_bits(["8/4"], 2) == [(8, 4), (8, 4)]
    assert parse_bits(["8/8", "4/4"], 2) == [(8, 8), (4, 4)]
    with pytest.raises(UserError):
        parse_bits(["0/8"], 1)


@pytest.mark.slow
def test_bits_of_the_experiment(project, capsys):
    Path("board.log").write_text(log_text([EXAMPLE, ADD]))
    with pytest.raises(UserError, match=r"^--bits 7/8: the T40 has features of 4, 8, 10, 12 bits$"):
        profile(Request([Path("board.log")], [(7, 8)]))
    compose_into(project_overrides("quant=a10w8"), Path("conf"), Path("params.yaml"), check_only=False)
    profile(Request([Path("board.log")]))
    assert "board.log, 10/8 bits: 0.347 ms" in capsys.readouterr().out


def test_the_help_shows_a_log_that_can_be_read(tmp_path, monkeypatch, capsys):
    assert exit_code(monkeypatch, "--help") == 0
    shown = capsys.readouterr().out
    (run,) = parse_log(shown, "help")
    assert [(layer.name, layer.average) for layer in run.layers] == [("475", 0.247)]
    assert run.total == 37.351
