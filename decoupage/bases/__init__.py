"""The inpainting models that can be adapted, one file each, behind one description (`spec.py`)."""

from decoupage.bases.spec import Base


def find_base(name: str) -> Base:
    """A base by its name.

    Raises:
        ValueError: no such base; the message lists the known ones.
    """
    from decoupage.bases.flux_fill import FluxFill
    from decoupage.bases.flux_kontext import FluxKontext, FluxKontextNative

    known: dict[str, Base] = {base.name: base for base in (FluxFill(), FluxKontext(), FluxKontextNative())}
    if name not in known:
        raise ValueError(f"there is no base {name!r}; known: {', '.join(sorted(known))}")
    return known[name]
