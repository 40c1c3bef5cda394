"""The sources of foregrounds (MULAN, own cutouts, generators and their prompts), and the filters on cutouts."""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from decoupage.settings import Section, Share, check_range
from decoupage.weights.hub import HubId
from pipelines.licences.terms import UNKNOWN, canonical, find_terms

CELL_PX = 64
"""Both sides are multiples of this, because LayerDiffuse's decoder halves a picture six times."""


def _known_licence(name: str) -> str:
    if canonical(name) != UNKNOWN and find_terms(name) is None:
        raise ValueError(f"must be {UNKNOWN!r} or a licence of pipelines/licences/terms.csv, got {name!r}")
    return canonical(name)


def _names_an_alpha(rule: str) -> str:
    rest = rule.removeprefix("../")
    if rest.count("{name}") != 1 or rule == "{name}" or ".." in rest or rest.startswith("/") or "\\" in rest:
        raise ValueError(
            f"must hold {{name}} once, beside it at most folders below the picture's or, after '../', beside it, such "
            f"as {{name}}_alpha or ../alpha/{{name}}, got {rule!r}"
        )
    return rule


class CocoConfig(Section):
    """COCO 2017's photographs: where their licences are written, and whether missing ones are fetched."""

    info: str = Field(
        "", description="folder or file of annotations_trainval2017.zip: licence and author's address of photographs"
    )

    download: bool = False
    """True fetches missing photographs into `mulan.images`."""
    url: str = Field(
        "http://images.cocodataset.org/{subset}/{id}.jpg",
        description="{subset} becomes train2017 or val2017, {id} the 12 digits",
    )

    @model_validator(mode="after")
    def _whole_template(self) -> "CocoConfig":
        # Without the subset, the half of COCO that a picture is in would be unknown, and it decides the split.
        if not self.url.startswith(("http://", "https://")) or any(
            self.url.count(part) != 1 for part in ("{subset}", "{id}")
        ):
            raise ValueError(f"url must start with http:// or https:// and hold {{subset}} and {{id}}, got {self.url}")
        return self


class LaionConfig(Section):
    """MULAN's other part, on LAION-Aesthetics pictures, which are in `laion/` of `mulan.images`."""

    use: bool = False
    """False counts its annotations and leaves them out."""
    links: str = Field("", description="CSV of the pictures' addresses; if named, missing pictures are fetched")
    id_column: str = Field("file_id", min_length=1, description="column of the 9-digit key")
    url_column: str = Field("url", min_length=1, description="column of the address")


class FetchConfig(Section):
    """How missing photographs are fetched."""

    workers: int = Field(8, ge=1, le=64, description="connections at a time")
    max_gb: float = Field(10.0, gt=0.0, le=10_000.0, description="budget of one run; then it stops and reports it")
    timeout_s: float = Field(30.0, gt=0.0, le=3600.0)
    max_attempts: int = Field(5, ge=1, le=100)


class MulanConfig(Section):
    """MULAN's annotations and their photographs."""

    source: Literal["packaged", "folder", "none"] = "folder"
    """`packaged`: a small tree in the same byte format, made from packaged photographs (the demo); `none`: no MULAN."""
    annotations: str = Field("", description="folder with *.p.zl files, searched recursively")
    images: str = Field("", description="folder with train2017/ and val2017/, and laion/ where that part is used")
    licences: tuple[Annotated[str, AfterValidator(_known_licence)], ...] = Field(
        (), description="photographs' licences that are used, `unknown` = those without a stated one; empty = all"
    )
    coco: CocoConfig = CocoConfig()
    laion: LaionConfig = LaionConfig()
    fetch: FetchConfig = FetchConfig()
    test_ids: str = Field("", description="file of picture ids for testing, one per line; empty = those of val2017")
    num_shards: int = Field(64, ge=1, le=2000)

    @model_validator(mode="after")
    def _folders_named(self) -> "MulanConfig":
        if self.source == "folder" and not (self.annotations and self.images):
            raise ValueError("annotations and images must name folders when source = 'folder'")
        return self

    @model_validator(mode="after")
    def _licences_known(self) -> "MulanConfig":
        if self.source != "folder" or not self.licences or UNKNOWN in self.licences:
            return self
        if not self.coco.info:
            raise ValueError(
                "licences needs coco.info, the folder of COCO's annotation files, which state each photograph's "
                "licence; or set licences = [] to use photographs of any licence"
            )
        if self.laion.use:
            raise ValueError("licences must name 'unknown' where laion.use = true: nothing states LAION's licences")
        return self


class CutoutsConfig(Section):
    """A user's own cutouts: a folder of RGBA pictures, or of pictures and their alphas."""

    source: Literal["none", "folder"] = "none"
    folder: str = Field("", description="folder, searched recursively; attribution.csv is read if present")
    alphas: tuple[Annotated[str, AfterValidator(_names_an_alpha)], ...] = Field(
        ("{name}_alpha", "{name}_mask", "{name}-alpha", "{name}-mask", "../alpha/{name}", "../mask/{name}"),
        description="where the alpha of a picture without one may be, relative to it and without suffix",
    )
    completeness: Literal["measured", "complete"] = "measured"
    """`measured`: cut where the picture's border cuts it, else unknown; `complete`: else complete, nothing hid it."""
    licence: str = Field("unknown", description="licence of cutouts for which attribution.csv names none")
    num_shards: int = Field(1, ge=1, le=2000)

    @model_validator(mode="after")
    def _folder_named(self) -> "CutoutsConfig":
        if self.source == "folder" and not self.folder:
            raise ValueError("folder must name a folder when source = 'folder'")
        return self


class SafetyFilterConfig(Section):
    """The safety filter on generated people: Stable Diffusion's safety checker, run on the CPU."""

    use: bool = False
    """True refuses what it finds unsafe among pictures of the categories human, profession and clothes."""
    weights: HubId = "CompVis/stable-diffusion-safety-checker@refs/pr/41"
    """That revision has `model.safetensors`; pickles are refused."""
    folder: str = Field("", description="folder with its files; empty = the Hub's cache. Nothing is downloaded")


class GeneratedConfig(Section):
    """Foregrounds generated from prompts, with complete shapes.

    The fields after `safety_filter` are for the two LayerDiffuse generators; a value left out is the publisher's own
    (`pipelines/foregrounds/layerdiffuse/settings.py`).
    """

    generator: Literal["rendered", "layerdiffuse", "layerdiffuse_flux"] = "rendered"
    """`rendered`: rendered objects, the stand-in for LayerDiffuse; its prompts are their names, one picture each, of
    their own size. `layerdiffuse`: on SDXL. `layerdiffuse_flux`: on FLUX.1 [dev], whose licence forbids commercial
    use."""
    rendered_folder: str = Field(
        "", description="of more rendered objects, named by code points such as 1f400.webp; empty = the packaged ones"
    )
    prompts_per_category: int = Field(6, ge=1, le=10_000)
    images_per_prompt: int = Field(1, ge=1, le=1000)
    num_shards: int = Field(2, ge=1, le=2000)
    size_px: int = Field(512, ge=64, le=2048, description="side of the square canvas")
    seed: int = Field(0, ge=0)
    safety_filter: SafetyFilterConfig = SafetyFilterConfig()

    height_px: int | None = Field(None, ge=64, le=2048, multiple_of=CELL_PX, description="instead of size_px")
    width_px: int | None = Field(None, ge=64, le=2048, multiple_of=CELL_PX, description="instead of size_px")
    base: str = Field("", description="owner/name[@revision] or folder of SDXL or FLUX.1, in diffusers' layout")
    weights: str = Field("", description="owner/name[@revision] or folder that holds LayerDiffuse's own files")
    variant: Literal["deltas", "lora"] | None = None
    """On SDXL `deltas`, differences added to the attention matrices, or a `lora` of rank 256 on the same; on FLUX.1 a
    LoRA is all there is."""
    num_steps: int | None = Field(None, ge=1, le=1000, description="25 on SDXL, 50 on FLUX.1")
    guidance: float | None = Field(None, ge=0.0, le=30.0, description="7.0 on SDXL, 3.5 on FLUX.1")
    negative_prompt: str = Field("bad, ugly", description="on SDXL; FLUX.1 [dev] takes none")
    batch_size: int = Field(0, ge=0, le=256, description="pictures in a batch; 0 = as many as GPU memory holds")
    device: str = Field("cuda", pattern=r"^(cpu|cuda(:\d+)?)$", description="cpu takes minutes a picture")
    dtype: Literal["float16", "bfloat16", "float32"] | None = None
    """Type of the weights: float16 on SDXL (its VAE then takes bfloat16, because it overflows), bfloat16 on FLUX.1."""

    @model_validator(mode="after")
    def _possible(self) -> "GeneratedConfig":
        if self.generator == "rendered":
            if self.height_px or self.width_px:
                raise ValueError("height_px and width_px are LayerDiffuse's; rendered objects have their own size")
            if self.images_per_prompt != 1:
                raise ValueError(f"images_per_prompt must be 1 for rendered objects, got {self.images_per_prompt}")
            return self
        if self.rendered_folder:
            raise ValueError(f"rendered_folder is for generator = 'rendered', got {self.generator}")
        if self.size_px % CELL_PX:
            raise ValueError(f"size_px must be a multiple of {CELL_PX} for {self.generator}, got {self.size_px}")
        if self.generator == "layerdiffuse_flux" and self.variant == "deltas":
            raise ValueError("variant must be lora for layerdiffuse_flux, which is published as nothing else")
        return self


_QUERY = re.compile(r"(api-version=[A-Za-z0-9.-]{1,40})?")
RequestField = Literal["seed", "temperature", "max_completion_tokens", "max_tokens", "response_format"]


def _plain_address(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError(f"must be empty or an http(s) address such as http://127.0.0.1:8000/v1, got {url!r}")
    if parts.username or parts.password or not _QUERY.fullmatch(parts.query) or parts.fragment:
        raise ValueError(
            "must hold no name, password or query besides ?api-version=...; a key comes from OPENAI_API_KEY"
        )
    return url.rstrip("/")


Price = Annotated[float, Field(ge=0.0, le=10_000.0)]


class PromptsConfig(Section):
    """Prompts: built in, or written by a language model. How many is `generated.prompts_per_category`."""

    source: Literal["builtin", "written"] = "builtin"
    """`written`: by `decoupage prompts write`, stored under `sources/prompts/` in the root."""
    model: str = Field(
        "gpt-5.4-mini-2026-03-17",
        min_length=1,
        description="a dated name always means the same model",
    )
    base_url: Annotated[str, AfterValidator(_plain_address)] = Field(
        "",
        description="address of a server with OpenAI's chat completions API; empty = OpenAI's own. Azure's ends in "
        "/openai/deployments/NAME?api-version=DATE, and gets the key as api-key",
    )
    request_fields: tuple[RequestField, ...] = Field(
        ("seed", "temperature", "max_completion_tokens", "response_format"),
        description="fields that the server takes; max_tokens is the older name of max_completion_tokens. A field that "
        "it refuses is left out for the rest of the run",
    )
    temperature: float | None = Field(None, ge=0.0, le=2.0, description="none = not sent: reasoning models refuse it")
    seed: int = Field(0, ge=0, lt=2**31, description="sent with each request, which adds its own number")
    per_request: int = Field(50, ge=1, le=500, description="number of prompts in one request")
    max_answer_tokens: int = Field(8192, ge=64, le=131_072, description="tokens of one answer, reasoning included")
    max_requests: int = Field(400, ge=1, le=100_000, description="number of answers paid for one list, over all runs")
    timeout_s: float = Field(120.0, gt=0.0, le=3600.0, description="time-out of one request")
    max_wait_s: float = Field(1800.0, ge=0.0, le=86_400.0, description="longest total wait of one request")
    batch: bool = Field(False, description="use the Batch API: cheaper, answers within 24 hours")
    poll_s: float = Field(30.0, ge=0.01, le=3600.0, description="seconds between two queries of a batch's status")
    usd_per_million_tokens_in: Price | None = Field(None, description="for the report; none = no cost is reported")
    usd_per_million_tokens_out: Price | None = Field(None, description="for the report; none = no cost is reported")

    @model_validator(mode="after")
    def _one_bound(self) -> "PromptsConfig":
        if {"max_tokens", "max_completion_tokens"} <= set(self.request_fields):
            raise ValueError("request_fields must name max_tokens or max_completion_tokens, not both")
        return self


class GateConfig(Section):
    """The limits of the filters that a cutout must pass to become a foreground (docs/sources.md)."""

    min_side_px: int = Field(48, ge=4, le=4096, description="shorter side of the alpha box")
    min_area_px: int | None = Field(
        None, ge=16, le=10_000_000, description="summed alpha / 255; left out = what the smallest size class needs"
    )
    coverage: tuple[Share, Share] = (0.12, 0.97)
    """Share of the alpha box that the cutout covers: wires and dust cover less, plain rectangles more."""
    border_tolerance: float = Field(
        0.015, ge=0.0, le=0.1, description="share of the picture's side: a straight end this near to its border is cut"
    )
    min_straight_share: float = Field(
        0.25, ge=0.05, le=1.0, description="share of the box's side that such an end must lie on"
    )
    max_cut_share: Share = Field(0.4, description="share of the box's outline that may lie on the picture's border")
    """A bust cut straight at the bottom has 0.2 to 0.3, a full picture 1; cuts on opposite sides are always refused."""
    max_island_share: Share = Field(0.12, description="share of the area outside the largest connected part")
    max_haze_share: Share = Field(0.8, description="share of visible pixels with alpha below 64; glass has 0.6")

    @model_validator(mode="after")
    def _ordered(self) -> "GateConfig":
        check_range("coverage", self.coverage)
        return self
