"""Foregrounds by LayerDiffuse: a diffusion model whose decoder gives colour and alpha of one object.

What is here loads the published files by name and runs them through diffusers. `generator.py`, `settings.py` and
`safety.py` may be imported anywhere; the other modules import torch, and are imported where something is painted.

Source: Zhang & Agrawala, Transparent Image Layer Diffusion using Latent Transparency (2024);
https://github.com/lllyasviel/LayerDiffuse_DiffusersCLI (SDXL), https://github.com/RedAIGC/Flux-version-LayerDiffuse.
"""
