"""`decompose --plan`: what each way to place a model takes, which of them fit a card, and what would be downloaded.

Nothing is downloaded or loaded for it, and nothing in it was measured: `decoupage.memory` computes.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decoupage.adapter import AdapterConfig
from decoupage.bases import find_base
from decoupage.memory import GIGA, Needs, needs
from decoupage.placing import WAYS, Placing
from decoupage.publishing.finding import find_folder
from decoupage.publishing.folder import read_manifest
from decoupage.publishing.text import has_text
from decoupage.weights.sizes import told

if TYPE_CHECKING:
    from decoupage.asked_model import AskedModel

PREFERRED = (
    Placing(),
    Placing("model"),
    Placing(quantise="int8"),
    Placing("model", "int8"),
    Placing("group"),
    Placing(quantise="nf4"),
    Placing("model", "nf4"),
    Placing("group", "int8"),
    Placing("sequential"),
)
"""The first of these that fits is recommended. Ours: first those that move fewer weights and round less; no time was
measured. The other ways take as much memory as one of these."""
_HEAD = f"{'offload':<12}{'quantise':<10}{'GPU':>6}{'with a prompt':>15}{'host':>8}{'with a prompt':>15}  fits"


@dataclass(frozen=True)
class Model:
    """A model as far as it must be known before it is loaded.

    Attributes:
        adapter: configuration of the adapter; source: folder or repository of its base, None = the published one.
        text: text encoders are loaded in any case, because the adapter does not bring the empty prompt's embedding.
        asked: the options that name it.
    """

    adapter: AdapterConfig
    source: str | None
    text: bool
    asked: str


@dataclass(frozen=True)
class Plan:
    """What each way takes of a card, and what fits.

    Attributes:
        card: the card in words; gpu_gb: its memory; host_gb: memory of the host, None = of another machine.
        prompt: text encoders are needed.
        download: what is still to be fetched, in words; download_bytes: None = not known.
    """

    model: Model
    card: str
    gpu_gb: float
    host_gb: float | None
    prompt: bool
    rows: Mapping[Placing, Needs]
    download: str
    download_bytes: int | None

    def fits(self, placing: Placing) -> bool:
        """Whether a way fits the card, and the host where that is known."""
        gpu_gb, host_gb = _for(self.rows[placing], self.prompt)
        return gpu_gb <= self.gpu_gb and (self.host_gb is None or host_gb <= self.host_gb)

    @property
    def recommended(self) -> Placing | None:
        """The first of `PREFERRED` that fits; None = none does."""
        return next(filter(self.fits, PREFERRED), None)

    @property
    def command(self) -> str:
        """The recommended way as a command; empty where nothing fits."""
        if (way := self.recommended) is None:
            return ""
        prompt = "--prompt TEXT" if self.prompt and not self.model.text else ""
        words = ("decoupage decompose PHOTO --mask MASK --out DIR", self.model.asked, prompt, way.flags)
        return " ".join(filter(None, words))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; all figures are computed."""
        return {
            "card": self.card,
            "gpu_gb": self.gpu_gb,
            "host_gb": self.host_gb,
            "prompt": self.prompt,
            "ways": [{**asdict(way), **asdict(taken), "fits": self.fits(way)} for way, taken in self.rows.items()],
            "recommended": self.command or None,
            "download_bytes": self.download_bytes,
            "measured": None,
        }

    def to_text(self) -> str:
        """For a terminal."""
        adapter = self.model.adapter
        where = f"{adapter.base} at {adapter.size_px} px, on {self.card}"
        lines = [f"{where}. Peak memory in GB, computed, not measured:", "", _HEAD]
        for way, taken in self.rows.items():
            figures = f"{taken.gpu_gb:6.1f}{taken.gpu_prompt_gb:15.1f}{taken.host_gb:8.1f}{taken.host_prompt_gb:15.1f}"
            lines.append(f"{way.offload:<12}{way.quantise:<10}{figures}  {'yes' if self.fits(way) else 'no'}")
        if self.model.text:
            lines += ["", "The adapter lacks the empty prompt's embedding: text encoders are loaded in any case."]
        lines += ["", self.command or "None of these fits.", f"To download: {self.download}."]
        return "\n".join(lines)


def plan(asked: "AskedModel", gpu_gb: float | None) -> Plan:
    """The plan for a model that is not loaded, in its precision.

    Args:
        gpu_gb: memory of the card; None = the one that is here.

    Raises:
        ValueError: there is no card here and none was described, or the adapter is not here.
    """
    here = card_here() if gpu_gb is None else None
    if gpu_gb is None and here is None:
        raise ValueError("--plan: there is no CUDA GPU here; say with --gpu-gb how many GB of memory the card has")
    model = planned_model(asked)
    name, memory_gb = here or (f"a card of {gpu_gb:g} GB", float(gpu_gb or 0))
    prompt = asked.prompt or model.text
    rows = {way: needs(model.adapter, model.source, way, asked.precision.itemsize) for way in WAYS}
    return Plan(model, name, memory_gb, host_gb() if here else None, prompt, rows, *_download(model, prompt))


def check_fits(asked: "AskedModel") -> None:
    """Raise ValueError where a way takes more than the card that is here has; a packaged base fits any."""
    found = card_here() if asked.place.type == "cuda" else None
    model = model_of(asked, find_folder(asked.adapter))
    if found is None or find_base(model.adapter.base).packaged is not None:
        return
    number, prompt = asked.precision.itemsize, asked.prompt or model.text
    taken_gb = _for(needs(model.adapter, model.source, asked.placing, number), prompt)[0]
    if taken_gb <= found[1]:
        return
    fitting = [
        way.flags for way in PREFERRED if _for(needs(model.adapter, model.source, way, number), prompt)[0] <= found[1]
    ]
    what = asked.placing.flags or "the whole model on the card"
    raise ValueError(
        f"{what} takes {taken_gb:.1f} GB (computed), and {found[0]} has {found[1]:.1f} GB; "
        f"what fits: {' | '.join(fitting) or 'nothing'}; --plan lists what each way takes"
    )


def planned_model(asked: "AskedModel") -> Model:
    """A model for which nothing is fetched. Raises ValueError: the adapter is not here, or its folder is damaged."""
    if asked.name is not None and "://" in asked.name:
        raise ValueError(f"--plan reads an adapter that is here, and {asked.name} is an address; copy it to a folder")
    return model_of(asked, find_folder(asked.adapter, local_files_only=True))


def model_of(asked: "AskedModel", folder: Path) -> Model:
    """What is known of a model before it is loaded, from its adapter's folder.

    `--base` may also be a base's name: then it is planned for an adapter of the default recipe.
    """
    words = {"model": asked.name, "base": asked.base}
    options = " ".join(f"--{name} {value}" for name, value in words.items() if value)
    adapter = AdapterConfig.from_dict(read_manifest(folder, check_sums=False).adapter)
    if asked.name is None and asked.base is not None and asked.base != adapter.base:
        try:
            base = find_base(asked.base)
        except ValueError:  # A folder or repository.
            pass
        else:
            return Model(AdapterConfig(base=base.name), None, text=False, asked="--model ADAPTER")
    source = None if asked.base == adapter.base else asked.base
    text = bool(find_base(adapter.base).text_parts) and not has_text(folder)
    return Model(adapter, source, text, options)


def card_here() -> tuple[str, float] | None:
    """(name, memory in GB) of the CUDA card; None = there is none."""
    import torch

    if not torch.cuda.is_available():
        return None
    found = torch.cuda.get_device_properties(torch.cuda.current_device())
    return str(found.name), found.total_memory / GIGA


def host_gb() -> float:
    """Memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIGA


def _for(taken: Needs, prompt: bool) -> tuple[float, float]:
    return (taken.gpu_prompt_gb, taken.host_prompt_gb) if prompt else (taken.gpu_gb, taken.host_gb)


def _download(model: Model, prompt: bool) -> tuple[str, int | None]:
    """What is still to be fetched of the base: in words, and in bytes."""
    base = find_base(model.adapter.base)
    wanted, whole = (base.weights(model.source, text=text) for text in (prompt, True))
    if not wanted.fault():
        return "nothing", 0
    if wanted.folder:
        return wanted.fault(), None
    more = "" if prompt or not base.text_parts else f" ({told(whole.num_bytes)} with text encoders, for a prompt)"
    return f"{wanted.repo_id}, {told(wanted.num_bytes)}{more}", wanted.num_bytes
