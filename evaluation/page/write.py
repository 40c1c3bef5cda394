"""Pages from what an evaluation left in its folder; no method, no model and no picture is needed again."""

from typing import Any

from evaluation.gallery_file import read_gallery
from evaluation.page.render import render_markdown, render_page
from evaluation.report import REPORT
from evaluation.results import read_result
from pipelines.stages.store import Store

PAGE, MARKDOWN = "report.html", "report.md"


def write_pages(folder: Store | str) -> dict[str, Any]:
    """Write `report.html` and `report.md` beside `report.json`.

    Returns:
        The content of `report.json`.

    Raises:
        BadSetup: there is no report, or its files are damaged or not of one evaluation.
    """
    store = folder if isinstance(folder, Store) else Store(folder)
    values = read_result(store, REPORT, "list_sha256", "num_photographs", "num_origins")
    gallery = read_gallery(store, values["list_sha256"])
    store.write(MARKDOWN, render_markdown(values).encode())
    store.write(PAGE, render_page(values, gallery).encode())
    return values
