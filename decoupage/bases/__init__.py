"""The inpainting models that can be adapted, one file each, behind one description (`spec.py`)."""

from decoupage.bases.spec import Base


def find_base(name: str) -> Base:
    """A base by its name.

    Raises:
        ValueError: no such base; the message lists the known ones.
    """
    from decoupage.bases.flux_fill import FluxFill
    from decoupage.bases.flux_kontext import FluxKontext, FluxKontextNative
    from decoupage.bases.tiny import TinyFill

    bases: tuple[Base, ...] = (FluxFill(), FluxKontext(), FluxKontextNative(), TinyFill())
    known = {base.name: base for base in bases}
    if name not in known:
        raise ValueError(f"there is no base {name!r}; known: {', '.join(sorted(known))}")
    return known[name]
