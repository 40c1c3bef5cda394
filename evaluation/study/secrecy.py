"""Names that say nothing: what raters can see of pictures and questions is a keyed hash, and the key stays here."""

import hashlib
import hmac
import secrets

KEY_BYTES = 32
ID_PATTERN = "[0-9a-f]{32}"


def new_key() -> bytes:
    """A fresh secret; not from the study's seed, or whoever knows the recipe could compute every name."""
    return secrets.token_bytes(KEY_BYTES)


def new_token() -> str:
    """A rater's secret, part of an address: who knows it can answer for that rater."""
    return secrets.token_hex(16)


def opaque(key: bytes, *parts: object) -> str:
    """32 hex digits that depend on the key and the parts (HMAC-SHA-256, RFC 2104), each part with its length."""
    texts = [str(part).encode() for part in parts]
    message = b"".join(len(text).to_bytes(8, "big") + text for text in texts)
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:32]
