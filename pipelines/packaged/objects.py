"""The objects in the packaged photographs, with the rectangles and strokes that cut them out.

Found by hand; the coordinates are pixels of the packaged files. Order within a photograph is from back to front.
"""

from dataclasses import dataclass

from pipelines.packaged.grabcut import Hints, Stroke


@dataclass(frozen=True)
class PackagedObject:
    """One object of a photograph: what it is, and where."""

    category: str
    caption: str
    hints: Hints


def _object(
    category: str,
    caption: str,
    box: tuple[int, int, int, int],
    inside: tuple[Stroke, ...] = (),
    outside: tuple[Stroke, ...] = (),
    smooth_px: int = 2,
) -> PackagedObject:
    return PackagedObject(category, caption, Hints(box, inside, outside, smooth_px))


def _coin(left: int, top: int, right: int, bottom: int) -> PackagedObject:
    x, y, reach = (left + right) // 2, (top + bottom) // 2, (right - left) // 4
    disc = Stroke(((x, y - reach), (x + reach, y), (x, y + reach), (x - reach, y)))
    return _object("coin", "an ancient Greek coin", (left, top, right, bottom), (disc,))


OBJECTS: dict[str, tuple[PackagedObject, ...]] = {
    "astronaut": (
        _object(
            *("shuttle_model", "a model of a space shuttle on its tank"),
            (358, 0, 478, 290),
            (
                Stroke(((418, 0), (418, 80)), 20),
                Stroke(((396, 90), (390, 190), (380, 260)), 12),
                Stroke(((425, 120), (425, 250)), 20),
                Stroke(((450, 30), (450, 250)), 6),
                Stroke(((375, 265), (460, 270)), 6),
            ),
            (Stroke(((340, 300), (512, 292)), 8), Stroke(((362, 0), (362, 180)), 6)),
        ),
        _object(
            *("person", "a smiling astronaut in an orange suit"),
            (15, 10, 375, 512),
            (
                Stroke(((190, 40), (270, 40), (285, 90), (240, 160), (180, 90))),
                Stroke(((140, 180), (230, 150), (290, 220), (260, 280), (190, 270))),
                Stroke(((124, 195), (130, 172), (160, 156), (185, 153), (185, 240), (150, 260))),
                Stroke(((90, 260), (300, 300), (330, 340), (268, 500), (60, 500), (50, 400))),
                Stroke(((345, 290), (352, 350)), 8),
                Stroke(((40, 400), (40, 480)), 8),
            ),
            (Stroke(((400, 342), (335, 362), (300, 395), (282, 440), (277, 512), (512, 512), (512, 345))),),
        ),
        _object(
            *("helmet", "a black and white pilot's helmet"),
            (278, 342, 512, 512),
            (
                Stroke(((330, 400), (400, 360), (470, 380), (495, 450), (495, 512), (295, 512), (300, 440))),
                Stroke(((504, 470), (504, 510)), 8),
            ),
            (Stroke(((280, 345), (350, 345)), 6), Stroke(((482, 372), (512, 372), (512, 452), (503, 442), (497, 410)))),
        ),
    ),
    "camera": (
        _object(
            *("person", "a man in a dark coat looking into a camera"),
            (0, 60, 335, 512),
            (
                Stroke(((190, 90), (240, 90), (250, 170), (215, 195), (180, 150))),
                Stroke(((110, 140), (160, 120), (190, 200), (200, 260), (150, 300), (10, 480), (20, 300))),
                Stroke(((10, 420), (80, 500)), 30),
                Stroke(((110, 350), (140, 505)), 12),
                Stroke(((270, 145), (315, 150)), 16),
                Stroke(((215, 210), (260, 230), (320, 185)), 10),
                Stroke(((200, 250), (270, 300), (290, 240)), 14),
            ),
            (
                Stroke(((300, 260), (300, 512)), 30),
                Stroke(((100, 450), (120, 512)), 6),
                Stroke(((240, 330), (180, 400), (180, 512)), 20),
            ),
        ),
    ),
    "motorcycle": (
        _object(
            *("motorcycle", "a red motorcycle"),
            (85, 75, 690, 462),
            (
                Stroke(((150, 175), (200, 180), (300, 200), (390, 170), (470, 185)), 12),
                Stroke(((120, 225), (200, 235), (300, 240), (430, 215)), 12),
                Stroke(((145, 260), (130, 310), (160, 370), (215, 385), (255, 350)), 14),
                Stroke(((310, 300), (400, 330), (450, 290), (440, 240)), 30),
                Stroke(((230, 300), (320, 355), (400, 375)), 14),
                Stroke(((535, 135), (535, 165)), 30),
                Stroke(((490, 130), (490, 100)), 14),
                Stroke(((510, 210), (560, 350), (590, 370)), 10),
                Stroke(((550, 285), (630, 300)), 14),
                Stroke(((530, 320), (560, 400), (620, 435), (665, 400), (665, 350), (640, 320)), 12),
                Stroke(((335, 380), (335, 430)), 6),
            ),
            (
                Stroke(((575, 90), (740, 90), (740, 270), (660, 280)), 20),
                Stroke(((556, 190), (612, 170), (615, 255), (565, 262), (552, 225))),
                Stroke(((560, 120), (620, 130), (620, 160), (560, 172))),
                Stroke(((100, 150), (140, 150)), 10),
                Stroke(((250, 150), (320, 160), (380, 150), (420, 110), (440, 60)), 10),
                Stroke(((420, 120), (470, 145)), 8),
                Stroke(((500, 240), (505, 300)), 14),
                Stroke(((425, 103), (476, 104)), 8),
                Stroke(((549, 215), (552, 245)), 8),
                Stroke(((350, 178), (376, 170)), 10),
                Stroke(((250, 402), (310, 400)), 10),
                Stroke(((600, 180), (690, 180), (690, 300), (645, 285), (622, 258))),
                Stroke(((85, 250), (110, 330), (110, 460)), 16),
                Stroke(((280, 420), (300, 400), (318, 440)), 12),
                Stroke(((360, 420), (500, 400), (530, 440)), 20),
            ),
            1,
        ),
    ),
    "rocket": (
        _object(
            *("rocket", "a white rocket on its launch pad"),
            (300, 120, 340, 412),
            (Stroke(((322, 140), (322, 400)), 8),),
            (),
            1,
        ),
    ),
    "china": (
        _object(
            *("pavilion", "a Chinese pavilion with orange and green roofs"),
            (58, 22, 375, 425),
            (
                Stroke(((206, 35), (206, 80)), 10),
                Stroke(((206, 70), (270, 115), (300, 125), (110, 125), (150, 105))),
                Stroke(((130, 140), (290, 140), (290, 300), (130, 300))),
                Stroke(((100, 185), (320, 180)), 8),
                Stroke(((85, 265), (340, 250)), 14),
                Stroke(((90, 310), (340, 320)), 16),
                Stroke(((200, 350), (320, 345), (300, 400)), 14),
            ),
            (Stroke(((58, 345), (140, 350), (190, 400), (230, 425), (58, 425))), Stroke(((380, 335), (340, 400)), 20)),
            1,
        ),
    ),
    "flower": (
        _object(
            *("flower", "an orange dahlia"),
            (162, 80, 455, 365),
            (Stroke(((310, 110), (400, 160), (420, 230), (380, 310), (310, 335), (230, 310), (195, 230), (230, 140))),),
        ),
        _object(
            *("flower", "the upper petals of an orange dahlia"),
            (280, 368, 475, 427),
            (Stroke(((310, 400), (360, 385), (420, 395), (440, 427), (300, 427))),),
        ),
    ),
    "grace_hopper": (
        _object(
            *("person", "an officer in a dark navy uniform and a white cap"),
            (15, 20, 512, 600),
            (
                Stroke(((190, 60), (250, 35), (320, 60), (360, 110), (360, 170), (170, 170), (180, 100))),
                Stroke(((224, 80), (228, 38), (262, 27), (296, 38), (300, 80))),
                Stroke(((180, 170), (350, 170), (340, 280), (270, 320), (200, 270))),
                Stroke(((200, 340), (340, 340), (480, 400), (500, 600), (40, 600), (60, 400))),
            ),
            (
                Stroke(((0, 0), (150, 0), (140, 250), (155, 320), (0, 390))),
                Stroke(((152, 195), (152, 260), (168, 275), (180, 295), (196, 305), (190, 325), (150, 330))),
                Stroke(((380, 0), (380, 290), (512, 360)), 10),
            ),
        ),
    ),
    "coins": (_coin(303, 12, 367, 76), _coin(312, 153, 382, 222), _coin(14, 228, 78, 293)),
    "coffee": (
        _object(
            *("cup_and_saucer", "a cup of coffee with a spoon on a red saucer"),
            (70, 10, 490, 392),
            (
                Stroke(((200, 40), (290, 25), (380, 50), (400, 100), (360, 190), (220, 180), (185, 110))),
                Stroke(((84, 205), (160, 120), (400, 210), (460, 160), (470, 205), (450, 275), (395, 336), (330, 368))),
                Stroke(((84, 205), (100, 270), (140, 322), (200, 358), (280, 376), (330, 368), (300, 200))),
            ),
            (
                Stroke(((494, 200), (480, 275), (452, 316), (408, 355), (345, 385), (280, 394)), 8),
                Stroke(((66, 200), (84, 285), (112, 324), (152, 358), (215, 385), (280, 394)), 8),
                Stroke(((66, 200), (84, 285), (152, 358), (280, 394), (70, 392))),
                Stroke(((494, 200), (480, 275), (408, 355), (280, 394), (490, 392))),
                Stroke(((440, 82), (494, 150)), 8),
            ),
        ),
    ),
}
"""Photograph's name -> its objects."""
