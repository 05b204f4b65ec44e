import copy
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stages.compose import main, run
from stages.core.base.errors import UserError
from stages.core.config.composition import compose
from tests.conftest import REPOSITORY, copy_conf, project_overrides


@pytest.fixture(scope="module")
def conf(tmp_path_factory):
    return copy_conf(tmp_path_factory.mktemp("conf"))


@pytest.fixture(scope="module", autouse=True)
def composed_once():
    """What compositions give is tested in tests/core/config; here the same one is made once."""
    known = {}

    def remembered(overrides, folder):
        key = (*overrides, folder)
        if key not in known:
            known[key] = compose(overrides, folder)
        return copy.deepcopy(known[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stages.compose.compose", remembered)
        yield


@pytest.fixture
def params(tmp_path):
    return tmp_path / "params.yaml"


def values(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_default_experiment_is_written(params, capsys):
    run([], REPOSITORY / "conf", params, check_only=False)
    assert values(params) == values(REPOSITORY / "params.yaml")
    assert capsys.readouterr().out == f"{params} written\nnext:    dvc repro\n"


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe",
        b"soc: &a {b: *a}\n",
        b"a: " + b"[" * 1000,
        b"a: ${b}\nb: ${a}\n",
        b"a: 1\n---\nb: 2\n",
        bytes(9),
        b"-1",
    ],
)
def test_a_file_that_is_no_config_is_written_anew(conf, params, content):
    params.write_bytes(content)
    run([], conf, params, check_only=False)
    assert values(params)["soc"]["name"] == "T40"
    params.write_bytes(content)
    with pytest.raises(UserError, match=r"its first line is not `# python -m stages\.compose"):
        run([], conf, params, check_only=False, keep=True)


def test_changes_are_shown_key_by_key(conf, params, capsys):
    run([], conf, params, check_only=False)
    capsys.readouterr()
    run(["quant=a10w8", "model.fp32_diff=0.5"], conf, params, check_only=False)
    assert capsys.readouterr().out.splitlines() == [
        "  model.fp32_diff: 0.001 -> 0.5",
        "  quant.feature_bits: 8 -> 10",
        "  quant.name: int8 -> a10w8",
        f"{params} written, 3 keys changed",
        "next:    dvc repro",
    ]


def test_what_follows_from_another_soc_is_one_line(conf, params, capsys):
    run([], conf, params, check_only=False)
    capsys.readouterr()
    run(["soc=bm1684x", "soc.input_channels=1"], conf, params, check_only=False)
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "  soc.name: T40 -> bm1684x"
    assert re.fullmatch(r"  \d\d more keys of soc, which follow from it", second)


def test_a_key_that_comes_or_goes_is_shown(conf, params, capsys):
    run(["+model.torch.arguments.old=1"], conf, params, check_only=False)
    capsys.readouterr()
    run(["+model.torch.arguments.new=[1, 2]"], conf, params, check_only=False)
    shown = capsys.readouterr().out.splitlines()
    assert shown[:2] == ["  model.torch.arguments.new: (none) -> [1, 2]", "  model.torch.arguments.old: 1 -> (none)"]


def test_long_values_are_shown_from_where_they_differ(conf, params, capsys):
    names = ", ".join(f"conv_{index}" for index in range(20))
    run([f"quant.skip_nodes=[{names}, first]"], conf, params, check_only=False)
    capsys.readouterr()
    run([f"quant.skip_nodes=[{names}, last]"], conf, params, check_only=False)
    shown = capsys.readouterr().out.splitlines()[0]
    assert shown == "  quant.skip_nodes: ... ', 'conv_19', 'first'] -> ... ', 'conv_19', 'last']"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON: "),
        ("[]", "give one group of keys a node"),
        ('{"a": {"QUANT_FEATURE_BIT": "8"}}', "quant.node_bits: a: QUANT_FEATURE_BIT=8: give a number of bits"),
        (
            '{"a": {"QUANT_FEATURE_BIT": 9}}',
            "quant.node_bits: a: QUANT_FEATURE_BIT=9: the T40 cannot do 9 bits; it can",
        ),
        ('{"a": {"MIN": 1, "MAX": 0}}', "quant.node_bits: a: MIN=1, MAX=0: MIN must be below MAX"),
        (None, "bits.json does not exist"),
    ],
)
def test_a_broken_file_of_node_bits_is_refused(conf, params, tmp_path, content, said):
    if content is not None:
        (tmp_path / "bits.json").write_text(content)
    with pytest.raises(UserError) as caught:
        run([f"quant.node_bits=file:{tmp_path}/bits.json"], conf, params, check_only=False)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not params.exists()


def test_a_path_below_the_users_folder_needs_quotes(conf, params, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "bits.json").write_text("{}")
    with pytest.raises(UserError, match=r"a value with .* ~ or spaces needs quotes of its own"):
        run(["quant.node_bits=file:~/bits.json"], conf, params, check_only=False)
    run(['quant.node_bits="file:~/bits.json"'], conf, params, check_only=False)
    assert values(params)["watch"]["node_bits"] == f"{tmp_path}/bits.json"


def test_a_sound_file_of_node_bits_is_taken_whatever_its_nodes(conf, params, tmp_path):
    (tmp_path / "bits.json").write_text('{"a": {"QUANT_FEATURE_BIT": 8, "MIN": 0, "MAX": 1}}')
    run([f"quant.node_bits=file:{tmp_path}/bits.json"], conf, params, check_only=False)
    assert values(params)["watch"]["node_bits"] == f"{tmp_path}/bits.json"


def test_the_same_call_changes_nothing(conf, params, capsys):
    run(["soc=t41"], conf, params, check_only=False)
    before = params.read_bytes()
    capsys.readouterr()
    run(["soc=t41"], conf, params, check_only=False)
    assert params.read_bytes() == before
    assert capsys.readouterr().out.splitlines()[0] == f"{params} written, 0 keys changed"


def test_overrides_do_not_add_up_over_calls(conf, params):
    run(["quant=a10w8"], conf, params, check_only=False)
    run(["soc=t41"], conf, params, check_only=False)
    found = values(params)
    assert (found["soc"]["name"], found["quant"]["name"]) == ("T41", "int8")


def test_the_first_line_says_what_was_typed(conf, params):
    run([], conf, params, check_only=False)
    assert params.read_text().startswith("# python -m stages.compose\nsoc:\n")
    run(["soc=t41", "model.inputs=[{mean: [1, 2]}]"], conf, params, check_only=False)
    assert params.read_text().startswith("# python -m stages.compose soc=t41 'model.inputs=[{mean: [1, 2]}]'\nsoc:\n")


@pytest.mark.parametrize(
    ("first", "then", "together"),
    [
        (["soc=t41"], ["quant=a10w8"], ["soc=t41", "quant=a10w8"]),
        (["soc=t41", "quant=a8w4"], ["quant=a10w8"], ["soc=t41", "quant=a10w8"]),  # the later of a group wins
        pytest.param(
            ["quant.skip_nodes=[a]", "soc=a1"],
            ["quant.skip_nodes=[a,b]"],
            ["soc=a1", "quant.skip_nodes=[a,b]"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["quant.weight_bits=4"], ["quant=a10w8"], ["quant.weight_bits=4", "quant=a10w8"], marks=pytest.mark.slow
        ),  # a key is above its group
        pytest.param(["+model.torch.arguments.x=1"], ["model.torch.arguments.x=2"], None, marks=pytest.mark.slow),
        pytest.param(['quant.skip_nodes=["it\'s"]'], ["soc=a1"], None, marks=pytest.mark.slow),
    ],
)
def test_keep_starts_from_what_was_typed_before(conf, params, tmp_path, first, then, together):
    run(first, conf, params, check_only=False)
    run(then, conf, params, check_only=False, keep=True)
    at_once = tmp_path / "at_once.yaml"
    run(together or [*first, *then], conf, at_once, check_only=False)
    assert params.read_bytes() == at_once.read_bytes()
    run([], conf, params, check_only=True, keep=True)
    run([], conf, params, check_only=False, keep=True)
    assert params.read_bytes() == at_once.read_bytes()


def test_keep_of_another_file_is_refused(conf, params):
    params.write_text("soc: {}\n")
    with pytest.raises(UserError, match=r"params\.yaml: its first line is not `# python -m stages\.compose"):
        run(["soc=a1"], conf, params, check_only=False, keep=True)
    assert params.read_text() == "soc: {}\n"


def test_an_override_of_two_lines_is_refused(conf, params):
    with pytest.raises(UserError, match="give it in one line"):
        run(['quant.skip_nodes=["a\nb"]'], conf, params, check_only=False)
    assert not params.exists()


def test_a_refused_override_leaves_the_file_alone(conf, params):
    run([], conf, params, check_only=False)
    before = params.read_bytes()
    with pytest.raises(UserError, match="cannot do 3 bits"):
        run(["quant.weight_bits=3"], conf, params, check_only=False)
    assert params.read_bytes() == before
    assert list(params.parent.iterdir()) == [params]


def test_a_broken_file_is_replaced(conf, params):
    params.write_text("soc: [\n")
    run([], conf, params, check_only=False)
    assert values(params)["soc"]["name"] == "T40"


def test_check_passes_on_what_was_composed(conf, params, capsys):
    run(["soc=t41"], conf, params, check_only=False)
    capsys.readouterr()
    run(["soc=t41"], conf, params, check_only=True)
    assert capsys.readouterr().out == f"{params} is what {conf}/ composes to\n"


def test_check_names_what_differs_and_writes_nothing(conf, params):
    run([], conf, params, check_only=False)
    params.write_text(params.read_text().replace("feature_bits: 8\n", "feature_bits: 10\n"))
    before = params.read_bytes()
    with pytest.raises(UserError) as caught:
        run([], conf, params, check_only=True)
    expected = f"{params} is not what {conf}/ and these overrides compose to: quant.feature_bits differ"
    assert str(caught.value) == f"{expected}; `python -m stages.compose --keep` writes it anew"
    assert params.read_bytes() == before


def test_check_of_a_missing_file_fails_and_writes_nothing(conf, params):
    with pytest.raises(UserError, match=r"params\.yaml"):
        run([], conf, params, check_only=True)
    assert not params.exists()


def exit_code(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["compose.py", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


@pytest.mark.slow
def test_the_command_composes_in_the_current_folder(project, monkeypatch):
    assert exit_code(monkeypatch, *project_overrides("quant=a8w4")) == 0
    assert values(Path("params.yaml"))["quant"]["weight_bits"] == 4
    assert exit_code(monkeypatch, *project_overrides("quant=a8w4"), "--check") == 0
    assert exit_code(monkeypatch, *project_overrides(), "--check") == 2
    assert exit_code(monkeypatch, "--keep", "quant.weight_bits=6") == 0
    assert values(Path("params.yaml"))["model"]["source"] == "file:tiny.onnx"
    assert exit_code(monkeypatch, "--keep", "--check") == 0


def test_the_command_takes_other_places(conf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert exit_code(monkeypatch, "--conf", str(conf), "--params", "sub/p.yaml", "soc=a1") == 0
    assert values(tmp_path / "sub" / "p.yaml")["soc"]["name"] == "A1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["soc=q99"], "error: soc=q99: there is no such file in conf/soc; choose one of a1, "),
        (["soc=T41"], "error: soc=T41: there is no such file in conf/soc; did you mean 't41'? choose one of a1, "),
        (["quant.feature_bits=9"], "error: quant.feature_bits=9: the T40 cannot do 9 bits; it can do 4, 8, 10, 12"),
        (["--conf", "nowhere"], "error: nowhere/config.yaml is missing"),
    ],
)
def test_a_mistake_is_one_line_on_standard_error_and_exit_code_2(conf, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(conf.parent)
    assert exit_code(monkeypatch, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(said)
    assert err.count("\n") == 1


@pytest.mark.slow
def test_the_committed_params_pass_the_check():
    line = [sys.executable, "-m", "stages.compose", "--check"]
    done = subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "params.yaml is what conf/ composes to\n", "")


def test_the_command_exits_2_where_the_check_fails(command):
    done = command("compose", "--check")
    assert done.returncode == 2
    assert "model.source" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_override_of_the_inputs_that_loses_mean_and_normal_is_warned_of(conf, params, capsys):
    run(["model.inputs=[{color: BGR}]"], conf, params, check_only=False)
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning == (
        "warning: model.inputs replaces the list before it whole, and it lost mean: [127], normal: [128]: add it if it "
        "still holds"
    )
    run(["model.inputs=[{color: BGR, mean: [127], normal: [128]}]"], conf, params, check_only=False)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_an_override_that_loses_what_was_kept_is_warned_of(conf, params, capsys):
    run(["model.inputs=[{color: BGR, mean: [7], normal: [9]}]"], conf, params, check_only=False)
    run(["quant=a10w8"], conf, params, check_only=False, keep=True)
    assert capsys.readouterr().err == ""
    run(["model.inputs=[{mean: [7]}]"], conf, params, check_only=False, keep=True)
    (warning,) = capsys.readouterr().err.splitlines()
    assert "it lost normal: [9], color: BGR: add it" in warning
    run(["model.inputs=[{mean: [0], normal: [1], color: RGB}]"], conf, params, check_only=False, keep=True)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("override", ["experiment=bits", "+experiment=bits"])
def test_a_named_sweep_is_for_another_command(conf, params, override):
    with pytest.raises(UserError) as caught:
        run(["soc=t41", override], conf, params, check_only=False)
    line = f"{override}: experiments are sweeps: run it with `python -m stages.sweep --keep experiment=bits`"
    assert str(caught.value) == line
    assert not params.exists()


def edit(params, old, new):
    text = params.read_text()
    assert old in text
    params.write_text(text.replace(old, new))


def test_keep_says_which_edits_by_hand_it_replaces(conf, params, capsys):
    run(["soc=t41"], conf, params, check_only=False)
    edit(params, "fp32_diff: 0.001\n", "fp32_diff: 0.5\n")
    run(["quant=a10w8"], conf, params, check_only=False, keep=True)
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning == (
        "warning: model.fp32_diff=0.5: edited by hand in params.yaml, and replaced; give it as an override to keep it"
    )
    edit(params, "fp32_diff: 0.001\n", "fp32_diff: 0.5\n")
    run([], conf, params, check_only=False, keep=True)
    assert "warning: model.fp32_diff=0.5: edited by hand" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["model/efficientnet_lite0.yaml", "config.yaml"])
def test_keep_takes_edits_of_conf_and_says_so(tmp_path, params, capsys, file):
    conf = copy_conf(tmp_path)
    run(["soc=t41"], conf, params, check_only=False)
    edit(params, "fit: crop", "fit: squash")  # what conf/ gave before
    later = params.stat().st_mtime + 1
    os.utime(conf / file, (later, later))
    capsys.readouterr()
    run([], conf, params, check_only=False, keep=True)
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.splitlines()[0] == "note: taken from conf/, which was edited: model.preprocess.fit: squash -> crop"


def test_keep_tells_an_edit_of_another_group_apart(tmp_path, params, capsys):
    conf = copy_conf(tmp_path)
    run(["soc=t41"], conf, params, check_only=False)
    edit(params, "fp32_diff: 0.001\n", "fp32_diff: 0.5\n")
    later = params.stat().st_mtime + 1
    os.utime(conf / "quant" / "int8.yaml", (later, later))
    run([], conf, params, check_only=False, keep=True)
    assert "warning: model.fp32_diff=0.5: edited by hand in params.yaml" in capsys.readouterr().err


def test_an_edit_that_is_overridden_is_not_warned_of(conf, params, capsys):
    run(["soc=t41"], conf, params, check_only=False)
    edit(params, "feature_bits: 8\n", "feature_bits: 12\n")
    run(["quant.feature_bits=10"], conf, params, check_only=False, keep=True)
    run([], conf, params, check_only=False, keep=True)
    assert capsys.readouterr().err == ""
