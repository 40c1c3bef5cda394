"""What the model costs: operations and parameters anywhere, time and memory where there is a GPU.

    python benchmarks/bench_model.py [--size-px 1024] [--steps 30] [--repeats 5] [--peak-tflops 989] [--json]

Network and fusion have FLUX.1-Fill's real geometry and an adapter of rank 256, with random weights. Operations are
counted on torch's meta device, where nothing is computed, by `FlopCounterMode` over the product's own
`predict_layers`; a multiplication and an addition are two. Matrix products and attention count, elementwise work
does not. One sample is one picture, both its halves; codec, text encoders and fusion are apart.

- `forward_tflop_*`: one call of the network. `*_joint` and `*_batch` are the two ways through it.
- `training_tflop_*`: forward and backward as autograd runs them: gradients of activations everywhere, of weights only
  where they are trained (LoRA and projection), attention's backward twice its forward. At 1024 px, joint:
  112.4 base + 13.5 LoRA + 53.1 attention forward; 2 x 112.4 + 3 x 13.5 + 3 x 53.1 = 424.5 with the backward.
- `*_mfu_percent`: those operations / time / `--peak-tflops` (989 = H100 or H200, bf16 dense). What is computed twice,
by checkpointing or within attention's backward, counts once, so the figure changes with time only.
- `*_ms`: median of one micro-batch of 1, without the optimizer. `forward_backward_*` leaves the adapter in fp32 under
  autocast, `*_bf16_adapter_*` holds it in bf16, as do all `forward_*` (sampling). `compiled` = each repeated block,
  `checkpointed` = every block, `flash`, `cudnn`, `efficient`, `math` = attention kernel (else torch chooses).
- `pipeline_to_bare_calls_ratio`: a whole picture in `--steps` steps against so many calls of the network.

A figure that was not measured is null and is listed in `not_measured`; `notes` says why an attempt failed.
"""

import argparse
import json
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.model_geometry import (
    Geometry,
    backward,
    count_parameters,
    forward,
    make_fusion,
    make_network,
    make_sample,
)
from benchmarks.model_timing import Figures, figure_names, release, time_network
from benchmarks.pipeline_timing import NAMES as PIPELINE_NAMES
from benchmarks.pipeline_timing import time_pipeline
from decoupage.sequences import Mode

TERA, GIGA = 1e12, 1e9
H200_TFLOPS = 989.0


def count(geometry: Geometry) -> Figures:
    """Operations and parameters, on the meta device."""
    network = make_network(geometry, "meta", torch.bfloat16, torch.bfloat16)
    sample = make_sample(geometry, "meta", torch.bfloat16)
    figures: Figures = dict(count_parameters(network, geometry.base))
    modes: tuple[Mode, ...] = ("joint", "batch")
    for mode in modes:
        with FlopCounterMode(display=False) as counter:
            predicted = forward(geometry, network, sample, mode)
        figures[f"forward_tflop_{mode}"] = counter.get_total_flops() / TERA
        with FlopCounterMode(display=False) as backward_counter:
            backward(network, predicted)
        both = counter.get_total_flops() + backward_counter.get_total_flops()
        figures[f"training_tflop_{mode}"] = both / TERA
    return figures | _count_fusion(geometry)


def _count_fusion(geometry: Geometry) -> Figures:
    """The fusion of all maps of one picture, computed once per picture."""
    # The counter cannot follow a view of a trained tensor without gradients, so nothing is trained here.
    fusion = make_fusion(geometry, "meta", torch.bfloat16).requires_grad_(requires_grad=False)
    tokens_BND = make_sample(geometry, "meta", torch.bfloat16).noisy_BND
    with FlopCounterMode(display=False) as counter:
        fusion(tokens_BND, dict.fromkeys(geometry.adapter.maps, tokens_BND), geometry.grid)
    parameters = sum(parameter.numel() for parameter in fusion.parameters())
    return {"fusion_parameters": parameters, "fusion_gflop": counter.get_total_flops() / GIGA}


def measure(geometry: Geometry, steps: int, repeats: int, peak_tflops: float) -> dict[str, Any]:
    """All figures, and what could not be measured here."""
    figures = count(geometry)
    timed: Figures = dict.fromkeys((*figure_names(), *PIPELINE_NAMES))
    notes: dict[str, str] = {}
    device = "none"
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
        mode = geometry.adapter.mode
        tflop = {False: figures[f"forward_tflop_{mode}"], True: figures[f"training_tflop_{mode}"]}
        network_figures, notes = time_network(geometry, "cuda", repeats, tflop, peak_tflops)
        timed |= network_figures
        try:
            timed |= time_pipeline(geometry, "cuda", steps, repeats, torch.bfloat16)
        except torch.OutOfMemoryError:
            notes["pipeline"] = "out of memory"
        release()
    settings = {"size_px": geometry.size_px, "steps": steps, "repeats": repeats, "peak_tflops": peak_tflops}
    rounded = {
        name: round(value, 3) if isinstance(value, float) else value for name, value in (figures | timed).items()
    }
    missing = [name for name, value in timed.items() if value is None]
    return settings | {"gpu": device, "torch": torch.__version__} | rounded | {"not_measured": missing, "notes": notes}


def main() -> None:
    """Print the figures, one per line or as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-px", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=30, help="sampling steps for a whole picture")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs; the median counts")
    parser.add_argument("--peak-tflops", type=float, default=H200_TFLOPS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    geometry = Geometry(size_px=arguments.size_px)
    figures = measure(geometry, arguments.steps, arguments.repeats, arguments.peak_tflops)
    if arguments.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:48} {value}" for name, value in figures.items() if value not in (None, {}, [])))


if __name__ == "__main__":
    main()
