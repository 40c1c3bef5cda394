"""The data loader of training: shards in, batches of triplets as tensors out, in an order fixed by the seed.

What a triplet is and how it is stored is defined in `pipelines`; losses and noise are the tasks'.
"""

from training.data.config import DataLoading
from training.data.index import SceneIndex, open_index
from training.data.loader import TripletLoader
from training.data.triplets import TripletBatch

__all__ = ["DataLoading", "SceneIndex", "TripletBatch", "TripletLoader", "open_index"]
