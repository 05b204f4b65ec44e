from stages.build.board_outputs import BoardOutput
from stages.build.board_readme import no_program, readme
from stages.core.config.schema import Color, OpenRuntime, RuntimeConfig, SocConfig, Vendor
from stages.core.data.inputs import NetworkInput
from stages.core.integer.quant_params import QuantParams

PICTURE = NetworkInput("images", (1, 3, 2, 2), (0.0,), (1.0,), Color.RGB)
SOUND = NetworkInput("sound", (1, 16000), (0.0,), (1.0,), Color.RGB)
T41 = SocConfig(name="T41", vendor=Vendor.ingenic, open_runtime=OpenRuntime.pluto, runtime=RuntimeConfig("kit"))
DUO = SocConfig(name="cv181x", vendor=Vendor.sophgo, runtime=RuntimeConfig("cvitek_tpu_sdk"))


def test_a_network_that_takes_no_picture_gets_no_program_on_either_vendors_boards():
    assert no_program([PICTURE], T41) == no_program([PICTURE], DUO) == ""
    start = "it feeds one picture, and the network's inputs are sound (1x16000): take "
    assert no_program([SOUND], T41).startswith(f"{start}the .bin of magik/ and call")
    assert no_program([SOUND], DUO).startswith(f"{start}out/compile/'s compiled network and call")


def test_the_table_has_each_part_or_why_it_is_absent(tmp_path):
    for name in ("magik", "pluto", "runtime"):
        (tmp_path / name).mkdir()
    lines = readme(tmp_path, T41, {"venus": "because"}, []).splitlines()
    rows = {line.split("`")[1]: line for line in lines if line.startswith("| `")}
    assert list(rows) == ["magik/", "venus/", "pluto/", "runtime/"]
    assert rows["venus/"].endswith("| - | absent: because |")
    assert "check.json" in rows["pluto/"]
    assert "`make CROSS_COMPILE=mips-linux-gnu-`" in rows["runtime/"]
    (tmp_path / "pluto/run.sh").touch()
    assert "| a machine with t41-pluto | `sh run.sh` |" in readme(tmp_path, T41, {}, [])


def test_a_small_sophgo_chip(tmp_path):
    (tmp_path / "sophon").mkdir()
    make = "`make SDK=/opt/sophon/cvitek_tpu_sdk-current CROSS_COMPILE=riscv64-unknown-linux-musl-` |"
    assert make in readme(tmp_path, DUO, {}, [])


def test_outputs_are_said_with_their_codes(tmp_path):
    coded, channels = QuantParams(8, 0.78125, 128), QuantParams(8, 2.0, 0, (1.0, 2.0))
    outputs = [
        BoardOutput("y", (1, 2, 3, 4), None), BoardOutput("z", (1, 9), coded), BoardOutput("w", (1, 2), channels),
    ]  # fmt: skip
    lines = readme(tmp_path, T41, {}, outputs).splitlines()
    assert "| `y` | 1 x 2 x 3 x 4 | float32 |" in lines
    assert "| `z` | 1 x 9 | 8-bit codes, scale 0.7812, zero point 128 |" in lines
    assert "| `w` | 1 x 2 | 8-bit codes, a scale a channel, zero point 0 |" in lines
