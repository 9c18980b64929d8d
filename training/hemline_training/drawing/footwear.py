"""Shoes in pairs: from the side, toes to the left, or, for sandals, from above."""

from __future__ import annotations

from collections.abc import Callable

from hemline_training.drawing.canvas import (
    Canvas,
    Colour,
    Fabric,
    Point,
    Points,
    darker,
    ellipse,
    lighter,
    luminance,
    mirrored,
    points,
    smooth,
)
from hemline_training.drawing.tops import seam_colour

_GROUND = 88.0


def _pair(canvas: Canvas, one: Callable[[], None], back: Point = (9.0, -9.0)) -> None:
    canvas.ground = _GROUND + 1.5
    canvas.shift = (back[0] - 2, back[1])
    one()
    canvas.flush()
    canvas.shift = (-4.0, 1.0)
    one()
    canvas.flush()
    canvas.shift = (0.0, 0.0)


def sneakers(
    canvas: Canvas, cloth: Fabric, sole: Colour, stripe: Colour, high: bool = False
) -> None:
    """Canvas shoes with a rubber sole and toe cap."""

    def one() -> None:
        collar = 44.0 if high else 57.0
        upper = [
            (11, 82),
            (12, 74),
            (22, 69.5),
            (34, 66),
            (46, collar + 3),
            (52, collar - 1),
            (52, collar - 1),
            (66, collar + 1.5),
            (72, collar - 1.5),
            (72, collar - 1.5),
            (79, 70),
            (82, 83),
        ]
        canvas.piece(
            smooth(
                [
                    (50, collar),
                    (62, collar - 2.4),
                    (72, collar - 1),
                    (66, collar + 5),
                    (54, collar + 4),
                ]
            ),
            darker(cloth.colour, 0.5),
            edge=0.4,
        )
        canvas.piece(smooth(upper), cloth)
        canvas.fold([(22, 72), (40, 68)], -0.45, 4)
        canvas.fold([(60, 66), (74, 78)], 0.25, 4)
        canvas.piece(smooth(points("10.5,84 11,76 17,71.6 24,71 27,77 25,84")), sole)
        canvas.piece(
            smooth(
                [(70, collar + 4), (74.5, collar + 3), (79.5, 70), (82, 83), (74, 83), (72, 70)]
            ),
            Fabric(stripe),
            edge=0.7,
        )
        canvas.piece(smooth(points("9,82! 40,83 83,82! 84,86 82.5,89 12,89 9,87")), sole)
        canvas.flush()
        canvas.line([(9.6, 84.6), (83.6, 84.6)], stripe, 0.8)
        thread = seam_colour(cloth.colour)
        canvas.stitches(smooth(points("28,82 31,74 38,71 50,76 56,82"), False), thread)
        laces = 5 if high else 4
        for k in range(laces):
            x, y = 31.5 + k * 4.4, 69 - k * ((69 - collar - 4) / laces)
            canvas.line(
                [(x, y - 1.6), (x + 7, y + 2.8)],
                (250, 250, 250) if luminance(cloth.colour) < 0.85 else (205, 207, 212),
                1.4,
            )
            canvas.spot(ellipse(x + 7.4, y + 3.2, 0.7, 0.7), darker(cloth.colour, 0.5))

    _pair(canvas, one)


def running_shoes(canvas: Canvas, cloth: Fabric, sole: Colour, flash: Colour) -> None:
    """Running shoes: a thick, sprung sole and a flash along the side."""

    def one() -> None:
        canvas.piece(
            smooth(points("51,58 62,54.5 73,55 68,61 56,62")), darker(cloth.colour, 0.5), edge=0.4
        )
        upper = points("9,78 12,71 24,67 36,63 47,58 52,56! 58,60.5 66,60 73,54! 76,56 80,68 83,79")
        canvas.piece(smooth(upper), cloth)
        canvas.fold([(18, 71), (40, 64.5)], -0.5, 4)
        canvas.piece(smooth(points("72,60 76,57 80.5,68 83,79 72,80 74,70")), flash)
        canvas.piece(smooth(points("28,80 40,72 56,66 64,64 56,71 44,80")), flash, edge=0.6)
        sole_shape = points(
            "7,79! 20,78.4 40,80 60,77 85,75! 87,80 84,88! 60,89 40,87.6 20,89 10,87 6.6,83"
        )
        canvas.piece(smooth(sole_shape), sole)
        canvas.flush()
        canvas.line(smooth(points("8,84.6 30,84.4 52,83 86,80.6"), False), flash, 1.3)
        for k in range(9):
            canvas.line([(14 + k * 8, 86.4), (16 + k * 8, 89)], darker(sole, 0.35), 0.8)
        thread = seam_colour(cloth.colour)
        for k in range(4):
            x, y = 34.5 + k * 4.2, 65.2 - k * 2.1
            canvas.line([(x, y - 1.4), (x + 5.4, y + 3.2)], lighter(flash, 0.6), 1.3)
        canvas.stitches(smooth(points("14,77 20,71.5 28,72 30,77"), False), thread)

    _pair(canvas, one)


def formal_shoes(canvas: Canvas, leather: Colour) -> None:
    """Polished lace-ups."""

    def one() -> None:
        canvas.piece(
            smooth(points("48,64 60,60.4 74,62.5 68,68 54,68")), darker(leather, 0.55), edge=0.4
        )
        upper = points(
            "6.5,84 8,79 18,75.4 32,71 44,64.5 49,62.6! 60,66 70,64.6 75,61! 79,70 81,83"
        )
        canvas.piece(smooth(upper), leather)
        canvas.fold([(12, 79), (30, 74)], -0.95, 2.4)
        canvas.fold([(70, 70), (77, 76)], -0.5, 2.4)
        canvas.fold([(30, 82), (60, 82)], 0.3, 3)
        canvas.piece(
            smooth(points("5.6,83.4! 40,83.4 64,83.4! 62,86 40,86.2 10,86.2")), darker(leather, 0.6)
        )
        canvas.piece(points("63,83 82,82.6 82,89 65,89"), darker(leather, 0.65))
        canvas.flush()
        canvas.stitches(smooth([(24, 83), (25, 77), (31, 72.4)], False), lighter(leather, 0.3), 0.5)
        canvas.line(
            smooth(points("38,83 41,73 50,70 60,74 66,83"), False), darker(leather, 0.5), 0.6
        )
        for k in range(4):
            x, y = 36 + k * 3.4, 70.4 - k * 1.8
            canvas.line([(x, y - 1), (x + 5, y + 2.4)], darker(leather, 0.6), 1.0)

    _pair(canvas, one)


def boots(canvas: Canvas, leather: Colour, sole: Colour, laced: bool, tall: bool = False) -> None:
    """Ankle or knee-high boots, laced or pulled on."""
    top = 22.0 if tall else 42.0

    def one() -> None:
        upper = [
            (9, 83),
            (10, 75),
            (20, 70),
            (34, 67),
            (43, 60),
            (46, 46 if tall else 52),
            (46, top),
            (46, top),
            (73, top),
            (73, top),
            (74, 56),
            (76, 66),
            (78, 83),
            (78, 83),
        ]
        canvas.piece(
            smooth([(46, top + 0.4), (59, top - 2.6), (73, top + 0.4), (59, top + 3)]),
            darker(leather, 0.55),
            edge=0.3,
        )
        canvas.piece(smooth(upper), leather)
        canvas.fold([(15, 76), (32, 70)], -0.8, 3)
        canvas.fold([(52, top + 6), (52, 60)], -0.45, 4)
        canvas.fold([(45, 62), (58, 66)], 0.5, 2)
        canvas.fold([(47, 68), (62, 69)], 0.35, 2)
        canvas.piece(points("8,82 78.6,82 79,89 61,89 59.6,85.6 40,86 30,88 10,88"), sole)
        canvas.flush()
        thread = seam_colour(leather)
        canvas.stitches([(9, 80.6), (78, 80.6)], thread)
        if laced:
            steps = 6
            for k in range(steps):
                x, y = 37 + k * 2.2, 66 - k * (66 - top - 4) / steps
                x = min(x, 46.5)
                canvas.line([(x, y), (x + 8, y - 2.6)], (232, 206, 150), 1.2)
                canvas.spot(ellipse(x + 8.6, y - 2.7, 0.8, 0.8), (206, 170, 96))
        else:
            canvas.line([(64, top + 1), (65, 62)], thread, 0.6)
            canvas.spot([(56, top + 2), (63, top + 2), (62, 62), (57, 62)], darker(leather, 0.35))

    _pair(canvas, one)


def heels(canvas: Canvas, leather: Colour, height: str, open_toe: bool = False) -> None:
    """Court shoes: `height` high or block."""

    def one() -> None:
        inside = smooth(points("36,70 50,66 66,56 78,46 79,54 66,66 46,74"))
        canvas.piece(inside, (226, 196, 162), edge=0.5)
        if height == "high":
            canvas.piece(points("74,60 80,57 77.6,88.6 75.6,88.6"), darker(leather, 0.2))
        else:
            canvas.piece(points("68,66 80.5,57 80.5,88.6 71,88.6"), darker(leather, 0.2))
        upper = points(
            "10,85.6 14,79 26,74 34,69! 42,76.5 56,73 70,60 78,44.6! 81,52 80.6,60 "
            "74,66 62,78 48,86 30,87.6 16,87.6"
        )
        canvas.piece(smooth(upper), leather)
        canvas.fold([(18, 81), (30, 76)], -0.95, 2.4)
        canvas.fold([(70, 66), (79, 54)], -0.5, 2.0)
        canvas.flush()
        canvas.line(
            smooth(points("11,87.4 30,88.4 48,87 62,79 72,69"), False), darker(leather, 0.55), 0.9
        )
        if open_toe:
            canvas.spot(smooth(points("11,85.4 14,81 20,79.6 19,84 15,86.4")), (226, 196, 162))
        else:
            canvas.spot(ellipse(31, 73.4, 1.7, 1.7), lighter(leather, 0.55))

    _pair(canvas, one, back=(9.0, -8.0))


def flats(canvas: Canvas, leather: Fabric, bow: Colour) -> None:
    """Ballerinas with a bow, seen a little from above."""

    def one() -> None:
        canvas.piece(
            smooth(points("9,84 11,77 22,71 40,70 60,71 78,70 83,76 83,85 60,88.4 30,88.4")),
            leather,
        )
        canvas.piece(
            smooth(points("31,77 36,73 52,73.4 68,73 78,72.6 80,75 70,79 48,81 36,80.6")),
            (228, 202, 172),
            edge=0.9,
        )
        canvas.fold([(14, 81), (26, 75)], -0.7, 2.6)
        canvas.flush()
        canvas.line(points("11,87.2 30,89 60,89 83,86.4"), darker(leather.colour, 0.55), 1.0)
        canvas.spot(smooth(points("29,78 24,74.4 22.6,79.4 28,80")), bow)
        canvas.spot(smooth(points("31,78.4 35.6,81 32.6,84.6 29.6,80.6")), bow)
        canvas.spot(ellipse(29.8, 79.2, 1.3, 1.3), darker(bow, 0.25))

    _pair(canvas, one, back=(8.0, -17.0))


_SOLE_FROM_ABOVE = points("62,22 71,28 73,44 70,66 71,88 66,103 57,103 52.4,90 54,68 51.6,48 54,28")


_SANDAL_BANDS: dict[str, list[tuple[Point, Point, Point, Point]]] = {
    "slide": [((50.6, 38), (74.0, 36), (72.6, 58), (51.0, 60))],
    "strappy": [
        ((51, 38), (74.0, 35), (73.6, 43), (50.8, 47)),
        ((52, 57), (72.6, 53), (71.4, 61), (52.6, 66)),
    ],
    "gladiator": [
        ((51, 36), (74.0, 34), (73.8, 39.6), (50.6, 42)),
        ((51, 48), (73.6, 45), (72.8, 50.6), (51.6, 54)),
        ((53, 61), (71.4, 57), (70.8, 62.6), (53.4, 66.6)),
    ],
}


def sandals(canvas: Canvas, leather: Colour, sole: Colour, kind: str) -> None:
    """A pair of sandals from above: `kind` slide, strappy or gladiator."""
    for mirror in (False, True):
        base = smooth(mirrored(_SOLE_FROM_ABOVE) if mirror else _SOLE_FROM_ABOVE)
        canvas.piece([(x, y + 2) for x, y in base], darker(sole, 0.45), edge=0.3)
        canvas.piece(base, sole)
        canvas.fold(mirrored([(62, 76), (62, 94)]) if mirror else [(62, 76), (62, 94)], -0.35, 8)
    for band in _SANDAL_BANDS[kind]:
        curve = smooth(
            [
                band[0],
                band[0],
                (62.5, band[0][1] - 4),
                band[1],
                band[1],
                band[2],
                band[2],
                (62, band[3][1] - 4.5),
                band[3],
                band[3],
            ]
        )
        for outline in (curve, mirrored(curve)):
            canvas.piece(outline, leather)
    if kind != "slide":
        heel = smooth(
            points(
                "52.2,76 53.4,90 61.6,99 70,90 70.8,76! 73,80 71.6,95 61.6,106 51.4,95 "
                "50,80 52.2,76"
            )
        )
        for outline in (heel, mirrored(heel)):
            canvas.piece(outline, leather)
    canvas.flush()
    if kind == "gladiator":
        stem: Points = [(62.4, 35), (62.4, 64)]
        for path in (stem, mirrored(stem)):
            canvas.line([(x + 0.6, y) for x, y in path], darker(leather, 0.4), 3.2)
            canvas.line(path, leather, 2.6)
    if kind == "slide":
        for x in (32.6, 63.4):
            canvas.line(
                [(x - 5, 43), (x + 5, 43), (x + 5, 51), (x - 5, 51), (x - 5, 43)],
                (212, 178, 104),
                1.6,
            )
    for x in (25.0, 71.0):
        canvas.spot(ellipse(x, 80, 1.6, 1.6), (212, 178, 104))


def flip_flops(canvas: Canvas, sole: Fabric, strap: Colour) -> None:
    """A pair of flip flops from above."""
    right = smooth(_SOLE_FROM_ABOVE)
    straps = smooth(points("53.4,66 57,52 62,43! 67,52 70.6,64"), False)
    for mirror in (False, True):
        flop = mirrored(right) if mirror else right
        canvas.piece([(x, y + 1.6) for x, y in flop], darker(sole.colour, 0.4), edge=0.3)
        canvas.piece(flop, sole)
        canvas.fold(mirrored([(62, 74), (62, 94)]) if mirror else [(62, 74), (62, 94)], -0.4, 7)
    canvas.flush()
    for mirror in (False, True):
        path: Points = mirrored(straps) if mirror else straps
        canvas.line([(x + 0.5, y + 1.2) for x, y in path], darker(sole.colour, 0.45), 3.6)
        canvas.line(path, strap, 3.4)
        canvas.line([(x - 0.5, y - 0.6) for x, y in path], lighter(strap, 0.35), 0.7)
        x = 34.0 if mirror else 62.0
        canvas.spot(ellipse(x, 42.6, 1.7, 1.7), darker(strap, 0.25))
