"""Adapters as folders that ordinary diffusers users load: writing, reading, the remove-only export, the model card.

A published folder (or the Hugging Face Hub repository made of it) holds

- `pytorch_lora_weights.safetensors`: LoRA and projection, as diffusers' `load_lora_weights` takes them;
- `prompt.safetensors`: the embedding of the empty prompt, where the base knows text;
- `fusion/` and `vae_rgba/`: models as `save_pretrained` writes them;
- `pipeline.py`: for `DiffusionPipeline.from_pretrained(BASE, custom_pipeline=FOLDER, trust_remote_code=True)`;
- `adapter.json`: what the adapter is, and the sha256 of all of the above;
- `README.md`: the model card.
"""

from decoupage.publishing.card import CardFacts
from decoupage.publishing.loading import LoadedAdapter, attach_adapter, load_adapter
from decoupage.publishing.packaged import shipped_adapter
from decoupage.publishing.saving import export_remove_only, save_adapter

__all__ = [
    "CardFacts",
    "LoadedAdapter",
    "attach_adapter",
    "export_remove_only",
    "load_adapter",
    "save_adapter",
    "shipped_adapter",
]
