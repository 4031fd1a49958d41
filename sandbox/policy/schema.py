"""The JSON Schema of the policy language, for editors."""

from __future__ import annotations

from typing import Any

from sandbox.policy.component import PolicySection


def policy_schema() -> dict[str, Any]:
    """The language as JSON Schema, draft 2020-12: every policy that loads is valid under it.

    It cannot say everything the loader checks (paths given twice, host bits of a network), so the reverse does not
    hold.
    """
    schema = PolicySection.model_json_schema()
    for section in (schema, *schema["$defs"].values()):
        for key, field in section["properties"].items():
            # Defaults are what the loader uses, not always what an author may write; descriptions tell them.
            field.pop("default", None)
            field["title"] = key
            _name_keys(field)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _name_keys(field: dict[str, Any]) -> None:
    """Say of a mapping with free keys that no other keys are allowed; ``patternProperties`` alone allows them."""
    if "patternProperties" in field:
        field["additionalProperties"] = False
