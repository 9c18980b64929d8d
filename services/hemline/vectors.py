"""Small vector conventions that every part of Hemline shares: unit norm, float32, little-endian."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemline.errors import InvalidInputError

F32 = npt.NDArray[np.float32]


def normalise(x: npt.ArrayLike, axis: int = -1) -> F32:
    """Scale vectors to unit L2 norm along `axis`; a zero vector stays zero. Returns float32."""
    x = np.asarray(x, dtype=np.float32)
    norm = np.linalg.norm(x, axis=axis, keepdims=True)
    return np.asarray(x / np.where(norm > 0, norm, 1.0), dtype=np.float32)


def content_vectors(
    image: F32 | None, text: F32 | None, has_image: npt.NDArray[np.bool_] | None = None
) -> F32:
    """Content vectors of items: the normalised sum of the modalities that exist.

    image, text: float32 (n, clip_dim), unit norm, one of them may be None.
    has_image: bool (n,); rows of `image` where it is False are ignored.
    Returns float32 (n, clip_dim), unit norm.
    """
    if image is None and text is None:
        raise ValueError("an item needs an image or a text")
    if image is None:
        return normalise(text)  # type: ignore[arg-type]
    if has_image is not None:
        image = np.where(has_image[:, None], image, np.float32(0))
    return normalise(image if text is None else image + text)


def pack_f32(x: npt.ArrayLike) -> bytes:
    """Vectors as packed little-endian float32 bytes, row by row."""
    return np.ascontiguousarray(x, dtype="<f4").tobytes()


def unpack_f32(data: bytes, dim: int, field: str = "vector") -> F32:
    """The (n, dim) float32 matrix packed in `data`.

    Raises InvalidInputError naming `field` when the length does not fit or a value is not finite.
    """
    if dim <= 0 or len(data) % (4 * dim):
        raise InvalidInputError(field, f"{len(data)} bytes are not rows of {dim} float32 values")
    x = np.frombuffer(data, dtype="<f4").reshape(-1, dim).astype(np.float32, copy=False)
    if not np.isfinite(x).all():
        raise InvalidInputError(field, "holds NaN or infinity")
    return x
