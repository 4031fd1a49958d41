"""The engines of a worker, which components and modules share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from wasmtime import Engine


class Settings(NamedTuple):
    """All that engines differ in: some settings abort the process, so no policy chooses any other.

    What is compiled by one engine is for engines of the same settings.
    """

    fuel: bool = False
    """Whether fuel is counted."""
    deterministic: bool = False
    """Whether the bits of a NaN, and what relaxed SIMD leaves open, are the same on every processor."""

    @classmethod
    def of_job(cls, job: dict[str, Any]) -> Settings:
        """The settings of the engine that a worker's job needs."""
        return cls(fuel=job["fuel"] is not None, deterministic=job["deterministic"])


class Engines:
    def __init__(self) -> None:
        self._engines: dict[Settings, Engine] = {}

    def engine(self, settings: Settings) -> Engine:
        if settings not in self._engines:
            from wasmtime import Config, Engine

            config = Config()
            if settings.fuel:
                config.consume_fuel = True
            if settings.deterministic:
                config.cranelift_nan_canonicalization = True
                config.wasm_relaxed_simd_deterministic = True
            self._engines[settings] = Engine(config)
        return self._engines[settings]
