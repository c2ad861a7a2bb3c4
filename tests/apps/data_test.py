"""dspark data on a tiny random model: rows, resuming after a kill, options, servers, stats."""

import http.server
import json
import os
import random
import resource
import signal
import subprocess
import threading
import time

from program import PROGRAM, ProgramTest, json_lines, main, read_json_lines

WORDS = "river stone cloud lamp garden winter letter music paper bridge".split()


def prompt_rows(count, turns=2):
    draw = random.Random(count)
    text = lambda: " ".join(draw.choice(WORDS) for _ in range(draw.randrange(1, 4)))
    return [{"id": f"row-{i}", "turns": [text() for _ in range(1 + i % turns)]} for i in range(count)]


class DataTest(ProgramTest):
    def prompts(self, rows, name="prompts.jsonl"):
        return self.write(name, "".join(json.dumps(row) + "\n" for row in rows))

    def out(self, name="corpus.jsonl"):
        for path in (self.scratch / name, self.scratch / (name + ".meta.json")):
            path.unlink(missing_ok=True)
        return self.scratch / name

    def command(self, prompts, out, *arguments):
        most = [] if "--max-tokens" in arguments else ["--max-tokens", "24"]
        # One thread: several wait for each other long where other tests run.
        threads = [] if "--threads" in arguments else ["--threads", "1"]
        return ["data", "regenerate", self.model, "--prompts", prompts, "--out", out, *most, *threads, *arguments]

    def regenerate(self, prompts, out, *arguments, code=0):
        return self.expect(code, *self.command(prompts, out, *arguments))

    def start(self, prompts, out, *arguments):
        return subprocess.Popen([PROGRAM, *map(str, self.command(prompts, out, *arguments))],
                                stderr=subprocess.PIPE)


class Regenerate(DataTest):
    def test_rows(self):
        rows, out = prompt_rows(7), self.out()
        self.regenerate(self.prompts(rows), out)
        corpus = read_json_lines(out)
        self.assertEqual([row["id"] for row in corpus], [row["id"] for row in rows])
        self.assertEqual({row["temperature"] for row in corpus}, {0, 1})
        for row, prompt in zip(corpus, rows):
            self.assertEqual(list(row), ["id", "conversations", "status", "temperature", "seed", "finish", "ids",
                                         "loss"])
            self.assertEqual(row["status"], "success")
            roles = [turn["role"] for turn in row["conversations"]]
            self.assertEqual(roles, ["user", "assistant"] * len(prompt["turns"]))
            self.assertEqual([t["content"] for t in row["conversations"][::2]], prompt["turns"])
            self.check_answers(row)

    def check_answers(self, row):
        """Every answer is what `run` gives for the conversation before it."""
        texts = [turn["content"] for turn in row["conversations"][::2]]
        answers, _, _ = self.run_rows(
            [{"id": "x", "turns": texts}], "--all-turns", "--temperature", row["temperature"], "--seed",
            row["seed"], "--max-tokens", "24")
        self.assertEqual([a["text"] for a in answers], [t["content"] for t in row["conversations"][1::2]])
        last = answers[-1]
        self.assertEqual(row["ids"], last["prompt_ids"] + last["ids"])
        self.assertEqual(row["finish"], last["finish"])
        self.assertEqual(row["loss"][-1], [len(last["prompt_ids"]), len(row["ids"])])
        previous = 0
        for begin, end in row["loss"]:
            self.assertLessEqual(previous, begin)
            self.assertLess(begin, end)
            previous = end

    def test_earlier_answers_are_trained_on(self):
        # The tiny model seldom stops: a cut answer has no stop token to learn.
        out = self.out()
        self.regenerate(self.prompts([{"id": 1, "turns": ["one", "two", "three"]}]), out, "--temperatures", "0",
                        "--max-tokens", "5")
        (row,) = read_json_lines(out)
        answers = [turn["content"] for turn in row["conversations"] if turn["role"] == "assistant"]
        self.assertEqual(len(answers), 3)
        ids = row["ids"]
        for begin, end in row["loss"][:-1]:
            # Behind "<|im_start|>assistant\n", whose first token is 2.
            self.assertEqual(ids[begin - 11:begin], [2] + [3 + b for b in b"assistant\n"])
            self.assertEqual(ids[end], 1)

    def test_the_default_models_stop_tokens_are_trained_on(self):
        if subprocess.run([PROGRAM, "info", "smollm2-135m"], capture_output=True).returncode != 0:
            self.skipTest("the default model is not installed")
        out = self.out()
        self.expect(0, "data", "regenerate", "smollm2-135m", "--prompts",
                    self.prompts([{"id": "a", "turns": ["What is 2 + 2?", "Say hello.", "Say hello again."]}]),
                    "--out", out, "--temperatures", "0", "--max-tokens", "100")
        (row,) = read_json_lines(out)
        self.assertEqual(len(row["loss"]), 3)
        texts = [turn["content"] for turn in row["conversations"][1::2]]
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        tokens = [line["ids"] for line in json_lines(self.expect(0, "tokenize", "smollm2-135m", stdin=lines).stdout)]
        for (begin, end), ids in zip(row["loss"], tokens):
            self.assertEqual(row["ids"][begin:end], ids + [2])  # <|im_end|>

    def test_rows_do_not_depend_on_how(self):
        prompts, out = self.prompts(prompt_rows(9)), self.out()
        self.regenerate(prompts, out, "--concurrency", "1")
        wanted = out.read_bytes()
        for arguments in (["--concurrency", "5"], ["--concurrency", "64", "--threads", "2"],
                          ["--isa", "ref"], ["--drafter", "ngram"], ["--prefill-chunk", "3"]):
            out = self.out()
            self.regenerate(prompts, out, *arguments)
            self.assertEqual(out.read_bytes(), wanted, arguments)
        # Nor on their neighbours.
        part = self.out("part.jsonl")
        self.regenerate(prompts, part, "--offset", "5", "--limit", "3")
        self.assertEqual(part.read_bytes().splitlines(), wanted.splitlines()[5:8])

    def test_more_rows_later(self):
        prompts, out = self.prompts(prompt_rows(9)), self.out()
        self.regenerate(prompts, out)
        wanted, out = out.read_bytes(), self.out()
        for limit in (4, 4, 7, 9):
            self.regenerate(prompts, out, "--limit", limit)
            self.assertEqual(out.read_bytes().splitlines(), wanted.splitlines()[:limit])
        result = self.regenerate(prompts, out, "--limit", "3", code=1)
        self.assertIn("expected an id of the chosen prompts", result.stderr)
        self.assertEqual(out.read_bytes(), wanted)

    def test_killed_at_any_moment(self):
        prompts, out = self.prompts(prompt_rows(80)), self.out()
        began = time.monotonic()
        self.regenerate(prompts, out)
        whole_s = time.monotonic() - began
        wanted, out = out.read_bytes(), self.out()
        draw, resumed = random.Random(1), 0
        rounds = 30 if os.environ.get("DSPARK_NIGHTLY") == "1" else 6
        for _ in range(rounds):
            process = self.start(prompts, out, "--concurrency", draw.choice(["3", "16", "40"]))
            if draw.random() < 0.3:
                time.sleep(draw.uniform(0, whole_s / 3))
            else:  # at some row, however slow the machine is just now
                rows = draw.randrange(1, 80)
                while process.poll() is None and not (out.exists() and out.read_bytes().count(b"\n") >= rows):
                    time.sleep(0.002)
            process.kill()
            process.communicate()
            done = out.read_bytes() if out.exists() else b""
            resumed += 0 < done.count(b"\n") < 80
            if draw.random() < 0.4:  # as a write cut short leaves it
                out.write_bytes(done[:max(0, len(done) - draw.randrange(60))])
            if done.count(b"\n") == 80 and draw.random() < 0.5:
                out = self.out()
        self.regenerate(prompts, out)
        self.assertEqual(out.read_bytes(), wanted)
        self.assertGreater(resumed, 0)
        self.assertFalse((self.scratch / "corpus.jsonl.tmp").exists())

    def test_interrupted(self):
        prompts, out = self.prompts(prompt_rows(80)), self.out()
        self.regenerate(prompts, out)
        wanted, out = out.read_bytes(), self.out()
        process = self.start(prompts, out)
        while not (out.exists() and out.stat().st_size > 0):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        if process.returncode != 0:  # not done already
            self.assertEqual(process.returncode, 1)
            self.assertIn("the same command goes on", err.decode())
        self.assertTrue(out.read_bytes().endswith(b"\n"))
        again = self.regenerate(prompts, out)
        self.assertIn("rows are done", again.stderr)
        self.assertEqual(out.read_bytes(), wanted)

    def test_other_options_are_refused(self):
        prompts, out = self.prompts(prompt_rows(3)), self.out()
        self.regenerate(prompts, out)
        before = out.read_bytes()
        for arguments, name in ((["--seed", "1"], "seed was 42, now 1"), (["--temperatures", "0"], "temperatures was"),
                                (["--max-tokens", "25"], "max_tokens was 24, now 25"),
                                (["--top-k", "5"], "top_k"), (["--top-p", "0.5"], "top_p"),
                                (["--min-p", "0.5"], "min_p"), (["--system", "x"], "system was null"),
                                (["--quantize", "q8_0"], "quantize")):
            result = self.regenerate(prompts, out, *arguments, code=1)
            self.assertIn(name, result.stderr)
        other = self.prompts(prompt_rows(4), "other.jsonl")
        self.assertIn("prompts was", self.regenerate(other, out, code=1).stderr)
        self.assertEqual(out.read_bytes(), before)
        meta = self.scratch / "corpus.jsonl.meta.json"
        meta.unlink()
        self.assertIn("meta.json", self.regenerate(prompts, out, code=1).stderr)
        self.assertEqual(out.read_bytes(), before)

    def test_one_writer(self):
        prompts, out = self.prompts(prompt_rows(400)), self.out()
        process = self.start(prompts, out)
        while not (out.exists() and out.stat().st_size > 0):
            time.sleep(0.01)
        result = self.regenerate(prompts, out, code=1) if process.poll() is None else None
        process.kill()
        process.communicate()
        if result:
            self.assertIn("another process is writing", result.stderr)

    def test_full_disk(self):
        prompts, out = self.prompts(prompt_rows(20)), self.out()
        self.regenerate(prompts, out)
        wanted, out = out.read_bytes(), self.out()

        def small():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

        result = subprocess.run([PROGRAM, *map(str, self.command(prompts, out))], preexec_fn=small,
                                capture_output=True)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn(b"cannot write", result.stderr)
        self.regenerate(prompts, out)
        self.assertEqual(out.read_bytes(), wanted)

    def test_no_room_on_the_disk(self):
        result = self.regenerate(self.prompts(prompt_rows(3)), self.out(), "--max-tokens", "2000000000", code=1)
        self.assertIn("free", result.stderr)

    def test_bad_rows(self):
        good, out = prompt_rows(3), self.out()
        prompts = self.write("prompts.jsonl", json.dumps(good[0]) + "\nnonsense\n" + json.dumps(good[1]) + "\n" +
                             json.dumps({"id": "row-0", "turns": ["again"]}) + "\n" +
                             json.dumps({"id": "long", "turns": ["x" * 2000]}) + "\n" + json.dumps(good[2]) + "\n")
        result = self.regenerate(prompts, out)
        for part in ("prompts.jsonl:2: ", "prompts.jsonl:4: ", "prompts.jsonl:5: long: ", "2 rows of the prompts"):
            self.assertIn(part, result.stderr)
        self.assertEqual([row["id"] for row in read_json_lines(out)], ["row-0", "row-1", "row-2"])
        self.assertIn("prompts.jsonl:2: ", self.regenerate(prompts, self.out(), "--strict", code=1).stderr)
        long = self.prompts([{"id": "long", "turns": ["x" * 2000]}], "long.jsonl")
        self.assertIn("long.jsonl:1: long: ", self.regenerate(long, self.out(), "--strict", code=1).stderr)

    def test_a_conversation_ends_with_the_context(self):
        out = self.out()
        self.regenerate(self.prompts([{"id": 1, "turns": ["a", "b" * 600, "c"]}]), out)
        (row,) = read_json_lines(out)
        self.assertEqual([turn["content"] for turn in row["conversations"]][:1], ["a"])
        self.assertEqual(len(row["conversations"]), 2)

    def test_usage(self):
        self.assertIn("regenerate", self.expect(0, "data", "--help").stdout)
        self.assertIn("Example", self.expect(0, "data", "regenerate", "--help").stdout)
        self.assertIn("Example", self.expect(0, "data", "stats", "--help").stdout)
        self.assertIn("regenerate, stats or cache", self.expect(2, "data").stderr)
        self.assertIn("the nearest is regenerate", self.expect(2, "data", "regenrate").stderr)
        self.assertIn("--temperatures", self.expect(2, "data", "regenerate", "--temperature", "1").stderr)
        for arguments in (["--temperatures", "0,x"], ["--temperatures", ""], ["--temperatures", "0,,1"],
                          ["--limit", "0"], ["--verify", "rejection"], ["--server", "https://x"],
                          ["--server", "localhost:80"], ["--server", "http://x:99999"]):
            self.assertIn(arguments[0], self.regenerate("p", "o", *arguments, code=2).stderr)
        self.assertIn("proxy", self.regenerate("p", "o", "--server", "https://x", code=2).stderr)
        self.expect(1, "data", "regenerate", self.model, "--prompts", self.scratch / "none", "--out", self.out())


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, value, **headers):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.reply(200, {"data": [{"id": "served-model"}]})

    def do_POST(self):
        state = self.server.state
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with state.lock:
            state.requests.append((self.path, dict(self.headers), body))
            state.running += 1
            state.most = max(state.most, state.running)
            number = len(state.requests)
        try:
            time.sleep(0.01)
            state.answer(self, body, number)
        finally:
            with state.lock:
                state.running -= 1


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # the program under test goes away in the middle of answers


class Server:
    def __init__(self, answer):
        self.lock, self.requests, self.running, self.most = threading.Lock(), [], 0, 0
        self.answer = answer

    def __enter__(self):
        self.http = Listener(("127.0.0.1", 0), Handler)
        self.http.state = self
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()


def completion(text, finish="stop"):
    return {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish}],
            "usage": {"completion_tokens": 3}}


def echo(handler, body, number):
    handler.reply(200, completion("to: " + body["messages"][-1]["content"]))


class FromServer(DataTest):
    def test_rows(self):
        rows, out = prompt_rows(30), self.out()
        prompts = self.prompts(rows)
        with Server(echo) as server, Server(echo) as second:
            self.regenerate(prompts, out, "--server", server.url + "/v1/", "--server", second.url, "--concurrency", "4",
                            "--system", "Be brief.", "--top-k", "7", "--api-key-env", "KEY_OF_TEST", code=1)
            os.environ["KEY_OF_TEST"] = "secret-key"
            result = self.regenerate(prompts, out, "--server", server.url + "/v1/", "--server", second.url,
                                     "--concurrency", "4", "--system", "Be brief.", "--top-k", "7", "--api-key-env",
                                     "KEY_OF_TEST")
            del os.environ["KEY_OF_TEST"]
        self.assertNotIn("secret-key", result.stderr)
        requests = server.requests + second.requests
        self.assertEqual(len(requests), 45)
        self.assertTrue(server.requests and second.requests)
        self.assertLessEqual(server.most + second.most, 4)
        for path, headers, body in requests:
            self.assertEqual(path, "/v1/chat/completions")
            self.assertEqual(headers["Authorization"], "Bearer secret-key")
            self.assertEqual(body["model"], "served-model")
            self.assertEqual(body["messages"][0], {"role": "system", "content": "Be brief."})
            self.assertEqual((body["max_tokens"], body["top_k"], body["stream"]), (24, 7, False))
            self.assertNotIn("min_p", body)
        corpus = read_json_lines(out)
        self.assertEqual([row["id"] for row in corpus], [row["id"] for row in rows])
        self.assertEqual({row["temperature"] for row in corpus}, {0, 1})
        for row, prompt in zip(corpus, rows):
            self.assertNotIn("ids", row)
            told = [t["content"] for t in row["conversations"][1:]]
            self.assertEqual(told, [text for turn in prompt["turns"] for text in (turn, "to: " + turn)])
        self.assertNotIn("secret-key", (self.scratch / "corpus.jsonl.meta.json").read_text())

    def test_troubles_pass(self):
        rows, out = prompt_rows(6, turns=1), self.out()
        troubles = {1: 503, 2: 429, 3: "drop", 4: 500, 6: "close"}

        def answer(handler, body, number):
            trouble = troubles.get(number)
            if trouble == "drop":
                handler.close_connection = True
                handler.connection.close()
            elif trouble == "close":
                handler.close_connection = True
                echo(handler, body, number)
            elif trouble:
                handler.reply(trouble, b"busy", Retry_After="0")
            else:
                echo(handler, body, number)

        with Server(answer) as server:
            self.regenerate(self.prompts(rows), out, "--server", server.url, "--concurrency", "2")
        self.assertEqual([row["id"] for row in read_json_lines(out)], [row["id"] for row in rows])

    def test_rows_refused(self):
        rows, out = prompt_rows(6, turns=1), self.out()

        def answer(handler, body, number):
            if number == 2:
                handler.reply(400, {"error": {"message": "too long for me"}})
            elif number == 3:
                handler.reply(200, b"no JSON")
            elif number == 4:
                handler.reply(200, completion("x", "content_filter"))
            else:
                echo(handler, body, number)

        with Server(answer) as server:
            arguments = ["--server", server.url, "--server-model", "m", "--concurrency", "1"]
            result = self.regenerate(self.prompts(rows), out, *arguments)
            for part in ("too long for me", "not a JSON object", "content_filter", "3 rows could not be answered"):
                self.assertIn(part, result.stderr)
            self.assertEqual(len(read_json_lines(out)), 3)
            self.regenerate(self.prompts(rows), out, *arguments)  # what failed is tried again
        self.assertEqual([row["id"] for row in read_json_lines(out)], [row["id"] for row in rows])

    def test_servers_that_do_not_answer(self):
        rows, out = prompt_rows(6, turns=1), self.out()
        with Server(echo) as server:
            self.regenerate(self.prompts(rows), out, "--server", server.url, "--server-model", "m", "--limit", "4")
        kept = out.read_bytes()
        arguments = ["--server", server.url, "--server-model", "m", "--server-retries", "1"]
        result = self.regenerate(self.prompts(rows), out, *arguments, code=1)
        self.assertIn("cannot connect", result.stderr)
        self.assertEqual(out.read_bytes(), kept)
        self.assertIn("--server-model", self.regenerate(self.prompts(rows), out, "--server", server.url, code=1).stderr)
        with Server(lambda handler, body, number: handler.reply(401, {"error": {"message": "who are you"}})) as closed:
            result = self.regenerate(self.prompts(rows), out, "--server", closed.url, "--server-model", "m", code=1)
        self.assertIn("who are you", result.stderr)
        slow = lambda handler, body, number: (time.sleep(3), echo(handler, body, number))
        with Server(slow) as server:
            result = self.regenerate(self.prompts(rows), out, "--server", server.url, "--server-model", "m",
                                     "--server-timeout", "1", "--server-retries", "0", code=1)
        self.assertIn("no answer", result.stderr)

    def test_interrupted(self):
        rows, out = prompt_rows(40), self.out()
        prompts = self.prompts(rows)
        with Server(lambda handler, body, number: (time.sleep(0.05), echo(handler, body, number))) as server:
            process = self.start(prompts, out, "--server", server.url, "--concurrency", "3")
            while not (out.exists() and out.stat().st_size > 0):
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=20)
            self.assertEqual(process.returncode, 1)
            self.assertIn("the same command goes on", err.decode())
            self.regenerate(prompts, out, "--server", server.url)
        self.assertEqual([row["id"] for row in read_json_lines(out)], [row["id"] for row in rows])


class Cache(DataTest):
    """DeepSpec's target cache; its layout is held against the reference's by the parity tests."""

    def test_a_corpus(self):
        ids = [2, 5, 5, 5, 7, 7, 9]
        rows = [{"id": i, "ids": ids + [i], "loss": [[1, 7]]} for i in range(3)]
        corpus = self.write("c.jsonl", "".join(json.dumps(row) + "\n" for row in rows) + "bad\n")
        out = self.scratch / "cache"
        command = ["data", "cache", corpus, self.model, "--out", out, "--taps", "0,2", "--min-loss-tokens", "2"]
        result = self.expect(0, *command)
        self.assertIn("c.jsonl:4: ", result.stderr)
        manifest = json.loads((out / "manifest.json").read_text())
        hidden = json.loads((self.model / "config.json").read_text())["hidden_size"]
        self.assertEqual((manifest["version"], manifest["num_samples"], manifest["target_layer_ids"],
                          manifest["hidden_size"]), (2, 3, [0, 2], hidden))
        self.assertEqual((out / "samples.idx").stat().st_size, 3 * 56)
        self.assertEqual((out / "shard-00000.bin").stat().st_size, 3 * 8 * (6 + 2 * hidden * 3))
        self.assertIn("there already", self.expect(1, *command).stderr)
        self.assertIn("c.jsonl:4: ", self.expect(1, *command[:4], "--out", out.with_name("b"), "--strict").stderr)
        self.assertFalse(out.with_name("b").exists() or out.with_name("b.part").exists())
        self.assertIn("ascending", self.expect(1, *command[:4], "--out", out.with_name("b"), "--taps", "2,0",
                                               "--min-loss-tokens", "2").stderr)


class Stats(DataTest):
    def stats(self, corpus, *arguments, code=0):
        out = self.scratch / "stats.json"
        out.unlink(missing_ok=True)
        result = self.expect(code, "data", "stats", corpus, self.model, "--json", out, *arguments)
        return json.loads(out.read_text()) if code == 0 else result

    def test_counts(self):
        ids = [2, 5, 5, 5, 7, 7, 9]
        rows = [{"id": 1, "temperature": 0, "finish": "stop", "ids": ids, "loss": [[1, 6]]},
                {"id": 2, "temperature": 1, "finish": "length", "ids": ids, "loss": [[0, 1], [6, 7]]},
                {"id": 3, "ids": ids, "loss": [[0, 1]]}]
        corpus = self.write("c.jsonl", "".join(json.dumps(row) + "\n" for row in rows) + "bad\n")
        vocab = self.scratch / "vocab.json"
        stats = self.stats(corpus, "--min-loss-tokens", "2", "--draft-vocab", "3", "--write-vocab", vocab)
        self.assertEqual((stats["rows"], stats["short_rows"], stats["bad_rows"]), (2, 1, 1))
        self.assertEqual((stats["tokens"], stats["loss_tokens"], stats["distinct_tokens"]), (14, 7, 4))
        self.assertEqual(stats["temperatures"], {"0": 1, "1": 1})
        self.assertEqual(stats["finishes"], {"length": 1, "stop": 1})
        self.assertEqual((stats["loss_length"]["mean"], stats["loss_length"]["p50"], stats["loss_length"]["p90"]),
                         (3.5, 2, 5))
        written = json.loads(vocab.read_text())
        self.assertEqual(written, {"vocab": 512, "draft_vocab": 3, "coverage": 6 / 7, "ids": [2, 5, 7]})
        self.assertEqual(stats["coverage"], [{"draft_vocab": 3, "coverage": 6 / 7}])
        hidden = json.loads((self.model / "config.json").read_text())["hidden_size"]
        self.assertEqual(stats["feature_cache"]["bytes_per_token"], 6 + 2 * hidden * 6)
        self.assertIn("c.jsonl:4: ", self.stats(corpus, "--strict", code=1).stderr)

    def test_rows_to_render(self):
        row = {"conversations": [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "cde"}]}
        corpus = self.write("c.jsonl", json.dumps(row) + "\n")
        stats = self.stats(corpus, "--min-loss-tokens", "1")
        self.assertEqual(stats["loss_tokens"], 5)  # three bytes, the stop token, a line break

    def test_of_a_regenerated_corpus(self):
        out = self.out()
        self.regenerate(self.prompts(prompt_rows(10)), out)
        corpus = read_json_lines(out)
        stats = self.stats(out)
        trained = [sum(end - begin for begin, end in row["loss"]) for row in corpus]
        self.assertEqual(stats["rows"] + stats["short_rows"], 10)
        self.assertEqual(stats["loss_tokens"], sum(n for n in trained if n >= 14))

    def test_usage(self):
        self.assertIn("--draft-vocab", self.expect(2, "data", "stats", "c", "--write-vocab", "v").stderr)
        self.expect(1, "data", "stats", self.scratch / "none", self.model)
        empty = self.write("empty.jsonl", "")
        self.assertIn("no row", self.stats(empty, code=1).stderr)


if __name__ == "__main__":
    main()
