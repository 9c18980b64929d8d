"""Decoding images that strangers send: JPEG, PNG and WebP only, bounded before a pixel is decoded.

Everything Pillow can raise on hostile bytes is mapped to `BadImageError` here and nowhere else.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from hemline.errors import BadImageError

MAX_IMAGE_BYTES = 8 * 1024 * 1024
MAX_IMAGE_PIXELS = 40_000_000

_FORMATS = ("JPEG", "PNG", "WEBP")
_ACCEPTED = "send JPEG, PNG or WebP"

# First bytes of formats people do send, so that the refusal can name them.
_REFUSED_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypheic", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "SVG or XML"),
    (0, b"<!DOCTYPE", "HTML"),
    (0, b"<html", "HTML"),
)

# EXIF tag 0x0112, "as the camera was held" -> the transposition that sets it upright.
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class ImageHeader:
    """What the first bytes promise, nothing decoded. Sizes in pixels, before EXIF rotation."""

    format: str  # "JPEG", "PNG" or "WEBP"
    width: int
    height: int


def check_image_header(
    data: bytes,
    max_bytes: int = MAX_IMAGE_BYTES,
    max_pixels: int = MAX_IMAGE_PIXELS,
    field: str = "image",
) -> ImageHeader:
    """The image's format and size, read from its header alone.

    Raises BadImageError (naming `field`) when the bytes are empty, more than `max_bytes`, not a
    still JPEG, PNG or WebP, or promise more than `max_pixels` pixels. Cheap enough to be the first
    thing done with a request.
    """
    image = _open(data, max_bytes, max_pixels, field)
    return ImageHeader(_format(image), image.width, image.height)


def decode_image(
    data: bytes,
    max_bytes: int = MAX_IMAGE_BYTES,
    max_pixels: int = MAX_IMAGE_PIXELS,
    at_least: int | None = None,
    field: str = "image",
) -> Image.Image:
    """The whole image as upright RGB, transparency laid over white.

    `at_least`: the caller will shrink the image to this many pixels a side, so a JPEG may be
    decoded at a half, a quarter or an eighth of its size as long as both sides stay at least that
    long (4.2 ms instead of 20.5 ms for 800x1000 to 224). Raises BadImageError as
    `check_image_header` does, and for truncated or broken data.
    """
    image = _open(data, max_bytes, max_pixels, field)
    try:
        if at_least is not None and _format(image) == "JPEG":
            image.draft(None, (at_least, at_least))
        image.load()
        return _upright(_rgb_over_white(image), _orientation(image))
    except (
        Exception
    ) as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error...
        raise BadImageError(field, f"the image data is broken or truncated ({error})") from error


def _open(data: bytes, max_bytes: int, max_pixels: int, field: str) -> Image.Image:
    if not data:
        raise BadImageError(field, "the image is empty")
    if len(data) > max_bytes:
        raise BadImageError(field, f"{len(data)} bytes; at most {max_bytes} are accepted")
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise BadImageError(field, _why_not_identified(data)) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImageError(field, f"more than {max_pixels} pixels ({error})") from error
    except Exception as error:
        raise BadImageError(field, f"the image header is broken or truncated ({error})") from error
    if image.width < 1 or image.height < 1:
        raise BadImageError(field, f"an image of {image.width}x{image.height} pixels")
    if image.width * image.height > max_pixels:
        size = f"{image.width}x{image.height}"
        raise BadImageError(field, f"{size} pixels; at most {max_pixels} in all are accepted")
    if _format(image) != "JPEG" and getattr(image, "is_animated", False):
        raise BadImageError(field, f"an animated {image.format}; send one still image")
    return image


def _format(image: Image.Image) -> str:
    # A phone's JPEG may carry a second picture (depth, preview), which Pillow calls MPO.
    return "JPEG" if image.format == "MPO" else str(image.format)


def _why_not_identified(data: bytes) -> str:
    for offset, magic, name in _REFUSED_MAGIC:
        if data[offset : offset + len(magic)] == magic:
            return f"{name} is not accepted; {_ACCEPTED}"
    if data[:2] == b"\xff\xd8" or data[:4] == b"\x89PNG" or data[8:12] == b"WEBP":
        return "the image header is broken or truncated"
    return f"not an image of a known format; {_ACCEPTED}"


def _rgb_over_white(image: Image.Image) -> Image.Image:
    if (
        image.mode.startswith("I") or image.mode == "F"
    ):  # 16-bit grey: convert() would clip, not scale
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGB", image.size, (255, 255, 255))
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged EXIF says nothing about the pixels: show them as they are stored
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)
