"""How the components of one policy are wired, as its rules see it: who serves what, and who runs as part of what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import islice

from sandbox.component import Facts
from sandbox.lint.acts import Act, acts_of
from sandbox.policy.interfaces import satisfies
from sandbox.policy.model import ComponentPolicy, Policy, Wire
from sandbox.policy.wiring import wires_of

MAX_VERSIONS = 100
"""Versions of one interface that are looked at."""
MAX_EXPORTERS = 5
"""Components that could serve one import, and are told."""


class Wiring:
    """The wires of a policy, and what the files of its components have to say to them.

    ``facts`` are those of the components that are known, and are the ones that the policy pins.
    """

    def __init__(self, policy: Policy, facts: Mapping[str, Facts]) -> None:
        self.policy, self.facts = policy, facts
        self._wires = wires_of(policy)
        self._acts: dict[str, tuple[Act, ...]] = {}
        self._programs: dict[str, tuple[str, ...]] = {}

    @cached_property
    def _importers(self) -> dict[str, dict[str, None]]:
        found: dict[str, dict[str, None]] = {}
        for name, wires in self._wires.items():
            for wire in wires:
                found.setdefault(wire.component, {})[name] = None
        return found

    @cached_property
    def _packages(self) -> frozenset[str]:
        return frozenset(wire.interface.partition("/")[0] for wires in self._wires.values() for wire in wires)

    @cached_property
    def _exported(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """By component and by interface without its version: the versions that it exports."""
        found: dict[str, dict[str, tuple[str, ...]]] = {}
        read: dict[str, dict[str, tuple[str, ...]]] = {}
        for name, facts in self.facts.items():
            if facts.digest not in read:
                read[facts.digest] = _versions(facts)
            found[name] = read[facts.digest]
        return found

    @cached_property
    def _exporting(self) -> dict[str, dict[str, list[str]]]:
        """By interface without its version: each version that is exported, and the components that do."""
        found: dict[str, dict[str, list[str]]] = {}
        for name, exported in self._exported.items():
            for base, versions in exported.items():
                for version in versions:
                    found.setdefault(base, {}).setdefault(version, []).append(name)
        return found

    @cached_property
    def unreached(self) -> frozenset[str]:
        """The components that are no part of the program that ``run`` names; none where it names none."""
        run = self.policy.run
        return frozenset() if run is None else frozenset(self._wires).difference(self.program(run))

    def importers(self, name: str) -> tuple[str, ...]:
        """The components that import from one, in the order of the policy."""
        return tuple(self._importers.get(name, ()))

    def is_run(self, name: str) -> bool:
        """Whether a component is there to be run: it is what ``run`` names, or no other imports from it."""
        return name == self.policy.run or name not in self._importers

    def program(self, name: str) -> tuple[str, ...]:
        """The components of the program of one, itself first."""
        if name not in self._programs:
            found: dict[str, None] = {}
            left = [name]
            while left:
                member = left.pop()
                if member not in found:
                    found[member] = None
                    left += [wire.component for wire in reversed(self._wires[member])]
            self._programs[name] = tuple(found)
        return self._programs[name]

    def others(self, name: str) -> dict[str, ComponentPolicy]:
        """What is part of the program of a component beside itself."""
        return {member: self._components[member] for member in self.program(name)[1:]}

    @cached_property
    def _components(self) -> dict[str, ComponentPolicy]:
        return {component.name: component for component in self.policy.components}

    def acts(self, name: str) -> tuple[Act, ...]:
        """What a component may do by its own grants."""
        if name not in self._acts:
            self._acts[name] = tuple(acts_of(self._components[name]))
        return self._acts[name]

    def wanted(self, name: str) -> dict[Wire, tuple[str, ...]]:
        """Each wire of a component that is known, with the imports that it is for."""
        found: dict[str, list[str]] = {}
        for item in self.facts[name].imports:
            if item.kind == "instance" and not item.name.startswith("wasi:"):
                for key in {item.name, item.name.partition("@")[0]}:
                    found.setdefault(key, []).append(item.name)
        return {wire: tuple(found.get(wire.interface, ())) for wire in self._wires[name]}

    def served(self, name: str) -> frozenset[str]:
        """The imports of a component that are not for the sandbox to serve.

        Others serve them; or they may be types alone, which the components of one package share and nobody exports.
        """
        if name not in self.facts or not self._packages:
            return frozenset()
        return frozenset((*(i for wanted in self.wanted(name).values() for i in wanted), *self._shared(name)))

    def unwired(self, name: str) -> tuple[str, ...]:
        """The imports of a component that may be types alone, and that others export all the same.

        Those of which its wires speak, if only of another version, are left out.
        """
        if name not in self.facts:
            return ()
        wired = {wire.interface.partition("@")[0] for wire in self._wires[name]}
        return tuple(i for i in self._shared(name) if i.partition("@")[0] not in wired and self.exporters(name, i))

    def _shared(self, name: str) -> Iterator[str]:
        for item in self.facts[name].imports:
            if item.kind == "instance" and item.name.partition("/")[0] in self._packages:
                yield item.name

    def exporters(self, name: str, imported: str) -> tuple[str, ...]:
        """Other components that could serve an import of one; of very many, some."""
        found: dict[str, None] = {}
        for version, others in islice(self._exporting.get(imported.partition("@")[0], {}).items(), MAX_VERSIONS):
            if satisfies(imported, version):
                found |= dict.fromkeys(other for other in others[: MAX_EXPORTERS + 1] if other != name)
        return tuple(islice(found, MAX_EXPORTERS))

    def exports(self, name: str, interface: str) -> tuple[str, ...]:
        """The versions that a component that is known exports of an interface; of very many, some."""
        return self._exported[name].get(interface.partition("@")[0], ())


def _versions(facts: Facts) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for item in facts.exports:
        if item.kind == "instance":
            found.setdefault(item.name.partition("@")[0], []).append(item.name)
    return {base: tuple(versions[:MAX_VERSIONS]) for base, versions in found.items()}
