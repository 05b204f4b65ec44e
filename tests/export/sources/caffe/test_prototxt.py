import pytest

from stages.core.base.errors import UserError
from stages.export.sources.caffe.prototxt import parse_text


def test_all_that_the_text_form_allows():
    text = b"""# a comment
    name: "a \\"quoted\\" # name" other: 'single'
    layer { type: Pooling kernel_size: 3, stride: 2; }
    layer: < flag: true
      value: -1.5e2f numbers: [1, 2, 3] shape [ { dim: 1 } , { dim: 2 } ]
    >
    layer {}
    """
    message = parse_text(text, "net.prototxt")
    assert message.text("name") == 'a \\"quoted\\" # name'
    assert message.text("other") == "single"
    first, second, third = message.messages("layer")
    assert (first.choice("type", ("Max", "Pooling")), first.integer("kernel_size", 0)) == ("Pooling", 3)
    assert first.integers("stride") == [2]
    assert second.flag("flag", False)
    assert second.number("value", 0.0) == -150.0
    assert second.integers("numbers") == [1, 2, 3]
    assert [shape.integers("dim") for shape in second.messages("shape")] == [[1], [2]]
    assert not third.fields


def test_what_is_not_there_has_its_default():
    message = parse_text(b"", "net.prototxt")
    assert message.message("pooling_param").integer("pad", 7) == 7
    assert message.number("eps", 0.5) == 0.5
    assert message.flag("clip", True) is True
    assert message.text("name", "none") == "none"
    assert message.choice("pool", ("MAX", "AVE")) == "MAX"
    assert "name" not in message


def test_the_last_of_several_values_counts_and_enumerations_may_be_numbers():
    message = parse_text(b"pad: 1 pad: 2 pool: 1 bias: inf", "net.prototxt")
    assert message.integer("pad", 0) == 2
    assert message.choice("pool", ("MAX", "AVE")) == "AVE"
    assert message.number("bias", 0) == float("inf")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff\xfe", "net.prototxt is no prototxt: it is not text"),
        (b"layer {\n name: ", "net.prototxt is damaged: it ends in the middle of a message"),
        (b"layer {", "net.prototxt is damaged: it ends in the middle of a message"),
        (b'a: 1\nname: "open', "net.prototxt line 2 is no prototxt: it has a quote that does not end"),
        (b"a: 1\n\n}", "net.prototxt line 3 is no prototxt: a field's name is missing before }"),
        (b"layer { name: }", "net.prototxt line 1 is no prototxt: name has no value before }"),
        (b"{" * 5000, "net.prototxt line 1 is no prototxt: a field's name is missing before {"),
    ],
)
def test_what_is_no_prototxt_is_refused(text, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        parse_text(text, "net.prototxt")


def test_messages_may_be_nested_deeper_than_python_calls():
    message = parse_text(b"a {" * 5000 + b"}" * 5000, "net.prototxt")
    assert len(message.messages("a")) == 1
