"""The engines of a worker, which components and modules share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasmtime import Engine


class Engines:
    def __init__(self) -> None:
        self._engines: dict[bool, Engine] = {}

    def engine(self, fuel: bool) -> Engine:
        """An engine. Only fuel differs between them: some settings abort the process, so no policy chooses any."""
        if fuel not in self._engines:
            from wasmtime import Config, Engine

            config = Config()
            if fuel:
                config.consume_fuel = True
            self._engines[fuel] = Engine(config)
        return self._engines[fuel]
