"""Garments worn above the waist, and dresses, which hang from the same shoulders."""

from __future__ import annotations

from dataclasses import dataclass

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
    points,
    smooth,
)

CENTRE = 48.0


@dataclass(frozen=True)
class Cut:
    """The measures of a body, in pixels from the centre line; y from the top of the sheet."""

    shoulder: float = 21.0
    chest: float = 20.0
    waist: float = 18.5
    hem: float = 20.0
    hem_y: float = 106.0
    neck: float = 8.5
    depth: float = 7.0  # of the front neckline
    top: float = 21.0
    waist_y: float = 76.0
    vee: bool = False


def seam_colour(colour: Colour) -> Colour:
    """A thread that shows on the cloth without shouting."""
    return darker(colour, 0.3) if luminance(colour) > 0.25 else lighter(colour, 0.25)


def neckline(cut: Cut) -> list[tuple[float, float]]:
    """The front neckline's right half, from the shoulder down to the centre."""
    top, bottom = cut.top, cut.top + cut.depth
    if cut.vee:
        return [(CENTRE + cut.neck, top), (CENTRE, bottom + 3)]
    n = cut.neck
    right = [
        (CENTRE + n, top),
        (CENTRE + n, top),
        (CENTRE + n * 0.72, top + cut.depth * 0.72),
        (CENTRE, bottom),
    ]
    return smooth(right, closed=False)


def body(canvas: Canvas, cloth: Fabric, cut: Cut) -> None:
    """The inside of the neck, then the front, with soft folds falling from the arms."""
    inside = [*neckline(cut), *reversed(mirrored(neckline(cut)))]
    back = smooth(
        [(CENTRE - cut.neck, cut.top), (CENTRE, cut.top + 1.6), (CENTRE + cut.neck, cut.top)], False
    )
    canvas.piece([*inside, *back], darker(cloth.colour, 0.3), edge=0.6)
    canvas.piece(both_halves(front_half(cut)), cloth)
    low = min(cut.hem_y - 6, 104)
    for side in (-1, 1):
        x = CENTRE + side * cut.chest
        canvas.fold([(x - side * 2, cut.top + 27), (x - side * 6, cut.top + 34)], 0.45)
        canvas.fold([(x - side * 5, low - 26), (x - side * 7, low)], 0.26, 3.0)
        canvas.fold([(x - side * 10, low - 22), (x - side * 11, low)], -0.22, 3.0)


def front_half(cut: Cut) -> list[tuple[float, float]]:
    """The front's right half, neck to hem."""
    c = CENTRE
    neck = list(reversed(neckline(cut)))
    side = [
        (c + cut.shoulder, cut.top + 4.5),
        (c + cut.shoulder, cut.top + 4.5),
        (c + cut.chest - 0.6, cut.top + 16),
        (c + cut.chest, cut.top + 25),
        (c + cut.chest, cut.top + 25),
    ]
    if cut.hem_y > cut.waist_y + 4:
        side.append((c + cut.waist, cut.waist_y))
    side += [(c + cut.hem, cut.hem_y), (c + cut.hem, cut.hem_y), (c, cut.hem_y + 1.2)]
    return [*neck, *smooth(side, closed=False)]


SLEEVE_KINDS = ("none", "cap", "short", "elbow", "long")


def sleeves(canvas: Canvas, cloth: Fabric, cut: Cut, kind: str, flare: float = 0.0) -> None:
    """Both sleeves, hanging behind the body; cut the body after them."""
    if kind == "none":
        return
    s, c, t = cut.shoulder, cut.chest, cut.top
    arms: dict[str, Points] = {
        "cap": [(s - 3, t + 3), (s + 3, t + 6), (s + 7, t + 14), (s + 7, t + 14), (c - 1, t + 20)],
        "short": [
            (s - 4, t + 3),
            (s + 4, t + 8),
            (s + 13, t + 27),
            (s + 13, t + 27),
            (s + 1.5, t + 33),
            (s + 1.5, t + 33),
            (c - 1, t + 25),
        ],
        "elbow": [
            (s - 4, t + 3),
            (s + 4, t + 8),
            (s + 14 + flare, t + 44),
            (s + 14 + flare, t + 44),
            (s + 2 - flare, t + 47),
            (s + 2 - flare, t + 47),
            (c - 1, t + 25),
        ],
        "long": [
            (s - 4, t + 3),
            (s + 4, t + 8),
            (s + 11, t + 40),
            (s + 15 + flare, t + 78),
            (s + 15 + flare, t + 78),
            (s + 6 - flare, t + 80),
            (s + 6 - flare, t + 80),
            (s + 2.5, t + 48),
            (c - 1, t + 25),
        ],
    }
    right = [(CENTRE + x, y) for x, y in [*arms[kind], (c - 6, t + 14)]]
    for mirror in (False, True):
        outline = smooth(mirrored(right) if mirror else right)
        canvas.piece(outline, cloth)
        if kind in ("long", "elbow"):
            elbow: Points = [(CENTRE + s + 3, t + 38), (CENTRE + s + 9, t + 42)]
            crease: Points = [(CENTRE + s + 5, t + 46), (CENTRE + s + 10, t + 47)]
            canvas.fold(mirrored(elbow) if mirror else elbow, 0.4)
            canvas.fold(mirrored(crease) if mirror else crease, -0.35)


def cuffs(canvas: Canvas, cloth: Fabric, cut: Cut, height: float = 5.0) -> None:
    """Ribbed or buttoned ends of long sleeves."""
    s, t = cut.shoulder, cut.top
    x1, x2, y = CENTRE + s + 5.6, CENTRE + s + 15.4, t + 77.5
    right = [(x1, y + 1.6), (x2, y), (x2 - 0.3, y + height), (x1 + 0.8, y + height + 1.4)]
    for outline in (right, mirrored(right)):
        canvas.piece(outline, cloth)


def collar_rib(canvas: Canvas, colour: Colour, cut: Cut, width: float = 1.8) -> None:
    """The band round the neck."""
    curve = [*reversed(mirrored(neckline(cut))), *neckline(cut)][::-1]
    path = [*mirrored(neckline(cut)), *reversed(neckline(cut))]
    canvas.line(path if not cut.vee else curve, colour, width)


def hem_stitches(canvas: Canvas, colour: Colour, cut: Cut) -> None:
    """A row of stitches above the hem."""
    x, y = cut.hem - 0.8, cut.hem_y - 2.6
    canvas.stitches([(CENTRE - x, y), (CENTRE, y + 1.1), (CENTRE + x, y)], colour)


def tshirt(
    canvas: Canvas,
    cloth: Fabric,
    sleeve: str = "short",
    vee: bool = False,
    fitted: bool = False,
    pocket: bool = False,
    badge: Colour | None = None,
) -> None:
    """A T-shirt or a simple top."""
    cut = Cut(
        waist=16.5 if fitted else 19,
        hem=18.5 if fitted else 20,
        chest=19 if fitted else 20,
        hem_y=104,
        vee=vee,
        shoulder=19 if fitted else 21,
    )
    sleeves(canvas, cloth, cut, sleeve)
    body(canvas, cloth, cut)
    thread = seam_colour(cloth.colour)
    collar_rib(canvas, thread, cut, 1.5)
    hem_stitches(canvas, thread, cut)
    if sleeve == "short":
        s, t = cut.shoulder, cut.top
        end: Points = [(CENTRE + s + 12.2, t + 24.8), (CENTRE + s + 0.9, t + 30.6)]
        canvas.stitches(end, thread)
        canvas.stitches(mirrored(end), thread)
    if pocket:
        square: Points = points("53,46 62,46 62,55 57.5,57 53,55 53,46")
        canvas.line(square, thread, 0.5)
    if badge is not None:
        canvas.spot(ellipse(CENTRE, 60, 9, 9), badge)
        canvas.spot(ellipse(CENTRE, 60, 6.2, 6.2), cloth.colour)
        canvas.spot(points("42,61 48,52.5 54,61 48,67"), badge)


def shirt(
    canvas: Canvas,
    cloth: Fabric,
    sleeve: str = "long",
    fitted: bool = False,
    buttons: Colour = (244, 244, 240),
) -> None:
    """A button-down shirt with collar, placket and breast pocket."""
    cut = Cut(
        waist=16 if fitted else 18.5,
        hem=19,
        chest=19 if fitted else 20.5,
        depth=5.0,
        hem_y=106,
        neck=8,
        shoulder=20 if fitted else 21.5,
    )
    sleeves(canvas, cloth, cut, sleeve)
    if sleeve == "long":
        cuffs(canvas, cloth, cut)
    body(canvas, cloth, cut)
    thread = seam_colour(cloth.colour)
    canvas.piece(points("45.6,27 50.4,27 50.4,107 45.6,107"), cloth, edge=0.5)
    leaf: Points = points("48,28.5 40.2,19.2 37.6,22.4 42.6,32.5")
    canvas.piece(
        points("40,20 56,20 56,17.6 40,17.6"), Fabric(darker(cloth.colour, 0.22)), edge=0.4
    )
    for outline in (leaf, mirrored(leaf)):
        canvas.piece(outline, cloth)
    canvas.flush()
    for y in range(36, 104, 12):
        canvas.button(CENTRE, y, buttons, 1.0)
    hem_stitches(canvas, thread, cut)
    if not fitted:
        canvas.line(points("54,47 63,47 63,57 58.5,59.5 54,57 54,47"), thread, 0.5)
        canvas.line([(54, 49), (63, 49)], thread, 0.4)


def polo(canvas: Canvas, cloth: Fabric, trim: Colour) -> None:
    """A polo shirt: knitted collar and a short placket."""
    cut = Cut(depth=4.5, neck=8, hem_y=104)
    sleeves(canvas, cloth, cut, "short")
    body(canvas, cloth, cut)
    canvas.piece(points("45.8,26 50.2,26 50.2,44 45.8,44"), cloth, edge=0.5)
    leaf: Points = points("48,27.5 40,18.8 37,22 41.8,31")
    canvas.piece(points("40,20.5 56,20.5 56,18 40,18"), darker(trim, 0.25), edge=0.4)
    for outline in (leaf, mirrored(leaf)):
        canvas.piece(outline, trim)
    canvas.flush()
    for y in (32.0, 39.0):
        canvas.button(CENTRE, y, (245, 245, 242), 0.9)
    thread = seam_colour(cloth.colour)
    hem_stitches(canvas, thread, cut)
    s, t = cut.shoulder, cut.top
    end: Points = [(CENTRE + s + 12.4, t + 25.6), (CENTRE + s + 1.1, t + 31.4)]
    canvas.line(end, trim, 1.6)
    canvas.line(mirrored(end), trim, 1.6)


def sweater(canvas: Canvas, cloth: Fabric, band: Fabric | None = None, vee: bool = False) -> None:
    """A knitted jumper: ribs at neck, cuffs and hem, a patterned band if wanted."""
    cut = Cut(waist=20, hem=20.5, chest=21, hem_y=100, shoulder=22, neck=9, depth=6, vee=vee)
    sleeves(canvas, cloth, cut, "long", flare=1.0)
    rib = Fabric(darker(cloth.colour, 0.1))
    cuffs(canvas, rib, cut, 6)
    body(canvas, cloth, cut)
    if band is not None:
        canvas.piece(points("28,46 68,46 67.6,58 28.4,58"), band, edge=0.15)
    canvas.piece(points("27.6,97.5 68.4,97.5 67.2,105 28.8,105"), rib)
    canvas.flush()
    thread = seam_colour(rib.colour)
    for k in range(14):
        x = 30 + k * 2.8
        canvas.line([(x, 98.5), (x, 104)], thread, 0.4)
    collar_rib(canvas, rib.colour, cut, 3.0)
    collar_rib(canvas, thread, cut, 0.4)


def hoodie(canvas: Canvas, cloth: Fabric, cord: Colour, zipped: bool = False) -> None:
    """A hooded sweatshirt with a kangaroo pocket."""
    cut = Cut(waist=21, hem=20.5, chest=21.5, hem_y=100, shoulder=22, neck=9.5, depth=9)
    rib = Fabric(darker(cloth.colour, 0.12))
    canvas.piece(smooth(points("34,24 36,12 48,6 60,12 62,24 56,34 40,34")), cloth)
    canvas.piece(
        smooth(points("39.5,25 41,15.5 48,11.5 55,15.5 56.5,25 48,32")), darker(cloth.colour, 0.45)
    )
    sleeves(canvas, cloth, cut, "long", flare=1.2)
    cuffs(canvas, rib, cut, 6)
    body(canvas, cloth, cut)
    canvas.piece(smooth(points("36,21! 41,31 48,35! 48,29 43,26 39.6,20")), cloth)
    canvas.piece(smooth(mirrored(points("36,21! 41,31 48,35! 48,29 43,26 39.6,20"))), cloth)
    pocket: Points = points("36,76 60,76 65,90 65,97 31,97 31,90")
    canvas.piece(pocket, cloth, edge=0.8)
    canvas.piece(points("27.6,97 68.4,97 67.2,104.5 28.8,104.5"), rib)
    canvas.flush()
    thread = seam_colour(cloth.colour)
    if zipped:
        canvas.line([(48, 34), (48, 104)], (206, 208, 212), 1.3)
        canvas.stitches([(48, 34), (48, 104)], (120, 122, 128), 1.0)
    for side in (-1, 1):
        x = CENTRE + side * 4.4
        canvas.line([(x, 31), (x + side * 0.6, 46), (x + side * 0.2, 52)], cord, 1.0)
        canvas.spot(ellipse(x + side * 0.2, 52.5, 0.9, 1.6), darker(cord, 0.3))
    for k in range(14):
        canvas.line([(30 + k * 2.8, 98), (30 + k * 2.8, 103.6)], thread, 0.4)


def kurta(canvas: Canvas, cloth: Fabric, trim: Colour, sleeve: str = "elbow") -> None:
    """A long tunic with an embroidered placket and side slits."""
    cut = Cut(
        waist=18.5,
        hem=23,
        chest=19.5,
        hem_y=117,
        shoulder=19.5,
        neck=7.5,
        depth=6,
        top=12,
        waist_y=60,
    )
    sleeves(canvas, cloth, cut, sleeve, flare=1.0)
    body(canvas, cloth, cut)
    for x in (-9, 0, 9):
        canvas.fold([(CENTRE + x * 0.7, 66), (CENTRE + x * 1.3, 114)], 0.25, 3)
        canvas.fold([(CENTRE + x * 0.7 + 4, 70), (CENTRE + x * 1.3 + 4, 114)], -0.2, 3)
    canvas.flush()
    collar_rib(canvas, trim, cut, 2.0)
    canvas.line([(48, 19), (48, 50)], trim, 3.6)
    for k in range(7):
        y = 22.0 + k * 4.2
        canvas.spot([(48, y - 1.3), (49.2, y), (48, y + 1.3), (46.8, y)], lighter(trim, 0.6))
    canvas.line([(25.4, 114), (48, 115.4), (70.6, 114)], trim, 2.2)
    canvas.stitches([(25.6, 111), (48, 112.3), (70.4, 111)], trim, 0.8)
    for side in (-1, 1):
        canvas.line(
            [(CENTRE + side * 21.5, 92), (CENTRE + side * 23, 116)], darker(cloth.colour, 0.4), 0.5
        )
