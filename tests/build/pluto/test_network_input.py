import numpy as np

from stages.build.pluto.network_input import input_bytes
from stages.build.pluto.qdq_graph import QdqParams


def test_layout():
    """Channel c of a pixel is byte c of its 32-byte cell; rows are padded to 4 pixels, the height to 2."""
    values = np.arange(3 * 3 * 5, dtype=np.float32).reshape(1, 3, 3, 5) - 20
    qparams = QdqParams(np.float32(1), np.int8(0), 1)
    cells = input_bytes(values, qparams, twos_complement=True)
    assert cells.shape == (1, 4, 8, 32)
    assert cells[0, 0, 0, :4].tolist() == [236, 251, 10, 0]  # -20, -5, 10 in two's complement
    assert cells[0, 2, 4, :3].tolist() == [250, 9, 24]
    assert not cells[0, 3].any()
    assert not cells[0, :, 5:].any()
    assert input_bytes(values, qparams, twos_complement=False)[0, 0, 0, :3].tolist() == [108, 123, 138]
