"""A component of a policy, and the policy as a whole."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from sandbox.policy import arguments as argument_list
from sandbox.policy import clocks as clock_modes
from sandbox.policy import imports as wires
from sandbox.policy import model
from sandbox.policy import random as random_source
from sandbox.policy.arguments import Arguments
from sandbox.policy.clocks import Clocks
from sandbox.policy.environment import EnvironmentSection
from sandbox.policy.filesystem import DirectorySection
from sandbox.policy.http import Request
from sandbox.policy.imports import AnyImport, ComponentName, Interface, OptionalName
from sandbox.policy.limits import LimitsSection
from sandbox.policy.random import Random
from sandbox.policy.section import HOST_PATH, Flag, Reads, Section, flaw, shown, text_of, wanted
from sandbox.policy.sockets import SocketsSection
from sandbox.policy.stdio import StdioSection

_DIGITS = re.compile("[0-9a-f]*")
_A_DIGEST = "'sha256:' and 64 lower-case hexadecimal digits"


def _digest(value: object) -> str:
    text = text_of(value, _A_DIGEST)
    algorithm, colon, digits = text.partition(":")
    if not colon or algorithm != "sha256":
        raise flaw(wanted(_A_DIGEST, value))
    if _DIGITS.fullmatch(digits) is None:
        if _DIGITS.fullmatch(digits.lower()) is not None:
            raise flaw(f"must be {_A_DIGEST}: this one has upper-case digits")
        wrong = next(char for char in digits if char not in "0123456789abcdef")
        raise flaw(f"must be {_A_DIGEST}: {shown(wrong)} is no such digit")
    if len(digits) != 64:
        raise flaw(f"must be {_A_DIGEST}, not {len(digits)}")
    return text


def _version(value: object) -> int:
    # True and 1.0 equal 1.
    if type(value) is int and value == 1:
        return value
    raise flaw(f"must be 1, the only version of the language, not {shown(value)}")


Version = Annotated[Literal[1], Reads(_version, {"type": "integer", "const": 1})]
Source = Annotated[str | None, HOST_PATH]
Digest = Annotated[str | None, Reads(_digest, {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"})]


class GrantsSection(Section):
    """What a component may use. A family that is left out, or empty, is not granted."""

    model_config = ConfigDict(title="Grants")

    filesystem: list[DirectorySection] | None = Field(default=None, description="Directories of the host.")
    stdio: StdioSection | None = Field(default=None, description="Standard input, output and error.")
    environment: EnvironmentSection | None = Field(default=None, description="Environment variables.")
    arguments: Arguments | None = Field(
        default=None, description="The command line: 'inherit' for the caller's, or a list."
    )
    clocks: Clocks | None = Field(default=None, description="The clocks: one word for both, or one by one.")
    random: Random | None = Field(default=None, description="Random numbers: 'secure', 'seeded', or {seed: number}.")
    sockets: SocketsSection | None = Field(default=None, description="The network: hosts and ports.")
    http: list[Request] | None = Field(default=None, description="HTTP requests. Not enforced yet: refused.")

    def to_value(self) -> model.Grants:
        # http has no value: a policy that says anything there is refused.
        return model.Grants(
            filesystem=tuple(directory.to_value() for directory in self.filesystem or ()),
            stdio=model.Stdio() if self.stdio is None else self.stdio.to_value(),
            environment=None if self.environment is None else self.environment.to_value(),
            arguments=None if self.arguments is None else argument_list.to_value(self.arguments),
            clocks=model.Clocks() if self.clocks is None else clock_modes.to_value(self.clocks),
            random=None if self.random is None else random_source.to_value(self.random),
            sockets=None if self.sockets is None else self.sockets.to_value(),
        )


class ComponentSection(Section):
    """One component: where it is, what it may use, and how much."""

    model_config = ConfigDict(title="Component")

    source: Source = Field(
        default=None, description="The .wasm file: absolute, relative to the policy file, or from the home (~/...)."
    )
    digest: Digest = Field(default=None, description="The only binary that may run: 'sha256:' and its digest.")
    grants: GrantsSection | None = Field(default=None, description="What the component may use; nothing if empty.")
    limits: LimitsSection | None = Field(default=None, description="The bounds of a run; each has a default.")
    deterministic: Flag = Field(
        default=False, description="Whether nothing that the component is given may differ from run to run."
    )
    imports: dict[Interface, AnyImport] = Field(
        default={}, description="Interfaces that other components of this file serve, and which one does."
    )

    def to_value(self, name: str) -> model.ComponentPolicy:
        return model.ComponentPolicy(
            name=name,
            source=self.source,
            digest=self.digest,
            grants=model.Grants() if self.grants is None else self.grants.to_value(),
            limits=model.Limits() if self.limits is None else self.limits.to_value(),
            deterministic=self.deterministic,
            imports=wires.to_value(self.imports),
        )


class PolicySection(Section):
    """A policy of wasi-sandbox: what each WebAssembly component may use. What is not granted is refused."""

    model_config = ConfigDict(title="wasi-sandbox policy")

    version: Version = Field(description="The version of the language.")
    components: dict[ComponentName, ComponentSection] = Field(description="Components by name.", min_length=1)
    run: OptionalName = Field(default=None, description="The component that runs where none is named.")

    def to_value(self) -> tuple[model.ComponentPolicy, ...]:
        return tuple(component.to_value(name) for name, component in self.components.items())
