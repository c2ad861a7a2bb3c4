"""Pictures of the page with the default model for the documentation. Called with dspark and the root."""

import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(sys.argv[2]) / "tests" / "apps"))
import browser  # noqa: E402
from program import ROOT  # noqa: E402
from served import Server  # noqa: E402

QUESTION = "Why is the sky blue?"
IMAGES = ROOT / "docs" / "images"


def chat(page, port, questions):
    page.open(f"http://127.0.0.1:{port}/")
    page.wait("document.querySelector('#health.ok')")
    page.script("document.getElementById('max-tokens').value = 160")
    for i, question in enumerate(questions):
        page.press(*question, "enter")
        page.wait(f"document.querySelectorAll('.turn.assistant').length == {i + 1} && !document.querySelector('.turn.busy')", 300)


def background(server, count, stopped):
    """Other clients, for the load panel."""
    def ask(i):
        while not stopped.is_set():
            server.call("POST", "/v1/chat/completions", {"max_tokens": 60 + 20 * i, "temperature": 0.7, "seed": i, "messages": [
                {"role": "user", "content": f"Tell a short story about {i + 3} birds."}]})
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    return threads


server = Server(None, "--no-request-log", "--planner", "full")  # every draft is verified: more to see
page = browser.Browser()
stopped = threading.Event()
threads = background(server, 2, stopped)
try:
    page.resize(1280, 860)
    chat(page, server.port, [QUESTION, "Write a Python function that reverses a string."])
    page.wait("document.querySelector('#plot-speed polyline').points.length > 25", 300)
    page.screenshot(IMAGES / "page.png")
    page.resize(390, 800, mobile=True)
    chat(page, server.port, [QUESTION])
    page.screenshot(IMAGES / "page_phone.png")
finally:
    stopped.set()
    for thread in threads:
        thread.join()
    page.close()
    server.stop()
