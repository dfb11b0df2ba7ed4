"""Standard Webhooks: the headers of one attempt, signed by the reference library with every secret that is alive."""

from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from standardwebhooks import Webhook

from app.core.ids import show_id


def show_secret(secret: bytes) -> str:
    """The secret as its owner is shown it, and as receivers' libraries take it."""
    return f"whsec_{b64encode(secret).decode()}"


def signed_headers(*, event_id: UUID, at: datetime, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """`webhook-id`, `webhook-timestamp` and `webhook-signature`; secrets newest first. `at`: of this attempt, UTC."""
    shown = show_id("evt", event_id)
    text = body.decode()
    return {
        "webhook-id": shown,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(shown, at, text) for secret in secrets),
    }
