"""The page in a real browser: sliders by keyboard, finger and choice, on a narrow screen, from disk alone."""

import pytest

from evaluation.page.write import write_pages
from tests.browser import chromium
from tests.evaluation.page.reports import judged

pytestmark = pytest.mark.browser
ARROWS = {"ArrowRight": 39, "ArrowLeft": 37}
CUT = "document.querySelector('.view').style.getPropertyValue('--cut')"
TAGS = "[...document.querySelectorAll('.case')[0].querySelectorAll('.tag')].map(tag => tag.textContent)"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    judged(folder)
    write_pages(str(folder))
    return (folder / "report.html").as_uri()


@pytest.fixture
def page(url, tmp_path):
    with chromium(tmp_path) as browser:
        yield browser(url)


def arrow(page, key):
    for kind in ("rawKeyDown", "keyUp"):
        page.do("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=ARROWS[key])


def test_a_slider_moves_by_keys_and_shows_what_is_chosen(page):
    assert page("document.querySelectorAll('.case').length === document.querySelectorAll('.compare').length")
    assert page(TAGS) == ["given picture", "adapter: background"]
    assert page(CUT) == "50%"
    page("document.querySelector('.view input').focus()")
    arrow(page, "ArrowRight")
    arrow(page, "ArrowRight")
    arrow(page, "ArrowLeft")
    assert page(CUT) == "51%"
    # The right picture begins where the left one ends.
    clips = "[...document.querySelectorAll('.view .pane')].slice(0, 2).map(pane => getComputedStyle(pane).clipPath)"
    left, right = page(clips)
    assert "49%" in left and "51%" in right
    page("document.querySelector('.shot:nth-child(3) .pick').click()")
    assert page(TAGS) == ["given picture", "adapter: foreground"]
    page("(left => { left.value = 3; left.dispatchEvent(new Event('change')) })(document.querySelector('select'))")
    assert page(TAGS)[0] == "biharmonic: background"  # The best simple method of these scenes.
    same = "document.querySelector('.pane.left img').src === document.querySelectorAll('.shot img')[3].src"
    assert page(same)
    assert page("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


def test_a_finger_moves_it_on_a_phone_and_the_page_fits(page):
    page.phone()
    page("document.querySelector('.view').scrollIntoView({block: 'center'})")
    x, y = page.middle(".view")
    width = page("document.querySelector('.view').getBoundingClientRect().width")
    page.do("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    page.do("Input.dispatchTouchEvent", type="touchMove", touchPoints=[{"x": x + width / 8, "y": y}])
    page.do("Input.dispatchTouchEvent", type="touchMove", touchPoints=[{"x": x + width / 4, "y": y}])
    page.do("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    assert 65 < float(page(CUT).rstrip("%")) < 85
    assert page("document.documentElement.scrollWidth") == page("innerWidth") == 390


def test_on_paper_there_are_no_sliders_but_all_pictures_and_tables(page):
    page.do("Emulation.setDeviceMetricsOverride", width=720, height=1000, deviceScaleFactor=1, mobile=False)
    page.do("Emulation.setEmulatedMedia", media="print")
    page("dispatchEvent(new Event('beforeprint'))")
    assert page("[...document.querySelectorAll('.compare, nav')].every(part => part.offsetParent === null)")
    assert page("[...document.querySelectorAll('.shot')].every(shot => shot.offsetParent !== null)")
    assert page("[...document.querySelectorAll('details')].every(part => part.open)")
    assert page("document.documentElement.scrollWidth") <= 720


def test_it_asks_nobody_for_anything(page):
    assert page("performance.getEntriesByType('resource').filter(found => !found.name.startsWith('data:')).length") == 0
    assert page("fetch('http://127.0.0.1:9/').then(() => 'let through', () => 'stopped')") == "stopped"
