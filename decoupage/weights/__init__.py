"""Files of weights: where they are, whether they are whole, their hashes, and the fix when some are missing.

They come in three forms: a model in diffusers' layout (`models.py`), named files of a Hub repository (`hub.py`), and
one file by its path and hash (`files.py`). Each answers `find`, `fault`, a hash, and `fix`. Nothing is downloaded or
loaded here, and importing it brings no torch.
"""
