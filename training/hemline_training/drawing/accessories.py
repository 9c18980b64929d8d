"""What is carried, wound round or put on: bags, headwear, scarves, watches, jewellery."""

from __future__ import annotations

import itertools
import math

from hemline_training.drawing.canvas import (
    Canvas,
    Colour,
    Fabric,
    Points,
    both_halves,
    darker,
    ellipse,
    lighter,
    luminance,
    mirrored,
    mixed,
    points,
    smooth,
)
from hemline_training.drawing.tops import CENTRE, seam_colour

GOLD: Colour = (212, 174, 92)
SILVER: Colour = (198, 202, 210)


def handbag(canvas: Canvas, leather: Fabric, metal: Colour, kind: str) -> None:
    """A bag with handles: `kind` satchel, tote or hobo."""
    canvas.ground = 103.0
    strap = (
        darker(leather.colour, 0.12)
        if luminance(leather.colour) > 0.2
        else lighter(leather.colour, 0.1)
    )
    if kind == "hobo":
        outer = smooth(
            points("14,66 22,44 34,28 48,22 62,28 74,44 82,66 80,92 66,102 30,102 16,92")
        )
        canvas.piece(outer, leather)
        hole = smooth(points("29,60 34,46 48,36 62,46 67,60 48,64"))
        canvas.piece(hole, (253, 253, 254), edge=0.3)
        for x in (-12.0, 0.0, 12.0):
            canvas.fold([(CENTRE + x, 66), (CENTRE + x * 1.4, 92)], 0.35, 3)
            canvas.fold([(CENTRE + x + 4, 68), (CENTRE + x * 1.4 + 5, 94)], -0.3, 3)
        canvas.flush()
        canvas.line(smooth([(20, 64), (48, 69), (76, 64)], False), metal, 1.0)
        canvas.spot(ellipse(CENTRE, 69, 2.0, 2.0), metal)
        return
    top, width, low = (50.0, 27.0, 33.0) if kind == "satchel" else (44.0, 30.0, 27.0)
    handle = smooth(
        [
            (CENTRE - 13, top + 4),
            (CENTRE - 12, top - 18),
            (CENTRE, top - 27),
            (CENTRE + 12, top - 18),
            (CENTRE + 13, top + 4),
        ],
        False,
    )
    canvas.line([(x, y - 1.6) for x, y in handle], darker(strap, 0.35), 2.6)
    canvas.flush()
    half = [
        (CENTRE, top),
        (CENTRE, top),
        (CENTRE + width - 2, top),
        (CENTRE + width - 2, top),
        (CENTRE + (width + low) / 2, top + 26),
        (CENTRE + low, 99),
        (CENTRE + low - 2, 102.6),
        (CENTRE, 103),
    ]
    canvas.piece(both_halves(smooth(half, closed=False)), leather)
    canvas.fold([(CENTRE - 18, top + 22), (CENTRE - 20, 96)], -0.3, 6)
    canvas.fold([(CENTRE + 20, top + 22), (CENTRE + 22, 96)], 0.3, 6)
    if kind == "satchel":
        flap = smooth(
            [
                (CENTRE, top - 1),
                (CENTRE + 26, top - 1),
                (CENTRE + 26, top - 1),
                (CENTRE + 27, top + 16),
                (CENTRE + 20, top + 25),
                (CENTRE, top + 28),
            ],
            closed=False,
        )
        canvas.piece(both_halves(flap), leather)
    canvas.flush()
    thread = seam_colour(leather.colour)
    canvas.line(handle, strap, 2.6)
    canvas.line([(x - 0.5, y - 0.5) for x, y in handle], lighter(strap, 0.3), 0.5)
    for side in (-1, 1):
        x = CENTRE + side * 13
        canvas.spot(
            [
                (x - 2.2, top + 1),
                (x + 2.2, top + 1),
                (x + 1.6, top + 9),
                (x, top + 11),
                (x - 1.6, top + 9),
            ],
            strap,
        )
        canvas.spot(ellipse(x, top + 3.6, 1.3, 1.3), metal)
    if kind == "satchel":
        canvas.stitches(
            smooth(
                [
                    (CENTRE - 24, top + 15),
                    (CENTRE - 18, top + 22.6),
                    (CENTRE, top + 25.4),
                    (CENTRE + 18, top + 22.6),
                    (CENTRE + 24, top + 15),
                ],
                False,
            ),
            thread,
        )
        canvas.spot(
            [
                (CENTRE - 3.4, top + 22),
                (CENTRE + 3.4, top + 22),
                (CENTRE + 3.4, top + 31),
                (CENTRE - 3.4, top + 31),
            ],
            metal,
        )
        canvas.spot(ellipse(CENTRE, top + 26.4, 1.1, 1.1), darker(metal, 0.5))
    else:
        canvas.stitches([(CENTRE - 26.6, top + 3), (CENTRE + 26.6, top + 3)], thread)
        canvas.line([(CENTRE - 26, 92), (CENTRE + 26, 92)], thread, 0.5)
        canvas.spot(points("57,54 61,54 61.6,66 59,68 56.6,66"), mixed(strap, metal, 0.5))
        canvas.line([(59, 47), (59, 54)], metal, 0.8)


def clutch(canvas: Canvas, cloth: Fabric, metal: Colour, chain: bool) -> None:
    """An evening clutch with a snap, on a chain if wanted."""
    canvas.ground = 92.0
    if chain:
        loop = smooth(points("16,58 22,36 48,26 74,36 80,58"), False)
        for a, b in itertools.pairwise(loop):
            canvas.line([a, b], metal, 1.3)
        canvas.stitches(loop, darker(metal, 0.4), 1.3)
    canvas.piece(smooth(points("13,55! 83,55! 85,74 83,91! 13,91! 11,74")), cloth)
    canvas.piece(points("13,54 83,54 82,66 48,78 14,66"), cloth)
    canvas.fold([(20, 82), (44, 86)], -0.4, 4)
    canvas.flush()
    canvas.line([(13, 54.6), (83, 54.6)], metal, 1.6)
    canvas.spot(ellipse(CENTRE, 75, 3.0, 3.0), darker(metal, 0.3))
    canvas.spot(ellipse(CENTRE - 0.4, 74.6, 2.2, 2.2), lighter(metal, 0.25))


def backpack(canvas: Canvas, cloth: Fabric, trim: Colour) -> None:
    """A school or city backpack with a front pocket."""
    canvas.ground = 110.0
    canvas.line(smooth(points("42,22 43,13 48,10.6 53,13 54,22"), False), darker(trim, 0.2), 2.4)
    canvas.flush()
    for outline in (
        points("20,46 14,58 13,84 20,92 22,70"),
        mirrored(points("20,46 14,58 13,84 20,92 22,70")),
    ):
        canvas.piece(smooth(outline), darker(cloth.colour, 0.3))
    half = smooth(
        [
            (CENTRE, 17),
            (CENTRE, 17),
            (58, 18.4),
            (70, 28),
            (76, 52),
            (77.4, 90),
            (75, 106),
            (70, 109),
            (CENTRE, 110),
        ],
        closed=False,
    )
    canvas.piece(both_halves(half), cloth)
    canvas.fold([(27, 36), (25, 70)], -0.45, 5)
    canvas.fold([(71, 40), (73, 74)], 0.3, 5)
    pocket = smooth(
        [(CENTRE, 66), (CENTRE, 66), (66, 66), (70.4, 72), (71.4, 98), (68, 104.4), (CENTRE, 105)],
        closed=False,
    )
    canvas.piece(both_halves(pocket), cloth)
    canvas.flush()
    zipper = smooth(points("25,58 26.6,40 33,28 48,24 63,28 69.4,40 71,58"), False)
    canvas.line(zipper, trim, 1.5)
    canvas.stitches(zipper, darker(trim, 0.4), 0.9)
    canvas.line([(27, 73), (48, 71.6), (69, 73)], trim, 1.4)
    for x, y in ((30.6, 31.0), (66.0, 73.6)):
        canvas.line([(x, y), (x - 1.6, y + 5)], lighter(trim, 0.3), 1.3)
    canvas.spot(points("42,47 54,47 54,56 42,56"), darker(trim, 0.1))
    canvas.stitches(points("43,48 53,48 53,55 43,55 43,48"), lighter(trim, 0.5))
    canvas.line([(38, 66), (38, 104)], darker(cloth.colour, 0.35), 1.6)
    canvas.line([(58, 66), (58, 104)], darker(cloth.colour, 0.35), 1.6)


def cap(canvas: Canvas, cloth: Fabric, brim: Colour, badge: Colour) -> None:
    """A baseball cap, brim to the left."""
    canvas.ground = 88.0
    canvas.piece(smooth(points("24,76 26,58 36,44 54,39 72,45 82,60 84,78! 60,81 40,80")), cloth)
    canvas.fold([(38, 56), (46, 48)], -0.8, 5)
    canvas.fold([(76, 58), (80, 74)], 0.35, 5)
    canvas.piece(smooth(points("25,74 36,72 50,76 57,81! 40,83 22,88 8,87 9,82")), brim)
    canvas.fold([(16, 84), (36, 78)], -0.5, 2.4)
    canvas.flush()
    thread = seam_colour(cloth.colour)
    canvas.line(smooth([(55, 40), (44, 54), (39, 75)], False), thread, 0.6)
    canvas.line(smooth([(56, 40), (68, 54), (72, 80)], False), thread, 0.6)
    canvas.spot(ellipse(55, 39.4, 2.0, 1.2), brim)
    canvas.spot(ellipse(33.4, 62, 4.0, 4.6, 0.4), badge)
    canvas.spot(ellipse(33.4, 62, 2.4, 2.8, 0.4), lighter(badge, 0.5))
    canvas.stitches(smooth([(14, 85), (32, 80.6), (52, 80.4)], False), lighter(brim, 0.35))
    for x in (62.0, 78.0):
        canvas.spot(ellipse(x, 56, 0.8, 0.8), darker(cloth.colour, 0.5))


def hat(canvas: Canvas, cloth: Fabric, band: Colour) -> None:
    """A brimmed hat with a ribbon."""
    canvas.ground = 90.0
    canvas.piece(ellipse(CENTRE, 81, 40, 9.5), cloth)
    canvas.piece(
        smooth(points("25,78 28,56 33,46 42,46 48,50 54,46 63,46 68,56 71,78! 48,83.6 25,78")),
        cloth,
    )
    canvas.fold([(48, 50), (48, 62)], 0.5, 4)
    canvas.fold([(34, 52), (32, 66)], -0.6, 4)
    canvas.flush()
    canvas.spot(smooth(points("26.4,69! 48,74.4 69.6,69! 70.8,77.4! 48,83 25.2,77.4!")), band)
    canvas.spot(points("62,71 70,69.4 70,77 62,79"), darker(band, 0.25))
    canvas.line(
        smooth(points("9,82 26,89 48,90.4 70,89 87,82"), False), seam_colour(cloth.colour), 0.5
    )


def scarf(canvas: Canvas, cloth: Fabric) -> None:
    """A scarf tied in a loop, fringed at its ends."""
    for tail, low in (
        (points("52,50 66,52 72,108 54,110"), 109.0),
        (points("32,48 47,50 43,100 24,98"), 99.0),
    ):
        canvas.piece(
            smooth([tail[0], tail[0], tail[1], tail[1], tail[2], tail[2], tail[3], tail[3]]), cloth
        )
        x1, x2 = min(tail[2][0], tail[3][0]), max(tail[2][0], tail[3][0])
        canvas.fold([(tail[0][0] + 5, 56), (x1 + 5, low - 4)], 0.45, 3)
        canvas.fold([(tail[0][0] + 9, 56), (x1 + 10, low - 4)], -0.4, 3)
        n = int((x2 - x1) / 2.2)
        for k in range(n):
            x = x1 + 1.2 + k * (x2 - x1 - 2.4) / (n - 1)
            canvas.line([(x, low - 1), (x - 0.4, low + 9)], darker(cloth.colour, 0.1), 0.9)
    canvas.flush()
    ring = smooth(points("48,14 66,20 74,36 66,54 48,61 30,54 22,36 30,20"))
    canvas.piece(ring, cloth)
    canvas.piece(
        smooth(points("48,20 58,24 61,32 56,38 48,40 40,38 35,32 38,24")), (250, 250, 251), edge=1.2
    )
    for shift in (0.0, 6.0, 12.0):
        canvas.fold(
            smooth(
                [
                    (26 + shift * 0.4, 34 + shift),
                    (36, 46 + shift * 0.6),
                    (48, 48 + shift * 0.7),
                    (60, 46 + shift * 0.6),
                    (70 - shift * 0.4, 34 + shift),
                ],
                False,
            ),
            0.5,
            1.8,
        )
        canvas.fold(
            smooth(
                [
                    (27 + shift * 0.4, 37 + shift),
                    (48, 50.6 + shift * 0.7),
                    (69 - shift * 0.4, 37 + shift),
                ],
                False,
            ),
            -0.4,
            1.8,
        )


def tie(canvas: Canvas, cloth: Fabric) -> None:
    """A necktie with its knot."""
    canvas.piece(points("51,30 53.4,30 56,96 51.6,101 47.6,96"), darker(cloth.colour, 0.3))
    canvas.piece(points("44.4,27 51.6,27 57.6,104 48,117 38.4,104"), cloth)
    canvas.fold([(46, 40), (44, 104)], -0.5, 3)
    canvas.fold([(47.6, 29), (48.4, 42)], 0.6, 2)
    canvas.piece(points("42.6,14 53.4,14 52,27.6 44,27.6"), cloth)
    canvas.fold([(46, 16), (47, 26)], -0.5, 2)


def belt(canvas: Canvas, leather: Colour, metal: Colour) -> None:
    """A leather belt, coiled, its buckle to the front."""
    canvas.ground = 88.0
    canvas.piece(
        smooth(points("11,58 14,47 28,39 48,36.6 68,39 82,47 85,58 82,66 14,66")),
        darker(leather, 0.3),
    )
    canvas.piece(ellipse(CENTRE, 62, 34.6, 17), (254, 254, 254), edge=0.25)
    front = points(
        "11,58! 14,68 28,78 48,81.4 68,78 82,68 85,58! 85,69 80,79 66,88 48,91 30,88 16,79 11,69"
    )
    canvas.piece(smooth(front), leather)
    canvas.fold(smooth([(20, 75), (48, 84), (70, 79)], False), -0.6, 2.6)
    canvas.flush()
    canvas.stitches(
        smooth(points("13,64 20,74 36,81.4 48,82.8 68,79.4 84,64"), False), lighter(leather, 0.35)
    )
    canvas.stitches(
        smooth(points("12,70 20,80 36,87.6 48,89.4 66,86.6 84,70"), False), lighter(leather, 0.35)
    )
    frame: Points = points("40,78 55,79 55,93 40,92 40,78")
    canvas.line(frame, darker(metal, 0.3), 2.4)
    canvas.line(frame, metal, 1.5)
    canvas.line([(41, 85.4), (56, 86)], lighter(metal, 0.3), 1.3)
    for k in range(3):
        canvas.spot(ellipse(61 + k * 5, 84.6 - k * 2.0, 0.8, 0.8), darker(leather, 0.6))


def watch(
    canvas: Canvas, strap: Fabric, dial: Colour, metal: Colour, digital: bool = False
) -> None:
    """A wristwatch, face to the front."""
    upper = smooth(points("40,10! 56,10! 58.4,34 58.4,46 37.6,46 37.6,34"))
    lower = [(x, 128 - y) for x, y in upper]
    for outline in (upper, lower):
        canvas.piece(outline, strap)
    canvas.fold([(43, 14), (42, 42)], -0.45, 3)
    canvas.fold([(43, 86), (43, 114)], -0.45, 3)
    canvas.piece(points("68,61.4 73.4,61.4 73.4,66.6 68,66.6"), metal)
    if digital:
        canvas.piece(smooth(points("30,42 66,42 70,48 70,80 66,86 30,86 26,80 26,48")), metal)
        canvas.piece(points("33,52 63,52 63,76 33,76"), (186, 198, 176), edge=0.8)
    else:
        canvas.piece(ellipse(CENTRE, 64, 23, 23), metal)
        canvas.piece(ellipse(CENTRE, 64, 18.6, 18.6), dial, edge=0.8)
    canvas.flush()
    ink = (250, 250, 250) if luminance(dial) < 0.5 else (40, 40, 46)
    if digital:
        dark = (40, 48, 40)
        for x in (37.0, 43.5, 52.5, 59.0):
            canvas.line(
                [(x - 2, 58), (x + 2, 58), (x + 2, 70), (x - 2, 70), (x - 2, 58)], dark, 1.2
            )
        canvas.spot(ellipse(48, 61, 0.8, 0.8), dark)
        canvas.spot(ellipse(48, 67, 0.8, 0.8), dark)
        canvas.line([(34, 48), (62, 48)], lighter(metal, 0.5), 0.8)
    else:
        for hour in range(12):
            a = math.tau * hour / 12
            r1 = 13.4 if hour % 3 == 0 else 15.0
            canvas.line(
                [
                    (CENTRE + r1 * math.sin(a), 64 - r1 * math.cos(a)),
                    (CENTRE + 16.8 * math.sin(a), 64 - 16.8 * math.cos(a)),
                ],
                ink,
                1.4 if hour % 3 == 0 else 0.7,
            )
        canvas.line([(CENTRE, 64), (CENTRE - 7.6, 58)], ink, 1.6)
        canvas.line([(CENTRE, 64), (CENTRE + 8.4, 54)], ink, 1.1)
        canvas.line([(CENTRE - 2, 67), (CENTRE + 1.6, 78)], (206, 60, 52), 0.6)
        canvas.spot(ellipse(CENTRE, 64, 1.4, 1.4), ink)
        canvas.line(ellipse(CENTRE, 64, 20.8, 20.8)[17:24], lighter(metal, 0.7), 1.0)
    for y in (14.0, 114.0):
        canvas.stitches([(41.6, y), (54.4, y)], lighter(strap.colour, 0.3))


def sunglasses(canvas: Canvas, frame: Colour, lens: Colour, kind: str) -> None:
    """Sunglasses: `kind` aviator, round or square."""
    shape = {
        "aviator": points("52.6,56.5 60,54 76,53.6 84.6,56 84.4,64 78,77 69,82 61,78.6 55,69"),
        "round": ellipse(68, 66, 14.4, 13.4),
        "square": points("52,55! 66,53.6 83.6,55! 83.6,68 79,77 68,78.6 56,76.6 52.4,68"),
    }[kind]
    right = shape if kind == "round" else smooth(shape)
    for side in (right, mirrored(right)):
        rim = [
            (x + (0.9 if x > 68 or 28 < x < 48 else -0.9), y + (0.9 if y > 66 else -0.9))
            for x, y in side
        ]
        canvas.piece(rim, frame, edge=0.5)
    temple: Points = smooth(points("83,58 89,56 91,60 90,71 91.4,76"), False)
    canvas.flush()
    for path in (temple, mirrored(temple)):
        canvas.line(path, frame, 2.0)
    for n, side in enumerate((right, mirrored(right))):
        x0 = 68.0 if n == 0 else 28.0
        inner = [(x0 + (x - x0) * 0.9, 66 + (y - 66) * 0.9) for x, y in side]
        canvas.spot(inner, lens)
        low = [(x, y) for x, y in inner if y > 66]
        if len(low) > 2:
            canvas.spot(low, lighter(lens, 0.22))
        canvas.line([(x0 - 8, 70), (x0 - 2, 60)], lighter(lens, 0.65), 1.3)
        canvas.line([(x0 - 3.6, 71), (x0 + 0.6, 64)], lighter(lens, 0.55), 0.8)
    canvas.line(smooth([(44, 60), (48, 57.4), (52, 60)], False), frame, 2.0)
    if kind == "aviator":
        canvas.line([(42, 55.4), (54, 55.4)], frame, 1.4)


def socks(canvas: Canvas, cloth: Fabric, trim: Colour) -> None:
    """A pair of socks, heel and toe in another colour."""
    for dx, dy in ((10.0, -3.0), (-7.0, 3.0)):
        canvas.shift = (dx, dy)
        shape = smooth(
            points("42,24! 62,24! 61.4,70 60,86 50,94 36,104 24,108 17,102 20,92 34,84 42,72")
        )
        canvas.piece(shape, cloth)
        canvas.piece(smooth(points("17,102 20,92.6 27,89 31,97 29,106.6 23,108")), trim)
        canvas.piece(smooth(points("61,74 60,86 51,93 49,86 54,76")), trim)
        canvas.piece(points("41.4,20 62.6,20 62.4,32 41.8,32"), trim)
        canvas.fold([(45, 74), (56, 72)], 0.4, 2)
        canvas.fold([(47, 38), (47, 66)], -0.4, 4)
        canvas.flush()
        for k in range(7):
            canvas.line([(43.6 + k * 2.9, 21), (43.6 + k * 2.9, 31)], seam_colour(trim), 0.4)
    canvas.shift = (0.0, 0.0)


def earrings(canvas: Canvas, metal: Colour, stone: Colour, kind: str) -> None:
    """A pair of earrings: `kind` hoop or drop."""
    for x in (32.0, 64.0):
        if kind == "hoop":
            canvas.line([*ellipse(x, 70, 13, 15), (x + 13, 70)], darker(metal, 0.35), 3.6)
            canvas.line([*ellipse(x, 70, 13, 15), (x + 13, 70)], metal, 2.4)
            canvas.line(ellipse(x, 70, 13, 15)[13:21], lighter(metal, 0.6), 1.0)
            canvas.spot(ellipse(x, 54, 2.4, 2.4), stone)
            canvas.spot(ellipse(x - 0.6, 53.2, 0.9, 0.9), lighter(stone, 0.7))
            continue
        canvas.line([(x, 44), (x + 2.4, 39), (x + 1.6, 47), (x, 52)], metal, 1.2)
        canvas.spot(ellipse(x, 54, 3.4, 3.4), metal)
        canvas.spot(ellipse(x, 54, 2.2, 2.2), stone)
        drop = smooth(
            [(x, 58), (x, 58), (x + 8, 76), (x + 6, 84), (x, 87), (x - 6, 84), (x - 8, 76)]
        )
        canvas.spot(drop, darker(metal, 0.2))
        canvas.spot([(x + (u - x) * 0.78, 74 + (v - 74) * 0.78) for u, v in drop], stone)
        canvas.spot(
            [(x + (u - x) * 0.4 - 1.6, 72 + (v - 74) * 0.4) for u, v in drop], lighter(stone, 0.4)
        )
        for k in (-1, 0, 1):
            canvas.spot(ellipse(x + k * 4.6, 90 - abs(k) * 1.6, 1.3, 1.3), metal)


def wallet(canvas: Canvas, leather: Colour, thread: Colour) -> None:
    """A folded wallet."""
    canvas.ground = 90.0
    canvas.piece(smooth(points("17,43! 80,41! 82,64 80,88! 17,90! 15,66")), darker(leather, 0.25))
    canvas.piece(smooth(points("15,46! 78,44! 79.4,68 78,91! 15,91! 13.6,68")), leather)
    canvas.fold([(20, 54), (60, 52)], -0.5, 6)
    canvas.flush()
    canvas.stitches(points("17.4,48.6 75.6,46.8 76,88.6 17.4,88.6 17.4,48.6"), thread)
    canvas.spot(points("58,74 70,74 70,82 58,82"), darker(leather, 0.35))
    canvas.line([(59.6, 78), (68.4, 78)], lighter(leather, 0.35), 0.6)
