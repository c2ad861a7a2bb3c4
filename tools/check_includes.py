#!/usr/bin/env python3
"""Checks the directions of dependence between the rooms under src/, and the length of files.

A room's CMakeLists.txt names the rooms that it builds on: dspark_room(NAME ... ROOMS ...). It may
include any header of its own, and of those rooms and what they in turn build on, the public header
<room>/<room>.h alone. `apps` is a program: every public header is open to it, and nothing builds on
it. Prints one line a fault, with its place; exits 1 if there is any.

usage: check_includes.py [ROOT]   (default: the repository that this file is in)
"""

import pathlib
import re
import sys

PROGRAMS = ("apps",)
MAX_LINES = 600
SOURCE_SUFFIXES = (".h", ".c", ".cc", ".hpp", ".inc", ".cu", ".py")
SOURCE_FOLDERS = ("bench", "examples", "include", "python", "scripts", "src", "tests", "tools")
ROOM_CALL = re.compile(r"\bdspark_room\s*\(\s*(\w+)([^)]*)\)")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)')
KEYWORDS = ("SOURCES", "ROOMS", "LIBS")


def declared_rooms(cmake_text):
    """The rooms of each dspark_room() call: {name: [rooms it builds on]}."""
    text = re.sub(r"#.*", "", cmake_text)
    found = {}
    for name, arguments in ROOM_CALL.findall(text):
        keyword, rooms = None, []
        for word in arguments.split():
            if word in KEYWORDS:
                keyword = word
            elif keyword == "ROOMS":
                rooms.append(word)
        found[name] = rooms
    return found


def read_rooms(source, faults):
    """{room: rooms it names}, for every folder of source that has a CMakeLists.txt."""
    rooms = {}
    for cmake in sorted(source.glob("*/CMakeLists.txt")):
        room = cmake.parent.name
        declared = declared_rooms(cmake.read_text(encoding="utf-8"))
        if room in PROGRAMS:
            rooms[room] = []
        elif list(declared) != [room]:
            faults.append(f"{cmake}: declares {sorted(declared) or 'no room'}, expected one "
                          f"dspark_room({room} ...)")
            rooms[room] = []
        else:
            rooms[room] = declared[room]
    for room, named in rooms.items():
        for other in named:
            if other not in rooms:
                faults.append(f"{source / room}/CMakeLists.txt: ROOMS names {other}, which isn't a "
                              "room")
            elif other in PROGRAMS:
                faults.append(f"{source / room}/CMakeLists.txt: ROOMS names {other}, a program: "
                              "nothing builds on it")
    return rooms


def reachable(rooms, room):
    seen, waiting = set(), list(rooms[room])
    while waiting:
        other = waiting.pop()
        if other in rooms and other not in seen:
            seen.add(other)
            waiting.extend(rooms[other])
    return seen


def check_includes_of(path, room, allowed, rooms, faults):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        header = match.group(1) or match.group(2)
        parts = pathlib.PurePosixPath(header).parts
        place = f"{path}:{number}"
        if ".." in parts:
            faults.append(f'{place}: "{header}": headers are named from src/, without ..')
            continue
        other = parts[0]
        if len(parts) == 1 and match.group(1):
            faults.append(f'{place}: "{header}": headers are named from src/, as {room}/{header}')
        if len(parts) == 1 or other not in rooms or other == room:
            continue
        if other not in allowed:
            names = ", ".join(sorted(allowed)) or "no other room"
            faults.append(f'{place}: "{header}": {room} builds on {names}, not on {other}')
        elif header != f"{other}/{other}.h":
            faults.append(f'{place}: "{header}" is private to {other}; include "{other}/{other}.h"')


def check_cycles(rooms, faults):
    for room in sorted(rooms):
        if room in reachable(rooms, room):
            faults.append(f"room {room} builds on itself: a cycle")


def check_lengths(root, faults):
    for folder in SOURCE_FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in SOURCE_SUFFIXES and path.is_file():
                lines = path.read_bytes().count(b"\n")
                if lines > MAX_LINES:
                    faults.append(f"{path}: {lines} lines, at most {MAX_LINES}")


def check(root):
    """The list of faults, and how many files were looked at."""
    faults, files = [], 0
    source = root / "src"
    rooms = read_rooms(source, faults)
    check_cycles(rooms, faults)
    for room in sorted(rooms):
        allowed = reachable(rooms, room)
        if room in PROGRAMS:
            allowed = set(rooms) - set(PROGRAMS)
        for path in sorted((source / room).rglob("*")):
            if path.suffix in SOURCE_SUFFIXES and path.is_file():
                files += 1
                check_includes_of(path, room, allowed, rooms, faults)
    if files == 0:
        faults.append(f"{source}: no source files found")
    check_lengths(root, faults)
    return faults, files


def main(arguments):
    if len(arguments) > 1 or any(a.startswith("-") for a in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    root = pathlib.Path(arguments[0]) if arguments else pathlib.Path(__file__).resolve().parents[1]
    faults, files = check(root)
    for fault in faults:
        print(fault)
    print(f"check_includes: {files} files, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
