from stages.core.base.file_names import file_names, input_stems


def test_names_of_files():
    assert file_names(["/a/Conv", "b c:d", "../x", "é", "a_Conv", "A_conv", ""]) == [
        "a_Conv.bin", "b_c_d.bin", ".._x.bin", "_.bin", "a_Conv_2.bin", "A_conv_3.bin", "__2.bin",
    ]  # fmt: skip
    long = file_names(["n" * 400, "n" * 401])
    assert len(set(long)) == 2
    assert max(map(len, long)) < 255


def test_a_single_input_is_called_input_as_the_vendor_has_it():
    assert input_stems(["/images"]) == ["input"]
    assert input_stems(["/images", "a b"]) == ["images", "a_b"]
