"""Short names of the licences that OpenImages gives as addresses."""

import re

_CREATIVE_COMMONS = re.compile(r"https?://creativecommons\.org/licenses/(by(?:-nc)?(?:-nd|-sa)?)/(\d\.\d)/?")
_PUBLIC_DOMAIN = re.compile(r"https?://creativecommons\.org/publicdomain/(zero|mark)/1\.0/?")


def licence_name(address: str | None) -> str:
    """`https://creativecommons.org/licenses/by/2.0/` -> `cc-by-2.0`; empty for what we know nothing of."""
    text = (address or "").strip()
    if match := _CREATIVE_COMMONS.fullmatch(text):
        return f"cc-{match[1]}-{match[2]}"
    if match := _PUBLIC_DOMAIN.fullmatch(text):
        return "cc0-1.0" if match[1] == "zero" else "public-domain"
    return ""
