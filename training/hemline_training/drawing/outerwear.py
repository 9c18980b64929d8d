"""Jackets, blazers, coats and waistcoats."""

from __future__ import annotations

from hemline_training.drawing.canvas import (
    Canvas,
    Colour,
    Fabric,
    Points,
    darker,
    ellipse,
    lighter,
    mirrored,
    points,
    smooth,
)
from hemline_training.drawing.tops import (
    CENTRE,
    Cut,
    body,
    cuffs,
    seam_colour,
    sleeves,
)


def jacket(canvas: Canvas, cloth: Fabric, kind: str, metal: Colour = (204, 206, 210)) -> None:
    """A "bomber", a "denim" jacket or a "biker"."""
    cut = Cut(waist=20, hem=19.5, chest=21.5, hem_y=95, shoulder=22.5, neck=9, depth=8, waist_y=74)
    rib = Fabric(darker(cloth.colour, 0.25))
    sleeves(canvas, cloth, cut, "long", flare=1.0)
    cuffs(canvas, rib if kind == "bomber" else cloth, cut, 5.5)
    body(canvas, cloth, cut)
    hem: Points = points("28,92.5 68,92.5 67.4,99.5 28.6,99.5")
    canvas.piece(hem, rib if kind == "bomber" else cloth)
    if kind == "bomber":
        canvas.piece(smooth(points("38.5,20! 48,28.5 57.5,20! 59.4,22 48,33 36.6,22")), rib)
    elif kind == "denim":
        leaf: Points = points("48,30 40,18.6 36.4,23 40.6,35")
        for outline in (leaf, mirrored(leaf)):
            canvas.piece(outline, cloth)
    else:
        lapel: Points = points("47,52 38.5,19.5 33.5,27 36,36 33.5,40")
        for outline in (lapel, mirrored(lapel)):
            canvas.piece(outline, cloth)
    canvas.flush()
    thread = (222, 170, 92) if kind == "denim" else seam_colour(cloth.colour)
    if kind == "denim":
        canvas.line([(48, 32), (48, 98)], darker(cloth.colour, 0.35), 0.7)
        for y in range(40, 96, 11):
            canvas.button(49.8, y, (196, 150, 90), 1.0)
        yoke: Points = [(28.6, 46), (47, 46)]
        for path in (
            yoke,
            points("34,46 34,50 39,53 44,50 44,46"),
            [(36, 54), (38, 92)],
            [(43, 54), (42, 92)],
        ):
            canvas.stitches(path, thread)
            canvas.stitches(mirrored(path), thread)
        canvas.stitches([(28.6, 93.8), (67.4, 93.8)], thread)
    else:
        zip_x = 48.0 if kind == "bomber" else 51.0
        canvas.line([(zip_x, 34 if kind == "bomber" else 50), (zip_x, 99)], metal, 1.2)
        canvas.stitches(
            [(zip_x, 34 if kind == "bomber" else 50), (zip_x, 99)], darker(metal, 0.45), 0.9
        )
        slant: Points = [(33.5, 80), (39, 70)]
        canvas.line(slant, metal if kind == "biker" else thread, 1.0)
        canvas.line(mirrored(slant), metal if kind == "biker" else thread, 1.0)
        if kind == "biker":
            canvas.spot(ellipse(36, 38.5, 0.8, 0.8), metal)
            canvas.spot(ellipse(60, 38.5, 0.8, 0.8), metal)
            canvas.line([(30, 60), (42, 58)], metal, 0.8)
        else:
            for k in range(14):
                canvas.line(
                    [(30 + k * 2.8, 93.5), (30 + k * 2.8, 98.6)], lighter(rib.colour, 0.2), 0.4
                )


def blazer(
    canvas: Canvas,
    cloth: Fabric,
    buttons: Colour,
    shirt_colour: Colour = (246, 246, 248),
    fitted: bool = False,
) -> None:
    """A tailored jacket over a glimpse of white shirt."""
    cut = Cut(
        waist=17 if fitted else 19,
        hem=21,
        chest=21,
        hem_y=106,
        shoulder=22,
        neck=9,
        depth=20,
        waist_y=72,
        vee=True,
    )
    sleeves(canvas, cloth, cut, "long")
    canvas.piece(points("39,20 57,20 54,60 42,60"), shirt_colour, edge=0.5)
    leaf: Points = points("48,27 41,18.4 38.6,21.5 43.6,31")
    for outline in (leaf, mirrored(leaf)):
        canvas.piece(outline, shirt_colour)
    right = [
        (57, 20),
        (70, 25.5),
        (69, 46),
        (48 + cut.waist, 72),
        (70, 104),
        (52, 108),
        (46.5, 100),
        (46.5, 66),
        (48, 62),
    ]
    canvas.piece(
        mirrored(
            [
                (57, 20),
                (70, 25.5),
                (69, 46),
                (48 + cut.waist, 72),
                (70, 104),
                (54, 108),
                (49, 100),
                (48, 64),
            ]
        ),
        cloth,
    )
    canvas.piece(right, cloth)
    lapel: Points = points("47.5,63 57,19.5 63,29 58.5,33 61.5,37")
    canvas.piece(mirrored([(48.5, 63), *lapel[1:]]), cloth)
    canvas.piece(lapel, cloth)
    for side in (-1, 1):
        canvas.fold([(CENTRE + side * 15, 50), (CENTRE + side * 12, 96)], 0.25, 3)
        canvas.fold([(CENTRE + side * 10, 70), (CENTRE + side * 10, 100)], -0.18, 3)
    canvas.flush()
    thread = seam_colour(cloth.colour)
    flap: Points = points("53.5,82 66,81 66,84.5 53.5,85.5 53.5,82")
    canvas.line(flap, thread, 0.5)
    canvas.line(mirrored(flap), thread, 0.5)
    canvas.line([(55, 44.5), (64, 43)], thread, 0.7)
    for y in (68.0, 77.0):
        canvas.button(49.4, y, buttons, 1.2)


def coat(canvas: Canvas, cloth: Fabric, buttons: Colour, belted: bool) -> None:
    """A long coat, double-breasted, with or without a belt."""
    cut = Cut(
        waist=18.5 if belted else 21,
        hem=24,
        chest=21.5,
        hem_y=116,
        shoulder=22,
        neck=9,
        depth=12,
        top=13,
        waist_y=66,
        vee=True,
    )
    sleeves(canvas, cloth, cut, "long", flare=0.6)
    body(canvas, cloth, cut)
    lapel: Points = points("48.5,48 39,11.5 31.5,20 35.5,27 32.5,31")
    canvas.piece(points("41,58 44,116.5! 48,48"), Fabric(cloth.colour, cloth.sheet), edge=0.4)
    for outline in (mirrored(lapel), lapel):
        canvas.piece(outline, cloth)
    if belted:
        canvas.piece(points("29,62 67,62 67,68.5 29,68.5"), cloth)
    for side in (-1, 1):
        canvas.fold([(CENTRE + side * 14, 72), (CENTRE + side * 17, 112)], 0.35, 3)
        canvas.fold([(CENTRE + side * 10, 74), (CENTRE + side * 11, 112)], -0.25, 3)
    canvas.flush()
    thread = seam_colour(cloth.colour)
    if belted:
        canvas.line(points("44,60.6 53,60.6 53,70 44,70 44,60.6"), darker(buttons, 0.2), 1.3)
    for y in (46.0, 56.0, 78.0):
        canvas.button(42.5, y, buttons, 1.3)
        canvas.button(54.0, y, buttons, 1.3)
    welt: Points = [(57, 78), (63, 88)]
    canvas.line(welt, thread, 0.9)
    canvas.line(mirrored(welt), thread, 0.9)
    canvas.line([(42.6, 70), (43.6, 116)], thread, 0.5)


def waistcoat(canvas: Canvas, cloth: Fabric, buttons: Colour) -> None:
    """A buttoned waistcoat with pointed fronts."""
    canvas.piece(points("37,22 59,22 54,60 42,60"), darker(cloth.colour, 0.45), edge=0.6)
    half = points("48,58 58,20! 65,23! 63,36 67.5,47! 66,70 68,98! 57,106! 48,97")
    right = [(47, 58), *half[1:-1], (47, 98)]
    canvas.piece(mirrored([(48, 58), *half[1:-1], (48, 98)]), cloth)
    canvas.piece(right, cloth)
    for side in (-1, 1):
        canvas.fold([(CENTRE + side * 12, 56), (CENTRE + side * 11, 96)], 0.3, 3)
    canvas.flush()
    thread = seam_colour(cloth.colour)
    for y in range(62, 98, 8):
        canvas.button(49.4, y, buttons, 1.1)
    welt: Points = [(55, 80), (64, 78)]
    canvas.line(welt, thread, 1.0)
    canvas.line(mirrored(welt), thread, 1.0)
