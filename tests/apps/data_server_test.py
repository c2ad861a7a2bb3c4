"""dspark data regenerate by servers: answers, failures, retries."""

import http.server
import json
import os
import signal
import threading
import time

from data_support import DataTest, prompt_rows
from program import main, read_json_lines


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


if __name__ == "__main__":
    main()
