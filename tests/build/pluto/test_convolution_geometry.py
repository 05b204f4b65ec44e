from stages.build.pluto.convolution_geometry import check_dense, check_pointwise, window_groups
from tests.build.pluto.networks import conv


def test_dense_kernels():
    """The kernels by channels, window and padding (compile/ops: k3, stem, dense, genconv, in this order)."""

    def effects(channels, size, stride=1, pad=None):
        node = conv("layer", "x", "y", size, stride)
        pads = [size // 2 if pad is None else pad] * 4
        return [refusal.effect.name for refusal in check_dense(node, channels, (size, size), [stride, stride], pads)]

    assert effects(3, 3) == effects(64, 3, 2) == effects(1024, 3) == []  # native
    assert effects(12, 5) == effects(3, 7, 2) == []  # stem
    assert effects(48, 3) == effects(80, 5) == []  # on the processor
    assert effects(2048, 3) == []  # on the processor: no room in the unit's walk
    assert effects(32, 17) == ["load"]
    assert effects(3, 11) == effects(32, 7) == ["wrong"]  # more than 32 groups
    assert effects(32, 5) == []
    assert effects(64, 3, pad=0) == ["wrong"]
    assert effects(64, 3, 2, pad=0) == ["load"]
    assert effects(64, 4, 1, pad=1) == []


def test_wide_1x1():
    node = conv("wide", "x", "y")
    assert list(check_pointwise(node, 1024, [1, 1], [0] * 4)) == []
    assert [refusal.effect.name for refusal in check_pointwise(node, 1152, [1, 1], [0] * 4)] == ["wrong"]


def test_groups_of_a_window():
    """By hand, ceil of pixels * channels / 32, the channels rounded up to 16 where the window takes more than 32."""
    assert window_groups(3, (3, 3)) == 1  # 27 channels
    assert window_groups(3, (11, 11)) == 61  # 121 * 16 / 32 = 60.5
    assert window_groups(32, (7, 7)) == 49
    assert window_groups(12, (3, 3)) == 5  # 9 * 16 / 32 = 4.5
