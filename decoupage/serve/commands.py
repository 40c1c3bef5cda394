"""`decoupage serve`: what is asked for is checked, the model is loaded, and then the server listens."""

import logging
import os
from typing import Annotated

import typer

from decoupage.asked_model import AskedModel, place_of
from decoupage.faults import BadSetup
from decoupage.placing import Placing
from decoupage.requirements import install_line

_LIBRARIES = ("h11", "python_multipart", "starlette", "uvicorn")


def serve(  # noqa: PLR0913, PLR0917 - one argument for each option
    model: Annotated[
        str | None, typer.Option(help="Folder of a published adapter; by default the small one that is packaged.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="Base model instead of the one that the adapter names.")] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any address but loopback needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 = any free one.")] = 8000,
    name: Annotated[
        list[str] | None,
        typer.Option(help="Host name under which others reach the server, such as a proxy's; repeatable."),
    ] = None,
    token_env: Annotated[
        str, typer.Option(help="Environment variable with the token that requests have to bring.")
    ] = "DECOUPAGE_TOKEN",
    segmenter: Annotated[
        str | None, typer.Option(help="SAM 2, a folder or Hub id: it makes masks of boxes, points and words.")
    ] = None,
    detector: Annotated[
        str | None, typer.Option(help="Grounding DINO, a folder or Hub id: it finds words; without it there are none.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda | cuda:1 | mps")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto (float32 on a CPU, else bfloat16) | float32 | ...")] = "auto",
    offload: Annotated[
        str, typer.Option(help="Kept off the GPU until it computes: none | model | group | sequential")
    ] = "none",
    quantise: Annotated[str, typer.Option(help="Weights of network and T5: none | int8 | nf4 | fp8")] = "none",
    max_mb: Annotated[int, typer.Option(min=1, max=1000, help="Largest request, in MB.")] = 64,
    max_megapixels: Annotated[int, typer.Option(min=1, max=100, help="Largest picture, in megapixels.")] = 40,
    max_jobs: Annotated[int, typer.Option(min=1, max=100, help="Jobs received, waiting or running at a time.")] = 8,
    max_seconds: Annotated[float, typer.Option(min=1, help="How long a job may run.")] = 600,
) -> None:
    """Serve a page on which pictures are taken apart, and an HTTP API beside it, until Ctrl-C.

    Both are on loopback alone, where they need no token. Another --host needs one, from the environment; the page asks
    for it. Pictures and layers are kept in a temporary folder, and removed after a quarter of an hour and at the end.

    One picture is taken apart at a time, and others wait. Docs of the API are at /v1/docs.
    """
    placing, token = Placing(offload, quantise), os.environ.get(token_env) or None
    place, precision = place_of(device, dtype)
    placing.check(place)
    try:
        from decoupage.serve import connections, server
    except ModuleNotFoundError as error:
        library = str(error.name).partition(".")[0]
        if library not in _LIBRARIES:
            raise
        raise BadSetup(f"`decoupage serve` needs {library}, which is not installed; {install_line('serve')}") from None
    from decoupage.selection.objects import Networks
    from decoupage.serve.asked import Served
    from decoupage.serve.jobs import Limits

    server.check_token(host, token, token_env)
    # It logs each byte that it did not expect, and whoever sends it is told.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    networks = Networks(segmenter, detector, str(place))
    limits = Limits(max_mb * 1_000_000, max_megapixels * 1_000_000, max_jobs, max_seconds)
    with connections.listen(host, port) as listening:
        networks.load(texts=detector is not None)
        asked = AskedModel(model, base, "auto", place, precision, placing)
        pipe = asked.load()
        pipe.set_progress_bar_config(disable=True)
        print(f"the page is at {connections.address_of(listening)} until Ctrl-C, the API below /v1", flush=True)
        hosts = (*connections.own_names(host), *(each.lower() for each in name or ()))
        if token is not None:
            print(f"it wants the token in {token_env}, and accepts the host names {', '.join(hosts)}", flush=True)
        served = Served(asked, pipe, networks, finds_words=detector is not None)
        server.serve_model(served, listening, hosts, token, limits)
