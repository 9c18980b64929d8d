"""Cloth: named colours and the patterns woven or printed in two of them."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from hemline_training.drawing.canvas import (
    HEIGHT,
    SCALE,
    WIDTH,
    Colour,
    Fabric,
    darker,
    ellipse,
    lighter,
    luminance,
    mixed,
)

# Names as the real catalogue spells them.
COLOURS: dict[str, Colour] = {
    "Black": (38, 38, 44),
    "White": (243, 243, 245),
    "Off White": (240, 234, 220),
    "Cream": (241, 226, 193),
    "Beige": (214, 192, 158),
    "Khaki": (176, 160, 116),
    "Brown": (120, 78, 50),
    "Tan": (188, 132, 82),
    "Grey": (140, 144, 150),
    "Charcoal": (74, 78, 86),
    "Navy Blue": (36, 48, 92),
    "Blue": (58, 108, 186),
    "Turquoise Blue": (64, 178, 190),
    "Teal": (22, 112, 116),
    "Green": (54, 138, 84),
    "Olive": (110, 114, 62),
    "Lime Green": (160, 200, 70),
    "Yellow": (240, 202, 76),
    "Mustard": (206, 154, 44),
    "Orange": (232, 126, 52),
    "Rust": (176, 84, 46),
    "Peach": (246, 190, 160),
    "Red": (200, 44, 48),
    "Maroon": (118, 30, 44),
    "Burgundy": (98, 26, 52),
    "Pink": (238, 138, 170),
    "Magenta": (196, 42, 126),
    "Lavender": (186, 170, 222),
    "Purple": (112, 66, 148),
    "Silver": (192, 196, 204),
    "Gold": (206, 168, 84),
}

PATTERNS = (
    "plain",
    "striped",
    "pinstriped",
    "checked",
    "gingham",
    "dotted",
    "floral",
    "gradient",
    "denim",
    "knit",
    "colourblock",
)

_SIZE = (WIDTH * SCALE, HEIGHT * SCALE)


def fabric(
    colour: str, pattern: str = "plain", accent: str | None = None, variant: int = 0
) -> Fabric:
    """Cloth of a colour of COLOURS in a pattern of PATTERNS; `variant` picks its size or layout.

    `accent` is the second colour; without one a lighter or darker shade of the first is taken.
    """
    base = COLOURS[colour]
    second = COLOURS[accent] if accent else _shade_beside(base)
    if pattern == "plain":
        return Fabric(base)
    if pattern == "denim":
        second = lighter(base, 0.22)
    if pattern == "knit":
        second = darker(base, 0.2) if luminance(base) > 0.3 else lighter(base, 0.12)
    if pattern == "gingham":
        middle = mixed(base, (255, 255, 255), 0.5)
        sheet = Image.new("RGB", _SIZE, (250, 250, 250))
        sheet.paste(middle, mask=_mask("gingham-any", variant))
        sheet.paste(base, mask=_mask("gingham-both", variant))
        return Fabric(middle, sheet)
    sheet = Image.new("RGB", _SIZE, base)
    sheet.paste(second, mask=_mask(pattern, variant))
    if pattern == "floral":
        sheet.paste(_flower_heart(second), mask=_mask("floral-hearts", variant))
    if pattern == "checked":
        sheet.paste(lighter(second, 0.5), mask=_mask("checked-thread", variant))
    return Fabric(base, sheet)


def _shade_beside(colour: Colour) -> Colour:
    return lighter(colour, 0.6) if luminance(colour) < 0.55 else darker(colour, 0.4)


def _flower_heart(petals: Colour) -> Colour:
    return (246, 206, 84) if petals[2] < 200 or petals[0] > 200 else (250, 240, 200)


@cache  # at most 12 variants of 13 masks, 110 kB each
def _mask(pattern: str, variant: int) -> Image.Image:
    """Where the second colour lies: an L image of the sheet's size."""
    x, y = np.meshgrid(np.arange(_SIZE[0]) / SCALE, np.arange(_SIZE[1]) / SCALE)
    period = (5.0, 8.0, 12.0)[variant % 3]
    on: npt.NDArray[np.floating]
    if pattern == "striped":
        along = y if variant % 2 == 0 else x
        on = (along % period < period * (0.5 if variant % 4 < 2 else 0.3)) * 1.0
    elif pattern == "pinstriped":
        on = (x % 4.0 < 0.7) * 0.8
    elif pattern == "checked":
        on = np.maximum(x % period < period * 0.4, y % period < period * 0.4) * 0.42
        on = on + np.minimum(x % period < period * 0.4, y % period < period * 0.4) * 0.45
    elif pattern == "checked-thread":
        on = np.maximum(
            abs(x % period - period * 0.7) < 0.35, abs(y % period - period * 0.7) < 0.35
        )
    elif pattern in ("gingham-any", "gingham-both"):
        side = (4.0, 5.0, 6.5)[variant % 3]
        across, down = x % side < side / 2, y % side < side / 2
        on = (across | down if pattern == "gingham-any" else across & down) * 1.0
    elif pattern == "dotted":
        row = np.floor(y / (period * 0.8))
        u = (x + (row % 2) * period / 2) % period - period / 2
        v = y % (period * 0.8) - period * 0.4
        on = (np.hypot(u, v) < period * 0.21) * 1.0
    elif pattern == "gradient":
        on = np.clip((y - 20) / 88, 0, 1) if variant % 2 == 0 else np.clip((108 - y) / 88, 0, 1)
    elif pattern == "colourblock":
        edge = (52, 66, 44)[variant % 3]
        on = (y > edge) * 1.0
    elif pattern == "denim":
        grain = np.random.default_rng(7).random(x.shape)
        on = 0.35 * ((x + y) % 1.4 < 0.7) + 0.4 * grain
    elif pattern == "knit":
        on = 0.8 * (((y + np.abs((x % 3.0) - 1.5)) % 2.2) < 0.8)
    elif pattern in ("floral", "floral-hearts"):
        return _flowers(variant, hearts=pattern == "floral-hearts")
    else:
        raise ValueError(f"no pattern {pattern!r}")
    return Image.fromarray((np.clip(on, 0, 1) * 255).astype(np.uint8))


def _flowers(variant: int, hearts: bool) -> Image.Image:
    mask = Image.new("L", _SIZE, 0)
    draw = ImageDraw.Draw(mask)
    rng = np.random.default_rng(variant)
    step = (9.0, 12.0, 15.0)[variant % 3]
    for row in range(int(HEIGHT / step) + 2):
        for column in range(int(WIDTH / step) + 2):
            x = (column + (row % 2) / 2) * step + rng.uniform(-1.5, 1.5)
            y = row * step * 0.9 + rng.uniform(-1.5, 1.5)
            size, turn = step * rng.uniform(0.14, 0.2), rng.uniform(0, math.pi)
            if hearts:
                shapes = [ellipse(x, y, size * 0.6, size * 0.6)]
            else:
                angles = [turn + 2 * math.pi * k / 5 for k in range(5)]
                shapes = [
                    ellipse(
                        x + size * math.cos(a), y + size * math.sin(a), size * 0.75, size * 0.55, a
                    )
                    for a in angles
                ]
                shapes.append(
                    ellipse(x + step * 0.45, y + step * 0.3, size * 0.8, size * 0.3, turn)
                )
            for shape in shapes:
                draw.polygon([(u * SCALE, v * SCALE) for u, v in shape], fill=255)
    return mask
