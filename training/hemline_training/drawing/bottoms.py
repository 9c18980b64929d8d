"""Garments worn below the waist."""

from __future__ import annotations

from hemline_training.drawing.canvas import (
    Canvas,
    Colour,
    Fabric,
    Point,
    Points,
    both_halves,
    darker,
    ellipse,
    lighter,
    mirrored,
    smooth,
)
from hemline_training.drawing.tops import CENTRE, seam_colour

_WAIST_Y = 14.0


def _legs(
    canvas: Canvas, cloth: Fabric, hem_y: float, knee: float, ankle: float, waist: float = 16.0
) -> None:
    """Two legs from the waist; `knee` and `ankle` are a leg's widths there."""
    crotch: Point = (CENTRE, _WAIST_Y + 32)
    knee_y = min(hem_y - 4, 74.0)
    for side in (-1, 1):
        outer = [
            (CENTRE + side * waist, _WAIST_Y),
            (CENTRE + side * waist, _WAIST_Y),
            (CENTRE + side * (waist + 4.5), _WAIST_Y + 18),
            (CENTRE + side * (5.0 + knee), knee_y),
            (CENTRE + side * (4.4 + ankle), hem_y),
            (CENTRE + side * (4.4 + ankle), hem_y),
            (CENTRE + side * 4.4, hem_y + 0.8),
            (CENTRE + side * 4.4, hem_y + 0.8),
            (CENTRE + side * 4.2, knee_y),
            crotch,
            crotch,
            (CENTRE, _WAIST_Y),
            (CENTRE, _WAIST_Y),
        ]
        canvas.piece(smooth(outer), cloth, edge=0.9)
    for side in (-1, 1):
        canvas.fold([(CENTRE + side * 2, _WAIST_Y + 30), (CENTRE + side * 10, _WAIST_Y + 26)], 0.4)
        canvas.fold([(CENTRE + side * 3, _WAIST_Y + 34), (CENTRE + side * 9, _WAIST_Y + 33)], 0.25)
        middle = 4.4 + (knee + ankle) / 4
        canvas.fold(
            [(CENTRE + side * 12, _WAIST_Y + 22), (CENTRE + side * middle, hem_y - 4)], -0.3, 4.0
        )


def _waistband(canvas: Canvas, cloth: Fabric | Colour, waist: float = 16.0) -> None:
    canvas.piece(
        [
            (CENTRE - waist - 0.4, _WAIST_Y - 2.4),
            (CENTRE + waist + 0.4, _WAIST_Y - 2.4),
            (CENTRE + waist + 0.8, _WAIST_Y + 3),
            (CENTRE - waist - 0.8, _WAIST_Y + 3),
        ],
        cloth,
    )


def _fly(canvas: Canvas, thread: Colour, stitched: bool) -> None:
    seam: Points = [(CENTRE, _WAIST_Y + 3), (CENTRE, _WAIST_Y + 31)]
    canvas.line(seam, darker(thread, 0.2) if not stitched else darker(thread, 0.55), 0.5)
    curve = smooth(
        [(CENTRE + 4, _WAIST_Y + 3), (CENTRE + 4, _WAIST_Y + 14), (CENTRE + 0.6, _WAIST_Y + 20)],
        False,
    )
    (canvas.stitches if stitched else canvas.line)(curve, thread, 0.5)


def jeans(canvas: Canvas, cloth: Fabric, fit: str, faded: bool, ripped: bool = False) -> None:
    """Five-pocket jeans: `fit` skinny, straight or wide."""
    knee, ankle = {"skinny": (11.5, 9.0), "straight": (13.5, 13.0), "wide": (15.0, 19.0)}[fit]
    _legs(canvas, cloth, 119, knee, ankle)
    if faded:
        for side in (-1, 1):
            canvas.fold([(CENTRE + side * 11, 40), (CENTRE + side * 10.5, 64)], -0.75, 5.0)
            canvas.fold([(CENTRE + side * 10, 78), (CENTRE + side * 9, 100)], -0.4, 4.0)
    _waistband(canvas, cloth)
    canvas.flush()
    thread = (226, 168, 84)
    _fly(canvas, thread, stitched=True)
    canvas.stitches([(31.4, _WAIST_Y + 2), (64.6, _WAIST_Y + 2)], thread)
    pocket = smooth(
        [(CENTRE + 7, 17.5), (CENTRE + 8.4, 23), (CENTRE + 13, 25.6), (CENTRE + 19.2, 26)], False
    )
    for path in (pocket, mirrored(pocket)):
        canvas.line(path, darker(cloth.colour, 0.35), 0.5)
        canvas.stitches([(x, y + 1.3) for x, y in path], thread)
    for side in (-1, 1):
        canvas.spot(ellipse(CENTRE + side * 7.6, 18.4, 0.6, 0.6), (190, 120, 70))
        canvas.line(
            [(CENTRE + side * 11, 11.4), (CENTRE + side * 11, 17.4)],
            darker(cloth.colour, 0.25),
            1.6,
        )
        canvas.stitches([(CENTRE + side * 4.8, 117), (CENTRE + side * (4 + ankle), 116.4)], thread)
    canvas.button(CENTRE + 1.2, _WAIST_Y + 0.3, (206, 158, 96), 1.3)
    if ripped:
        for x, y, w in ((36.5, 68.0, 5.0), (59.5, 73.0, 4.4), (58.5, 62.0, 3.2)):
            canvas.spot(ellipse(x, y, w, 1.7), (236, 240, 246))
            for k in (-1, 0, 1):
                canvas.line(
                    [(x - w, y + k * 0.8), (x + w, y + k * 0.8)], lighter(cloth.colour, 0.35), 0.35
                )


def trousers(canvas: Canvas, cloth: Fabric, belt: Colour | None, wide: bool = False) -> None:
    """Pressed trousers with a crease."""
    _legs(canvas, cloth, 120, 13.5, 18.0 if wide else 11.0)
    _waistband(canvas, cloth if belt is None else belt)
    canvas.flush()
    thread = seam_colour(cloth.colour)
    _fly(canvas, thread, stitched=False)
    for side in (-1, 1):
        ankle = 4.4 + (18.0 if wide else 11.0) / 2
        canvas.line(
            [(CENTRE + side * 10, 26), (CENTRE + side * 11, 70), (CENTRE + side * ankle, 119)],
            thread,
            0.5,
        )
        canvas.line([(CENTRE + side * 12.6, 17), (CENTRE + side * 18.4, 30)], thread, 0.6)
    if belt is None:
        canvas.button(CENTRE + 1.2, _WAIST_Y + 0.4, lighter(cloth.colour, 0.3), 1.0)
    else:
        x, y = CENTRE, _WAIST_Y
        canvas.line(
            [(x - 3, y - 3), (x + 3, y - 3), (x + 3, y + 3.4), (x - 3, y + 3.4), (x - 3, y - 3)],
            (212, 204, 188),
            1.2,
        )
        for k in (-11.0, 11.0):
            canvas.line([(x + k, y - 3.4), (x + k, y + 3.6)], cloth.colour, 1.8)


def track_pants(canvas: Canvas, cloth: Fabric, stripe: Colour) -> None:
    """Jogging trousers with a side stripe, a cord and ribbed ankles."""
    _legs(canvas, cloth, 112, 13.5, 10.0)
    for side in (-1, 1):
        canvas.piece(
            [
                (CENTRE + side * 4.6, 111),
                (CENTRE + side * 14.0, 110),
                (CENTRE + side * 13.4, 118.5),
                (CENTRE + side * 5.2, 119),
            ],
            darker(cloth.colour, 0.2),
        )
    _waistband(canvas, darker(cloth.colour, 0.12))
    canvas.flush()
    for side in (-1, 1):
        outer = smooth(
            [
                (CENTRE + side * 16.2, 18),
                (CENTRE + side * 19, 32),
                (CENTRE + side * 17.0, 74),
                (CENTRE + side * 13.2, 110),
            ],
            False,
        )
        canvas.line([(x - side * 1.2, y) for x, y in outer], stripe, 1.2)
        canvas.line([(x - side * 3.6, y) for x, y in outer], stripe, 0.8)
        canvas.line([(CENTRE + side * 1.4, 16), (CENTRE + side * 2.8, 27)], stripe, 0.9)
        for k in range(5):
            x = CENTRE + side * (6.0 + k * 1.7)
            canvas.line([(x, 112), (x, 118)], seam_colour(cloth.colour), 0.4)
    for k in range(12):
        canvas.line([(33 + k * 2.7, 12.4), (33 + k * 2.7, 16.4)], seam_colour(cloth.colour), 0.4)


def leggings(canvas: Canvas, cloth: Fabric) -> None:
    """Close-fitting leggings."""
    _legs(canvas, cloth, 119, 9.6, 6.6, waist=14.0)
    _waistband(canvas, cloth, waist=14.0)
    for side in (-1, 1):
        for y in (70.0, 74.0, 108.0, 112.0):
            canvas.fold([(CENTRE + side * 6, y), (CENTRE + side * 11, y - 1.5)], 0.3, 1.6)
    canvas.flush()
    canvas.line([(CENTRE, 17), (CENTRE, 46)], seam_colour(cloth.colour), 0.4)


def shorts(canvas: Canvas, cloth: Fabric, kind: str) -> None:
    """Shorts: `kind` chino, denim or sport."""
    hem_y = {"chino": 74.0, "denim": 64.0, "sport": 70.0}[kind]
    waist_y = 30.0
    for side in (-1, 1):
        leg = [
            (CENTRE + side * 18, waist_y),
            (CENTRE + side * 18, waist_y),
            (CENTRE + side * 23, waist_y + 18),
            (CENTRE + side * 26.5, hem_y + 16),
            (CENTRE + side * 26.5, hem_y + 16),
            (CENTRE + side * 3.0, hem_y + 19),
            (CENTRE + side * 3.0, hem_y + 19),
            (CENTRE, waist_y + 34),
            (CENTRE, waist_y + 34),
            (CENTRE, waist_y),
            (CENTRE, waist_y),
        ]
        canvas.piece(smooth(leg), cloth)
        canvas.fold([(CENTRE + side * 3, waist_y + 32), (CENTRE + side * 12, waist_y + 28)], 0.4)
        canvas.fold(
            [(CENTRE + side * 14, waist_y + 24), (CENTRE + side * 15, hem_y + 14)], -0.3, 4.0
        )
    band = darker(cloth.colour, 0.15) if kind == "sport" else cloth
    canvas.piece(
        [(29.4, waist_y - 3), (66.6, waist_y - 3), (67, waist_y + 3.4), (29, waist_y + 3.4)], band
    )
    canvas.flush()
    thread = (226, 168, 84) if kind == "denim" else seam_colour(cloth.colour)
    y = waist_y
    canvas.line([(CENTRE, y + 3.4), (CENTRE, y + 33)], seam_colour(cloth.colour), 0.5)
    for side in (-1, 1):
        if kind == "sport":
            canvas.line(
                [(CENTRE + side * 18.6, y + 5), (CENTRE + side * 24.6, hem_y + 15)],
                (244, 244, 246),
                1.6,
            )
            canvas.line(
                [(CENTRE + side * 1.5, y + 1), (CENTRE + side * 3, y + 12)], (244, 244, 246), 1.0
            )
        else:
            canvas.line(
                [(CENTRE + side * 10, y + 3.6), (CENTRE + side * 20.4, y + 15)],
                seam_colour(cloth.colour),
                0.6,
            )
            canvas.stitches([(CENTRE + side * 9, y + 4.6), (CENTRE + side * 20, y + 16.6)], thread)
        canvas.stitches(
            [(CENTRE + side * 3.6, hem_y + 16), (CENTRE + side * 25.6, hem_y + 13.2)], thread
        )
    if kind != "sport":
        canvas.button(
            CENTRE + 1.4,
            y + 0.2,
            (206, 158, 96) if kind == "denim" else lighter(cloth.colour, 0.35),
            1.3,
        )


def skirt(canvas: Canvas, cloth: Fabric, kind: str) -> None:
    """A skirt: `kind` pencil, flared, pleated or tiered."""
    top, hem_y = {
        "pencil": (20.0, 106.0),
        "flared": (26.0, 98.0),
        "pleated": (26.0, 98.0),
        "tiered": (16.0, 116.0),
    }[kind]
    hem = {"pencil": 16.0, "flared": 33.0, "pleated": 28.0, "tiered": 32.0}[kind]
    hips = {"pencil": 20.0, "flared": 20.0, "pleated": 18.0, "tiered": 19.0}[kind]
    half = [
        (CENTRE, top),
        (CENTRE, top),
        (CENTRE + 14.5, top),
        (CENTRE + 14.5, top),
        (CENTRE + hips, top + 24),
        (CENTRE + hem, hem_y),
        (CENTRE + hem, hem_y),
        (CENTRE + hem / 2, hem_y + 3.4),
        (CENTRE, hem_y + 4.4),
    ]
    canvas.piece(both_halves(smooth(half, closed=False)), cloth)
    pleats = {"pencil": 1, "flared": 4, "pleated": 7, "tiered": 5}[kind]
    for k in range(-pleats, pleats + 1):
        x1, x2 = CENTRE + k * 12.5 / pleats, CENTRE + k * hem * 0.92 / pleats
        if kind == "pencil":
            canvas.fold(
                [(CENTRE + k * 12, top + 26), (CENTRE + k * 10, hem_y - 6)], 0.3 if k else -0.3, 4
            )
            continue
        canvas.fold([(x1, top + 5), ((x1 + x2) / 2, top + 32), (x2, hem_y + 2)], 0.62, 1.5)
        if kind != "pleated":
            canvas.fold([(x1 + 1.6, top + 16), (x2 + 3.6, hem_y + 2)], -0.5, 2.0)
    canvas.piece([(33.2, top - 3), (62.8, top - 3), (63.2, top + 3), (32.8, top + 3)], cloth)
    canvas.flush()
    thread = seam_colour(cloth.colour)
    if kind == "tiered":
        for share in (0.36, 0.68):
            y = top + (hem_y - top) * share
            w = 15 + (hem - 15) * share * 0.95
            canvas.line(
                smooth([(CENTRE - w, y), (CENTRE, y + 3), (CENTRE + w, y)], False), thread, 0.9
            )
    if kind == "pencil":
        canvas.line([(CENTRE, hem_y - 16), (CENTRE, hem_y + 4)], thread, 0.7)
    if kind == "flared":
        canvas.button(CENTRE + 12, top, lighter(cloth.colour, 0.4), 1.1)
    w = hem - 1
    canvas.stitches(
        smooth(
            [
                (CENTRE - w, hem_y - 2.2),
                (CENTRE - w / 2, hem_y + 1),
                (CENTRE, hem_y + 2),
                (CENTRE + w / 2, hem_y + 1),
                (CENTRE + w, hem_y - 2.2),
            ],
            False,
        ),
        thread,
    )
