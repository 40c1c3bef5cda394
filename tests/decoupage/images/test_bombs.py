"""Small files that claim or hold a lot: refused within bounded memory, which a process of its own measures."""

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from tests.decoupage.images.made import chunk, encoded, png, smooth_rgb, tiff

MANY = 100 << 20
MAX_GROWTH_BYTES = 150 << 20
MEASURE = """
import json, sys
from pathlib import Path
from decoupage.faults import BadItem
from decoupage.images.reading import read_file, read_picture

def outcome(path):
    try:
        return "x".join(map(str, read_picture(read_file(path)).size))
    except BadItem as fault:
        return fault.reason

def peak():  # Not of getrusage, which counts what this process was before it was Python.
    line, = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

outcome(Path(sys.argv[1]) / "sound.png")
before, found = peak(), {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    start = peak()
    found[path.name] = [outcome(path), peak() - start]
print(json.dumps({"files": found, "growth_bytes": peak() - before}))
"""


def claimed_png(width_px: int, height_px: int) -> bytes:
    return png((width_px, height_px), 8, 2, [bytes(1000)], [])


def zeros() -> bytes:
    return zlib.compress(bytes(MANY), 9)


def exif_bomb() -> bytes:
    """EXIF of many tags that all name the same bytes."""
    size, number = 4 << 20, 4000
    entries = [(tag, 7, size, 20 + 12 * number) for tag in range(1000, 1000 + number)]
    return b"Exif\0\0" + tiff(entries, bytes(size))


def tiff_of(width_px: int, height_px: int, *more: tuple[int, int, int, int], rest: bytes = b"") -> bytes:
    known = {256: (256, 4, 1, width_px), 257: (257, 4, 1, height_px), 258: (258, 3, 1, 8), 259: (259, 3, 1, 1)}
    known |= {262: (262, 3, 1, 1), 273: (273, 4, 1, 8), 277: (277, 3, 1, 1), 278: (278, 4, 1, height_px)}
    known |= {279: (279, 4, 1, width_px * height_px % 2**32)} | {entry[0]: entry for entry in more}
    return tiff(list(known.values()), rest)


def bombs() -> dict[str, bytes]:
    sound = encoded(smooth_rgb())
    end = sound.index(b"IDAT") - 4
    bomb, size = zeros(), (99_999_999, 1)

    def with_chunk(kind: bytes, body: bytes) -> bytes:
        return sound[:end] + chunk(kind, body) + sound[end:]

    jpeg = encoded(smooth_rgb(), "JPEG")
    frame = jpeg.index(b"\xff\xc0") + 5
    avif = encoded(smooth_rgb(), "AVIF")
    place = avif.index(b"ispe") + 8
    gif = b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0x80, 0, 0) + bytes(6)
    gif_dispose = (
        gif + b"\x21\xf9\x04\x08\0\0\0\0" + b"," + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\2\1\0\0;"
    )
    webp = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + (16_382).to_bytes(3, "little") * 2
    webp_lossless = b"VP8L" + struct.pack("<I", 10) + b"\x2f" + struct.pack("<I", (1 << 28) - 1) + bytes(5)
    tiles = [(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1)]
    tiles += [(322, 4, 1, 10_000), (323, 4, 1, 10_000), (324, 4, 1, 14 + 12 * 10), (325, 4, 1, len(bomb))]
    return {
        "sound.png": sound,
        "long.png": claimed_png(390_000, 256),
        "line.png": claimed_png(*size),
        "square.png": claimed_png(60_000, 60_000),
        "column.png": claimed_png(1, 99_999_999),
        "text.png": with_chunk(b"zTXt", b"Comment\0\0" + bomb),
        "international.png": with_chunk(b"iTXt", b"Comment\0\1\0\0\0" + bomb),
        "exif-text.png": with_chunk(b"zTXt", b"Raw profile type exif\0\0" + bomb),
        "profile.png": with_chunk(b"iCCP", b"made\0\0" + bomb),
        "exif.png": with_chunk(b"eXIf", exif_bomb()[6:]),
        "exif.webp": encoded(smooth_rgb(), "WEBP", exif=exif_bomb()),
        "claimed.jpg": jpeg[:frame] + struct.pack(">HH", 65_500, 65_500) + jpeg[frame + 4 :],
        "claimed.avif": avif[:place] + struct.pack(">II", 60_000, 60_000) + avif[place + 8 :],
        "claimed.gif": gif + b"," + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\2\1\0\0;",
        "dispose.gif": gif_dispose,
        "claimed.webp": b"RIFF" + struct.pack("<I", 4 + len(webp)) + b"WEBP" + webp,
        "lossless.webp": b"RIFF" + struct.pack("<I", 4 + len(webp_lossless)) + b"WEBP" + webp_lossless,
        "claimed.tif": tiff_of(60_000, 60_000),
        "long.tif": tiff_of(*size),
        "tag.tif": tiff_of(8, 8, (37724, 7, 0xFFFFFFF0, 8)),
        "samples.tif": tiff_of(8, 8, (258, 3, 0x7FFFFFFF, 8), (277, 4, 1, 0x7FFFFFFF)),
        "tiles.tif": tiff(tiles, bomb),
        "claimed.ppm": b"P6 60000 60000 255\n" + bytes(100),
        "claimed.bmp": b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0),
    }


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
def test_bombs_are_refused_in_bounded_memory(tmp_path):
    for name, data in bombs().items():
        (tmp_path / name).write_bytes(data)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    outcomes = {name: outcome for name, (outcome, _) in measured["files"].items()}
    # Tags that name too much are left out, the picture beside them is sound.
    read = {"sound.png": "32x48", "exif.png": "32x48", "exif.webp": "32x48", "tag.tif": "8x8"}
    assert {name: outcome for name, outcome in outcomes.items() if "x" in outcome} == read, measured
    assert measured["growth_bytes"] < MAX_GROWTH_BYTES, measured
