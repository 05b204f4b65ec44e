import subprocess
import sys
from pathlib import Path

import pytest

from tests.build import kept

COPY = "from pathlib import Path; Path('made').write_text(Path('a.h').read_text()); open('runs', 'a').write('x')"


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    """Nothing is kept yet."""
    monkeypatch.setattr(kept, "kept_folder", lambda: tmp_path / "kept")


def made_of(folder: Path, text: str, command: str = COPY):
    """Make `made` of a header; gives what was made, and how often the folder's command has run."""
    folder.mkdir(exist_ok=True)
    (folder / "a.h").write_text(text)
    done = kept.run([sys.executable, "-c", command], folder, [], ["made"], sys.executable)
    assert done.returncode == 0
    runs = folder / "runs"
    return (folder / "made").read_text(), len(runs.read_text()) if runs.exists() else 0


def test_the_same_is_made_once_in_any_folder(tmp_path):
    assert made_of(tmp_path / "a", "1") == ("1", 1)
    assert made_of(tmp_path / "a", "1") == ("1", 1)
    assert made_of(tmp_path / "b", "1") == ("1", 0)


def test_other_sources_and_other_commands_are_run(tmp_path):
    made_of(tmp_path / "a", "1")
    assert made_of(tmp_path / "b", "2") == ("2", 1)
    assert made_of(tmp_path / "c", "1", COPY + " # other") == ("1", 1)


def test_what_warns_is_not_kept(tmp_path):
    warns = COPY + "; import sys; print('warning', file=sys.stderr)"
    assert made_of(tmp_path / "a", "1", warns) == ("1", 1)
    assert made_of(tmp_path / "b", "1", warns) == ("1", 1)


def test_a_program_that_runs_may_be_taken_again(tmp_path):
    command = f"import shutil; shutil.copy({sys.executable!r}, 'made')"
    for _ in range(2):
        done = kept.run([sys.executable, "-c", command], tmp_path, [], ["made"], sys.executable)
        assert done.returncode == 0
    with subprocess.Popen([tmp_path / "made", "-c", "input()"], stdin=subprocess.PIPE) as running:
        kept.run([sys.executable, "-c", command], tmp_path, [], ["made"], sys.executable)
        assert running.poll() is None
        running.communicate(b"\n")


@pytest.mark.parametrize("name", ["debug", "profile"])
def test_a_folders_name_is_no_part_of_other_words(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for each in ("debug", "profile"):  # a folder named by what is made in it
        Path(each).mkdir()
        command = f"from pathlib import Path; Path('made_{each}').write_text('{each}')"
        kept.run([sys.executable, "-c", command], Path(each), [], [f"made_{each}"], sys.executable)
    assert (tmp_path / name / f"made_{name}").read_text() == name
