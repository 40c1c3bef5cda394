"""A run from the name of its recipe to its export: the one entry point, for the command line and Dagster's process."""

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decoupage.faults import BadSetup
from pipelines.commercial import refuse
from pipelines.config import MasksConfig
from pipelines.stages.working import WorkingFolder
from training.alone import alone_in
from training.config import RunConfig, TrainingConfig, with_changes
from training.exports import IDENTITY, exported_identity, identity_beside, run_name
from training.licences import FILE as LICENCES
from training.licences import Licences, Sources, pair_uses, shard_uses, sources_of
from training.pairs import find_pairs
from training.recipes import find_recipe
from training.remote import Remote, begun_elsewhere, fetch_if_there, local_name, put_anew
from training.rgba_vae.card import require_acceptable
from training.rgba_vae.config import RgbaVaeConfig, how_to_train
from training.small_base.config import SmallBaseConfig

if TYPE_CHECKING:
    from accelerate import Accelerator

    from training.loop import Outcome
    from training.task import Place, Task

_log = logging.getLogger(__name__)
SHIPPED = "shipped"
"""Name of the adapter that comes with the package."""


@dataclass(frozen=True)
class RunPlan:
    """A requested run: recipe, data, weights, and how it starts.

    Attributes:
        recipe: name of a recipe in `training.recipes`.
        out: folder of the run.
        data: folder of shards; for the small base, folders of photographs in addition to the packaged ones.
        base: folder or hub id of the base's weights; None = the published ones.
        rgba_vae: folder of a trained RGBA VAE; only adapters need one.
        masks: errors to draw new masks with, as the data's profile sets them.
        changes: values that differ from the recipe, by dotted key.
        resume: continue from the newest checkpoint, if there is one.
        warm_start: checkpoint to start from with its weights alone.
        start: published adapter to start from, a folder, a hub id or `shipped`; None = a new one.
        device: `auto`, `cpu` or `cuda`.
        commercial: refuse whatever forbids commercial use.
        num_processes: number of processes that it is to have; None = as many as there are.
        home: the folder of the run in an object store, of which `out` is the machine's copy; None = `out` is all.
    """

    recipe: str
    out: Path
    data: tuple[str, ...] = ()
    base: str | None = None
    rgba_vae: str | None = None
    masks: MasksConfig = field(default_factory=MasksConfig)
    changes: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False
    warm_start: Path | None = None
    start: str | None = None
    device: str = "auto"
    commercial: bool = False
    num_processes: int | None = None
    home: WorkingFolder | None = None

    def config(self) -> RunConfig:
        """The recipe with the changes. Raises ValueError: unknown recipe or key, impossible value."""
        return with_changes(find_recipe(self.recipe), self.changes)

    def shown(self, path: Path) -> str:
        """Where people find a path below `out`: in the object store, if there is one."""
        home = self.home
        return home.store.url(f"{home.folder}/{path.relative_to(home.path).as_posix()}") if home else str(path)


def on_this_machine(plan: RunPlan) -> RunPlan:
    """The plan with folders of this machine in place of those in object stores, whose weights are fetched.

    Raises:
        BadSetup: one of them is not there.
    """
    store = plan.home.store if plan.home else None
    out = plan.home.path if plan.home else plan.out
    base, rgba_vae = (local_name(name, store) for name in (plan.base, plan.rgba_vae))
    return replace(plan, out=out, base=base, rgba_vae=rgba_vae, start=start_folder(plan.start))


def start_folder(start: str | None) -> str | None:
    """Folder on this machine of the published adapter that a run starts from. Raises BadSetup: it is not there."""
    if start is None:
        return None
    from decoupage.publishing.finding import find_folder  # Knows diffusers.
    from decoupage.publishing.packaged import shipped_adapter

    try:
        return str(shipped_adapter() if start == SHIPPED else find_folder(start))
    except ValueError as error:
        raise BadSetup(f"there is no adapter to start from: {error}") from error


def train(plan: RunPlan) -> "Outcome":
    """Run a recipe to its end, or until a signal asks to stop; a finished run exports to `<out>/export`.

    Raises:
        BadSetup: something is missing or does not fit, or another process trains there; nothing was started.
        Diverged: a loss, a gradient or the weights were not finite.
    """
    plan = on_this_machine(plan)
    if plan.home is not None:
        begun_elsewhere(plan.home)
    licences = _permitted(plan).licences
    from training.loop import export, fit
    from training.preflight import advice_on_memory

    with alone_in(plan.out, plan.home), advice_on_memory(plan.config(), plan.device, plan.base):
        accelerator, task = _ready(plan, licences)
        remote = _begun(plan.out, plan.home, licences, accelerator.is_main_process)
        outcome = fit(task, accelerator, plan.out, plan.resume, plan.warm_start, remote)
        if remote is not None and accelerator.is_main_process:
            remote.home.put("tensorboard")  # Its last figures are written when the run has ended.
        if outcome.status == "done":
            whole = export(task, outcome, accelerator, plan.out)
            if plan.home is not None and accelerator.is_main_process:
                put_anew(plan.home, "export")
            _log.info("exported to %s", plan.shown(whole))
    return outcome


def train_current(plan: RunPlan) -> "Outcome | None":
    """Train from what is there now, in `<out>/runs/<identity>`; the export becomes `<out>/export`.

    The identity names recipe, data and weights. An interrupted run of the same identity continues; a run of another
    identity is left alone, and a new run begins. Returns None when the present export has this identity: nothing was
    done.

    Raises:
        BadSetup, Diverged: as `train`.
    """
    from training.preflight import advice_on_memory

    plan = on_this_machine(plan)
    with advice_on_memory(plan.config(), plan.device, plan.base):
        return _trained(plan)


def _trained(plan: RunPlan) -> "Outcome | None":
    licences = _permitted(plan).licences
    accelerator, task = _ready(plan, licences)
    from training.loop import export, fit

    key = run_name(task.identity)
    if _has_export(plan, dict(task.identity)):
        return None
    folder = plan.out / "runs" / key
    home = WorkingFolder(plan.home.store, f"{plan.home.folder}/runs/{key}") if plan.home else None
    with alone_in(folder):
        remote = _begun(folder, home, licences, accelerator.is_main_process)
        outcome = fit(task, accelerator, folder, resume=True, remote=remote)
        if remote is not None and accelerator.is_main_process:
            remote.home.put("tensorboard")
        if outcome.status == "done":
            whole = export(task, outcome, accelerator, folder)
            if accelerator.is_main_process:
                _publish(whole, plan, dict(task.identity))
    return outcome


def _begun(folder: Path, home: WorkingFolder | None, licences: Licences, is_main: bool) -> Remote | None:
    """Write the licences down, by which an object store knows that there is a run; returns the run's folder there."""
    remote = Remote(home) if home is not None else None
    if is_main:
        if remote is not None:
            remote.begin()
        licences.write(folder)
        if remote is not None:
            remote.home.put(LICENCES)
    return remote


def _permitted(plan: RunPlan) -> Sources:
    """What the run is made from, checked to exist and to be permitted; nothing is loaded or written."""
    _check_data(plan, plan.config())
    sources = run_sources(plan)
    if plan.commercial:
        refuse(sources.obstacles)
    return sources


def _ready(plan: RunPlan, licences: Licences) -> "tuple[Accelerator, Task]":
    """Accelerator and task; all faults are found before the first step."""
    config = plan.config()
    from training.loop import make_accelerator, place_of
    from training.preflight import check_machine
    from training.processes import accelerate_asks_for_fsdp, check_processes

    if accelerate_asks_for_fsdp():
        config = with_changes(config, {"compute.sharded": True})
    accelerator = make_accelerator(config, plan.device)
    check_processes(plan.num_processes, accelerator.num_processes)
    check_machine(config, accelerator.device, accelerator.num_processes, plan.out, source=plan.base)
    return accelerator, build_task(plan, config, place_of(accelerator), licences)


def run_sources(plan: RunPlan) -> Sources:
    """All that a run is made from, with its licences: base, samples, and the weights that it takes over.

    Raises:
        BadSetup: the data hold no shards, pairs or photographs, as the recipe asks for them.
        ValueError: the licences that earlier weights state cannot be read.
    """
    config = plan.config()
    earlier = [("--rgba-vae", Path(plan.rgba_vae))] if plan.rgba_vae else []
    earlier += [("--warm-start", plan.warm_start)] if plan.warm_start else []
    earlier += [("--start", Path(plan.start))] if plan.start else []
    # Also where --resume is off: the run is refused then, and what its folder states must stay.
    earlier += [("--resume", plan.out / "checkpoints")] if (plan.out / "checkpoints").is_dir() else []
    if isinstance(config, SmallBaseConfig):
        from training.small_base.photographs import photograph_uses

        return sources_of(None, None, photograph_uses(plan.data, config.photographs.held_out), earlier)
    if isinstance(config, RgbaVaeConfig):
        return sources_of(config.base, plan.base, shard_uses(plan.data), earlier)
    assert isinstance(config, TrainingConfig)
    samples = list(shard_uses(plan.data))
    if share := config.data.pairs_share:
        samples += pair_uses(find_pairs(plan.data[0], share))
    return sources_of(config.adapter.base, plan.base, samples, earlier)


def _has_export(plan: RunPlan, identity: Mapping[str, str]) -> bool:
    """Whether the export in use is this run's; in an object store, it is fetched then."""
    if plan.home is not None:
        fetch_if_there(plan.home, IDENTITY)
        if identity_beside(plan.out) == identity:
            fetch_if_there(plan.home, "export")
    return exported_identity(plan.out) == identity


def _publish(whole: Path, plan: RunPlan, identity: dict[str, str]) -> None:
    """Copy a run's export to `<out>/export`; its identity is removed first and written last."""
    out = plan.out
    partial, final = out / ".export.partial", out / "export"
    (out / IDENTITY).unlink(missing_ok=True)
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(whole, partial)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    (out / IDENTITY).write_text(json.dumps(identity, indent=1), encoding="utf-8")
    if plan.home is not None:
        put_anew(plan.home, "export", IDENTITY)


def build_task(plan: RunPlan, config: RunConfig, place: "Place", licences: Licences) -> "Task":
    """The task that a configuration describes, with its data and weights; its export states the licences."""
    if isinstance(config, SmallBaseConfig):
        from training.small_base.photographs import read_photographs
        from training.small_base.task import SmallBaseTask

        photographs = read_photographs(plan.data, config.photographs.size_px)
        return SmallBaseTask(config, photographs, place, licences)
    if isinstance(config, RgbaVaeConfig):
        from training.rgba_vae.task import build

        return build(config, plan.data[0], plan.base, place, licences)
    assert isinstance(config, TrainingConfig)
    from decoupage.publishing.card import CardFacts
    from training.adapter.start import starting_pipeline
    from training.adapter.task import AdapterTask

    assert plan.rgba_vae is not None
    pipe = starting_pipeline(config, plan.base, plan.rgba_vae, place.device, plan.start)
    return AdapterTask(
        config, plan.data[0], pipe, plan.masks, place, CardFacts(data_licences=licences.data), plan.start
    )


def _check_data(plan: RunPlan, config: RunConfig) -> None:
    """Raise BadSetup where the plan's data and weights are not what its recipe needs."""
    if isinstance(config, SmallBaseConfig):
        return
    if len(plan.data) != 1:
        raise BadSetup(f"recipe {plan.recipe} needs one folder of shards (--data), got {len(plan.data)}")
    if isinstance(config, TrainingConfig) and not plan.rgba_vae:
        raise BadSetup(
            f"recipe {plan.recipe} needs a trained RGBA VAE (--rgba-vae FOLDER): make one with "
            f"`{how_to_train(config.adapter.base, plan.data[0])}`, it is in runs/rgba_vae/export"
        )
    if plan.rgba_vae:
        require_acceptable(Path(plan.rgba_vae))
