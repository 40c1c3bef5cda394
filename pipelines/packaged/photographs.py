"""The packaged photographs: their files, contents and licences, and the folder of backgrounds made of them.

Backgrounds show no salient object: textures as they are, and parts of photographs beside their object.
Licences are those that the packages state: docstrings of `skimage/data/_fetchers.py`, the README beside
scikit-learn's pictures, matplotlib's pull request 1599 (Grace Hopper). `unknown` = the package states none.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from decoupage.faults import BadSetup
from decoupage.images.codecs import decode_rgb, encode_png
from decoupage.images.types import Rgb
from pipelines.backgrounds.attribution import FILE as ATTRIBUTIONS
from pipelines.backgrounds.attribution import Attribution, attributions_csv
from pipelines.stages.store import Store

Role = Literal["foregrounds", "background", "both"]
"""The use of a photograph: objects are cut out of it, it is a background, or both (a part of it is a background)."""


@dataclass(frozen=True)
class PackagedPhotograph:
    """One packaged photograph.

    Attributes:
        name: its origin in the library.
        package, file: the installed package, and the path in it.
        crops: (left, top, right, bottom) in pixels: parts without a salient object, for photographs that have
            one elsewhere. A background without crops is used whole.
    """

    name: str
    package: str
    file: str
    licence: str
    attribution: str
    caption: str
    role: Role
    crops: tuple[tuple[int, int, int, int], ...] = ()

    @property
    def path(self) -> Path:
        """The file in the installed package. Raises BadSetup when package or file are missing."""
        spec = find_spec(self.package)
        path = Path(spec.origin).parent / self.file if spec and spec.origin else None
        if path is None or not path.is_file():
            raise BadSetup(f"{self.package} does not contain {self.file}; install it from constraints.txt")
        return path

    def read(self) -> Rgb:
        """The pixels, [H, W, 3]; gray photographs have three equal channels."""
        return decode_rgb(self.path.read_bytes())


def find(name: str) -> PackagedPhotograph:
    """The photograph of that name. Raises KeyError."""
    return {photograph.name: photograph for photograph in PHOTOGRAPHS}[name]


def _skimage(
    name: str,
    file: str,
    licence: str,
    attribution: str,
    caption: str,
    role: Role,
    crops: tuple[tuple[int, int, int, int], ...] = (),
) -> PackagedPhotograph:
    return PackagedPhotograph(name, "skimage", f"data/{file}", licence, attribution, caption, role, crops)


def _sklearn(
    name: str, attribution: str, caption: str, role: Role, crops: tuple[tuple[int, int, int, int], ...] = ()
) -> PackagedPhotograph:
    file = f"datasets/images/{name}.jpg"
    return PackagedPhotograph(name, "sklearn", file, "cc-by-2.0", attribution, caption, role, crops)


PHOTOGRAPHS: tuple[PackagedPhotograph, ...] = (
    _skimage(
        *("astronaut", "astronaut.png", "public-domain", "NASA Great Images, flic.kr/p/r9qvLn"),
        *("an astronaut in an orange suit beside a model of a space shuttle", "foregrounds"),
    ),
    _skimage(
        *("camera", "camera.png", "cc0-1.0", "Lav Varshney"),
        *("a man behind a camera on a tripod, in a field", "foregrounds"),
    ),
    _skimage(
        *("chelsea", "chelsea.png", "cc0-1.0", "Stefan van der Walt"),
        *("the head of a tabby cat", "foregrounds"),
    ),
    _skimage(
        *("coffee", "coffee.png", "cc0-1.0", "Rachel Michetti, courtesy of Pikolo Espresso Bar"),
        *("a cup of coffee on a saucer, on a wooden table", "foregrounds"),
    ),
    _skimage(
        *("coins", "coins.png", "public-domain", "Brooklyn Museum Collection, archives image 51611"),
        *("Greek coins from Pompeii on a gray ground", "foregrounds"),
    ),
    _skimage(
        *("motorcycle", "motorcycle_left.png", "unknown"),
        "Nesic, Westling, Wang, Kitajima, Krathwohl, Scharstein: Middlebury Stereo 2014",
        *("a red motorcycle in a garage", "foregrounds"),
    ),
    _skimage(
        *("rocket", "rocket.jpg", "public-domain", "SpaceX, flickr.com/photos/spacexphotos/16511594820"),
        *("a launch site with lattice towers at dusk", "both"),
        ((0, 0, 270, 427), (345, 0, 640, 427)),
    ),
    _sklearn(
        *("china", "danielbuechele, flickr.com/photos/danielbuechele/6061409035"),
        *("a lake with hills and trees in haze", "both"),
        ((376, 0, 640, 427),),
    ),
    _sklearn(
        *("flower", "vultilion, flickr.com/photos/vultilion/6056698931"),
        *("an orange dahlia in front of dark leaves", "foregrounds"),
    ),
    PackagedPhotograph(
        *("grace_hopper", "matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "public-domain"),
        *("United States Navy", "Rear Admiral Grace Hopper in uniform, in front of a flag", "foregrounds"),
    ),
    _skimage("brick", "brick.png", "cc0-1.0", "CC0Textures, Bricks25", "a brick wall", "background"),
    _skimage("grass", "grass.png", "cc0-1.0", "linolafett, deviantart.com, Grass 01", "grass", "background"),
    _skimage("gravel", "gravel.png", "cc0-1.0", "CC0Textures, Gravel04", "gravel", "background"),
    _skimage(
        *("hubble_deep_field", "hubble_deep_field.jpg", "public-domain", "NASA, Hubble eXtreme Deep Field"),
        *("many small galaxies on a black sky", "background"),
    ),
    _skimage(
        *("immunohistochemistry", "ihc.png", "public-domain", "Center for Microscopy and Molecular Imaging (CMMI)"),
        *("stained tissue under a microscope", "background"),
    ),
    _skimage("moon", "moon.png", "unknown", "scikit-image", "craters on the moon", "background"),
    _skimage(
        *("retina", "retina.jpg", "cc0-1.0", "Mikael Haggstrom, WikiJournal of Medicine 1 (2), 2014"),
        *("the vessels of a retina", "background"),
        ((300, 300, 1060, 1060),),
    ),
)


def write_photographs(folder: str | Path) -> None:
    """Write the backgrounds as a folder: photographs byte for byte, crops as `<name>-crop<i>.png`, `attribution.csv`.

    A crop keeps its photograph's name as origin, so that it never meets an object of the same photograph in
    another split. Files are replaced whole.
    """
    store = Store(str(folder))
    attributions: dict[str, Attribution] = {}
    for photograph in PHOTOGRAPHS:
        if photograph.role != "foregrounds":
            for name, data in _background_files(photograph).items():
                store.write(name, data)
                terms = (photograph.licence, photograph.attribution, photograph.caption)
                attributions[name] = Attribution(photograph.name, *terms, rotation_deg_ccw=0)
    store.write(ATTRIBUTIONS, attributions_csv(attributions))


def _background_files(photograph: PackagedPhotograph) -> dict[str, bytes]:
    """File name -> bytes of what a photograph gives as backgrounds."""
    if not photograph.crops:
        return {f"{photograph.name}{photograph.path.suffix}": photograph.path.read_bytes()}
    rgb = photograph.read()
    return {
        f"{photograph.name}-crop{i}.png": encode_png(rgb[top:bottom, left:right])
        for i, (left, top, right, bottom) in enumerate(photograph.crops, start=1)
    }
