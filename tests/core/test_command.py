import errno
import os
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from stages.core.base.errors import UserError
from stages.core.command import guarded, run_command, run_stage


@pytest.fixture(autouse=True)
def _no_debug(monkeypatch):
    monkeypatch.delenv("SOCQUANT_DEBUG", raising=False)


def fail_with(error):
    def work():
        raise error

    return work


def test_good_work_exits_with_0_and_says_nothing(capsys):
    assert guarded(lambda: None, debug=False) == 0
    assert capsys.readouterr() == ("", "")


def test_work_may_give_its_own_code():
    assert guarded(lambda: 1, debug=False) == 1


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("quant.feature_bits=3: give 8"), 2, "error: quant.feature_bits=3: give 8\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (
            ZeroDivisionError("two\nlines"),
            1,
            "internal error: ZeroDivisionError: two lines (SOCQUANT_DEBUG=1 or --debug shows where)\n",
        ),
    ],
)
def test_an_exception_becomes_one_line_and_an_exit_code(capsys, error, code, line):
    assert guarded(fail_with(error), debug=False) == code
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.EROFS, "Read-only file system", "out/a"), "out/a cannot be written: Read-only file system"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "out/a"), "out/a cannot be written: Disk quota exceeded"),
        (OSError(errno.ENOSPC, "No space left on device"), "a file cannot be written: No space left on device"),
        (OSError(errno.ENAMETOOLONG, "File", "a" * 300), f"{'a' * 100}... cannot be read or written: File"),
        (OSError(errno.ELOOP, "Too many links", "a"), "a cannot be read or written: Too many links"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "out"), "out cannot be read or written: Is a directory"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), "a cannot be read or written: Permission denied"),
    ],
)
def test_what_the_file_system_refuses_is_the_users(capsys, error, line):
    assert guarded(fail_with(error), debug=False) == 2
    assert capsys.readouterr() == ("", f"error: {line}\n")


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "No such file", "a"), PermissionError("no file")])
def test_another_error_of_the_system_is_unforeseen(capsys, error):
    assert guarded(fail_with(error), debug=False) == 1
    assert capsys.readouterr().err.startswith("internal error: ")


def test_an_interrupt_that_a_library_s_tidying_hides_is_one(capsys):
    def work():
        try:
            raise KeyboardInterrupt
        finally:
            {}["flags"]

    assert guarded(work, debug=False) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    "message", ["[bold]model.inputs[0][/bold] and [1,3]", "long " * 100, "source 'file:a:x:b'", "a\\[b]"]
)
def test_a_message_is_printed_as_it_is(capsys, message):
    guarded(fail_with(UserError(message)), debug=False)
    assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.parametrize("error", [UserError("mine"), ValueError("unforeseen")])
def test_debug_shows_the_traceback_before_the_message(capsys, error):
    guarded(fail_with(error), debug=True)
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback")
    assert str(error) in shown.splitlines()[-1]


@pytest.mark.parametrize(("value", "shown"), [("1", True), ("0", False), ("", False)])
def test_the_environment_turns_the_traceback_on(capsys, monkeypatch, value, shown):
    monkeypatch.setenv("SOCQUANT_DEBUG", value)
    guarded(fail_with(ValueError("x")), debug=False)
    assert ("Traceback" in capsys.readouterr().err) is shown


def run_with(monkeypatch, work, *arguments):
    monkeypatch.setattr(sys, "argv", ["/somewhere/stages/export/__main__.py", *arguments])
    with pytest.raises(SystemExit) as caught:
        run_stage(work, "Reads a; writes b.")
    return caught.value.code


def test_a_stage_works_on_the_config_of_its_folder(project, monkeypatch):
    seen = []
    assert run_with(monkeypatch, seen.append) == 0
    assert [config.model.source for config in seen] == ["file:tiny.onnx"]


@pytest.mark.parametrize(
    ("dvc", "said"), [(None, "next:    python -m stages.calibset, or `dvc repro`"), ("export", "")]
)
def test_a_stage_alone_says_what_is_next(project, monkeypatch, capsys, dvc, said):
    monkeypatch.delenv("DVC_STAGE", raising=False)
    if dvc is not None:
        monkeypatch.setenv("DVC_STAGE", dvc)
    assert run_with(monkeypatch, lambda config: None) == 0
    assert capsys.readouterr().out[: len(said) or None] == said


def test_a_wrong_number_of_threads_is_refused_before_any_work(project, monkeypatch, capsys):
    monkeypatch.setenv("SOCQUANT_THREADS", "abc")
    monkeypatch.setattr("sys.argv", ["quantize"])
    with pytest.raises(SystemExit) as ended:
        run_stage(lambda config: pytest.fail("it works"), "Quantizes.")
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: SOCQUANT_THREADS=abc: give a number")


def test_a_stage_takes_another_params_file(project, monkeypatch):
    text = (project / "params.yaml").read_text()
    (project / "other.yaml").write_text(text.replace("feature_bits: 8", "feature_bits: 10"))
    seen = []
    assert run_with(monkeypatch, seen.append, "--params", "other.yaml") == 0
    assert [config.quant.feature_bits for config in seen] == [10]


def test_a_stage_without_params_says_how_to_write_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_with(monkeypatch, lambda config: None) == 2
    expected = "error: params.yaml is missing: write it with `python -m stages.compose`\n"
    assert capsys.readouterr().err == expected


def test_a_terminated_stage_leaves_no_temporary_folder(project, monkeypatch):
    def work(config):
        with TemporaryDirectory(dir=project) as folder:
            (Path(folder) / "half").touch()
            os.kill(os.getpid(), signal.SIGTERM)

    before = sorted(project.iterdir())
    handler = signal.getsignal(signal.SIGTERM)
    try:
        assert run_with(monkeypatch, work) == 143
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert sorted(project.iterdir()) == before


def test_a_wrong_argument_is_one_line(monkeypatch, capsys):
    assert run_with(monkeypatch, lambda config: None, "--keepp") == 2
    assert capsys.readouterr() == ("", "error: unrecognized arguments: --keepp; see --help\n")


def test_help_names_the_stage_and_what_it_does(monkeypatch, capsys):
    assert run_with(monkeypatch, lambda config: None, "--help") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: python -m stages.export")
    assert "Reads a; writes b." in shown


def test_a_command_takes_arguments_of_its_own_and_gives_its_code(project, monkeypatch):
    seen = []

    def work(config, arguments):
        seen.append((config.model.source, arguments.count))
        return 1

    monkeypatch.setattr(sys, "argv", ["/somewhere/stages/find/__main__.py", "--count", "3", "--params", "params.yaml"])
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as caught:
            run_command(work, "Finds.", lambda parser: parser.add_argument("--count", type=int))
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert caught.value.code == 1
    assert seen == [("file:tiny.onnx", 3)]
