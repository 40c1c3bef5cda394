"""The page in a real browser: point out, run, look, drag, download, and open what was downloaded."""

import io
import json
import shutil
import socket
import zipfile

import numpy as np
import pytest
from PIL import Image
from psd_tools import PSDImage
from typer.testing import CliRunner

from commands.main import app
from decoupage.serve.jobs import Limits
from tests.browser import chromium, wait
from tests.decoupage.serve.serving import HEIGHT, TOKEN, WIDTH, Gated, packaged, photograph, serving

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def open_page(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as open_page:
        yield open_page


class Keeping(Gated):
    """Also keeps the masks that pages send."""

    def work(self, asked, out, after_step):
        for mask in asked.masks:
            shutil.copyfile(mask.path, self.folder / mask.name)
        super().work(asked, out, after_step)


@pytest.fixture
def place(tmp_path):
    """(server, model, folder): photo.png in the folder, and whatever masks were sent."""
    model, jobs = Keeping(packaged()), tmp_path / "jobs"
    model.folder = tmp_path
    jobs.mkdir()
    photograph(tmp_path)
    with serving(jobs, model, Limits(max_jobs=2)) as server:
        yield server, model, tmp_path


def at(page, step):
    page.wait(f"document.body.dataset.step === '{step}'")


def opened(open_page, server, folder, screen="desk"):
    page = open_page("about:blank")
    getattr(page, screen)()
    page.do("Log.enable")
    page.go(server.url + "/")
    at(page, "start")
    page.give_file("#file", folder / "photo.png")
    at(page, "draw")
    return page


def found(page):
    page.wait("document.querySelector('#busy').hidden && !document.querySelector('#undo').disabled")


def pixels(page, selector):
    """Of a canvas, RGBA."""
    script = f"""((c) => {{
      const image = c.getContext('2d').getImageData(0, 0, c.width, c.height);
      return {{ width: c.width, height: c.height, data: Array.from(image.data) }};
    }})(document.querySelector('{selector}'))"""
    got = page(script)
    return np.array(got["data"], np.uint8).reshape(got["height"], got["width"], 4)


SAVED = [
    "layers.zip",
    "layers.psd",
    "layers.ora",
    "background.png",
    "foreground-1.png",
    "foreground-2.png",
    "layers.json",
]
"""Not all: Chromium saves ten files of a page at a time, for whoever clicks that fast."""


def download(page, folder):
    """Files that the page offers, saved to a new folder as a person saves them."""
    folder.mkdir()
    page.save_downloads_to(folder)
    offered = page("[...document.querySelectorAll('.download')].map(b => b.textContent)")
    for name in SAVED:
        index = offered.index(name)
        page(f"document.querySelectorAll('.download')[{index}].scrollIntoView({{ block: 'center' }})")
        page.click(".download", index)
        wait(lambda name=name: (folder / name).exists(), name)
    page("window.scrollTo(0, 0)")


def near(one, other):
    """Browsers round where they blend."""
    return np.abs(one[..., :3].astype(int) - other[..., :3]).max() <= 2


@pytest.fixture
def made(open_page, place):
    """(page, server, folder): one object painted, another boxed, taken apart, and all downloaded to `down`."""
    server, model, folder = place
    page = opened(open_page, server, folder)
    assert "small (128 px), for trying" in page("document.querySelector('#note').textContent")
    page.drag("#canvas", [(0.45, 0.4), (0.5, 0.55), (0.4, 0.6), (0.47, 0.5)])
    page.click("#add")
    page.click("[name=tool][value=box]")
    page.drag("#canvas", [(0.02, 0.05), (0.1, 0.2), (0.2, 0.3)])
    found(page)
    page.click("#run")
    page.wait("document.querySelector('#state').textContent === 'Step 1 of 2'")
    model.gate.release()
    page.wait("document.querySelector('#state').textContent === 'Step 2 of 2'")
    assert page("document.querySelector('#progress').value") == 0.5
    model.gate.release()
    at(page, "result")
    download(page, folder / "down")
    yield page, server, folder
    page.close()
    wait(lambda: list(server.folder.iterdir()) == [], "the page's job to be forgotten")


def test_what_is_downloaded_is_what_decompose_makes_and_what_is_seen_is_that(made):
    page, _, folder = made
    masks = [option for mask in sorted(folder.glob("object *.png")) for option in ("--mask", str(mask))]
    drawn = np.asarray(Image.open(folder / "object 1.png").convert("L"))
    assert len(masks) == 4 and drawn.shape == (HEIGHT, WIDTH) and drawn[48, 59] == 255 and drawn[2, 120] == 0
    out, down = folder / "out", folder / "down"
    options = ["--out", str(out), "--device", "cpu", "--psd", "--ora", *masks]
    done = CliRunner().invoke(app, ["decompose", str(folder / "photo.png"), *options])
    assert done.exit_code == 0, done.output
    names = {path.name for path in out.iterdir()}
    for name in set(SAVED) - {"layers.zip", "layers.json"}:
        assert (down / name).read_bytes() == (out / name).read_bytes(), name
    with zipfile.ZipFile(down / "layers.zip") as archive:
        assert archive.testzip() is None and set(archive.namelist()) == names
        assert archive.read("layers.json") == (down / "layers.json").read_bytes()
        assert [name for name in names - {"layers.json"} if archive.read(name) != (out / name).read_bytes()] == []
        layers = json.loads(archive.read("layers.json"))["layers"]
        assert Image.open(io.BytesIO(archive.read("background.png"))).size == (WIDTH, HEIGHT)
    document = PSDImage.open(down / "layers.psd")
    assert [layer.name for layer in reversed(document)] == [layer["name"] for layer in layers]
    assert near(pixels(page, "#view"), np.asarray(Image.open(out / "recomposition.png")))


def test_an_object_is_dragged_over_the_background_behind_it(made):
    page, _, folder = made
    before = pixels(page, "#view")
    plate, object_1 = (
        np.asarray(Image.open(folder / "down" / f"{name}.png")) for name in ("background", "foreground-1")
    )
    opaque = np.argwhere(object_1[..., 3] == 255)
    y, x = (int(each) for each in opaque[len(opaque) // 2])
    start = ((x + 0.5) / WIDTH, (y + 0.5) / HEIGHT)
    page.drag("#view", [start, (start[0] + 0.1, start[1]), (start[0] + 32 / WIDTH, start[1] + 24 / HEIGHT)])
    after = pixels(page, "#view")
    assert near(after[y + 24, x + 32], object_1[y, x]) and not near(after[y + 24, x + 32], before[y + 24, x + 32])
    assert near(after[y, x], plate[y, x])
    page("document.querySelector('#view').focus()")
    page.press("0")
    assert np.array_equal(pixels(page, "#view"), before)
    page.press("ArrowRight")
    assert not np.array_equal(pixels(page, "#view"), before)


def test_alphas_and_the_picture_as_it_was(made):
    page, _, folder = made
    page.click("[name=view][value=alpha]")
    page("[...document.querySelectorAll('.layer button')].find(b => b.textContent === 'object 1').click()")
    alpha = np.asarray(Image.open(folder / "down" / "foreground-1.png"))[..., 3]
    assert np.array_equal(pixels(page, "#view")[..., 0], alpha)
    page.click("[name=view][value=compare]")
    photo = np.asarray(Image.open(folder / "photo.png"))
    assert np.array_equal(pixels(page, "#view")[:10, : WIDTH // 3, :3], photo[:10, : WIDTH // 3])


def test_with_the_keyboard_alone(open_page, place):
    server, model, folder = place
    model.open()
    page = opened(open_page, server, folder)
    page("document.querySelector('#canvas').focus()")
    page.press("ArrowRight")
    page.press(" ")
    assert not page("document.querySelector('#run').disabled")
    page.press("z")
    assert page("document.querySelector('#run').disabled && document.querySelector('#undo').disabled")
    before = page("document.querySelector('#brush').value")
    page.press("]")
    assert int(page("document.querySelector('#brush').value")) == int(before) + 2
    page.press("c")
    page.press(" ")
    found(page)
    page("document.querySelector('#run').focus()")
    page.do("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    at(page, "result")
    page.close()


def test_on_a_phone_with_a_finger(open_page, place):
    server, model, folder = place
    model.open()
    page = opened(open_page, server, folder, "phone")
    assert page("document.documentElement.scrollWidth") <= 390
    page("document.querySelector('[name=tool][value=click]').click()")
    page.tap("#canvas")
    found(page)
    page("document.querySelector('#run').click()")
    at(page, "result")
    assert page("document.documentElement.scrollWidth") <= 390
    page.close()


def test_cancelling_and_waiting(open_page, place):
    server, model, folder = place
    first, second = (opened(open_page, server, folder) for _ in range(2))
    for page in (first, second):
        page.drag("#canvas", [(0.45, 0.4), (0.5, 0.55)])
    first("document.querySelector('#run').click()")
    first.wait("document.querySelector('#state').textContent.startsWith('Step')")
    second("document.querySelector('#run').click()")
    second.wait("document.querySelector('#state').textContent === 'Waiting: 1 job is before yours'")
    third = opened(open_page, server, folder)
    third.drag("#canvas", [(0.45, 0.4), (0.5, 0.55)])
    third("document.querySelector('#run').click()")
    third.wait("document.querySelector('#message').textContent.includes('try again')")
    at(third, "draw")
    second("document.querySelector('#cancel').click()")
    at(second, "draw")
    wait(lambda: server.jobs.counts() == {"running": 1}, "the waiting job to go")
    first("document.querySelector('#cancel').click()")
    at(first, "draw")
    model.gate.release()
    wait(lambda: list(server.folder.iterdir()) == [], "the running job to go")
    assert server.jobs.counts() == {}
    for page in (first, second, third):
        page.close()


def test_what_goes_wrong_is_said(open_page, tmp_path):
    (tmp_path / "jobs").mkdir()
    photograph(tmp_path)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serving(tmp_path / "jobs", token=TOKEN, port=port) as server:
        page = open_page(server.url + "/")
        page.desk()
        at(page, "token-form")
        assert "token" in page("document.querySelector('#message').textContent")
        page("document.querySelector('#token').focus()")
        page.write(TOKEN)
        page.click("#token-form button")
        at(page, "start")
        page.give_file("#file", tmp_path / "bad.png")
        page.wait(
            "document.querySelector('#message').textContent === 'This browser cannot show this file as a picture.'"
        )
        page.give_file("#file", tmp_path / "photo.png")
        at(page, "draw")
        page("document.querySelector('[name=tool][value=unclick]').click()")
        page.drag("#canvas", [(0.5, 0.5)])
        page.wait("document.querySelector('#message').textContent.includes('at least one must be on the object')")
    page("document.querySelector('[name=tool][value=paint]').click()")
    page.drag("#canvas", [(0.45, 0.4), (0.5, 0.55)])
    page.click("#run")
    page.wait("document.querySelector('#message').textContent.includes('cannot be reached')")
    page.close()


def test_the_page_asks_nothing_of_other_servers(open_page, place):
    server, model, folder = place
    model.open()
    page = opened(open_page, server, folder)
    page.drag("#canvas", [(0.45, 0.4), (0.5, 0.55)])
    page.click("#run")
    at(page, "result")
    names = page("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert names and all(name.startswith((server.url, "blob:", "data:")) for name in names)
    page.close()
