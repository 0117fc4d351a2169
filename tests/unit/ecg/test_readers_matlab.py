"""Our reader of MATLAB files against scipy's."""

import io

import numpy as np
import pytest
from scipy.io import savemat

from lamae.ecg.readers.matlab import read_matlab
from lamae.errors import FormatError


def saved(variables: dict, **options) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, variables, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("options", [{"format": "4"}, {"format": "5"}, {"format": "5", "do_compression": True}])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i4", "i2", "u2", "u1"])
@pytest.mark.parametrize("shape", [(3, 7), (1, 1), (5, 1), (1, 13)])
def test_matrices(options, dtype, shape):
    matrix = np.random.default_rng(2).uniform(0, 99, shape).astype(dtype)
    found = read_matlab(saved({"val": matrix, "other": matrix * 2}, **options))
    assert list(found) == ["val", "other"]
    np.testing.assert_array_equal(found["val"], matrix)
    np.testing.assert_array_equal(found["other"], matrix * 2)
    assert found["val"].dtype == matrix.dtype


@pytest.mark.parametrize("dtype", ["i8", "u8", "i1", "u4"])
def test_types_that_only_level_5_has(dtype):
    matrix = np.array([[1, 2, 3], [4, 5, 100]], dtype)
    found = read_matlab(saved({"val": matrix}))["val"]
    np.testing.assert_array_equal(found, matrix)
    assert found.dtype == matrix.dtype


def test_big_endian_version_4():
    header = np.array([1000, 2, 3, 0, 2], ">u4").tobytes()  # type 1000: big-endian doubles
    values = np.array([1, 4, 2, 5, 3, 6], ">f8").tobytes()
    np.testing.assert_array_equal(read_matlab(header + b"v\0" + values)["v"], [[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize("options", [{"format": "4"}, {"format": "5"}, {"format": "5", "do_compression": True}])
def test_texts(options):
    found = read_matlab(saved({"units": "mV", "leads": np.array(["I  ", "aVF"])}, **options))
    assert found["units"].tolist() == ["mV"]
    assert found["leads"].tolist() == ["I", "aVF"]


def test_cells_of_texts_and_what_is_left_out():
    cells = np.empty(2, object)
    cells[:] = ["I", "aVF"]
    mixed = np.empty(2, object)
    mixed[:] = ["I", 5.0]
    found = read_matlab(saved({"leads": cells, "mixed": mixed, "s": {"a": 1}, "z": np.array([[1j]]), "x": np.eye(3)}))
    assert found["leads"].tolist() == ["I", "aVF"]
    assert set(found) == {"leads", "x"}


@pytest.mark.parametrize("options", [{"format": "4"}, {"format": "5"}, {"format": "5", "do_compression": True}])
def test_truncated(options):
    content = saved({"val": np.ones((3, 7))}, **options)
    with pytest.raises(FormatError, match="cut short"):
        read_matlab(content[:-9])


def test_any_flipped_byte_is_read_or_refused():
    content = saved({"val": np.ones((2, 5)), "leads": np.array(["I", "II"], object)})
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 0x55
        try:
            read_matlab(bytes(damaged))
        except FormatError as error:
            assert error.reason == "malformed-file"  # noqa: PT017 - either outcome is right, another error is not
