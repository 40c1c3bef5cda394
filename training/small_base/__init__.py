"""Training of the small base that the product ships: an inpainting model of FLUX.1-Fill's classes, from photographs.

Here: photographs, holes, the task, its figures. The network and its VAE are in `decoupage.bases.small`; the loop is
that of all tasks.
"""
