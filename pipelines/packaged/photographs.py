"""The packaged photographs: their files, contents and licences, and the folder of backgrounds made of them.

Installed libraries contain some; those of the GB82 image set are in `pictures/photographs`. Backgrounds show no salient
object: whole photographs, parts of these, and parts of photographs beside their object. Licences are those that the
packages state: docstrings of `skimage/data/_fetchers.py`, the README beside scikit-learn's pictures, matplotlib's pull
request 1599 (Grace Hopper), the licence of the GB82 set. `unknown` = the package states none.
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

_GB82 = "packaged/pictures/photographs"
Role = Literal["foregrounds", "background", "both"]
"""The use of a photograph: objects are cut out of it, it is a background, or both (a part of it is a background)."""


@dataclass(frozen=True)
class PackagedPhotograph:
    """One packaged photograph.

    Attributes:
        name: its origin in the library.
        package, file: the installed package, and the path in it.
        crops: (left, top, right, bottom) in pixels: parts that are backgrounds of their own. A `background` is used
            whole, too.
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


def _gb82(name: str, caption: str, role: Role, crops: tuple[tuple[int, int, int, int], ...] = ()) -> PackagedPhotograph:
    terms = ("cc0-1.0", "Gianni Rosato, GB82 image set")
    return PackagedPhotograph(name, "pipelines", f"{_GB82}/{name}.webp", *terms, caption, role, crops)


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
    _skimage(
        *("hubble_deep_field", "hubble_deep_field.jpg", "public-domain", "NASA, Hubble eXtreme Deep Field"),
        *("many small galaxies on a black sky", "background"),
        ((0, 0, 500, 436), (500, 436, 1000, 872)),
    ),
    _gb82("bulb", "a light bulb on a cable, in front of blurred trees", "background"),
    _gb82(
        *("flowers", "purple asters in a garden", "background"),
        ((0, 0, 280, 280), (296, 0, 576, 280), (0, 290, 286, 576), (290, 290, 576, 576)),
    ),
    _gb82(
        *("grass", "tall green grass", "background"),
        ((144, 0, 432, 288), (0, 288, 288, 576), (288, 288, 576, 576)),
    ),
    _gb82("guitar", "a red electric guitar in front of a drum kit", "foregrounds"),
    _gb82(
        *("haze", "a beach in fog, with lights of houses", "background"),
        ((0, 150, 288, 438), (288, 150, 576, 438), (0, 288, 288, 576)),
    ),
    _gb82(
        *("mies", "a graffito on corrugated metal", "background"),
        ((0, 0, 288, 288), (288, 0, 576, 288), (0, 288, 288, 576), (288, 288, 576, 576)),
    ),
    _gb82("night", "a street corner with a lit shop by night", "background", ((310, 0, 576, 280),)),
    _gb82(
        *("nyc", "Manhattan from above, under clouds", "background"),
        ((0, 0, 320, 280), (0, 290, 288, 576), (288, 290, 576, 576), (120, 160, 456, 432)),
    ),
    _gb82(
        *("path", "a boardwalk through reeds", "background"),
        ((288, 200, 576, 488), (0, 200, 288, 488), (0, 0, 288, 256), (120, 300, 420, 576)),
    ),
    _gb82(
        *("prudential", "a lit tower above brick houses by night", "background"),
        ((0, 120, 288, 408), (288, 60, 576, 348), (0, 288, 288, 576)),
    ),
    _gb82(
        *("sand", "sand with pebbles and shells", "background"),
        ((0, 0, 288, 288), (288, 0, 576, 288), (0, 288, 288, 576), (288, 288, 576, 576)),
    ),
    _gb82(
        *("sumac", "a red fruit of a sumac among dry leaves", "both"),
        ((0, 0, 256, 256), (0, 300, 276, 576), (320, 0, 576, 256)),
    ),
    _gb82(
        *("sunset", "a red sky above dark buildings", "background"),
        ((0, 0, 288, 288), (288, 0, 576, 300), (60, 250, 400, 530)),
    ),
    _gb82(
        *("waves", "foaming waves between stones", "background"),
        ((0, 0, 288, 288), (288, 0, 576, 288), (0, 288, 288, 576), (288, 288, 576, 576)),
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
    path = photograph.path
    files = {f"{photograph.name}{path.suffix}": path.read_bytes()} if photograph.role == "background" else {}
    rgb = photograph.read()
    return files | {
        f"{photograph.name}-crop{i}.png": encode_png(rgb[top:bottom, left:right])
        for i, (left, top, right, bottom) in enumerate(photograph.crops, start=1)
    }
