from pathlib import Path

from stages.init.write.source_text import source


def test_a_link_to_itself_is_no_path_below_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("out", "net.onnx"):
        Path(name).symlink_to(name)
    assert source(Path("net.onnx")) == "file:net.onnx"
