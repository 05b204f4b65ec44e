import pytest

from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile
from stages.core.data.labels import find_labels

NAMES = ["bee/1.png", "ant/1.png", "cat/deep/2.png"]


def files(*names):
    return [SourceFile(name, lambda: b"") for name in names]


def by_table(tmp_path, content, *names):
    path = tmp_path / "labels.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return find_labels(f"file:{path}", files(*names), names, 3)


# --- pattern


def test_pattern_takes_the_first_group():
    names = ["imagenet_00_243.jpg", "sub/imagenet_11_007.jpg", "imagenet_2_0.jpg"]
    assert find_labels(r"pattern:imagenet_\d+_(\d+)\.jpg", files(*names), names, 3) == [243, 7, 0]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        (r"class(\d+)", "picture.jpg"),
        (r"\d+", "3.jpg"),
        (r"([a-z]+)", "abc.jpg"),
        (r"(\d+)?\.jpg", "abc.jpg"),
        (r"(-?\d+)", "-1.jpg"),
    ],
    ids=["no match", "no group", "letters", "empty group", "negative"],
)
def test_pattern_without_a_class_number(pattern, name):
    with pytest.raises(UserError, match=rf"finds no class number in '{name}'; its first group must be the digits"):
        find_labels(f"pattern:{pattern}", files(name), [name], 3)


def test_pattern_that_is_no_expression():
    with pytest.raises(UserError, match=r"data\.evaluation\.labels=pattern:\(\[: not a regular expression: "):
        find_labels("pattern:([", files("a.jpg"), ["a.jpg"], 3)


# --- folders


def test_as_many_folders_as_classes_are_numbered_in_sorted_order():
    assert find_labels("folders", files(*NAMES), NAMES, 3) == [1, 0, 2]


def test_folders_named_by_number_are_those_classes():
    names = ["10/a.png", "2/b.png", "9/c.png"]
    assert find_labels("folders", files(*names), names, 1000) == [10, 2, 9]


def test_numbers_that_are_no_classes_are_counted_if_there_are_as_many():
    names = ["0/a.png", "180/b.png"]
    assert find_labels("folders", files(*names), names, 2) == [0, 1]
    assert find_labels("folders", files(*names), names, 3) == [0, 180]  # refused where labels are used


def test_folders_inside_a_class_belong_to_it():
    names = ["ant/a/1.png", "ant/b/1.png", "bee/1.png"]
    assert find_labels("folders", files(*names), names, 2) == [0, 0, 1]


@pytest.mark.parametrize("names", [["3/1.png", "3/2.png"], ["3/0/1.png", "3/1/2.png"]])
def test_a_single_class_keeps_its_number(names):
    assert find_labels("folders", files(*names), names, 10) == [3, 3]


def test_a_class_without_chosen_pictures_keeps_its_number():
    assert find_labels("folders", files("cat/1.png"), ["ant/1.png", "bee/1.png", "cat/1.png"], 3) == [2]


@pytest.mark.parametrize("names", [["1.png", "2.png"], ["ant/1.png", "2.png"]])
def test_pictures_outside_a_folder_are_refused(names):
    with pytest.raises(UserError, match="lies in no folder of a class: make one folder a class"):
        find_labels("folders", files(*names), names, 2)


def test_named_folders_must_be_as_many_as_classes():
    with pytest.raises(
        UserError, match=r"3 folders \(ant, bee, cat, \.\.\.\) for 10 classes: name them by class number"
    ):
        find_labels("folders", files(*NAMES), NAMES, 10)


# --- table


@pytest.mark.parametrize(
    "content",
    [
        "file,label\na.png,3\nsub/b.png,0\n",
        "file,index\na.png,3\nsub/b.png,0\n",
        "label,note,file\n3,x,a.png\n0,,sub/b.png\n",
        "file,label\r\na.png, 3 \r\nsub/b.png,0\r\n",
        "file,label\nb.png,0\na.png,3\n",
        '"file","label"\n"a.png","3"\n"sub/b.png","0"\n',
        b"\xef\xbb\xbffile,label\na.png,3\nb.png,0\n",
    ],
    ids=["label", "index", "other columns", "windows", "base name", "quoted", "byte order mark"],
)
def test_table(tmp_path, content):
    assert by_table(tmp_path, content, "a.png", "sub/b.png") == [3, 0]


def test_the_whole_name_comes_before_the_base_name(tmp_path):
    assert by_table(tmp_path, "file,label\nb.png,1\nsub/b.png,2\n", "sub/b.png", "b.png") == [2, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,label\na.png,3\n", r"needs the columns file and label; it has name, label$"),
        ("file,class\na.png,3\n", r"needs the columns file and label; it has file, class$"),
        ("", r"needs the columns file and label; it has none$"),
        ('name,"a\nb"\n', r"needs the columns file and label; it has name, a b$"),
        ("file,label\nb.png,3\n", r"no label for 'a\.png'; did you mean 'b\.png'\?"),
        ("file,label\n", r"no label for 'a\.png'; there is none"),
        ("file,label\na.png,ant\n", r"no label for 'a\.png'; not a class number: ant"),
        ("file,label\na.png,-1\n", r"no label for 'a\.png'; not a class number: -1"),
        ("file,label\na.png,1.5\n", r"no label for 'a\.png'; not a class number: 1\.5"),
        ("file,label\na.png,\n", r"no label for 'a\.png'"),
        ("file,label\na.png\n", r"no label for 'a\.png'"),
    ],
)
def test_table_without_the_label(tmp_path, content, message):
    with pytest.raises(UserError, match=message) as caught:
        by_table(tmp_path, content, "a.png")
    assert str(caught.value).startswith(f"data.evaluation.labels=file:{tmp_path}/labels.csv: ")


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv does not exist"):
        find_labels(f"file:{tmp_path}/none.csv", files("a.png"), ["a.png"], 3)


def test_a_folder_of_several_files_is_no_table(tmp_path):
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text("file,label\na.png,1\n")
    with pytest.raises(UserError, match=r"data\.evaluation\.labels"):
        find_labels(f"file:{tmp_path}", files("a.png"), ["a.png"], 3)


def test_a_table_that_is_not_utf8(tmp_path):
    with pytest.raises(UserError, match=r"data\.evaluation\.labels"):
        by_table(tmp_path, "file,label\nä.png,1\n".encode("latin-1"), "ä.png")


def test_a_base_name_of_two_pictures_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"'x\.png' names 2 pictures; give their folders too"):
        by_table(tmp_path, "file,label\nx.png,1\n", "a/x.png", "b/x.png")


@pytest.mark.parametrize("label", ["\u00b2", "\u0663"])
def test_a_digit_that_is_no_plain_number_is_refused(tmp_path, label):
    with pytest.raises(UserError, match="not a class number"):
        by_table(tmp_path, f"file,label\na.png,{label}\n", "a.png")


def test_two_labels_for_one_picture_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"'a\.png' has the labels 1 and 2"):
        by_table(tmp_path, "file,label\na.png,1\na.png,2\n", "a.png")
