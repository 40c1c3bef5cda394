"""Prepare the photographs for training the small base and its adapter (docs/training.md, "The small base").

python -m benchmarks.small_pictures --kodak FOLDER --lomiri FOLDER --out data

KODAK holds 01.png to 16.png of the Kodak Lossless True Color Image Suite, LOMIRI the pictures of Debian's packages
lomiri-wallpapers-16.04 and lomiri-wallpapers-20.04. Drawn pictures among these are left out.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from decoupage.images.codecs import decode_rgb, encode_png
from decoupage.images.types import Rgb
from pipelines.backgrounds.attribution import FILE, Attribution, attributions_csv, read_attributions
from pipelines.packaged.photographs import write_photographs
from pipelines.stages.store import Store

LOMIRI = {
    "Bridge_by_Sander_Klootwijk": ("cc-by-sa-4.0", "Sander Klootwijk"),
    "Dragonfly_by_Bolly": ("cc-by-sa-4.0", "Bolly"),
    "Kleiber_by_Lukas_Baubkus": ("cc-by-sa-3.0", "Lukas Baubkus"),
    "Picture_0B_by_freespace": ("cc-by-4.0", 'Trevor "Freespace"'),
    "Picture_1A_by_freespace": ("cc-by-4.0", 'Trevor "Freespace"'),
    "Wine_by_Jakkub_Mede": ("cc-by-4.0", "Jakub Mede"),
    "aitzgorri_by_Aitzol_Berasategi": ("cc-by-4.0", "Aitzol Berasategi"),
    "friends_by_Aitzol_Berasategi": ("cc-by-4.0", "Aitzol Berasategi"),
    "greentock_by_Peter_Nerlich": ("cc-by-sa-4.0", "Peter Nerlich"),
    "life_by_Aitzol_Berasategi": ("cc-by-4.0", "Aitzol Berasategi"),
    "picosdeeuropa_by_Aitzol_Berasategi": ("cc-by-4.0", "Aitzol Berasategi"),
    "seeding_by_Clements_Engelhardt": ("cc0-1.0", "Clemens Engelhardt"),
    "sunset_by_Aitzol_Berasategi": ("cc-by-4.0", "Aitzol Berasategi"),
}
"""Licence and author by file, as the packages' copyright files state them."""
_NO_BACKGROUND = ("kodak_04", "kodak_15")  # Portraits: an object put in front of one hides what it shows.
_LONGEST_PX = 1600
_CORNER_SHARE, _DETAIL_PX, _NUM_DETAILS = 0.62, 400, 3


def photographs(kodak: Path, lomiri: Path) -> Iterator[tuple[str, Rgb, Attribution]]:
    """Each photograph's name, pixels and terms."""
    for number in range(1, 17):
        name = f"kodak_{number:02}"
        rgb = decode_rgb((kodak / f"{number:02}.png").read_bytes())
        text = "Kodak Lossless True Color Image Suite; released for unrestricted use"
        yield name, rgb, Attribution(name, "kodak-unrestricted", text, "", 0)
    for file, (licence, author) in LOMIRI.items():
        name = f"lomiri_{file.partition('_by_')[0].lower()}"
        with Image.open(lomiri / f"{file}.jpg") as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((_LONGEST_PX, _LONGEST_PX), Image.Resampling.LANCZOS)
        text = f"{author}, Debian package lomiri-wallpapers"
        yield name, np.asarray(picture), Attribution(name, licence, text, "", 0)


def crops(rgb: Rgb) -> Iterator[Rgb]:
    """The corners, and details of a large photograph at its own resolution."""
    height, width = rgb.shape[:2]
    cut_height, cut_width = round(height * _CORNER_SHARE), round(width * _CORNER_SHARE)
    for top in (0, height - cut_height):
        for left in (0, width - cut_width):
            yield rgb[top : top + cut_height, left : left + cut_width]
    if min(height, width) > 2 * _DETAIL_PX:
        for number in range(1, _NUM_DETAILS + 1):
            top, left = ((side - _DETAIL_PX) * number // (_NUM_DETAILS + 1) for side in (height, width))
            yield rgb[top : top + _DETAIL_PX, left : left + _DETAIL_PX]


def main(kodak: Path, lomiri: Path, out: Path) -> None:
    """Write `small_photographs` and `small_backgrounds` below `out`."""
    whole, backgrounds = Store(str(out / "small_photographs")), Store(str(out / "small_backgrounds"))
    write_photographs(backgrounds.root)
    terms: dict[str, Attribution] = {}
    with_crops = read_attributions(backgrounds)
    for name, rgb, attribution in photographs(kodak, lomiri):
        whole.write(f"{name}.png", encode_png(rgb))
        terms[f"{name}.png"] = attribution
        if name not in _NO_BACKGROUND:
            for number, picture in enumerate([rgb, *crops(rgb)]):
                file = f"{name}-crop{number}.png"
                backgrounds.write(file, encode_png(np.ascontiguousarray(picture)))
                with_crops[file] = attribution
    whole.write(FILE, attributions_csv(terms))
    backgrounds.write(FILE, attributions_csv(with_crops))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kodak", type=Path, required=True)
    parser.add_argument("--lomiri", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    main(arguments.kodak, arguments.lomiri, arguments.out)
