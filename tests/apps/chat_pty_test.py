"""The chat, typed at a pseudo-terminal, on a tiny random model."""

import os
import pty
import re
import select
import subprocess
import time

from program import PROGRAM, ProgramTest, main, read_json_lines

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|[\x07\x00]")


class Terminal:
    def __init__(self, arguments, env):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdin=slave, stdout=slave,
                                        stderr=slave, env={**os.environ, "TERM": "xterm", **env},
                                        start_new_session=True, preexec_fn=self.take_terminal)
        os.close(slave)
        self.seen = ""

    @staticmethod
    def take_terminal():
        import fcntl
        import termios
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C is a signal to the program

    def type(self, text):
        os.write(self.master, text.encode())

    def wait_for(self, pattern, seconds=60):
        """What came up to the end of the pattern."""
        deadline = time.monotonic() + seconds
        while True:
            text = ESCAPES.sub("", self.seen)
            match = re.search(pattern, text)
            if match:
                self.seen = text[match.end():]
                return text[:match.end()]
            ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"waited for {pattern!r}, saw {text!r}")
            try:
                data = os.read(self.master, 65536)
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"the program ended before {pattern!r}: {text!r}")
            self.seen += data.decode(errors="replace")

    def ended(self):
        """The exit code, with what is still written read away."""
        deadline = time.monotonic() + 60
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise AssertionError(f"the program did not end: {self.seen!r}")
            ready, _, _ = select.select([self.master], [], [], 0.05)
            try:
                if ready:
                    os.read(self.master, 65536)
            except OSError:
                pass
        os.close(self.master)
        return self.process.returncode


SPEED = r"\d+ tokens, [\d.]+ tok/s[^\n]*\n"


class Chat(ProgramTest):
    def start(self, *arguments):
        env = {"XDG_STATE_HOME": str(self.scratch / "state")}
        terminal = Terminal(["run", self.model, *arguments], env)
        self.addCleanup(lambda: terminal.process.poll() is None and terminal.process.kill())
        terminal.wait_for("> ")
        return terminal

    def leave(self, terminal):
        terminal.wait_for("> ")
        time.sleep(0.5)  # the editor takes the terminal just after the prompt; Ctrl-D must come later
        terminal.type("\x04")

    def test_conversation_and_commands(self):
        out = self.scratch / "chat.jsonl"
        terminal = self.start("--max-tokens", "4", "--ignore-eos", "--json", out)
        for text in ("hello", "he\u00e9"):
            terminal.type(text + "\n")
            terminal.wait_for(SPEED)
            terminal.wait_for("> ")
        terminal.type("/help\n")
        terminal.wait_for("/system TEXT")
        terminal.type("/rest\n")
        terminal.wait_for("nearest is /reset")
        terminal.type("/system hello\n")
        terminal.wait_for("forgotten")
        terminal.type("ll\n")
        terminal.wait_for(SPEED)
        terminal.type("/exit\n")
        self.assertEqual(terminal.ended(), 0)
        first, second, third, last = read_json_lines(out)
        self.assertEqual([first["id"], second["id"], third["id"]], ["chat/1", "chat/2", "chat/3"])
        self.assertEqual(second["prompt_ids"][:len(first["prompt_ids"])], first["prompt_ids"])
        self.assertIn([3 + 0xC3, 3 + 0xA9], [second["prompt_ids"][i:i + 2]
                                             for i in range(len(second["prompt_ids"]))])
        system = [2, *(3 + byte for byte in b"system\n"), 262, 1]
        self.assertEqual(third["prompt_ids"][:len(system)], system)
        self.assertEqual(last["summary"]["requests"], 3)
        history = (self.scratch / "state" / "dspark" / "history").read_text()
        self.assertIn("hello", history)

    def test_interrupt_stops_the_answer_only(self):
        terminal = self.start("--ignore-eos", "--isa", "ref", "--max-tokens", "480",
                              "--logit-bias", "100=1000")
        terminal.type("hello\n")
        terminal.wait_for("aaa")
        terminal.type("\x03")
        terminal.wait_for("stopped")
        terminal.wait_for("> ")
        terminal.type("half a line\x03")
        time.sleep(0.3)
        terminal.type("/help\n")  # the line before was emptied
        terminal.wait_for("/exit")
        self.assertIsNone(terminal.process.poll())
        self.leave(terminal)
        self.assertEqual(terminal.ended(), 0)

    def test_full_context_is_said(self):
        terminal = self.start("--max-tokens", "4", "--ignore-eos")
        terminal.type("x" * 600 + "\n")
        terminal.wait_for("fills the context of 512")
        terminal.type("/reset\n")
        terminal.wait_for("forgotten")
        self.leave(terminal)
        self.assertEqual(terminal.ended(), 0)


if __name__ == "__main__":
    main()
