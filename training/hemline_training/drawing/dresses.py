"""Dresses and jumpsuits, which hang from the same shoulders as tops."""

from __future__ import annotations

from hemline_training.drawing.canvas import (
    Canvas,
    Colour,
    Fabric,
    both_halves,
    points,
    smooth,
)
from hemline_training.drawing.tops import (
    CENTRE,
    Cut,
    body,
    collar_rib,
    seam_colour,
    sleeves,
)


def dress(
    canvas: Canvas, cloth: Fabric, length: str, sleeve: str, neck: str, belt: Colour | None
) -> None:
    """A dress: `length` mini, midi or maxi; `neck` round, vee or strap."""
    hem_y = {"mini": 98.0, "midi": 110.0, "maxi": 121.0}[length]
    hem = {"mini": 24.0, "midi": 25.0, "maxi": 27.0}[length]
    top = {"mini": 18.0, "midi": 12.0, "maxi": 8.0}[length]
    waist_y = top + 34
    strap = neck == "strap"
    cut = Cut(
        shoulder=15 if strap else 17,
        chest=15.5,
        waist=12,
        hem=12.5,
        hem_y=waist_y,
        neck=8,
        depth=7,
        top=top,
        waist_y=waist_y - 1,
        vee=neck == "vee",
    )
    if not strap:
        sleeves(canvas, cloth, cut, sleeve)
    skirt_half = smooth(
        [
            (48, waist_y - 1),
            (48, waist_y - 1),
            (60.2, waist_y - 1),
            (60.2, waist_y - 1),
            (64, waist_y + 14),
            (48 + hem, hem_y),
            (48 + hem, hem_y),
            (48 + hem * 0.5, hem_y + 2.4),
            (48, hem_y + 1.6),
        ],
        False,
    )
    canvas.piece(both_halves(skirt_half), cloth)
    span = hem_y - waist_y
    for k in (-3, -2, -1, 0, 1, 2, 3):
        x1, x2 = CENTRE + k * 3.2, CENTRE + k * (hem / 3.6)
        canvas.fold(
            [(x1, waist_y + 4), ((x1 + x2) / 2, waist_y + span * 0.45), (x2, hem_y)],
            0.6 if k % 2 else 0.4,
            1.6,
        )
        canvas.fold([(x1 + 1.8, waist_y + 14), (x2 + 3.6, hem_y)], -0.45, 2.0)
    if strap:
        bodice = smooth(
            [
                (48, top + 13),
                (53, top + 10),
                (58, top + 10.5),
                (58, top + 10.5),
                (62.5, top + 18),
                (61, top + 26),
                (60.2, waist_y),
                (60.2, waist_y),
                (48, waist_y + 0.8),
            ],
            False,
        )
        canvas.piece(both_halves(bodice), cloth)
        canvas.fold([(43, top + 20), (41, waist_y - 4)], 0.3)
        canvas.fold([(53, top + 20), (55, waist_y - 4)], 0.3)
        for side in (-1, 1):
            canvas.line(
                [(CENTRE + side * 8.5, top + 11), (CENTRE + side * 6.5, top - 1)], cloth.colour, 1.4
            )
    else:
        body(canvas, cloth, cut)
    if belt is not None:
        canvas.piece(
            [
                (35.6, waist_y - 3),
                (60.4, waist_y - 3),
                (60.6, waist_y + 1.6),
                (35.4, waist_y + 1.6),
            ],
            belt,
        )
    canvas.flush()
    thread = seam_colour(cloth.colour)
    if belt is None:
        canvas.line([(35.8, waist_y), (48, waist_y + 0.8), (60.2, waist_y)], thread, 0.6)
    else:
        canvas.line(
            [
                (45.6, waist_y - 3.2),
                (50.4, waist_y - 3.2),
                (50.4, waist_y + 1.8),
                (45.6, waist_y + 1.8),
                (45.6, waist_y - 3.2),
            ],
            (214, 178, 96),
            0.9,
        )
    if not strap:
        collar_rib(canvas, thread, cut, 0.8)
    canvas.stitches(
        [
            (48 - hem + 1, hem_y - 2.4),
            (48 - hem / 2, hem_y - 0.4),
            (48, hem_y - 0.8),
            (48 + hem / 2, hem_y - 0.4),
            (48 + hem - 1, hem_y - 2.4),
        ],
        thread,
    )


def jumpsuit(canvas: Canvas, cloth: Fabric, belt: Colour) -> None:
    """A sleeveless bodice that goes on as wide trousers."""
    for side in (-1, 1):
        leg = [
            (48, 52),
            (48 + side * 13, 52),
            (48 + side * 17, 66),
            (48 + side * 18, 119),
            (48 + side * 4, 120),
            (48 + side * 0.8, 74),
        ]
        canvas.piece(leg, cloth)
        canvas.fold([(48 + side * 9, 60), (48 + side * 11.5, 116)], 0.35, 2.6)
        canvas.fold([(48 + side * 12, 64), (48 + side * 14.5, 116)], -0.3, 2.6)
    cut = Cut(
        shoulder=14,
        chest=15,
        waist=12.6,
        hem=13,
        hem_y=53,
        neck=7,
        depth=8,
        top=12,
        waist_y=50,
        vee=True,
    )
    body(canvas, cloth, cut)
    canvas.piece(points("34.8,49 61.2,49 61.4,54.5 34.6,54.5"), belt)
    canvas.piece(smooth(points("46,53 43,66 40.5,70 39.5,66 44,53")), belt)
    canvas.piece(smooth(points("50,53 51,64 54,69 55,65 52,53")), belt)
    collar_rib(canvas, seam_colour(cloth.colour), cut, 0.8)
