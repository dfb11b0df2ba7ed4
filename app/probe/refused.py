"""What an operator is told of an answer that is not the wished one, in one line each."""

from app.probe.shapes import without_urls
from app.upstream.discretion import without
from app.upstream.wire import Outcome, OutcomeKind

WORDS_MAX = 300


def refusal(outcome: Outcome, *, model: str) -> str:
    """Return why the probe was not started, or why it FAILED. No amount of the company's credits is in it."""
    match outcome.status_code:
        case None:
            return f"the upstream cannot be reached ({outcome.detail}); nothing was sent"
        case _ if outcome.kind is OutcomeKind.NOT_SENT:
            return f"nothing was sent: {outcome.detail}"
        case _ if outcome.kind is OutcomeKind.FAILED:
            return f"the upstream says that the job FAILED{_words(outcome)}"
        case 401:
            return "the upstream refuses the key (HTTP 401): check WAYSTATION_UPSTREAM_API_KEY"
        case 402:
            return f"the upstream's account has too few credits (HTTP 402){_words(outcome)}"
        case 404:
            return f"the upstream has no model {model} (HTTP 404){_words(outcome)}"
        case 406:
            return (
                f"the upstream does not accept the input, or its account may not spend more (HTTP 406){_words(outcome)}"
            )
        case 429:
            wait = outcome.retry_after_seconds
            when = "later" if wait is None else f"in {wait:.0f} s"
            return f"the upstream's rate limit is reached (HTTP 429): try again {when}"
        case code:
            return f"the upstream refuses it (HTTP {code}){_words(outcome)}"


def no_answer(outcome: Outcome) -> str:
    """Return what is known of a probe whose answer was lost or could not be understood."""
    return f"the answer to the submit was lost ({outcome.detail}): whether it has started is unknown"


def _words(outcome: Outcome) -> str:
    """The upstream's words, without URLs; of an error about the account also without any amount."""
    words = without_urls((outcome.error or "")[:WORDS_MAX])
    if outcome.kind is OutcomeKind.ACCOUNT or outcome.status_code in (401, 402):
        words = without(words, lambda _: True)
    return f": {words}" if words else ""
