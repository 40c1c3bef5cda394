"""The App's server as a process of its own: `python -m evaluation.fiftyone.server --address A --port P --dataset D`.

Ends when its standard input does, so that it never outlives the process that started it, killed or not.
"""

import argparse
import os
import sys
import threading


def main() -> None:
    """Serve until standard input ends; who asks for no dataset is shown the one that is named."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dataset", required=True)
    options = parser.parse_args()
    from fiftyone.server.main import app, start_server
    from starlette.responses import RedirectResponse
    from starlette.routing import Route

    # FiftyOne's own first page knows no dataset, and asks for one to be chosen with code.
    app.router.routes.insert(0, Route("/", lambda request: RedirectResponse(f"/datasets/{options.dataset}")))
    start_server(port=options.port, address=options.address)


def _leave_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
