"""What the performance claims rest on: the sandbox beside plain wasmtime-py, on the same component, in the same run."""
