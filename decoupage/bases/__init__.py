"""The inpainting models that can be adapted, behind one interface (`spec.py`)."""

from decoupage.bases.quiet import leave_out
from decoupage.bases.spec import Base

leave_out()


def find_base(name: str) -> Base:
    """The base with a name.

    Raises:
        ValueError: no such base; the message lists the known ones.
    """
    from decoupage.bases.flux import FluxFill, FluxKontext, FluxKontextNative
    from decoupage.bases.small import SmallFill

    bases: tuple[Base, ...] = (FluxFill(), FluxKontext(), FluxKontextNative(), SmallFill())
    known = {base.name: base for base in bases}
    if name not in known:
        raise ValueError(f"there is no base {name!r}; known: {', '.join(sorted(known))}")
    return known[name]
