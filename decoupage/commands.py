"""`decoupage decompose`: a picture and what is meant in it, or many of them, in; layers as files out.

Thin: reads pictures, has `taking_apart` run the pipeline and write the files, and prints a summary. `commands.main`
mounts it; wrong input is a ValueError, which it turns into exit status 2.
"""

import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from decoupage.asked_model import AskedModel, place_of, planned_place_of
from decoupage.placing import Placing
from decoupage.text_files import printable

if TYPE_CHECKING:
    import torch

    from decoupage.many import Item, Outcome
    from decoupage.selection.objects import Networks
    from decoupage.taking_apart import Settings


MAX_SEED = 2**64 - 1
MUCH_LARGER = 2
"""A photograph that is so many times larger than what the model works at gets a warning."""


def decompose(  # noqa: PLR0913, PLR0917 - one argument for each option
    image: Annotated[
        Path | None,
        typer.Argument(exists=True, help="The picture; or a folder of pictures, or a list of them, *.jsonl."),
    ] = None,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="Folder to write to.")] = None,
    mask: Annotated[
        list[Path] | None,
        typer.Option(exists=True, help="Mask of the object. Repeated: several objects, front to back."),
    ] = None,
    box: Annotated[
        list[str] | None, typer.Option(help="LEFT,TOP,RIGHT,BOTTOM around the object, in pixels. Repeated: as --mask.")
    ] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(help="X,Y on the object, in pixels; -X,Y beside it. Repeated: more of the same object."),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(help='Words for the object, such as "the red car". Repeated: as --mask.'),
    ] = None,
    segmenter: Annotated[
        str | None, typer.Option(help="SAM 2, a folder or Hub id: it makes masks of boxes, points and words.")
    ] = None,
    detector: Annotated[
        str | None, typer.Option(help="Grounding DINO, a folder or Hub id: it finds words. By default the tiny one.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All objects that --segmenter finds, each a layer, the nearest first.")
    ] = False,
    refine: Annotated[
        bool, typer.Option("--refine", help="Draw what is in a --box to its outline, by colour.")
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="Folder of a published adapter; by default the small one that is packaged.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="Base model instead of the one that the adapter names.")] = None,
    prompt: Annotated[str, typer.Option(help="What the picture shows; may stay empty.")] = "",
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps; by default the adapter's own.")] = None,
    maps: Annotated[str, typer.Option(help="auto = made as the adapter says | none | folder of PNGs")] = "auto",
    guidance: Annotated[float, typer.Option(min=0.0, help="Guidance scale; adapters are trained at 1.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the noise, the same on every device.")] = 0,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda | cuda:1 | mps")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto (float32 on a CPU, else bfloat16) | float32 | ...")] = "auto",
    offload: Annotated[
        str, typer.Option(help="Kept off the GPU until it computes: none | model | group | sequential")
    ] = "none",
    quantise: Annotated[str, typer.Option(help="Weights of network and T5: none | int8 | nf4 | fp8")] = "none",
    plan: Annotated[bool, typer.Option("--plan", help="Only say what fits the GPU; no picture, no download.")] = False,
    gpu_gb: Annotated[float | None, typer.Option(help="With --plan: memory of another GPU than the one here.")] = None,
    psd: Annotated[bool, typer.Option("--psd", help="Also write layers.psd.")] = False,
    ora: Annotated[bool, typer.Option("--ora", help="Also write layers.ora (OpenRaster).")] = False,
    paste_back: Annotated[bool, typer.Option(help="Keep pixels away from the masks exactly as they were.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print layers.json instead of a summary.")] = False,
) -> None:
    """Take a picture apart: writes background.png, foreground.png (RGBA), recomposition.png and layers.json.

    The object is pointed out by a mask, a box, points or words. Without --segmenter colours alone decide what
    in a box or around a point belongs to it. The mask that was used is written to used-mask.png.

    Maps are edges.png (1 bit), segmentation.png (8-bit labels) and depth.png (8 or 16 bit, bright = near), any of them.
    Several objects are removed one after another, front to back, into foreground-1.png, foreground-2.png, ...;
    foreground.png then holds all of them. Objects are complete; what covers one is written to in-front.png.
    Orientation tags are applied to photographs and masks; outputs carry the photograph's colour profile.

    A card that is smaller than the model takes --offload and --quantise; --plan says which of them.

    Of many pictures each has a folder in OUT; --mask is then a folder, with a mask of the same name for each. What is
    done is not done again, and what cannot be done is listed in failures.jsonl (exit status 1).
    """
    placing = Placing(offload, quantise)
    if plan:
        _plan(AskedModel(model, base, maps, *planned_place_of(dtype), placing, bool(prompt)), gpu_gb, as_json=as_json)
        return
    image, out = _given(image, out, gpu_gb)
    place, precision = place_of(device, dtype)
    placing.check(place)
    _check_text_and_numbers(prompt, guidance)
    from decoupage.inputs import read_maps, read_photograph
    from decoupage.many import is_many, items_of
    from decoupage.results import check_formats, check_inputs, text_of, write_report
    from decoupage.selection.objects import Networks, Wanted, select
    from decoupage.taking_apart import Settings, ordered, take_apart

    asked = AskedModel(model, base, maps, place, precision, placing, bool(prompt))
    networks = Networks(segmenter, detector, str(place))
    settings = Settings(prompt, steps, guidance, seed, paste_back, psd, ora)
    if is_many(image):
        said: dict[str, Any] = {"masks": mask or (), "boxes": box or (), "points": point or (), "texts": text or ()}
        said["everything"] = everything
        _many(items_of(image, said, refine=refine), settings, out, networks, asked, as_json=as_json)
        return
    wanted = Wanted(mask or (), box or (), point or (), text or (), everything, refine)
    photograph = read_photograph(image)
    given = None if maps in ("auto", "none") else read_maps(Path(maps))
    objects = select(wanted, photograph, networks)
    height, width = photograph.size
    check_formats((width, height), psd=psd)
    check_inputs(out, [image, *wanted.masks])
    _make_folder(out)
    started_s = time.perf_counter()
    pipe = asked.load()
    load_s = round(time.perf_counter() - started_s, 3)
    if everything:
        objects = ordered(pipe, photograph, objects, given)
    _warn_of_size(pipe, (height, width))
    found = take_apart(pipe, photograph, objects, given, settings, out)
    report = {
        **found,
        **asked.said,
        "image": text_of(image),
        "seconds": {"load": load_s, **found["seconds"]},
        "peak_memory_bytes": _peak_memory_bytes(place),
    }
    write_report(out, report)
    print(json.dumps(report) if as_json else _summary(report, out))


def _many(
    items: "Sequence[Item]", settings: "Settings", out: Path, networks: "Networks", asked: AskedModel, *, as_json: bool
) -> None:
    """Take many pictures apart, with a bar in a terminal. Exits with status 1 where one cannot be done."""
    from tqdm import tqdm

    from decoupage.fingerprint import fingerprint
    from decoupage.many import FAILURES, take_apart_many
    from decoupage.publishing.finding import find_folder
    from decoupage.publishing.folder import read_manifest

    if asked.maps not in ("auto", "none"):
        raise ValueError("--maps must be auto or none for many pictures: a folder holds the maps of one")
    networks.load(texts=any(item.wanted.texts for item in items))
    _make_folder(out)
    pipe, started_s = asked.load(), time.perf_counter()
    pipe.set_progress_bar_config(disable=True)
    files = read_manifest(find_folder(asked.adapter), check_sums=False).files
    common = {**asked.said, "adapter": fingerprint(files)}
    # In a log the bar has a line a minute.
    with tqdm(total=len(items), unit="picture", mininterval=0.1 if sys.stderr.isatty() else 60) as bar:

        def after_each(outcome: "Outcome") -> None:
            if outcome.state == "failed":
                bar.write(f"{printable(str(outcome.item.image))}: {outcome.detail}", file=sys.stderr)
            bar.update()

        counts = take_apart_many(pipe, items, settings, out, networks, common, after_each)
    made, there, failed = (counts[state] for state in ("made", "there", "failed"))
    report = {"made": made, "there": there, "failed": failed, "seconds": round(time.perf_counter() - started_s, 3)}
    where = printable(str(out))
    text = f"{made} made, {there} there already, {failed} failed, in {where}, {report['seconds']} s"
    print(json.dumps(report) if as_json else text + (f"; {where}/{FAILURES} says why" if failed else ""))
    if failed:
        raise typer.Exit(1)


def _plan(asked: AskedModel, gpu_gb: float | None, *, as_json: bool) -> None:
    """Print what fits. Raises ValueError: the card is not known."""
    from decoupage.plan import plan

    if gpu_gb is not None and not 0 < gpu_gb < math.inf:
        raise ValueError(f"--gpu-gb must be a number above 0, got {gpu_gb}")
    found = plan(asked, gpu_gb)
    print(json.dumps(found.to_dict()) if as_json else found.to_text())


def _given(image: Path | None, out: Path | None, gpu_gb: float | None) -> tuple[Path, Path]:
    """Picture and folder, which only --plan does without."""
    if image is None or out is None:
        lacking = "a picture" if image is None else "--out, the folder to write to"
        raise ValueError(f"decompose needs {lacking}; only --plan does without")
    if gpu_gb is not None:
        raise ValueError("--gpu-gb says for which GPU to plan; give it with --plan")
    return image, out


def _check_text_and_numbers(prompt: str, guidance: float) -> None:
    if not math.isfinite(guidance):
        raise ValueError(f"--guidance must be a finite number, got {guidance}")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"--prompt is not UTF-8 text: {printable(prompt)}") from error


def _warn_of_size(pipe: Any, size_px: tuple[int, int]) -> None:
    """Print a warning where the model sees a much smaller picture than one of a size, (height, width)."""
    from decoupage.own_size import enlargement
    from decoupage.taking_apart import geometry_of

    geometry = geometry_of(pipe, size_px)
    if (times := enlargement(geometry)) > MUCH_LARGER:
        own, seen = (f"{width}x{height} px" for height, width in (geometry.input_px, geometry.content_px))
        print(
            f"warning: the model works at {seen}, the photograph has {own}: what was hidden, and what lies behind the "
            f"object, is invented at that size and enlarged {times:.1f} times, so it has no fine detail; what shows of "
            "the object keeps the photograph's own",
            file=sys.stderr,
        )


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise ValueError(f"--out {printable(str(out))} cannot be made or written to: {error.strerror}") from error


def _peak_memory_bytes(place: "torch.device") -> int:
    """Peak memory: of tensors on the GPU where there is one, else of the whole process."""
    import resource

    import torch

    if place.type == "cuda":
        return int(torch.cuda.max_memory_allocated(place))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB.


def _summary(report: dict[str, Any], out: Path) -> str:
    what = f"{len(report['objects'])} foreground(s) and a background of {printable(report['image'])}"
    lines = [f"{what} in {printable(str(out))}"]
    for layer in report["layers"]:
        box = "nothing visible" if layer["box_px"] is None else "{}, {} to {}, {} px".format(*layer["box_px"])
        lines.append(f"  {layer['file']}: {layer['name']}, {box}")
    lines += [f"  {file}" for kind, file in report["files"].items() if kind in ("psd", "ora")]
    lines += [f"  {each['mask_used']}: the mask that was used of {each['name']}" for each in report["objects"]]
    error, seconds = report["recomposition_error"], report["seconds"]
    if report["maps"]:
        lines.append("maps: " + ", ".join(f"{name} by {maker}" for name, maker in report["maps"].items()))
    psnr = "exact" if error["psnr_db"] is None else f"{error['psnr_db']:.1f} dB"
    lines.append(f"recomposition: {error['mean_absolute_levels']:.2f} levels off on average, {psnr}")
    lines.append(
        f"{seconds['decompose']:.1f} s on {report['device']} ({report['dtype']}), {seconds['load']:.1f} s to load, "
        f"peak memory {report['peak_memory_bytes'] / 1e9:.2f} GB"
    )
    return "\n".join(lines)
