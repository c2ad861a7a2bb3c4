"""Language models on CPUs, exactly, with speculative decoding.

    import dspark

    with dspark.Engine("smollm2-135m") as engine:
        print(engine.generate("Why is the sky blue?").text)
        for delta in engine.stream("Name three rivers."):
            print(delta.text, end="", flush=True)

The engine runs in this process, on threads of its own, through libdspark: no other package is needed.
"""

from ._library import DsparkError
from .engine import Cycle, Delta, Engine, Generation, Result, Sampling

__all__ = ["Cycle", "Delta", "DsparkError", "Engine", "Generation", "Result", "Sampling"]
