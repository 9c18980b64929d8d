"""What decode_image accepts, how it shows it, and how it refuses the rest."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hemline.errors import BadImageError
from hemline.images import ImageHeader, check_image_header, decode_image


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, format, **options)
    return data.getvalue()


def picture(width: int = 6, height: int = 4, mode: str = "RGB") -> Image.Image:
    return Image.linear_gradient("L").resize((width, height)).convert(mode)


def png_promising(width: int, height: int) -> bytes:
    """A PNG whose header is sound and whose pixels are one byte."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0"))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_the_three_accepted_formats_decode_to_rgb(format: str) -> None:
    data = encoded(picture(6, 4), format)

    assert check_image_header(data) == ImageHeader(format, 6, 4)
    image = decode_image(data)
    assert (image.mode, image.size) == ("RGB", (6, 4))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_an_image_of_one_pixel_is_an_image(format: str) -> None:
    assert decode_image(encoded(Image.new("RGB", (1, 1), (250, 10, 10)), format)).size == (1, 1)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr"])
def test_every_colour_mode_of_jpeg_and_png_becomes_rgb(mode: str) -> None:
    format = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    assert decode_image(encoded(picture(mode=mode), format)).mode == "RGB"


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    grey = Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16))

    assert np.asarray(decode_image(encoded(grey, "PNG")))[0, :, 0].tolist() == [0, 128, 255]


def test_transparency_is_laid_over_white() -> None:
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (255, 0, 0, 0))

    shown = decode_image(encoded(image, "PNG"))

    assert [shown.getpixel((x, 0)) for x in (0, 1)] == [(255, 0, 0), (255, 255, 255)]


def test_a_transparent_palette_colour_is_laid_over_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.putpixel((1, 0), 1)

    shown = decode_image(encoded(image, "PNG", transparency=0))

    assert [shown.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (10, 20, 30)]


def test_a_photo_held_sideways_is_set_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the top of the scene is at the right
    image = Image.new("RGB", (8, 4), (0, 0, 0))
    image.paste((255, 255, 255), (4, 0, 8, 4))

    shown = decode_image(encoded(image, "PNG", exif=exif))

    assert shown.size == (4, 8)
    assert shown.getpixel((1, 1)) == (0, 0, 0)
    assert shown.getpixel((1, 6)) == (255, 255, 255)


def test_damaged_exif_does_not_cost_the_picture() -> None:
    data = encoded(picture(), "JPEG", exif=b"Exif\0\0garbage")

    assert decode_image(data).size == (6, 4)


def test_a_large_jpeg_is_decoded_smaller_when_little_is_needed() -> None:
    data = encoded(picture(800, 1000), "JPEG")

    assert decode_image(data, at_least=224).size == (400, 500)
    assert decode_image(data, at_least=100).size == (100, 125)
    assert decode_image(data).size == (800, 1000)


def test_a_second_picture_inside_a_jpeg_is_ignored() -> None:
    data = encoded(
        Image.new("RGB", (8, 8), (200, 0, 0)),
        "MPO",
        save_all=True,
        append_images=[Image.new("RGB", (4, 4), (0, 200, 0))],
    )

    assert check_image_header(data) == ImageHeader("JPEG", 8, 8)
    red, green, _ = decode_image(data).getpixel((2, 2))
    assert red > 150 > green


@pytest.mark.parametrize("format", ["GIF", "BMP", "TIFF", "AVIF"])
def test_other_formats_are_refused_by_name(format: str) -> None:
    with pytest.raises(BadImageError, match=f"{format} is not accepted; send JPEG, PNG or WebP"):
        check_image_header(encoded(picture(), format))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the image is empty"),
        (b"<html><body>404</body></html>", "HTML is not accepted"),
        (b"hello", "not an image of a known format"),
        (b"\xff\xd8\xff", "header is broken or truncated"),
        (b"\x89PNG\r\n\x1a\n", "header is broken or truncated"),
    ],
)
def test_what_is_no_image_is_refused_with_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(BadImageError, match=reason):
        check_image_header(data)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_animations_are_refused(format: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:])

    with pytest.raises(BadImageError, match=f"an animated {format}"):
        check_image_header(data)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_truncated_data_is_refused_when_decoded(format: str) -> None:
    whole = encoded(picture(64, 64), format)

    with pytest.raises(BadImageError, match="broken or truncated"):
        decode_image(whole[: len(whole) * 2 // 3])


@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (60_000, 60_000), (41_000_000, 1)])
def test_a_decompression_bomb_is_refused_from_its_header(width: int, height: int) -> None:
    data = png_promising(width, height)
    assert len(data) < 100

    with pytest.raises(BadImageError, match="40000000 "):
        check_image_header(data)


def test_the_bounds_are_exact_and_can_be_set() -> None:
    data = encoded(picture(6, 4), "PNG")

    check_image_header(data, max_bytes=len(data), max_pixels=24)
    with pytest.raises(BadImageError, match=f"{len(data)} bytes; at most {len(data) - 1}"):
        decode_image(data, max_bytes=len(data) - 1)
    with pytest.raises(BadImageError, match="6x4 pixels; at most 23"):
        decode_image(data, max_pixels=23)


def test_the_refusal_names_the_field_it_was_asked_about() -> None:
    with pytest.raises(BadImageError) as refusal:
        decode_image(b"hello", field="items[3].image")

    assert refusal.value.field == "items[3].image"


SOUND = [encoded(picture(24, 24), format) for format in ("JPEG", "PNG", "WEBP")]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(SOUND),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=8),
    st.integers(0, 2000),
)
def test_damaged_bytes_decode_or_are_refused_but_never_crash(
    sound: bytes, edits: list[tuple[int, int]], kept: int
) -> None:
    damaged = bytearray(sound)
    for place, value in edits:
        damaged[place % len(damaged)] = value
    try:
        image = decode_image(bytes(damaged[: max(kept, len(damaged) // 2)]), max_pixels=10_000)
    except BadImageError:
        return
    assert image.mode == "RGB" and image.width * image.height <= 10_000
