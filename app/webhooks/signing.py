"""Standard Webhooks: the headers of one attempt. The reference library signs them with each valid secret."""

from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from standardwebhooks import Webhook

from app.core.ids import show_id


def show_secret(secret: bytes) -> str:
    """The secret in the form that its owner sees and that the libraries of receivers accept."""
    return f"whsec_{b64encode(secret).decode()}"


def signed_headers(*, event_id: UUID, at: datetime, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """`webhook-id`, `webhook-timestamp` and `webhook-signature`. `secrets`: newest first. `at`: of this attempt, UTC."""
    shown = show_id("evt", event_id)
    text = body.decode()
    return {
        "webhook-id": shown,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(shown, at, text) for secret in secrets),
    }
