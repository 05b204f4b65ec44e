import cv2
import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.core.config.schema import Color, PictureSet, PreprocessConfig
from stages.core.data.inputs import NetworkInput
from stages.core.data.sample_files import read_samples, select
from tests.networks import write_pictures

PICTURE = NetworkInput("images", (1, 3, 8, 8), (0.0,) * 3, (1.0,) * 3, Color.RGB)
STATE = NetworkInput("state", (1, 4), (0.0,) * 4, (1.0,) * 4, Color.RGB)
KEY = "data.debug"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def chosen(**options):
    return [file.name for file in select(PictureSet(source="file:pictures", **options), [PICTURE], "data.calibration")]


@pytest.mark.parametrize(
    ("count", "size", "indices"),
    [
        (10, 4, [0, 2, 5, 7]),
        (12, 5, [0, 2, 4, 7, 9]),
        (10, 1, [0]),
        (5, 5, [0, 1, 2, 3, 4]),
        (3, 100, [0, 1, 2]),
        (3, None, [0, 1, 2]),
    ],
)
def test_pictures_are_chosen_evenly_over_the_sorted_names(here, count, size, indices):
    (here / "pictures").mkdir()
    for index in range(count):
        (here / "pictures" / f"{index:03d}.png").touch()
    assert chosen(size=size) == [f"{index:03d}.png" for index in indices]


@pytest.mark.parametrize(
    ("part", "names"),
    [
        (None, ["a.png", "b.png", "c.png", "d.png"]),
        ([0.0, 0.35], ["c.png"]),
        ([0.35, 0.5], ["a.png", "b.png"]),
        ([0.5, 1.0], ["d.png"]),
    ],
)
def test_a_part_is_of_the_names_hashes(here, part, names):
    (here / "pictures").mkdir()
    for name in ("a.png", "b.png", "c.png", "d.png"):  # sha256 begins 7f07, 5f59, 5870, a14a: 0.50-, 0.37, 0.35-, 0.63
        (here / "pictures" / name).touch()
    assert chosen(part=part) == names


def test_a_part_without_samples_is_refused(here):
    (here / "pictures").mkdir()
    (here / "pictures/a.png").touch()
    said = r"^data\.calibration\.part=\[0\.0, 0\.01\]: none of the 1 samples of file:pictures is in it: widen it$"
    with pytest.raises(UserError, match=said):
        chosen(part=[0.0, 0.01])


def test_files_that_are_no_pictures_are_left_out(here):
    (here / "pictures").mkdir()
    for name in ("b.JPG", "a.jpeg", "labels.csv", "c.bmp", "jpg", "d.png.txt"):
        (here / "pictures" / name).touch()
    assert chosen() == ["a.jpeg", "b.JPG", "c.bmp"]


def test_pictures_of_several_sources_are_sorted_together(here):
    for name in ("one/a.png", "one/c.png", "two/b.png"):
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).touch()
    files = select(PictureSet(source=["file:one", "file:two"]), [PICTURE], "data.debug")
    assert [file.name for file in files] == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize(("others", "said"), [([], "no pictures there;"), (["a.txt", "b.csv"], "none of the 2 files")])
def test_a_folder_without_pictures_is_refused(here, others, said):
    (here / "pictures").mkdir()
    for name in others:
        (here / "pictures" / name).touch()
    with pytest.raises(UserError) as caught:
        chosen()
    assert str(caught.value).startswith("data.calibration.source=file:pictures: no pictures there")
    assert said in str(caught.value)
    assert ".png" in str(caught.value)


def test_a_source_that_cannot_be_opened_names_its_key(here):
    with pytest.raises(UserError, match=r"^data\.calibration: source 'file:pictures': pictures does not exist"):
        chosen()


def test_a_broken_picture_among_good_ones_is_named(here):
    write_pictures(here / "pictures", 3, size=8)
    (here / "pictures" / "001.png").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"^data\.debug: 001\.png cannot be read"):
        read([PICTURE], "pictures")


@pytest.mark.parametrize(
    ("shape", "color", "said"),
    [
        ((1, 4, 8, 8), Color.RGB, "a picture needs [1,3,H,W] for RGB, and it has [1, 4, 8, 8]"),
        ((1, 3, 8, 8), Color.GRAY, "a picture needs [1,1,H,W] for GRAY"),
        ((1, 10), Color.RGB, "input 'x' takes .npy, .bin or .npz files"),
    ],
)
def test_pictures_for_an_input_that_no_picture_fits_are_refused(here, shape, color, said):
    write_pictures(here / "pictures", 2, size=8)
    with pytest.raises(UserError) as caught:
        read([NetworkInput("x", shape, (0.0,), (1.0,), color)], "pictures")
    assert "none of the 2 files can be read" in str(caught.value)
    assert said in str(caught.value)


# --- one input that is no picture, and arrays for one that is


def read(inputs, folder, **options):
    files = select(PictureSet(source=f"file:{folder}", **options), inputs, KEY)
    return list(read_samples(files, inputs, PreprocessConfig(), KEY))


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)


def test_a_flat_folder_of_arrays_feeds_one_tensor(here):
    values = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    save(here / "states/b.npy", values[0])
    (here / "states/a.bin").write_bytes(values[1].tobytes())
    np.savez(here / "states/c.npz", state=values[2:])
    (here / "states/notes.txt").touch()
    found = read([STATE], "states")
    assert [each.name for each in found] == ["a.bin", "b.npy", "c.npz"]
    np.testing.assert_array_equal([each.sample["state"][0] for each in found], values[[1, 0, 2]])
    assert not any(each.pictures for each in found)


def test_arrays_of_pixels_feed_a_picture_input(here):
    (path,) = write_pictures(here / "mixed", 1, size=8)
    pixels = cv2.imread(str(path))[:, :, ::-1]
    save(here / "mixed/001.npy", pixels)
    (here / "mixed/002.bin").write_bytes(pixels.tobytes())
    found = read([PICTURE], "mixed")
    for each in found:
        np.testing.assert_array_equal(each.sample["images"], pixels)
        np.testing.assert_array_equal(np.sort(each.pictures[0], axis=None), np.sort(pixels, axis=None))
    assert len(found) == 3


def test_mixed_depth_is_refused(here):
    write_pictures(here / "mixed", 1, size=8)
    save(here / "mixed/001.npy", np.zeros((8, 8, 3), np.float32))
    with pytest.raises(UserError, match=r"^data\.debug: input 'images' is uint8 in 000\.png and float32 in 001\.npy"):
        read([PICTURE], "mixed")


# --- several inputs


def two_levels(here, count=3, inputs=("images", "state")):
    """Samples `set/s<i>/`: a picture of the grey level i and a state of the number i."""
    for index in range(count):
        folder = here / f"set/s{index}"
        folder.mkdir(parents=True)
        if "images" in inputs:
            cv2.imwrite(str(folder / "images.png"), np.full((8, 8, 3), index, np.uint8))
        if "state" in inputs:
            (folder / "state.bin").write_bytes(np.full(4, index, "<f4").tobytes())


@pytest.mark.parametrize(("size", "indices"), [(None, [0, 1, 2]), (2, [0, 1]), (1, [0])])
def test_a_folder_is_a_sample_with_a_file_an_input(here, size, indices):
    two_levels(here)
    found = read([PICTURE, STATE], "set", size=size)
    assert [each.name for each in found] == [f"s{index}" for index in indices]
    for index, each in zip(indices, found, strict=True):
        assert list(each.sample) == ["images", "state"]
        assert (each.sample["images"] == index).all()
        np.testing.assert_array_equal(each.sample["state"], np.full((1, 4), index, np.float32))
        assert len(each.pictures) == 1


def test_a_file_s_name_begins_with_the_input_s_as_in_the_vendor_s_samples(here):
    gru = [NetworkInput(name, shape, (0.0,), (1.0,), Color.RGB) for name, shape in (("740", (1, 2)), ("last", (1, 3)))]
    for name, count in (("740_input.bin", 2), ("last_state_tgru.bin", 3)):
        (here / "quant_data/0").mkdir(parents=True, exist_ok=True)
        (here / "quant_data/0" / name).write_bytes(np.arange(count, dtype="<f4").tobytes())
    (found,) = read(gru, "quant_data")
    np.testing.assert_array_equal(found.sample["740"], [[0, 1]])
    np.testing.assert_array_equal(found.sample["last"], [[0, 1, 2]])


def test_characters_that_files_cannot_have_are_replaced(here):
    entry = NetworkInput("/encoder/state:0", (1, 2), (0.0,), (1.0,), Color.RGB)
    save(here / "set/s/encoder_state_0.npy", np.ones(2))
    save(here / "set/s/state.npy", np.ones(4))
    (found,) = read([entry, STATE], "set")
    assert list(found.sample) == ["/encoder/state:0", "state"]


def test_samples_may_be_npz_files_with_an_entry_an_input(here):
    (here / "set").mkdir()
    np.savez(here / "set/b.npz", state=np.arange(4.0), images=np.full((8, 8, 3), 7, np.uint8))
    two_levels(here, 1)
    found = read([PICTURE, STATE], "set")
    assert [each.name for each in found] == ["b.npz", "s0"]
    assert (found[0].sample["images"] == 7).all()
    np.testing.assert_array_equal(found[0].sample["state"], [[0, 1, 2, 3]])


def test_files_that_belong_to_no_input_are_warned_of(here, capsys):
    two_levels(here)
    (here / "set/s1/readme.txt").touch()
    (here / "set/s1/state_old.bin").touch()  # a file of just the input's name is there: this one is not asked for
    assert len(read([PICTURE, STATE], "set")) == 3
    said = capsys.readouterr().err
    assert "warning: data.debug: files that belong to no input are left out: s1/readme.txt, s1/state_old.bin" in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: (s / "state.bin").unlink(), r"sample s1 has no file for input 'state' \(state\.bin, \.npy\)"),
        (lambda s: (s / "images.png").unlink(), r"sample s1 has no file for input 'images' .*\.png"),
        (lambda s: (s / "state.bin").rename(s / "state.txt"), "sample s1 has no file for input 'state'"),
        (lambda s: (s / "state.bin").rename(s / "state.png"), "sample s1 has no file for input 'state'"),
        (lambda s: save(s / "state.npy", np.ones(4)), "has several files for input 'state', state.bin and state.npy"),
        (
            lambda s: (s / "state.bin").write_bytes(b"12345"),
            r"s1/state\.bin has 5 bytes; input 'state' takes \[1, 4\]: 4 bytes \(uint8\) or 16 \(float32\)",
        ),
        (lambda s: (s / "state.bin").write_bytes(bytes(4)), "'state' is float32 in s0/state.bin and uint8 in s1/state"),
        (
            lambda s: (s / "state.bin").write_bytes(np.full(4, np.nan, "<f4").tobytes()),
            "state.bin holds values that are",
        ),
    ],
)
def test_a_sample_that_is_not_whole_is_refused(here, change, message):
    two_levels(here)
    change(here / "set/s1")
    with pytest.raises(UserError, match=f"^data.debug: .*{message}"):
        read([PICTURE, STATE], "set")


def test_a_name_that_begins_as_two_inputs_do_is_refused(here):
    inputs = [NetworkInput(name, (1, 2), (0.0,), (1.0,), Color.RGB) for name in ("a", "ab")]
    save(here / "set/s/a_1.npy", np.ones(2))
    save(here / "set/s/ab_1.npy", np.ones(2))
    with pytest.raises(
        UserError, match=r"sample s: ab_1\.npy may be of input 'a' or of 'ab': name files after .* a\.npy"
    ):
        read(inputs, "set")
    (here / "set/s/a_1.npy").rename(here / "set/s/a.npy")  # of a for sure: then the other is of ab
    (found,) = read(inputs, "set")
    assert list(found.sample) == ["a", "ab"]


def test_files_in_no_folder_of_a_sample_are_refused(here):
    write_pictures(here / "flat", 2, size=8)
    with pytest.raises(UserError) as caught:
        read([PICTURE, STATE], "flat")
    assert str(caught.value) == (
        "data.debug.source=file:flat: no samples there; the network has 2 inputs (images, state): make a folder for "
        "each sample, with a file for each input"
    )
