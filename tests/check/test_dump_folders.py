import pytest

from stages.check.dump_folders import MOST_DUMP_BYTES, pair_files, read_dump
from stages.core.base.errors import UserError


@pytest.fixture
def paired(tmp_path):
    def pair(pc, board):
        for name, files in (("pc", pc), ("board", board)):
            (tmp_path / name).mkdir()
            for file in files:
                (tmp_path / name / file).write_bytes(b"1")
        return pair_files(read_dump(tmp_path / "pc"), read_dump(tmp_path / "board"))

    return pair


def test_the_vendors_suffixes(paired):
    pair = paired(
        ["414_Quantize.bin", "417_QuantizeFeature.bin", "427.bin", "input_data_shape_1_384_640_3.bin"],
        ["414_Quantize_out.bin", "414_Quantize_bt.bin", "414_Quantize_weight.bin", "417_QuantizeFeature_out.bin",
         "427_out.bin", "output_0.bin"],
    )  # fmt: skip
    assert pair.board_files == {
        "414_Quantize.bin": "414_Quantize_out.bin",
        "417_QuantizeFeature.bin": "417_QuantizeFeature_out.bin",
        "427.bin": "427_out.bin",
    }
    assert (pair.missing, pair.extra, pair.inputs) == ((), (), ())


def test_a_layer_whose_own_name_ends_like_a_board_file(paired):
    pair = paired(["conv.bin", "conv_out.bin"], ["conv_out.bin", "conv_out_out.bin"])
    assert pair.board_files == {"conv.bin": "conv_out.bin", "conv_out.bin": "conv_out_out.bin"}


def test_codes_against_floats_and_other_characters(paired):
    pair = paired(["head.bin", "block.0-conv_Quantize.bin"], ["head_Quantize_out.bin", "Block_0_conv_Quantize_out.bin"])
    assert pair.board_files == {
        "head.bin": "head_Quantize_out.bin",
        "block.0-conv_Quantize.bin": "Block_0_conv_Quantize_out.bin",
    }


def test_what_fits_two_is_left_alone(paired):
    pair = paired(["a.b_Quantize.bin", "c_Quantize.bin"], ["a_b_Quantize_out.bin", "a-b_Quantize_out.bin", "c_out.bin"])
    assert pair.board_files == {"c_Quantize.bin": "c_out.bin"}
    assert pair.missing == ("a.b_Quantize.bin",)


def test_names_sort_by_their_numbers(paired, tmp_path):
    paired(["10.bin", "9.bin", "x2.bin", "x10.bin"], ["9_out.bin"])
    assert read_dump(tmp_path / "pc").files == ("9.bin", "10.bin", "x2.bin", "x10.bin")


def test_a_file_larger_than_any_layer_is_not_read(tmp_path):
    with (tmp_path / "a.bin").open("wb") as file:
        file.truncate(MOST_DUMP_BYTES + 1)
    with pytest.raises(UserError, match=r"a\.bin is larger than 1024 MB: it is no layer's dump"):
        read_dump(tmp_path).read("a.bin")
