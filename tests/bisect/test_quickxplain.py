from stages.bisect.quickxplain import explain


def test_two_of_four_by_hand():
    # 4 of equal weight, 1 and 3 together: {0, 1} no, {0, 1, 2} no -> 3 is needed; {3} no; with 0, 1 yes; {0, 3} no -> 1
    asked = []

    def restores(chosen):
        asked.append(tuple(sorted(chosen)))
        return {1, 3} <= set(chosen)

    assert explain(restores, [1.0] * 4) == [3, 1]
    assert list(dict.fromkeys(asked)) == [(), (0, 1), (0, 1, 2), (3,), (0, 1, 3), (0, 3), (1, 3)]
