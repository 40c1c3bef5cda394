"""`python -m deploy.cluster_demo.s3_server PORT`: moto's S3 on loopback, with a log that tells who asked.

A client says so by the variable `AWS_SDK_UA_APP_ID`, which the AWS clients put into their user agent.
"""

import re
import sys
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple

_APP = re.compile(r"\bapp/(\S+)")


class _Telling(MotoRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """One line a request: `<who> <method> <path> <status>`."""
        named = _APP.search(self.headers.get("User-Agent", ""))
        sys.stdout.write(f"{named[1] if named else '-'} {self.command} {self.path} {code}\n")
        sys.stdout.flush()


def main(port: int) -> None:
    """Serve until a signal ends the process."""
    application: Any = DomainDispatcherApplication(create_backend_app)
    run_simple("127.0.0.1", port, application, threaded=True, request_handler=_Telling)


if __name__ == "__main__":
    main(int(sys.argv[1]))
