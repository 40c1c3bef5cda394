"""Names of licences as data hubs write them: short identifiers and addresses."""

HUB_LICENCES = frozenset(
    {
        *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "unlicense", "pddl", "wtfpl"),
        *("cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"),
        *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
        *("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "odc-by", "odbl", "openrail", "openrail++"),
    }
)
"""Identifiers that the Hugging Face Hub knows, of those that pictures come under.
Source: https://huggingface.co/docs/hub/repositories-licenses."""


def normalised(licence: str) -> str:
    """`CC BY-NC-SA 4.0` -> `cc-by-nc-sa-4.0`."""
    return "-".join(licence.strip().lower().replace("_", "-").split())


def hub_licences(licences: list[str]) -> list[str]:
    """Sorted identifiers for a dataset card; what the Hub does not know becomes `other`."""
    names = {normalised(licence) for licence in licences}
    return sorted({name if name in HUB_LICENCES else "other" for name in names})


def licence_url(licence: str) -> str:
    """Address of a licence's text where its identifier gives one, else its name as it is."""
    name = normalised(licence)
    if name == "cc0-1.0":
        return "https://creativecommons.org/publicdomain/zero/1.0/"
    if name.startswith("cc-by"):
        kind, _, version = name.removeprefix("cc-").rpartition("-")
        return f"https://creativecommons.org/licenses/{kind}/{version}/"
    if name in HUB_LICENCES:
        return f"https://spdx.org/licenses/{licence.strip()}.html"
    return licence


def is_non_commercial(licence: str) -> bool:
    """True when the name says so: Creative Commons NC, or the words themselves."""
    name = normalised(licence)
    return "-nc" in name or "non-commercial" in name or "noncommercial" in name
