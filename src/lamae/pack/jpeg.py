"""One JPEG a frame, so that reading 8 frames of 32 decodes 8."""

import numpy as np
import simplejpeg

from lamae.errors import DataError


def encode_frame(frame: np.ndarray, *, quality: int) -> bytes:
    """Return a grey frame ``[height, width]`` uint8 as a JPEG of a quality from 1 to 100.

    Raises:
        DataError: JPEG cannot hold it: a side is longer than 65,500 pixels.
    """
    try:
        return simplejpeg.encode_jpeg(np.ascontiguousarray(frame)[:, :, None], quality=quality, colorspace="GRAY")
    except ValueError as error:
        raise DataError(f"a frame of {frame.shape} cannot be stored as JPEG ({error})", reason="wrong-shape") from error


def decode_frame(content: bytes | memoryview, *, shape: tuple[int, ...]) -> np.ndarray:
    """Return a frame ``[height, width]`` uint8 from its JPEG.

    Raises:
        DataError: It is no JPEG, or a frame of another shape.
    """
    try:
        frame = simplejpeg.decode_jpeg(content, colorspace="GRAY")[:, :, 0]
    except ValueError as error:
        raise DataError(f"a stored frame is no readable JPEG ({error})", reason="damaged-shard") from error
    if frame.shape != shape:
        raise DataError(f"a stored frame has the shape {frame.shape}, expected {shape}", reason="damaged-shard")
    return frame
