"""The Python package over the library of the build tree, with the program's own answers."""

import itertools
import os
import sys
import threading
import time

from installed_tree import DRAFTER, LIBRARY, PROMPTS, ROOT, HostTest, main

os.environ["DSPARK_LIBRARY"] = LIBRARY
sys.path.insert(0, str(ROOT / "python"))
import dspark  # noqa: E402

SAMPLING = dspark.Sampling(temperature=0.8, top_p=0.95, seed=3)
FLAGS = ("--temperature", "0.8", "--top-p", "0.95", "--seed", "3", "--max-tokens", "24")


class PythonTest(HostTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.engine = dspark.Engine(cls.model, drafter=DRAFTER, threads=2, max_running=3)

    @classmethod
    def tearDownClass(cls):
        cls.engine.close()
        super().tearDownClass()

    def test_many_at_once_give_what_the_program_gives(self):
        running = [self.engine.submit(p, max_tokens=24, sampling=SAMPLING) for p in PROMPTS]
        self.assertEqual([r.result(60).ids for r in running], self.answers(*FLAGS))
        self.assertTrue(all(r.done() for r in running))

    def test_the_forms_of_a_prompt_are_the_same(self):
        chat = [{"role": "user", "content": "hello"}]
        text = self.engine.render(chat)
        ids = self.engine.tokenize(text, parse_special=True)
        self.assertEqual(self.engine.detokenize(ids, show_special=True), text)
        results = [self.engine.generate(p, max_tokens=9) for p in ("hello", chat, {"messages": chat}, ids)]
        self.assertEqual([r.ids for r in results], [results[0].ids] * 4)
        self.assertEqual(results[0].prompt_tokens, len(ids))
        self.assertNotEqual(self.engine.generate("hello", raw=True, max_tokens=9).prompt_tokens, len(ids))

    def test_a_stream_is_its_result_bit_by_bit(self):
        generation = self.engine.submit("hello", max_tokens=30, ignore_eos=True)
        deltas = list(generation)
        result = generation.result()
        self.assertGreater(len(deltas), 1)
        self.assertEqual([i for d in deltas for i in d.ids], result.ids)
        self.assertEqual("".join(d.text for d in deltas), result.text)
        self.assertEqual(result.finish, "length")
        plain = self.engine.generate("hello", max_tokens=30, ignore_eos=True, draft=False)
        self.assertEqual(plain.ids, result.ids)
        self.assertEqual(len(plain.cycles), 29)

    def test_cancels(self):
        generation = self.engine.submit("hello", max_tokens=400, ignore_eos=True)
        next(iter(generation))
        generation.cancel()
        self.assertEqual(generation.result(60).finish, "cancelled")
        generation.cancel()  # it stays as it is

    def test_a_stream_that_nobody_wants_is_cancelled(self):
        with dspark.Engine(self.model, threads=1) as engine:
            stream = engine.stream("hello", max_tokens=400, ignore_eos=True)
            self.assertEqual(len(list(itertools.islice(stream, 3))), 3)
            stream.close()
            deadline = time.monotonic() + 60
            while engine.state()["requests"] == 0 and time.monotonic() < deadline:
                time.sleep(0.01)
            self.assertEqual(engine.state()["cancelled"], 1)

    def test_threads(self):
        expected = self.engine.generate("hello", max_tokens=20).ids
        got = []
        threads = [threading.Thread(target=lambda: got.append(self.engine.generate("hello", max_tokens=20).ids))
                   for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(got, [expected] * 6)

    def test_errors(self):
        with self.assertRaisesRegex(dspark.DsparkError, "/not/here") as caught:
            dspark.Engine("/not/here.gguf")
        self.assertEqual(caught.exception.code, "load")
        with self.assertRaisesRegex(dspark.DsparkError, "vocabulary") as caught:
            self.engine.generate([100000])
        self.assertEqual(caught.exception.code, "request")
        with self.assertRaisesRegex(dspark.DsparkError, "vocabulary"):
            list(self.engine.stream([100000]))
        with self.assertRaises(TimeoutError):
            generation = self.engine.submit("hello", max_tokens=400, ignore_eos=True)
            try:
                generation.result(timeout=0)
            finally:
                generation.cancel()

    def test_closing_ends_what_runs(self):
        with dspark.Engine(self.model, threads=1) as engine:
            running = [engine.submit("hello", max_tokens=400, ignore_eos=True) for _ in range(3)]
        self.assertEqual([r.result(0).finish for r in running], ["cancelled"] * 3)
        with self.assertRaisesRegex(ValueError, "closed"):
            engine.generate("hello")

    def test_an_engine_that_nobody_holds_goes(self):
        def threads():
            return len(os.listdir("/proc/self/task"))

        before = threads()
        ids = dspark.Engine(self.model, threads=1).submit("hello", max_tokens=5).result(60).ids
        self.assertEqual(dspark.Engine(self.model, threads=1).generate("hello", max_tokens=5).ids, ids)
        dspark.Engine(self.model, threads=1).submit("hello", max_tokens=5)  # ends on the engine's own thread
        deadline = time.monotonic() + 60
        while threads() > before and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual(threads(), before)

    def test_what_it_is(self):
        self.assertEqual(self.engine.info["draft_slots"], 7)
        self.assertEqual(self.engine.info["threads"], 2)


if __name__ == "__main__":
    main()
