import threading

import pytest

from lamae.data.prefetch import Prefetch


def test_the_following_value_is_read_while_the_caller_works():
    begun, ended = {n: threading.Event() for n in range(5)}, []

    def read(key: int) -> str:
        begun[key].set()
        ended.append((key, threading.current_thread() is threading.main_thread()))
        return f"value {key}"

    with Prefetch(read, lambda key: key + 1 if key < 3 else None) as values:
        assert values.get(0) == "value 0"
        assert begun[1].wait(5)
        assert [values.get(1), values.get(2), values.get(3)] == ["value 1", "value 2", "value 3"]
        assert any(thread.name.startswith("lamae-prefetch") for thread in threading.enumerate())
    assert not any(thread.name.startswith("lamae-prefetch") for thread in threading.enumerate())
    assert ended == [(0, False), (1, False), (2, False), (3, False)]


def test_another_key_than_the_expected_one_is_read_when_it_is_asked_for():
    read = []
    with Prefetch(lambda key: read.append(key) or 10 * key, lambda key: key + 1) as values:
        assert [values.get(key) for key in (3, 7, 8, 2)] == [30, 70, 80, 20]
    assert [key for key in read if key in (3, 7, 8, 2)] == [3, 7, 8, 2]


def test_an_error_of_reading_ahead_comes_when_its_value_is_asked_for():
    def read(key: int) -> int:
        if key == 1:
            raise ValueError("row 1 is damaged")
        return key

    with Prefetch(read, lambda key: key + 1) as values:
        assert values.get(0) == 0
        with pytest.raises(ValueError, match="row 1 is damaged"):
            values.get(1)
