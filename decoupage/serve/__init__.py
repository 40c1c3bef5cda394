"""`decoupage serve`: a page and an HTTP API around one loaded pipeline.

`jobs` has the queue and its one worker, `asked` reads what a request asks for, `api` answers requests, `openapi`
describes them, `server` listens. `connections` is what every web server of this house needs of sockets.
"""
