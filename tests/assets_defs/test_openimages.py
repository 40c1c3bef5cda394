"""The index as an asset: from a server's lists to metadata that tells every drop."""

import dagster as dg
import pytest

from assets_defs.plan import Plan
from assets_defs.sources.openimages import openimages_assets
from pipelines.stages.store import Store
from profiles.profile import load_profile
from tests.library import write_photographs
from tests.pipelines.backgrounds.lists import box, id_of, image, label, lists
from tests.pipelines.downloads.server import serving


@pytest.fixture
def server(tmp_path):
    folder = Store(str(tmp_path / "drawn"))
    write_photographs(folder, tuple(range(6)))
    ids = [id_of(number) for number in range(8)]
    listed = [image(id, Rotation="" if i == 7 else "90.0") for i, id in enumerate(ids)]
    content = lists(listed, [label(id, "Beach") for id in ids], [box(id, 0, 0.1, 0, 0.1) for id in ids])
    # One of the chosen is not in the bucket any more, one is no picture.
    content |= {f"train/{ids[i]}.jpg": folder.read(f"photo{i}.png") for i in range(5)}
    content |= {f"train/{ids[5]}.jpg": b"no picture"}
    with serving(content) as files:
        yield files


def test_the_asset_tells_each_step_from_list_to_index(server, tmp_path):
    overrides = {
        "backgrounds.source": '"openimages"',
        "backgrounds.min_side_px": "100",
        "backgrounds.openimages.lists": f'"{server.url}"',
        "backgrounds.openimages.images": f'"{server.url}/{{subset}}/{{id}}.jpg"',
        "checks.max_drop_share.backgrounds.unreadable": "0.5",
        "engine.kind": '"serial"',
    }
    plan = Plan(load_profile("demo", str(tmp_path / "root"), overrides))
    result = dg.materialize(openimages_assets(plan))
    told = result.asset_materializations_for_node("openimages_index")[0].metadata
    figures = {name: told[name].value for name in ("listed", "chosen", "fetched", "fetched_now", "items", "dropped")}
    assert figures == {"listed": 8, "chosen": 7, "fetched": 6, "fetched_now": 6, "items": 5, "dropped": 1}
    drops = {
        record["reason"]: record["number"] for record in (r.data for r in told["listed_dropped_by_reason"].records)
    }
    assert drops["unknown_rotation"] == 1
    assert told["not_fetched_by_reason"].records[0].data == {"reason": "gone", "number": 1}
    assert told["licences"].records[0].data == {"licence": "cc-by-2.0", "number": 6}
    assert "data:image/jpeg" in told["preview"].value
    asked = len(server.asked)
    again = dg.materialize(openimages_assets(plan)).asset_materializations_for_node("openimages_index")[0].metadata
    assert (again["fetched_now"].value, again["shards_made_now"].value) == (0, 0)
    assert [path for path, _ in server.asked[asked:]] == [f"train/{id_of(6)}.jpg"]
