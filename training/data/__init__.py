"""Feeding the training: shards in, batches of triplets as tensors out, in an order that is a function of the seed.

What a triplet is and how it is stored belongs to `pipelines`; losses and noise belong to the loop.
"""

from training.data.config import DataLoading
from training.data.index import SceneIndex, open_index
from training.data.loader import TripletLoader
from training.data.triplets import TripletBatch, TripletSample

__all__ = ["DataLoading", "SceneIndex", "TripletBatch", "TripletLoader", "TripletSample", "open_index"]
