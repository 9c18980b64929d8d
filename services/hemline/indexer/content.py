"""Content vectors taken apart and put together: of an item's text, and of the photo behind it.

A content vector c is the normalised sum of the item's text vector t and image vector i, all of unit
length. c halves the angle between the two, so each is the other mirrored at c:

    i = 2 <c, t> c - t

So an item whose words change keeps its photo though nobody sent it again and no photo is stored.
"""

from __future__ import annotations

import numpy as np

from hemline.vectors import F32, content_vectors, normalise

# An item without photo has c = t. A photo whose vector lies this close to its text's says nothing
# the text does not.
_NO_PHOTO = 1.0 - 1e-5


def content_of_parts(text: F32, image: F32 | None) -> F32:
    """float32 (clip_dim,), unit norm. text, image: the same."""
    content: F32 = content_vectors(None if image is None else image[None], text[None])[0]
    return content


def image_behind(content: F32, text: F32) -> F32 | None:
    """The image vector that makes `content` with `text`, or None for an item without photo.

    content, text: float32 (clip_dim,), unit norm.
    """
    cosine = float(np.dot(content, text))
    if cosine > _NO_PHOTO:
        return None
    return normalise(2.0 * cosine * content - text)
