"""What licences permit, in whatever spelling; and what a set under several of them is under as a whole."""

import pytest

from decoupage.bases import find_base
from pipelines.foregrounds.layerdiffuse.settings import FLUX_BASE, LICENCES, SDXL_BASE
from pipelines.licences.combined import NONE, combined_licence
from pipelines.licences.terms import (
    HUB_LICENCES,
    UNKNOWN,
    binds_outputs,
    canonical,
    find_terms,
    ledger,
    licence_of,
    why_not_commercial,
)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("CC BY-NC-SA 4.0", "cc-by-nc-sa-4.0"),
        ("https://creativecommons.org/licenses/by/2.0/", "cc-by-2.0"),
        ("http://creativecommons.org/licenses/by-nc-nd/4.0", "cc-by-nc-nd-4.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "cc0-1.0"),
        ("CC0", "cc0-1.0"),
        ("in the public domain", "public-domain"),
        ("FLUX.1 [dev] Non-Commercial License", "flux-1-dev-non-commercial"),
        ("OpenRAIL++-M", "openrail++"),
    ],
)
def test_spellings_of_a_licence_are_one(written, name):
    assert canonical(written) == name and find_terms(written).licence == name


@pytest.mark.parametrize(
    ("licence", "reason"),
    [
        ("cc-by-nc-4.0", "forbids commercial use"),
        ("cc-by-nd-4.0", "forbids derivatives"),
        ("nvidia-non-commercial", "forbids commercial use"),
        ("unknown", "not known to permit"),
        ("", "a missing licence is not known to permit"),
        ("cc-by-4.0 AND cc-by-nc-sa-4.0", "cc-by-nc-sa-4.0 forbids"),
        ("cc-by-4.0 AND somebody's own", "somebody's-own is not known"),
    ],
)
def test_what_forbids_commercial_use_says_why(licence, reason):
    assert reason in why_not_commercial(licence)


@pytest.mark.parametrize(
    "licence", ["CC0-1.0", "public-domain", "CC-BY-2.0", "MIT", "Apache-2.0", "creativeml-openrail-m", "cc-by-sa-4.0"]
)
def test_what_permits_commercial_use(licence):
    assert why_not_commercial(licence) == ""


def test_the_ledger_speaks_of_licences_that_have_terms_and_says_where_they_are_written():
    without_terms = {entry.name for entry in ledger().values() if find_terms(entry.licence) is None}
    # Photographs with terms of their own, and what states none: never permitted.
    assert without_terms == {"coco-2017", "magick", "him2k", "adobe-composition-1k"}
    assert all(entry.source and entry.kind for entry in ledger().values())


def test_the_ledger_agrees_with_what_the_parts_say_of_themselves():
    for name in ("flux-fill", "flux-kontext", "flux-kontext-native", "small-fill"):
        base = find_base(name)
        assert canonical(base.licence) == licence_of(name)
        assert licence_of(base.repo_id) == licence_of(name)
    assert why_not_commercial(licence_of(SDXL_BASE)) == why_not_commercial(LICENCES["sdxl"]) == ""
    assert licence_of(FLUX_BASE) == canonical(LICENCES["flux"])
    assert licence_of("somebody/something") == UNKNOWN


def test_every_creative_commons_licence_of_the_hub_has_terms():
    assert {name for name in HUB_LICENCES if name.startswith("cc") and find_terms(name) is None} == set()


def test_weights_bind_what_is_made_with_them_only_where_they_say_so():
    assert not binds_outputs("apache-2.0") and not binds_outputs("bsd-3-clause")
    assert all(binds_outputs(name) for name in ("openrail++", "nvidia-non-commercial", "cc-by-nc-4.0", "unknown"))


@pytest.mark.parametrize(
    ("parts", "whole", "commercial"),
    [
        (["cc0-1.0", "public-domain"], "cc0-1.0", True),
        (["cc0-1.0", "CC-BY-2.0"], "cc-by-2.0", True),
        # At most CC BY-NC-SA 4.0 with MULAN inside.
        (["cc-by-nc-sa-4.0", "cc-by-2.0", "cc0-1.0"], "cc-by-nc-sa-4.0", False),
        (["cc-by-2.0", "creativeml-openrail-m"], "cc-by-2.0 AND creativeml-openrail-m", True),
        (["cc-by-sa-3.0", "cc-by-sa-4.0", "mit"], "cc-by-sa-4.0", True),
        (["cc-by-2.0", "unknown"], NONE, False),
        (["cc-by-sa-4.0", "cc-by-nc-sa-4.0"], NONE, False),
        (["cc-by-sa-4.0", "cc-by-nc-4.0"], NONE, False),
        (["cc-by-nd-4.0"], NONE, False),
        ([], NONE, True),
    ],
)
def test_a_set_is_as_free_as_its_least_free_part(parts, whole, commercial):
    found = combined_licence(parts)
    assert (found.licence, found.commercial) == (whole, commercial)
    assert bool(found.obstacles) == (whole == NONE and bool(parts))


def test_what_a_set_asks_for():
    found = combined_licence(["cc-by-nc-sa-4.0", "cc0-1.0", "who knows"])
    assert found.attribution and found.share_alike and found.unknown == ("who-knows",)
    assert not combined_licence(["cc0-1.0"]).attribution
