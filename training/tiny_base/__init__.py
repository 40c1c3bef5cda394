"""Teaching the small base that the product ships: an inpainting model of FLUX.1-Fill's classes, from photographs.

Here: photographs, holes, the task, its figures. The network and its codec are `decoupage.bases.tiny`; the loop is
everybody's.
"""
