"""The parameters that models declare, and the upstream's check of them, which comes after queueing.

Only motionctrl-svd has a published table here. Every other model accepts any parameters.
"""

import re
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

_MOTIONS = ("Pan Up", "Pan Down", "Pan Right", "Pan Left", "Zoom In", "Zoom Out", "CW", "ACW")
_IMAGE = "https://segmind-sd-models.s3.amazonaws.com/display_images/motion-control-svd/motionctrl_ip.png"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One row of a model's parameter table."""

    name: str
    type: str
    default: Any
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] = ()


SCHEMAS: dict[str, tuple[Parameter, ...]] = {
    "motionctrl-svd": (
        Parameter("cond_aug", "number", 0.02, required=True, minimum=0, maximum=1),
        Parameter("fps", "integer", 7, required=True, minimum=5, maximum=30),
        Parameter("input_image", "uri", _IMAGE, required=True),
        Parameter("motion", "string", "CW", required=True, allowed=_MOTIONS),
        Parameter("motion_bucket_id", "integer", 127, required=True, minimum=127, maximum=255),
        Parameter("base64", "boolean", False),
        Parameter("decoding_t", "integer", 1),
        Parameter("maintain_aspect_ratio", "boolean", True),
        Parameter("motion_speed", "number", 1, minimum=0, maximum=10),
        Parameter("seed", "integer", 985445),
    )
}


def find_fault(slug: str, given: dict[str, Any]) -> str | None:
    """Return the error with which a run of this model would fail, or None if the parameters are valid."""
    for parameter in SCHEMAS.get(slug, ()):
        if given.get(parameter.name) is None:
            if parameter.required:
                return f"{parameter.name} is Mandatory and must be {parameter.type}"
            continue
        fault = _fault_of(parameter, given[parameter.name])
        if fault is not None:
            return fault
    return None


def _fault_of(parameter: Parameter, value: Any) -> str | None:
    name = parameter.name
    if parameter.type in ("integer", "number"):
        number = _number(value)
        if number is None or (parameter.type == "integer" and number != int(number)):
            return f"{name} must be {parameter.type}"
        low, high = parameter.minimum, parameter.maximum
        if (low is not None and number < low) or (high is not None and number > high):
            return f"{name} must be between {low:g} and {high:g}"
        return None
    if parameter.type == "boolean":
        good = isinstance(value, bool) or value in ("true", "false", "True", "False")
        return None if good else f"{name} must be boolean"
    if not isinstance(value, str):
        return f"{name} must be string"
    if parameter.allowed and value not in parameter.allowed:
        return f"{name} must be one of {', '.join(parameter.allowed)}"
    if parameter.type == "uri" and not re.match(r"https?://[^\s/]+", value):
        return "Reference media rejected: URL must be a valid HTTP or HTTPS URL."
    return None


def _number(value: Any) -> float | None:
    """Accept numbers in strings too, because the published samples send them."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 1e300 else None


def defaults(slug: str) -> dict[str, Any]:
    """The values of a model for parameters that were not sent. Models without a published schema have the one that most have."""
    if slug not in SCHEMAS:
        return {"base64": False}
    return {parameter.name: parameter.default for parameter in SCHEMAS[slug]}


def read_form(content_type: bytes, body: bytes) -> dict[str, Any] | None:
    """The fields of a multipart form, files as their names; None if it is not one."""
    message = BytesParser(policy=HTTP).parsebytes(b"content-type: " + content_type + b"\r\n\r\n" + body)
    if not message.is_multipart():
        return None
    fields: dict[str, Any] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        if name is None:
            return None
        content = part.get_payload(decode=True)
        text = content.decode(errors="replace") if isinstance(content, bytes) else ""
        fields[str(name)] = part.get_filename() or text
    return fields
