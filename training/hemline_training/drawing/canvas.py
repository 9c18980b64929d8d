"""A sheet on which garments are cut from fabric, lit from the upper left and photographed on white.

Coordinates are pixels of the finished picture (WIDTH x HEIGHT, y downwards); everything is drawn
SCALE times larger and averaged down, which is the anti-aliasing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from PIL import Image, ImageChops, ImageDraw, ImageFilter

WIDTH, HEIGHT = 96, 128
SCALE = 3

Point = tuple[float, float]
Points = Sequence[Point]
Colour = tuple[int, int, int]

_NEUTRAL = 128  # of the relief: neither lit nor in shade
_EDGE_SHADE = 84
_BLUR = 1.5


@dataclass(frozen=True)
class Fabric:
    """A colour, and, if patterned, a picture of the cloth (WIDTH x HEIGHT, times SCALE)."""

    colour: Colour
    sheet: Image.Image | None = None


def mixed(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with `share` (0 to 1) of `b` in it."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def darker(colour: Colour, share: float = 0.35) -> Colour:
    """`colour` with `share` of black in it."""
    return mixed(colour, (0, 0, 0), share)


def lighter(colour: Colour, share: float = 0.35) -> Colour:
    """`colour` with `share` of white in it."""
    return mixed(colour, (255, 255, 255), share)


def luminance(colour: Colour) -> float:
    """Perceived brightness, 0 to 1."""
    return (0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]) / 255


def points(text: str) -> list[Point]:
    """The points of "10,20 30,40! 50,60"; "!" gives a point twice, a corner to `smooth`."""
    out: list[Point] = []
    for word in text.split():
        x, y = word.rstrip("!").split(",")
        out += [(float(x), float(y))] * (2 if word.endswith("!") else 1)
    return out


def smooth(path: Points, closed: bool = True, steps: int = 6) -> list[Point]:
    """A Catmull-Rom curve through the points; a point given twice in a row is a sharp corner."""
    n = len(path)
    curve: list[Point] = []
    for i in range(n if closed else n - 1):
        p1, p2 = path[i], path[(i + 1) % n]
        if p1 == p2:
            continue
        p0 = path[i - 1] if closed or i > 0 else p1
        p3 = path[(i + 2) % n] if closed or i + 2 < n else p2
        for step in range(steps):
            t = step / steps
            curve.append(
                (_spline(p0[0], p1[0], p2[0], p3[0], t), _spline(p0[1], p1[1], p2[1], p3[1], t))
            )
    if not closed:
        curve.append(path[-1])
    return curve


def _spline(a: float, b: float, c: float, d: float, t: float) -> float:
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


def mirrored(path: Points, axis: float = WIDTH / 2) -> list[Point]:
    """The points' reflection in the vertical line x = axis."""
    return [(2 * axis - x, y) for x, y in path]


def both_halves(right: Points, axis: float = WIDTH / 2) -> list[Point]:
    """A symmetric outline from its right half, given from top centre down to bottom centre."""
    return [*right, *reversed(mirrored(right, axis))]


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> list[Point]:
    """The outline of an ellipse around (x, y), turned clockwise by `turn` radians."""
    cos, sin = math.cos(turn), math.sin(turn)
    angles = [2 * math.pi * k / 28 for k in range(28)]
    spots = [(rx * math.cos(a), ry * math.sin(a)) for a in angles]
    return [(x + u * cos - v * sin, y + u * sin + v * cos) for u, v in spots]


class Canvas:
    """Cut pieces, press folds, then sew on details; `finish` lights and photographs the result.

    Pieces lie in the order they were cut. Details (line, stitches, spot) lie on top of the light,
    so they are drawn after the last piece they sit on; `flush` lights what lies there so far.
    """

    def __init__(self) -> None:
        size = (WIDTH * SCALE, HEIGHT * SCALE)
        self._cloth = Image.new("RGB", size, (255, 255, 255))
        self._silhouette = Image.new("L", size, 0)
        self._relief = Image.new("L", size, _NEUTRAL)
        self._unlit: tuple[int, int, int, int] | None = None  # the box of pieces cut since flush
        self._later: list[tuple[str, list[Point], Colour, float]] = []
        self.shift: Point = (0.0, 0.0)
        self.scale = 1.0  # about the sheet's centre; children's clothes are drawn smaller
        self.offset: Point = (0.0, 0.0)  # of the whole picture
        self.ground: float | None = None

    def piece(self, outline: Points, fabric: Fabric | Colour, edge: float = 1.0) -> None:
        """Cuts a piece. `edge`: how strongly its rim falls into shade (0: lies flat)."""
        cloth = fabric if isinstance(fabric, Fabric) else Fabric(fabric)
        at = self._at(outline)
        left, top = (max(0, int(min(p[k] for p in at))) for k in (0, 1))
        right = min(self._cloth.width, int(max(x for x, _ in at)) + 2)
        bottom = min(self._cloth.height, int(max(y for _, y in at)) + 2)
        box = (left, top, right, bottom)
        mask = Image.new("L", (right - left, bottom - top), 0)  # its own box alone: 3 times faster
        ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in at], fill=255)
        self._cloth.paste(cloth.colour if cloth.sheet is None else cloth.sheet.crop(box), box, mask)
        self._silhouette.paste(255, box, mask)
        self._unlit = _around(self._unlit or box, box)
        self._relief.paste(_NEUTRAL, box, mask)
        ring = [*at, at[0], at[1]]
        shade = round(_NEUTRAL + (_EDGE_SHADE - _NEUTRAL) * edge)
        ImageDraw.Draw(self._relief).line(ring, fill=shade, width=round(3.2 * SCALE), joint="curve")
        if edge > 0:
            rim = _rim_colour(cloth.colour)
            ImageDraw.Draw(self._cloth).line(
                ring, fill=rim, width=round(0.7 * SCALE), joint="curve"
            )

    def fold(self, path: Points, strength: float = 0.5, width: float = 2.4) -> None:
        """A soft crease: in shade for a positive strength, catching light for a negative one."""
        level = max(0, min(255, round(_NEUTRAL - 120 * strength)))
        draw = ImageDraw.Draw(self._relief)
        draw.line(self._at(path), fill=level, width=round(width * SCALE), joint="curve")

    def line(self, path: Points, colour: Colour, width: float = 0.6) -> None:
        """A crisp seam, lace or strap."""
        self._later.append(("line", self._at(path), colour, width))

    def stitches(self, path: Points, colour: Colour, width: float = 0.5) -> None:
        """A dashed line, 1.6 pixels of thread and as much gap."""
        for a, b in _dashes(path, 1.6):
            self._later.append(("line", self._at([a, b]), colour, width))

    def spot(self, outline: Points, colour: Colour) -> None:
        """A small flat shape: a button, a buckle, a print."""
        self._later.append(("spot", self._at(outline), colour, 0.0))

    def button(self, x: float, y: float, colour: Colour, radius: float = 1.1) -> None:
        """A round button with its rim."""
        self.spot(ellipse(x, y, radius, radius), darker(colour, 0.45))
        self.spot(ellipse(x - 0.15, y - 0.15, radius * 0.72, radius * 0.72), colour)

    def flush(self) -> None:
        """Lights the pieces so far and sews their details on; pieces cut later cover both."""
        if self._unlit is not None:
            self._light_up(self._unlit)
            self._unlit = None
        draw = ImageDraw.Draw(self._cloth)
        marks = ImageDraw.Draw(self._silhouette)
        for kind, at, colour, width in self._later:
            if kind == "line":
                thick = max(1, round(width * SCALE))
                draw.line(at, fill=colour, width=thick, joint="curve")
                marks.line(at, fill=255, width=thick, joint="curve")
            else:
                draw.polygon(at, fill=colour)
                marks.polygon(at, fill=255)
        self._later.clear()

    def _light_up(self, box: tuple[int, int, int, int]) -> None:
        relief = _blurred(self._relief.crop(box))
        level = Image.merge("RGB", (relief, relief, relief))
        lit = ImageChops.hard_light(self._cloth.crop(box), level)
        self._cloth.paste(lit, box, self._silhouette.crop(box))
        self._relief.paste(_NEUTRAL, box)

    def finish(self) -> Image.Image:
        """The photograph, RGB, WIDTH x HEIGHT."""
        self.flush()
        shadow = Image.new("L", self._cloth.size, 0)
        if self.ground is None:  # lying on a table: its own shape, a little lower
            shadow.paste(76, (SCALE, 2 * SCALE), self._silhouette)
        else:  # standing: a flat pool of shade
            box = self._silhouette.getbbox() or (0, 0, 1, 1)
            [(_, ground)] = self._at([(0.0, self.ground - self.shift[1])])
            y = round(ground)
            pool = (box[0], y - 2 * SCALE, box[2], y + 3 * SCALE)
            ImageDraw.Draw(shadow).ellipse(pool, fill=105)
        photo = Image.new("RGB", self._cloth.size, (255, 255, 255))
        photo.paste((72, 74, 84), mask=_blurred(shadow))
        photo.paste(ImageChops.multiply(self._cloth, _light()), mask=self._silhouette)
        return photo.reduce(SCALE)

    def _at(self, path: Iterable[Point]) -> list[Point]:
        dx, dy, k = *self.shift, self.scale
        left = WIDTH / 2 * (1 - k) + self.offset[0]
        top = HEIGHT / 2 * (1 - k) + self.offset[1]
        return [((left + (x + dx) * k) * SCALE, (top + (y + dy) * k) * SCALE) for x, y in path]


def _around(a: Sequence[int], b: Sequence[int]) -> tuple[int, int, int, int]:
    """The box around two boxes, its sides multiples of SCALE."""
    left, top = min(a[0], b[0]) // SCALE * SCALE, min(a[1], b[1]) // SCALE * SCALE
    right, bottom = -(-max(a[2], b[2]) // SCALE) * SCALE, -(-max(a[3], b[3]) // SCALE) * SCALE
    return left, top, right, bottom


def _rim_colour(colour: Colour) -> Colour:
    return darker(colour, 0.32) if luminance(colour) > 0.2 else lighter(colour, 0.16)


def _blurred(soft: Image.Image) -> Image.Image:
    """Blurred at the finished picture's size, where it costs a ninth and looks the same."""
    small = soft.reduce(SCALE).filter(ImageFilter.GaussianBlur(_BLUR))
    return small.resize(soft.size, Image.Resampling.BILINEAR)


@lru_cache(maxsize=1)
def _light() -> Image.Image:
    """The room's light: full at the left, a tenth less at the right, a little less at the floor."""
    row = Image.linear_gradient("L").rotate(90).resize((WIDTH * SCALE, HEIGHT * SCALE))
    falling = Image.linear_gradient("L").resize((WIDTH * SCALE, HEIGHT * SCALE))
    level = ImageChops.add(row.point(lambda v: v * 0.10), falling.point(lambda v: v * 0.05))
    level = ImageChops.invert(level)
    return Image.merge("RGB", (level, level, level))


def _dashes(path: Points, length: float) -> list[tuple[Point, Point]]:
    dashes = []
    left, drawing = length, True
    for (x1, y1), (x2, y2) in pairwise(path):
        distance = math.hypot(x2 - x1, y2 - y1)
        done = 0.0
        while distance - done > 1e-6:
            step = min(left, distance - done)
            if drawing:
                t1, t2 = done / distance, (done + step) / distance
                start = (x1 + (x2 - x1) * t1, y1 + (y2 - y1) * t1)
                dashes.append((start, (x1 + (x2 - x1) * t2, y1 + (y2 - y1) * t2)))
            done += step
            left -= step
            if left <= 1e-6:
                left, drawing = length, not drawing
    return dashes
