"""What S3 and the client say when something is wrong, in sentences that say how to mend it."""

from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
)

from decoupage.faults import BadSetup
from decoupage.text_files import printable

_KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_SAID = {
    "InvalidAccessKeyId": f"the server does not know this access key; correct {_KEYS}",
    "SignatureDoesNotMatch": f"the secret key does not fit the access key; correct {_KEYS}",
    "ExpiredToken": "the session token has expired; get a new AWS_SESSION_TOKEN",
    "InvalidToken": "the session token is not valid; correct or unset AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
    "AccessDenied": "these credentials may not do that; grant them s3:ListBucket, GetObject, PutObject, DeleteObject, "
    f"AbortMultipartUpload and ListBucketMultipartUploads there, or correct {_KEYS}",
    "QuotaExceeded": "the bucket is full; free space, or raise its quota",
    "NotImplemented": "the server does not have this (conditional writes are needed); use another one",
}
_OTHER_REGION = ("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException", "301")
_ALIASES = {"403": "AccessDenied", "Forbidden": "AccessDenied", "AllAccessDisabled": "AccessDenied"}


def status_of(error: ClientError) -> int:
    """The HTTP status that the server answered with."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_absent(error: ClientError) -> bool:
    """True when the object is absent, and not its bucket; a HEAD cannot tell these apart."""
    return error.response["Error"].get("Code") in ("NoSuchKey", "404", "NotFound")


def explain(error: BaseException, url: str, bucket: str, endpoint: str | None, doing: str) -> Exception:
    """The fault that a caller is to see: FileNotFoundError of an absent object, or a BadSetup in words.

    Args:
        url: what was asked for.
        endpoint: address of the server; None = AWS's own.
        doing: `read` or `written`.
    """
    if isinstance(error, FileNotFoundError | ClientError):
        cause = error if isinstance(error, ClientError) else error.__cause__  # s3fs's own files translate.
        if not isinstance(cause, ClientError) or is_absent(cause):
            return FileNotFoundError(f"{url} does not exist")
        error = cause
    if isinstance(error.__cause__, ClientError):
        error = error.__cause__
    if isinstance(error, ClientError):
        return BadSetup(f"{url} cannot be {doing}: {_sentence(error, bucket, endpoint)}")
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return BadSetup(f"{url} cannot be {doing}: there are no credentials; set {_KEYS}")
    where = endpoint or "AWS"
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        return BadSetup(
            f"{url} cannot be {doing}: {where} cannot be reached; correct AWS_ENDPOINT_URL, or mend the network"
        )
    why = printable(str(error) or type(error).__name__)
    return BadSetup(f"{url} cannot be {doing}: the connection to {where} fails ({why}); run again when it is mended")


def _sentence(error: ClientError, bucket: str, endpoint: str | None) -> str:
    code = str(error.response["Error"].get("Code", ""))
    code = _ALIASES.get(code, code)
    if code == "NoSuchBucket":
        return f"{endpoint or 'AWS'} has no bucket {bucket}; make it, or correct DECOUPAGE_ROOT"
    if code in _OTHER_REGION:
        return f"the bucket {bucket} is in another region; set AWS_REGION to it"
    if code in _SAID:
        return _SAID[code]
    message = printable(str(error.response["Error"].get("Message", "")))
    if status_of(error) >= 500 or code in ("SlowDown", "RequestTimeout"):
        return f"the server answers {code} to every attempt ({message}); run again when it is well"
    return f"the server answers {code} ({message}); mend that, and run again"
