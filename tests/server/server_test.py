"""dspark serve over real sockets: routes, options, drafts, the same text as `run`.

Called with dspark and the repository's root.
"""

import json
import pathlib
import re
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(sys.argv[2]) / "tests" / "apps"))
from program import BARE_MODEL, ROOT, main  # noqa: E402
from served import CHAT, Server, ServerTest  # noqa: E402

DRAFTER = BARE_MODEL.parent / "draft"


class Routes(ServerTest):
    def test_models_and_state(self):
        status, models = self.server.call("GET", "/v1/models")
        self.assertEqual(status, 200)
        self.assertEqual([m["object"] for m in models["data"]], ["model"])
        deadline = time.monotonic() + 20  # what the test before left may be ending
        while (state := self.server.call("GET", "/v1/dspark/state")[1])["running"] and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual((state["running"], state["waiting"]), (0, 0))
        self.assertEqual(self.server.call("HEAD", "/health"), (200, ""))

    def test_tokens_and_text(self):
        reply = self.ok("/tokenize", {"content": "hello<|im_end|>"})
        self.assertEqual(reply["tokens"][-1], 1)
        self.assertEqual(self.ok("/detokenize", {"tokens": reply["tokens"]})["content"], "hello<|im_end|>")
        plain = self.ok("/tokenize", {"prompt": "<|im_end|>", "parse_special": False})["tokens"]
        self.assertNotIn(1, plain)
        rendered = self.ok("/apply-template", {"messages": CHAT["messages"]})["prompt"]
        self.assertEqual(rendered, "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n")
        self.refused(400, "/detokenize", {"tokens": [9999]}, "9999", param="tokens")
        self.refused(400, "/tokenize", {}, "missing")

    def test_the_same_text_as_run(self):
        prompts = ["hello", "a b c", "hell", "é"]
        for settings in ({}, {"temperature": 0.9, "seed": 5}, {"temperature": 0.7, "seed": 1, "top_p": 0.9},
                         {"frequency_penalty": 0.5, "presence_penalty": 0.4}, {"logit_bias": {"70": 50}}):
            arguments = []
            for key, value in settings.items():
                value = "70=50" if key == "logit_bias" else value
                arguments += ["--" + key.replace("_", "-"), value]
            rows = [{"id": i, "turns": [p]} for i, p in enumerate(prompts)]
            runs, _, _ = self.run_rows(rows, "--max-tokens", 12, *arguments)
            bodies = [{**CHAT, **settings, "messages": [{"role": "user", "content": p}]} for p in prompts]
            whole = [self.ok("/v1/chat/completions", body) for body in bodies]
            for run, reply in zip(runs, whole):
                self.assertEqual(reply["choices"][0]["message"]["content"], run["text"])
                self.assertEqual(reply["usage"]["completion_tokens"], len(run["ids"]))
                self.assertEqual(reply["choices"][0]["finish_reason"], run["finish"])
            streams = [None] * len(bodies)

            def stream(i):
                streams[i] = self.server.events("/v1/chat/completions", bodies[i])
            threads = [threading.Thread(target=stream, args=(i,)) for i in range(len(bodies))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for run, events in zip(runs, streams):
                text = "".join(e["choices"][0]["delta"].get("content", "") for e in events)
                self.assertEqual(text, run["text"])
                self.assertEqual(events[0]["choices"][0]["delta"]["role"], "assistant")
                self.assertEqual(events[-1]["choices"][0]["finish_reason"], run["finish"])
                self.assertEqual(len({e["id"] for e in events}), 1)

    def test_completions(self):
        body = {"prompt": [5, 9, 20, 33], "temperature": 0, "max_tokens": 6, "logprobs": 2, "ignore_eos": True}
        reply = self.ok("/v1/completions", body)
        runs, _, _ = self.run_rows([{"id": 1, "ids": [5, 9, 20, 33]}], "--max-tokens", 6, "--ignore-eos")
        choice = reply["choices"][0]
        self.assertEqual(choice["text"], runs[0]["text"])
        self.assertEqual(reply["object"], "text_completion")
        logprobs = choice["logprobs"]
        self.assertEqual(len(logprobs["tokens"]), 6)
        self.assertTrue(all(1 <= len(top) <= 2 for top in logprobs["top_logprobs"]))
        self.assertEqual(logprobs["text_offset"][0], 0)
        self.assertEqual(reply["usage"]["prompt_tokens"], 4)
        many = self.ok("/v1/completions", {"prompt": ["hello", "a"], "n": 2, "temperature": 1, "seed": 3, "echo": True})
        self.assertEqual([c["index"] for c in many["choices"]], [0, 1, 2, 3])
        self.assertTrue(many["choices"][1]["text"].startswith("hello"))
        self.assertNotEqual(many["choices"][0]["text"], many["choices"][1]["text"])
        self.assertEqual(many["usage"]["completion_tokens"], 64)  # 16 each

    def test_stops_logprobs_and_usage_of_a_stream(self):
        text = self.ok("/v1/chat/completions", {**CHAT, "max_tokens": 40})["choices"][0]["message"]["content"]
        stop = text[5:7]
        reply = self.ok("/v1/chat/completions", {**CHAT, "max_tokens": 40, "stop": [stop]})
        self.assertEqual(reply["choices"][0]["message"]["content"], text[:text.index(stop)])
        self.assertEqual(reply["choices"][0]["finish_reason"], "stop")
        events = self.server.events("/v1/chat/completions",
                                    {**CHAT, "logprobs": True, "top_logprobs": 3,
                                     "stream_options": {"include_usage": True}})
        self.assertEqual(events[-1]["choices"], [])
        self.assertEqual(events[-1]["usage"]["completion_tokens"], 12)
        tokens = [t for e in events[:-1] for t in ((e["choices"][0]["logprobs"] or {}).get("content") or [])]
        self.assertEqual(len(tokens), 12)
        self.assertTrue(all(len(t["top_logprobs"]) == 3 for t in tokens))
        self.assertTrue(all(t["logprob"] <= t["top_logprobs"][0]["logprob"] for t in tokens))

    def test_messages_in_parts(self):
        parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
        got = self.ok("/v1/chat/completions", {**CHAT, "messages": [{"role": "user", "content": parts}]})
        want = self.ok("/v1/chat/completions", CHAT)
        self.assertEqual(got["choices"][0]["message"], want["choices"][0]["message"])
        self.refused(400, "/v1/chat/completions",
                     {**CHAT, "messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
                     "type text", param="messages[0].content")

    def test_a_prompt_again_is_found_in_the_cache(self):
        body = {"prompt": list(range(3, 203)), "max_tokens": 80, "temperature": 0, "ignore_eos": True}
        first, second = (self.ok("/v1/completions", body) for _ in range(2))
        self.assertEqual(first["choices"][0]["text"], second["choices"][0]["text"])
        self.assertEqual(second["usage"]["prompt_tokens_details"]["cached_tokens"], 199)

    def test_the_page(self):
        for path, kind in (("/", "text/html"), ("/style.css", "text/css"), ("/page.js", "text/javascript"), ("/plot.js", "text/javascript")):
            status, text = self.server.call("GET", path, raw=True)
            self.assertEqual(status, 200)
            self.assertTrue(self.server.headers["Content-Type"].startswith(kind))
            self.assertIn("default-src 'none'", self.server.headers["Content-Security-Policy"])
            self.assertNotIn("https:", text)  # nothing from elsewhere
            self.assertNotIn("url(", text)
        self.refused(405, "/", {}, "GET")

    def test_the_description_names_what_there_is(self):
        for path, methods in self.server.call("GET", "/openapi.json")[1]["paths"].items():
            for method in ("get", "post"):
                body = {} if method == "post" else None
                status = self.server.call(method.upper(), path, body, raw=True)[0]
                self.assertIn(status, (200, 400) if method in methods else (405,), (method, path))

    def test_the_dashboard_names_metrics_that_there_are(self):
        there = self.server.call("GET", "/metrics")[1]
        for panel in json.loads((ROOT / "packages" / "grafana-dashboard.json").read_text())["panels"]:
            for target in panel["targets"]:
                for name in re.findall(r"dspark_\w+", target["expr"]):
                    self.assertRegex(there, rf"(?m)^{name}[ {{]")

    def test_request_ids_and_the_log(self):
        self.ok("/v1/completions", {"prompt": "secret words", "max_tokens": 3, "ignore_eos": True},
                headers={"X-Request-Id": "mine-1", "Authorization": "Bearer hidden"})
        self.assertEqual(self.server.headers["X-Request-Id"], "mine-1")
        self.server.call("GET", "/v1/models", headers={"X-Request-Id": "two words"})
        made = self.server.headers["X-Request-Id"]
        self.assertRegex(made, r"^[0-9a-f]{16}$")
        self.refused(404, "/what/ever", {})
        deadline = time.monotonic() + 20
        while not any('"other"' in line for line in self.server.lines) and time.monotonic() < deadline:
            time.sleep(0.01)
        log = [json.loads(line) for line in self.server.lines if line.startswith("{")]
        mine = next(line for line in log if line["id"] == "mine-1")
        self.assertEqual({k: mine[k] for k in ("method", "route", "status", "prompt_tokens", "tokens")},
                         {"method": "POST", "route": "/v1/completions", "status": 200,
                          "prompt_tokens": len("secret words"), "tokens": 3})
        self.assertEqual(next(line for line in log if line["id"] == made)["route"], "/v1/models")
        self.assertFalse({"/health", "/metrics"} & {line["route"] for line in log if line["status"] == 200})
        for part in ("secret", "hidden", "what"):
            self.assertNotIn(part, "".join(self.server.lines))

    def test_answers_of_a_schema_and_of_a_grammar(self):
        schema = {"type": "object", "additionalProperties": False, "required": ["n", "colour", "sure"],
                  "properties": {"n": {"type": "integer", "minimum": 3, "maximum": 12},
                                 "colour": {"enum": ["red", "green"]}, "sure": {"type": "boolean"}}}
        wanted = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
        for temperature, stream in ((0, False), (1, False), (1, True)):
            body = {**CHAT, "temperature": temperature, "seed": 4, "max_tokens": 300, "response_format": wanted}
            if stream:
                events = self.server.events("/v1/chat/completions", body)
                text = "".join(e["choices"][0]["delta"].get("content", "") for e in events if e["choices"])
            else:
                choice = self.ok("/v1/chat/completions", body)["choices"][0]
                self.assertEqual(choice["finish_reason"], "stop")
                text = choice["message"]["content"]
            value = json.loads(text)
            self.assertEqual(set(value), {"n", "colour", "sure"})
            self.assertIn(value["n"], range(3, 13))
            self.assertIn(value["colour"], ("red", "green"))
            self.assertIsInstance(value["sure"], bool)
        anything = self.ok("/v1/chat/completions", {**CHAT, "response_format": {"type": "json_object"}})
        self.assertEqual(anything["choices"][0]["message"]["content"][0], "{")
        body = {"prompt": "x", "max_tokens": 30, "temperature": 1, "seed": 9, "logprobs": 5,
                "grammar": "root ::= [a-c]{3} (\"!\" | \"?\")"}
        choice = self.ok("/v1/completions", body)["choices"][0]
        self.assertRegex(choice["text"], r"^[a-c]{3}[!?]$")
        self.assertLessEqual(set(choice["logprobs"]["top_logprobs"][0]), {"a", "b", "c"})

    def test_unknown_fields_are_named(self):
        self.ok("/v1/chat/completions", {**CHAT, "unheard_of": 1, "user": "me"})
        self.assertEqual(self.server.headers["X-Dspark-Ignored"], "unheard_of")


class Speculation(ServerTest):
    ARGUMENTS = ("--drafter", DRAFTER, "--planner", "full")

    def test_usage_tells_of_drafts_and_the_text_stays(self):
        body = {"prompt": [5, 9, 20, 33], "temperature": 0, "max_tokens": 30, "logprobs": 0}
        fast, slow = (self.ok("/v1/completions", {**body, **more}) for more in ({}, {"speculation": {"off": True}}))
        self.assertEqual(fast["choices"][0]["logprobs"]["token_logprobs"], slow["choices"][0]["logprobs"]["token_logprobs"])
        self.assertGreater(fast["usage"]["speculation"]["drafted"], 0)
        self.assertEqual(slow["usage"]["speculation"]["drafted"], 0)
        one = self.ok("/v1/completions", {**body, "speculation": {"draft_max": 1}})["usage"]["speculation"]
        self.assertLessEqual(one["drafted"], one["cycles"])
        # What the planner expected, beside what came of it.
        of = lambda name: self.server.metric(f"dspark_{name}")
        deadline = time.monotonic() + 30  # requests are counted after their answers
        while of("planned_tokens_total") != of("tokens_total") - of("requests_total") and time.monotonic() < deadline:
            time.sleep(0.02)
        steps = of("planned_steps_total")
        self.assertTrue(0 < steps < of("steps_total"))  # prompts' steps are not planned
        self.assertEqual(of("planned_tokens_total"), of("tokens_total") - of("requests_total"))
        self.assertTrue(steps < of("expected_tokens_total") <= steps + of("verified_total"))
        self.assertAlmostEqual(of("expected_tokens_total"), steps + of("expected_accepted_total"), places=3)
        self.assertGreater(of("predicted_seconds_total"), 0)
        self.assertGreater(of("planned_seconds_total"), 0)
        self.assertEqual(of("trimmed_total"), of("drafted_total") - of("verified_total"))
        for name in ("step_ms", "step_predicted_ms", "step_rows"):
            self.assertGreater(of(name), 0)

    def test_trace(self):
        path = self.scratch / "trace.json"
        server = Server(BARE_MODEL, *self.ARGUMENTS, "--trace", path)
        self.assertEqual(server.call("POST", "/v1/completions", {"prompt": [5, 9], "max_tokens": 5})[0], 200)
        self.assertFalse(path.exists())
        self.assertEqual(server.stop(), 0)
        names = [event["name"] for event in json.loads(path.read_text())["traceEvents"]]
        self.assertIn("request 1", names)
        self.assertGreater(names.count("step"), 1)

    def test_a_stream_tells_where_tokens_came_from(self):
        body = {"prompt": [5, 9, 20, 33], "temperature": 0, "max_tokens": 30}
        events = self.server.events("/v1/completions", {**body, "speculation": {"origins": True},
                                                        "stream_options": {"include_usage": True}})
        traces = [c["speculation"] for e in events for c in e["choices"] if "speculation" in c]
        self.assertEqual(sum(t["tokens"] for t in traces), 30)
        pieces = [p for t in traces for p in t["pieces"]]
        self.assertEqual("".join(p["text"] for p in pieces), self.ok("/v1/completions", body)["choices"][0]["text"])
        counts = {o: sum(p["origin"] == o for p in pieces) for o in ("plain", "accepted", "corrected", "bonus")}
        self.assertEqual(sum(counts.values()), len(pieces))
        self.assertLessEqual(counts["accepted"], events[-1]["usage"]["speculation"]["accepted"])
        self.assertGreater(counts["accepted"], 0)
        self.refused(400, "/v1/completions", {**body, "speculation": {"origins": True}}, "stream", param="speculation.origins")

    def test_requests_speculate_in_their_own_way(self):
        body = {"prompt": [5, 9, 20, 33], "temperature": 0.8, "seed": 3, "max_tokens": 30}

        def answer(**more):
            reply = self.ok("/v1/completions", {**body, **more})
            return reply["choices"][0]["text"], reply["usage"]["speculation"]
        plain, usual = answer()
        self.assertGreater(usual["verified"], 0)
        text, counts = answer(speculation={"planner": "off"})
        self.assertEqual((text, counts["drafted"]), (plain, 0))
        text, counts = answer(speculation={"planner": "fixed:1"}, service_tier="flex")
        self.assertEqual(text, plain)
        self.assertGreater(counts["drafted"], 0)
        self.assertEqual(counts["drafted"], counts["verified"])
        self.assertLessEqual(counts["drafted"], counts["cycles"])
        again = answer(speculation={"verify": "rejection", "planner": "fixed:2"})
        self.assertEqual(answer(speculation={"verify": "rejection", "planner": "fixed:2"}), again)
        for settings, param in (({"planner": "global"}, "planner"), ({"planner": "fixd:1"}, "planner"),
                                ({"verify": "greedy"}, "verify"), ({"verify": "x"}, "verify"), ({"of": True}, "of")):
            self.refused(400, "/v1/completions", {**body, "speculation": settings}, param=f"speculation.{param}")
        self.refused(400, "/v1/completions", {**body, "service_tier": "slow"}, "flex", param="service_tier")


main()
