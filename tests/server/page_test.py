"""The server's web page in a headless Chromium. Called with dspark and the repository's root.

Exits 77, for skipped, where chromium or chromedriver is missing.
"""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(sys.argv[2]) / "tests" / "apps"))
import browser  # noqa: E402
from program import BARE_MODEL, SKIP, ProgramTest, main  # noqa: E402
from served import Server  # noqa: E402

ANSWERED = "document.querySelectorAll('.turn.assistant').length == %d && !document.querySelector('.turn.busy')"
LAST_TEXT = "return [...document.querySelectorAll('.turn.assistant .text')].at(-1).textContent"
LAST_SHADES = """const answers = document.querySelectorAll('.turn.assistant .text');
const spans = answers[answers.length - 1].querySelectorAll('span');
return [...new Set([...spans].map((span) => span.className))];"""


class Page(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server(cls.model, "--drafter", BARE_MODEL.parent / "draft", "--planner", "full")
        cls.browser = browser.Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        code = cls.server.stop()
        super().tearDownClass()
        assert code == 0, cls.server.lines

    def setUp(self):
        self.browser.open(f"http://127.0.0.1:{self.server.port}/")
        self.browser.wait("document.querySelector('#health.ok')")
        self.browser.faults()  # those of the test before

    def set(self, field, value):
        self.browser.script("document.getElementById(arguments[0]).value = arguments[1]", field, str(value))

    def want(self, text, tokens):
        _, reply = self.server.call("POST", "/v1/chat/completions",
                                    {"messages": [{"role": "user", "content": text}], "max_tokens": tokens, "temperature": 0})
        return reply["choices"][0]["message"]["content"]

    def test_a_chat_by_keyboard(self):
        page = self.browser
        self.set("max-tokens", 40)
        page.press(*"hello", "enter")  # the field has the focus from the start
        page.wait(ANSWERED % 1)
        shown = page.script(LAST_TEXT)
        self.assertEqual(shown, self.want("hello", 40))
        shades = page.script(LAST_SHADES)
        self.assertTrue({"accepted", "corrected", "bonus"} & set(shades), shades)
        figures = page.text(".turn.assistant .figures")
        for part in ("40 tokens", "tokens/s", "τ ", "drafts stood"):
            self.assertIn(part, figures)
        self.assertEqual(page.script("return document.activeElement.id"), "prompt")

        # Another planner: the same words, one draft a cycle at most.
        self.set("request-planner", "fixed:1")
        page.click("#clear")
        page.type("#prompt", "hello")
        page.click("#send")
        page.wait(ANSWERED % 1)
        self.assertEqual(page.script(LAST_TEXT), shown)
        few, many = (int(re.search(r"of (\d+) verified", text).group(1))
                     for text in (page.text(".turn.assistant .figures"), figures))
        self.assertLess(few, many)
        self.assertGreater(few, 0)

        # Without speculation: the same words, none of them drafted.
        page.click("#clear")
        page.click("#speculate")
        page.type("#prompt", "hello")
        page.click("#send")
        page.wait(ANSWERED % 1)
        self.assertEqual(page.script(LAST_TEXT), shown)
        self.assertEqual(page.script(LAST_SHADES), ["plain"])

        # What was said before goes along, and the load panel draws.
        page.press(*"a", "enter")
        page.wait(ANSWERED % 2)
        page.wait("document.querySelector('#plot-speed polyline')?.points.length > 1")
        self.assertRegex(page.text("#pages"), r"\d+ of \d+")
        self.assertEqual(page.faults(), [])

    def test_an_answer_is_stopped(self):
        page = self.browser
        self.set("max-tokens", 400)
        self.set("temperature", 2)
        page.slow(10000)
        self.addCleanup(page.slow, -1)
        page.press(*"hello", "enter")
        page.wait("document.querySelector('.turn.busy .text span')")
        page.press("escape")
        page.wait(ANSWERED % 1)
        self.assertIn("stopped", page.text(".turn.assistant .figures"))
        page.wait("document.getElementById('running').textContent == '0'")
        self.assertEqual(page.faults(), [])

    def test_what_the_server_refuses_is_said(self):
        page = self.browser
        self.set("max-tokens", 0)
        page.press("a", "enter")
        page.wait("document.querySelector('.fault')")
        self.assertIn("max_tokens", page.text(".fault"))

    def test_fields_have_labels_and_a_phone_scrolls_one_way(self):
        page = self.browser
        unnamed = "return [...document.querySelectorAll('input, textarea')].filter((x) => !x.labels.length).map((x) => x.id)"
        self.assertEqual(page.script(unnamed), [])
        page.resize(360, 740, mobile=True)
        page.open(f"http://127.0.0.1:{self.server.port}/")
        wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        self.assertEqual(page.script(wide), 0)
        page.devtools("Emulation.clearDeviceMetricsOverride", {})

    def test_a_key_is_asked_for(self):
        keys = self.write("keys", "secret\n")
        server = Server(self.model, "--api-key-file", keys)
        try:
            page = self.browser
            page.open(f"http://127.0.0.1:{server.port}/")
            page.wait("!document.getElementById('key-field').hidden")
            page.type("#key", "secret\ue004")
            page.wait("document.querySelector('#health.ok')")
        finally:
            self.assertEqual(server.stop(), 0)


if not browser.available():
    sys.exit(SKIP)
main()
