"""The pages that raters see, each one file: the first page, and the rater's page for the server and for offline use.

Only how a question is shown; which questions, and what happens to answers, is not decided here. The text is in
`start.html.jinja` and `rater.html.jinja`, the behaviour in `rater.js` and `zoom.js`.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from evaluation.page.templates import render
from evaluation.study.folder import Screen, Study


def start_page(study: Study) -> str:
    """The first page: it asks for a name, and explains the study."""
    return _render("start.html.jinja", study=study)


def message_page(title: str, sentence: str) -> str:
    """A page that says one thing."""
    return _render("message.html.jinja", title=title, sentence=sentence)


def rater_page(study: Study, token: str, screens: Sequence[Screen], answered: Mapping[str, str]) -> str:
    """A rater's page on the server: pictures by address, answers sent one by one.

    Args:
        study: the study.
        token: the rater's secret.
        screens: the rater's questions.
        answered: choices that are already kept, by question id.
    """
    pictures = {name: f"/pictures/{name}" for name in _names(screens)}
    return _rater(study, screens, answered, pictures, {"answers": f"/r/{token}/answers"})


def offline_page(study: Study, token: str, screens: Sequence[Screen]) -> str:
    """A rater's page as one file without a server: pictures inside, answers kept by the browser and saved as a file."""
    # Sorted, so that the order of pictures in the file says nothing of the order in which they were made.
    pictures = {
        name: "data:image/png;base64," + base64.b64encode(study.picture(name)).decode() for name in _names(screens)
    }
    return _rater(study, screens, {}, pictures, {"study": study.study_id, "rater": token})


def _rater(
    study: Study,
    screens: Sequence[Screen],
    answered: Mapping[str, str],
    pictures: Mapping[str, str],
    target: Mapping[str, str],
) -> str:
    content = {
        "target": target,
        "questions": {aspect: study.config.question(aspect) for aspect in study.config.aspects},
        "screens": [vars(screen) for screen in screens],
        "answered": answered,
        "pictures": pictures,
    }
    return _render("rater.html.jinja", content=_in_script(content), num_panes=study.config.num_panes, target=target)


def _names(screens: Sequence[Screen]) -> list[str]:
    return sorted({name for screen in screens for name in (screen.reference, *screen.panes)})


def _in_script(content: Any) -> str:
    """JSON that cannot end the script element that it is in."""
    return json.dumps(content).replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _render(template: str, **values: Any) -> str:
    folder = files("evaluation.study")
    sources = {name: (folder / name).read_text() for name in ("rater.css", "zoom.js", "rater.js")}
    return render("evaluation.study", template, {}, sources=sources, **values)
