"""Texts, tables and arrays that take the machine or Python beyond its bounds."""

import io
import json
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from stages.core.base import texts
from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile, open_source
from stages.core.base.texts import check_yaml, parse_json, read_text
from stages.core.config.load import load_params
from stages.core.config.schema import Color
from stages.core.data.arrays import read_array
from stages.core.data.inputs import NetworkInput
from stages.core.data.labels import read_table
from stages.init.vendor.config_reader import read_vendor_config
from stages.profile.board_log import read_log
from stages.profile.nmem import read_nmem
from stages.quantize.quantizers.node_bits import read_node_bits

PICTURE = NetworkInput("x", (1, 3, 4, 5), (0.0,) * 3, (1.0,) * 3, Color.RGB)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refusal(work) -> str:
    with pytest.raises(UserError) as caught:
        work()
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


def laughs() -> str:
    """A list of lists of lists ...: ten to the power of nine words."""
    lines = ["a0: &a0 [" + ", ".join(["ha"] * 10) + "]"]
    return "\n".join(lines + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)])


YAMLS = {
    "aliases of aliases": (laughs(), "aliases"),
    "a cycle": ("soc: &a {b: *a}", "params.yaml"),
    "a thousand deep": ("soc: " + "[" * 1000 + "]" * 1000, "line 1: nested too deep"),
    "a thousand deep in blocks": ("\n".join("  " * i + "a:" for i in range(1000)), "nested too deep"),
    "6,000 digits": ("soc: " + "9" * 6000, "a number of too many digits"),
    "no YAML": ("soc: [", "is not YAML with keys"),
    "a control character": ("soc: \x01", "is not YAML with keys"),
    "larger than a config": ("# " + "x" * 2**20, "is larger than 1 MB"),
    "a merge of itself": ("soc: &a\n  <<: *a\n", "params.yaml"),
    "tags of Python": ("soc: !!python/object/apply:os.system ['touch pwned']", "params.yaml"),
    "two documents": ("a: 1\n---\nb: 2\n", "params.yaml"),
    "keys that are lists": ("? [a, b]\n: 1\n", "params.yaml"),
}


@pytest.mark.parametrize("name", YAMLS)
def test_params(name):
    content, said = YAMLS[name]
    Path("params.yaml").write_text(content)
    assert said in refusal(lambda: load_params(Path("params.yaml")))
    assert not Path("pwned").exists()


def test_bytes_that_are_no_text():
    Path("params.yaml").write_bytes(b"soc: \xff\xfe")
    assert "is not YAML" in refusal(lambda: load_params(Path("params.yaml")))


def test_ten_aliases_are_taken():
    Path("a.yaml").write_text("a: &a 1\nb: [" + ", ".join(["*a"] * 10) + "]\n")
    check_yaml(Path("a.yaml"))


NODE_BITS = [
    "[" * 100_000,
    '{"a":' * 100_000,
    "9" * 6000,
    '{"a": {"MIN": ' + "9" * 6000 + "}}",
    "",
    "[]",
    "null",
    "\x00",
]


@pytest.mark.parametrize("content", NODE_BITS)
def test_node_bits(content):
    Path("bits.json").write_text(content)
    assert "quant.node_bits" in refusal(lambda: read_node_bits("file:bits.json", True))


def test_json_nested_too_deep_is_a_value_error():
    with pytest.raises(ValueError, match="nested too deep"):
        parse_json("[" * 100_000)
    assert parse_json(json.dumps({"a": [1]})) == {"a": [1]}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_tables_of_any_line_ends(end):
    Path("labels.csv").write_bytes(end.join(["file,label", "a.png,ant", 'b.png,"bee"', ""]).encode())
    assert read_table("file:labels.csv") == {"a.png": "ant", "b.png": "bee"}


@pytest.mark.parametrize(
    "content", ["a" * 200_000, '{"a":' * 100_000, "", "file", "file,label\n" + "a" * 200_000 + ",x\n", "\x00"]
)
def test_tables_that_are_none(content):
    Path("labels.csv").write_text(content)
    assert "labels" in refusal(lambda: read_table("file:labels.csv"))


@pytest.mark.parametrize("read", [read_log, read_nmem, lambda path: read_vendor_config([path])])
def test_texts_that_are_too_large_are_not_read(monkeypatch, read):
    monkeypatch.setattr(texts, "MOST_TEXT_BYTES", 2**20)
    with Path("log.txt").open("wb") as file:
        file.truncate(2**20 + 1)
    assert "log.txt is larger than 1 MB" in refusal(lambda: read(Path("log.txt")))


@pytest.mark.parametrize("read", [read_log, read_nmem, lambda path: read_vendor_config([path]), load_params])
def test_devices_are_not_read(read):
    assert "only regular files are read" in refusal(lambda: read(Path("/dev/zero")))


@pytest.mark.parametrize("content", [b"a\nb\nc", b"a\r\nb\r\nc", b"a\rb\rc"])
def test_line_ends_are_those_of_python(content):
    Path("a.txt").write_bytes(content)
    assert read_text(Path("a.txt")) == Path("a.txt").read_text() == "a\nb\nc"


QUADRATIC = {
    "a long line of a script": (lambda path: read_vendor_config([path]), "a" * 8_000_000),
    "line breaks of a memory report": (read_nmem, "\n" * 300_000),
    "comments that do not end": (lambda path: read_vendor_config([path]), "{" + "/*" * 150_000),
    "strings that do not end": (lambda path: read_vendor_config([path]), '{"' + '\\"' * 150_000),
    "apostrophes": (lambda path: read_vendor_config([path]), "{'" + "\\'" * 150_000),
    "commas": (lambda path: read_vendor_config([path]), "{" + ",\n" * 150_000),
    "brackets of a log": (read_log, "[" * 300_000),
    "braces of a log": (read_log, "LayerName " + "{" * 300_000),
}


@pytest.mark.parametrize("name", QUADRATIC)
def test_long_texts_take_time_in_proportion(name):
    """A pattern that looks for its end from each place would take minutes for these."""
    read, content = QUADRATIC[name]
    Path("long.txt").write_text(content)
    refusal(lambda: read(Path("long.txt")))


def test_a_link_to_itself_is_no_config():
    Path("magik.cfg").symlink_to("magik.cfg")
    assert "magik.cfg" in refusal(lambda: read_vendor_config([Path("magik.cfg")]))


def npy(shape, dtype="<f4", values=b"") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue() + values


@cache
def bomb() -> bytes:
    """An npz of some kB whose array has 64 MB."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy((2**24,), values=bytes(2**26)))
    return file.getvalue()


ARRAYS = {
    "192 TB": (".npy", npy((2**40, 44)), "its header says"),
    "a negative size": (".npy", npy((-1, 4)), "cannot be read"),
    "fewer values": (".npy", npy((4, 5, 3), values=bytes(100)), "its header says [4, 5, 3] of float32, and it has 100"),
    "no header": (".npy", b"\x93NUMPY", "cannot be read"),
    "a header that ends early": (".npy", b"\x93NUMPY\x01\x00\x06\x00{'desc", "cannot be read"),
    "a header nested too deep": (".npy", b"\x93NUMPY\x01\x00\x00\x20" + b"(" * 8192, "cannot be read"),
    "a header with keys of two types": (
        ".npy",
        b"\x93NUMPY\x01\x00\x3c\x00{b'descr': '<f4', 'fortran_order': False, 'shape': (1,)}      \n",
        "cannot be read",
    ),
    "a pickle": (".npy", npy((1,), "|O", b"cos\nsystem\n(S'touch pwned'\ntR."), "cannot be read"),
    "a long header": (".npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "cannot be read"),
    "an archive that is a bomb": (".npz", bomb, "unpacks to 67108"),
    "an archive that is cut": (".npz", lambda: bomb()[:-100], "cannot be read"),
    "an archive of others": (".npz", b"PK\x05\x06" + bytes(18), "has no entry for input 'x'"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name):
    suffix, content, said = ARRAYS[name]
    file = SourceFile(f"a{suffix}", content if callable(content) else lambda: content)
    assert said in refusal(lambda: read_array(file, suffix, PICTURE, "data.calibration"))
    assert not Path("pwned").exists()


def test_a_name_that_is_not_utf8_is_shown_escaped():
    Path("in").mkdir()
    Path(b"in/\xff\xfe.png".decode("utf-8", "surrogateescape")).write_bytes(b"picture")
    (file,) = open_source("file:in")
    assert file.name == r"\xff\xfe.png"
    assert file.read() == b"picture"
