"""A server of layers in a thread, on a free port of loopback, around the packaged model."""

import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from PIL import Image

from decoupage.asked_model import AskedModel
from decoupage.selection.objects import Networks
from decoupage.serve.api import serve_app
from decoupage.serve.asked import Served
from decoupage.serve.connections import address_of
from decoupage.serve.jobs import Jobs, Limits
from decoupage.serve.server import make_server
from tests.browser import wait

HEIGHT, WIDTH = 96, 128
TOKEN = "0123456789abcdef-token"


@cache
def packaged():
    asked = AskedModel(None, None, "auto", torch.device("cpu"), torch.float32)
    pipe = asked.load()
    pipe.set_progress_bar_config(disable=True)
    return Served(asked, pipe, Networks())


class Gated:
    """A model whose steps wait to be let go."""

    def __init__(self, served):
        self.served, self.gate, self.is_open = served, threading.Semaphore(0), False

    def __getattr__(self, name):
        return getattr(self.served, name)

    def work(self, asked, out, after_step):
        def after():
            if not self.is_open:
                assert self.gate.acquire(timeout=60)
            after_step()

        self.served.work(asked, out, after)

    def open(self):
        self.is_open = True
        self.gate.release(1000)


@dataclass
class Serving:
    url: str
    jobs: Jobs
    server: object
    folder: object


@contextmanager
def serving(folder, served=None, limits=None, token=None, port=0):
    """Gives the server: its address, its jobs, their folder."""
    served = served or packaged()
    jobs = Jobs(served.work, folder, limits or Limits())
    with socket.create_server(("127.0.0.1", port)) as listening:
        server = make_server(serve_app(served, jobs, token=token), jobs)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        wait(lambda: server.started, "the server to start")
        try:
            yield Serving(address_of(listening).rstrip("/"), jobs, server, folder)
        finally:
            server.should_exit = True
            if isinstance(served, Gated):
                jobs.end()
                served.open()
            thread.join(30)
            assert jobs.close(30)


def photograph(folder):
    """photo.png and mask.png in a folder: a red disc before green noise."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 60, (HEIGHT, WIDTH, 3), dtype=np.uint8) + np.array([0, 120, 0], np.uint8)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    disc = (x - 60) ** 2 + (y - 50) ** 2 < 25**2
    rgb[disc] = (200, 30, 30)
    Image.fromarray(rgb).save(folder / "photo.png")
    Image.fromarray(disc).save(folder / "mask.png")
    return folder / "photo.png", folder / "mask.png"
