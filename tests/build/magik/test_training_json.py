from stages.build.magik.training_json import training_json
from tests.build.boards import PICTURE, board_config


def test_the_json_is_the_kits():
    assert training_json(board_config(soc="T41"), [PICTURE]) == {
        "ARCH": {"SOC": "T41"},
        "MODEL": {
            "FORMAT": "onnx",
            "INPUT": [
                {
                    "BATCH": 1,
                    "WIDTH": 24,
                    "HEIGHT": 16,
                    "CHANNEL": 3,
                    "COLOR": "RGB",
                    "NORMAL": [128.0, 57.12, 64.0],
                    "MEAN": [127.0, 116.28, 103.53],
                }
            ],
        },
        "EXTRA": {"BIZ_CODE": "Ingenic", "VERBOSE": "ON"},
    }
