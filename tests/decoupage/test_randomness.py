"""Draws depend on their names only."""

import subprocess
import sys
from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from decoupage.randomness import digest, generator, hash64


def test_the_same_names_give_the_same_stream():
    assert (generator(3, "scenes", "00000001").random(8) == generator(3, "scenes", "00000001").random(8)).all()


def test_each_name_matters():
    first = {float(generator(*names).random()) for names in product((3, 4), ("scenes", "masks"), ("a", "b"))}
    assert len(first) == 8


@given(st.lists(st.text(max_size=6), max_size=4), st.lists(st.text(max_size=6), max_size=4))
def test_parts_are_joined_without_confusion(one, two):
    assert (digest(*one) == digest(*two)) == (one == two)


def test_hashes_are_uniform():
    values = np.array([hash64("ring", i) for i in range(4000)], np.uint64)
    counts = np.bincount((values >> np.uint64(60)).astype(int), minlength=16)
    # 250 expected in each of 16 bins; 5 standard deviations.
    assert abs(counts - 250).max() < 5 * np.sqrt(250)


def test_streams_do_not_move():
    """Data sets in the field were drawn from these; a change (here or in numpy) would change their bytes."""
    assert hash64("ring", 1) == 0xBD7810A4AA98B5DC
    assert generator(7, "scenes", "00000000").integers(0, 1000, 4).tolist() == [698, 3, 784, 448]


def test_another_process_draws_the_same():
    program = (
        "from decoupage.randomness import generator; print(generator(3, 'scenes', 'x').integers(0, 2**60, 3).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(generator(3, "scenes", "x").integers(0, 2**60, 3).tolist())
