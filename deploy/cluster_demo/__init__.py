"""`make cluster-demo`: the demo with files in S3, records in Postgres and work on Ray, on this machine alone."""
