"""Engines, and the generations that run in them."""

import ctypes
import dataclasses
import itertools
import json
import os
import queue
import threading
import weakref
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Union

from . import _library as c
from ._library import DsparkError, check, library

FINISH = ("stop", "length", "cancelled", "error")

# A text is one user message; a list of {"role", "content"}, or a mapping with "messages" and whatever else
# the chat template reads, a chat; a list of integers is taken as it is.
Prompt = Union[str, Sequence[Mapping[str, Any]], Mapping[str, Any], Sequence[int]]


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. The defaults always take the likeliest; the same seed gives the same text."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = dataclasses.field(default_factory=dict)
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Cycle:
    """A step of the target behind the prompt: slots drafted, drafts verified, accepted of them."""

    drafted: int
    verified: int
    accepted: int


@dataclasses.dataclass(frozen=True)
class Delta:
    """What a step brought: tokens, and whole characters of text."""

    ids: List[int]
    text: str


@dataclasses.dataclass(frozen=True)
class Result:
    """A finished generation. `ids` has the token that ended it, `text` does not."""

    finish: str  # "stop", "length" or "cancelled"
    ids: List[int]
    text: str
    cycles: List[Cycle]
    prompt_tokens: int
    cached_tokens: int
    prefill_ms: float
    decode_ms: float


def _bytes(text: Union[str, "os.PathLike[str]", None]) -> Optional[bytes]:
    return None if text is None else os.fsencode(text)


def _text(address: Optional[int], size: int) -> str:
    return ctypes.string_at(address, size).decode("utf-8", "replace") if size else ""


def _taken(address: ctypes.c_void_p, size: int) -> str:
    """A text that the library gave; it is freed."""
    try:
        return _text(address.value, size)
    finally:
        library.dspark_free(address)


class Generation:
    """A request under way: iterate over it for its deltas, or wait for its result()."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._id = 0
        # What the engine's thread reports; None ends it.
        self._news: "queue.SimpleQueue[Optional[Delta]]" = queue.SimpleQueue()
        self._finished = threading.Event()
        self._result: Optional[Result] = None
        self._error: Optional[DsparkError] = None

    def __iter__(self) -> Iterator[Delta]:
        """Deltas as they come, each once; an error of the request is raised behind the last."""
        while True:
            delta = self._news.get()
            if delta is None:
                self._news.put(None)  # for whoever iterates again
                break
            yield delta
        if self._error is not None:
            raise self._error

    def cancel(self) -> None:
        """Ends it within a step; result() then has what there is. A finished one stays as it is."""
        if not self._finished.is_set():
            check(library.dspark_cancel(self._engine._open_pointer(), self._id))

    def done(self) -> bool:
        return self._finished.is_set()

    def result(self, timeout: Optional[float] = None) -> Result:
        """Waits. TimeoutError after `timeout` seconds; DsparkError where the request could not be run."""
        if not self._finished.wait(timeout):
            raise TimeoutError("the generation goes on")
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def _end(self, done: c.Result) -> None:
        if FINISH[done.finish] == "error":
            self._error = DsparkError(c.ERROR_REQUEST, done.error.decode("utf-8", "replace"))
        else:
            cycles = [Cycle(x.drafted, x.verified, x.accepted) for x in done.cycles[:done.cycle_count]]
            self._result = Result(FINISH[done.finish], done.ids[:done.id_count],
                                  _text(done.text, done.text_bytes), cycles, done.prompt_tokens,
                                  done.cached_tokens, done.prefill_ms, done.decode_ms)
        self._news.put(None)
        self._finished.set()


# Generations by the number that the library hands back to the two callbacks below. These are the module's
# and not a generation's, because a callback must not be freed while it returns.
_running: Dict[int, Generation] = {}
_numbers = itertools.count(1)


@c.OnDelta
def _on_delta(user, delta):
    news = delta.contents
    _running[user]._news.put(Delta(news.ids[:news.id_count], _text(news.text, news.text_bytes)))
    return 0


@c.OnFinished
def _on_finished(user, result):
    _running.pop(user)._end(result.contents)


def _close(pointer: ctypes.c_void_p) -> None:
    if library.dspark_close(pointer) != 0:  # the last reference went on the engine's own thread
        threading.Thread(target=library.dspark_close, args=(pointer,)).start()


class Engine:
    """A loaded model. Its methods may be called from any thread; close() ends it, as `with` does.

    model and drafter are files, directories or installed names; without `drafter` the one that is installed
    for a model given by name, "none" for none, "ngram" for looking up the text so far. planner, verify, isa,
    threads, context (tokens of a prompt with its answer) and the cache's sizes are as in `dspark run`, zeros
    and None being the defaults; max_running requests run side by side (16) while others wait.
    """

    def __init__(self, model: Union[str, "os.PathLike[str]", None] = None, *,
                 drafter: Union[str, "os.PathLike[str]", None] = None, planner: Optional[str] = None,
                 verify: Optional[str] = None, isa: Optional[str] = None, threads: int = 0, max_running: int = 0,
                 context: int = 0, cache_bytes: int = 0, prefix_bytes: int = 0) -> None:
        options = c.EngineOptions(model=_bytes(model), drafter=_bytes(drafter), planner=_bytes(planner),
                                  verify=_bytes(verify), isa=_bytes(isa), threads=threads,
                                  max_running=max_running, context=context, cache_bytes=cache_bytes,
                                  prefix_bytes=prefix_bytes)
        pointer = ctypes.c_void_p()
        check(library.dspark_open(options, pointer))
        self._pointer: Optional[ctypes.c_void_p] = pointer
        self._close = weakref.finalize(self, _close, pointer)

    def close(self) -> None:
        """Cancels what runs and frees the model."""
        self._pointer = None
        self._close()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_exception) -> None:
        self.close()

    def _open_pointer(self) -> ctypes.c_void_p:
        if self._pointer is None:
            raise ValueError("the engine is closed")
        return self._pointer

    @property
    def info(self) -> Dict[str, Any]:
        """What the engine is: model, context, vocab, drafter, planner, ..."""
        return json.loads(library.dspark_info(self._open_pointer()))

    def state(self) -> Dict[str, Any]:
        """What it did so far and has to do: running, waiting, tokens, drafted, accepted, warnings, ..."""
        text = ctypes.c_void_p()
        check(library.dspark_state(self._open_pointer(), text))
        return json.loads(_taken(text, len(ctypes.string_at(text))))

    def tokenize(self, text: str, *, parse_special: bool = False) -> List[int]:
        """The ids of a text, with nothing in front or behind."""
        data = text.encode()
        ids, count = ctypes.POINTER(ctypes.c_int32)(), ctypes.c_size_t()
        check(library.dspark_tokenize(self._open_pointer(), data, len(data), parse_special, ids, count))
        try:
            return ids[:count.value]
        finally:
            library.dspark_free(ids)

    def detokenize(self, ids: Sequence[int], *, show_special: bool = False) -> str:
        text, size = ctypes.c_void_p(), ctypes.c_size_t()
        check(library.dspark_detokenize(self._open_pointer(), (ctypes.c_int32 * len(ids))(*ids), len(ids),
                                        show_special, text, size))
        return _taken(text, size.value)

    def render(self, chat: Union[Sequence[Mapping[str, Any]], Mapping[str, Any]]) -> str:
        """The chat template's text: what submit() makes the model read."""
        text, size = ctypes.c_void_p(), ctypes.c_size_t()
        check(library.dspark_render(self._open_pointer(), json.dumps(chat).encode(), text, size))
        return _taken(text, size.value)

    def submit(self, prompt: Prompt, *, raw: bool = False, max_tokens: int = 512, sampling: Sampling = Sampling(),
               stop: Sequence[str] = (), ignore_eos: bool = False, draft: bool = True,
               draft_max: int = 0) -> Generation:
        """Hands a request over and returns. raw: a text is gone on with, without the chat template."""
        request = c.Request(
            raw=raw, max_tokens=max_tokens, ignore_eos=ignore_eos, no_draft=not draft, draft_max=draft_max,
            temperature=sampling.temperature, top_k=sampling.top_k, top_p=sampling.top_p, min_p=sampling.min_p,
            repeat_penalty=sampling.repeat_penalty, presence_penalty=sampling.presence_penalty,
            frequency_penalty=sampling.frequency_penalty, seed=sampling.seed)
        if isinstance(prompt, str):
            text = prompt.encode()
            request.text, request.text_bytes = text, len(text)
        elif isinstance(prompt, Mapping) or (prompt and isinstance(prompt[0], Mapping)):
            request.chat = json.dumps(prompt).encode()
        else:
            request.ids, request.id_count = (ctypes.c_int32 * len(prompt))(*prompt), len(prompt)
        request.stop, request.stop_count = (ctypes.c_char_p * len(stop))(*(s.encode() for s in stop)), len(stop)
        bias = [c.LogitBias(id, value) for id, value in sampling.logit_bias.items()]
        request.logit_bias, request.logit_bias_count = (c.LogitBias * len(bias))(*bias), len(bias)

        generation, number = Generation(self), next(_numbers)
        callbacks = c.Callbacks(user=number, on_delta=_on_delta, on_finished=_on_finished)
        _running[number] = generation
        request_id = ctypes.c_uint64()
        try:
            check(library.dspark_submit(self._open_pointer(), request, callbacks, request_id))
        except BaseException:
            _running.pop(number, None)
            raise
        generation._id = request_id.value
        return generation

    def generate(self, prompt: Prompt, **options: Any) -> Result:
        """submit(), and its result."""
        return self.submit(prompt, **options).result()

    def stream(self, prompt: Prompt, **options: Any) -> Iterator[Delta]:
        """submit(), and its deltas; to stop iterating cancels it."""
        generation = self.submit(prompt, **options)
        try:
            yield from generation
        finally:
            if not generation.done():
                generation.cancel()
