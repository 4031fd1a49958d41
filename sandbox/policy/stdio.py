"""``stdio``: the three standard streams."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, Tag

from sandbox.policy import model
from sandbox.policy.section import MAPPING, TEXT, HostPath, Section, choice, forms

_FORMS = ", or {file: path}"
_INPUT = ("closed", "inherit", "discard")
_OUTPUT = ("closed", "inherit", "discard", "capture")

InputMode = Annotated[Literal["closed", "inherit", "discard"], choice(*_INPUT, forms=_FORMS)]
OutputMode = Annotated[Literal["closed", "inherit", "discard", "capture"], choice(*_OUTPUT, forms=_FORMS)]


class FileStreamSection(Section):
    """A stream connected to a file."""

    model_config = ConfigDict(title="File stream")

    file: HostPath = Field(description="The file: absolute, relative to the policy file, or from the home (~/...).")


Input = Annotated[
    Annotated[InputMode, Tag(TEXT)] | Annotated[FileStreamSection, Tag(MAPPING)],
    forms("'closed', 'inherit' or 'discard'" + _FORMS),
]
Output = Annotated[
    Annotated[OutputMode, Tag(TEXT)] | Annotated[FileStreamSection, Tag(MAPPING)],
    forms("'closed', 'inherit', 'discard' or 'capture'" + _FORMS),
]


class StdioSection(Section):
    """The standard streams; one that is left out is closed."""

    model_config = ConfigDict(title="Standard streams")

    stdin: Input = Field(
        default="closed", description="Where the guest reads from. 'discard' is at its end, unaudited."
    )
    stdout: Output = Field(default="closed", description="Where the guest's output goes.")
    stderr: Output = Field(default="closed", description="Where the guest's error output goes.")

    def to_value(self) -> model.Stdio:
        written = self.model_fields_set
        return model.Stdio(
            stdin=_stream(self.stdin) if "stdin" in written else None,
            stdout=_stream(self.stdout) if "stdout" in written else None,
            stderr=_stream(self.stderr) if "stderr" in written else None,
        )


def _stream(value: model.StreamMode | FileStreamSection) -> model.Stream:
    if isinstance(value, FileStreamSection):
        return model.Stream(mode="file", path=value.file)
    return model.Stream(mode=value)
