#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks rules of the source that no compiler knows: include ranks, third-party headers in their wrapper,
banned functions, lengths, licence lines. Prints `file:line: fault` and exits 1 if there are any.

  check-source.py [--self-test]
"""
import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MAX_C_LINES = 700
MAX_COLUMNS = 120

RANK = {"abi": 0, "plugin/base": 1, "plugin/proto": 2, "plugin/call": 2, "plugin/net": 3, "memory": 3,
        "plugin/realtime": 4, "plugin/carrier": 4, "sessions": 4, "plugin/config": 5, "plugin": 6,
        "abi/host": 7, "abi/node": 7}
# Folders of one rank know nothing of each other; these may not either, though the rank would allow it.
NOT = {"plugin/call": ["plugin/proto"], "memory": ["plugin/proto", "plugin/call", "plugin/net"],
       "plugin/net": ["plugin/call"], "abi/host": ["*"], "abi/node": ["*"]}

# header pattern -> files that may include it
WRAPPERS = [
    (r"uv\.h", r"plugin/net/"),
    (r"sqlite3\.h", r"memory/"),
    (r"llhttp\.h|llhttp/.*", r"plugin/proto/http1\.c"),
    (r"wslay/.*", r"plugin/proto/ws\.c"),
    (r"openssl/.*", r"plugin/proto/(tls|sig|ws)[a-z_0-9]*\.c|plugin/base/(id|secret|seal)\.c"),
    (r"cjson/.*|cJSON\.h", r"plugin/base/json[a-z_0-9]*\.c"),
    (r"yaml\.h", r"plugin/config/yaml\.c"),
    (r"node_api\.h|js_native_api\.h", r"abi/node/"),
    (r"dlfcn\.h", r"(abi/(host|node)/|plugin/base/here\.c)"),
]

EVERYWHERE = ["strcpy", "strcat", "sprintf", "vsprintf", "strtok", "strtok_r", "atoi", "atol", "atoll",
              "gets", "alloca", "strncpy", "strncat", "asprintf", "vasprintf", "tmpnam", "mktemp",
              "assert", "system", "popen"]
IN_PLUGIN = ["abort", "exit", "_exit", "quick_exit", "_Exit", "signal", "sigaction", "setlocale", "chdir",
             "fchdir", "setenv", "unsetenv", "putenv", "clearenv", "umask", "fork", "vfork", "execve",
             "localtime", "gmtime", "ctime", "asctime", "strerror", "rand", "srand", "random",
             "printf", "puts", "perror", "usleep", "sleep"]
ALLOCATORS = ["malloc", "calloc", "realloc", "reallocarray", "free", "strdup", "strndup",
              "aligned_alloc", "posix_memalign"]


def folder_of(path):
    d = os.path.dirname(path)
    return d if d in RANK else None


def strip(text):
    """Source without comments and literals, lines kept."""
    def blank(m):
        return re.sub(r"[^\n]", " ", m.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)


def check_includes(path, lines, faults):
    folder = folder_of(path)
    own = RANK[folder]
    for number, line in enumerate(lines, 1):
        m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if not m:
            continue
        kind, name = m.groups()
        wrapper = next((w for w in WRAPPERS if re.fullmatch(w[0], name)), None)
        if wrapper and not re.match(wrapper[1], path):
            faults.append((path, number, f"{name} belongs in its wrapper alone ({wrapper[1]})"))
        if name == "manifest.h" and own != RANK["plugin"]:
            faults.append((path, number, "manifest.h is for plugin/*.c"))
        if kind == "<" or wrapper or name == "manifest.h":
            continue
        theirs = folder_of(name)
        if theirs is None:
            faults.append((path, number, f'"{name}" is not relative to the project\'s root'))
        elif theirs != folder and (RANK[theirs] > own or RANK[theirs] == own):
            faults.append((path, number, f"{folder} (rank {own}) may not include {theirs} (rank {RANK[theirs]})"))
        elif theirs != folder and theirs != "abi" and any(n in ("*", theirs) for n in NOT.get(folder, [])):
            faults.append((path, number, f"{folder} may not include {theirs}"))


def check_calls(path, lines, faults):
    in_host = path.startswith(("abi/host/", "abi/node/"))
    banned = list(EVERYWHERE)
    if not in_host:
        banned += IN_PLUGIN
        if path != "plugin/base/mem.c":
            banned += ALLOCATORS
        if not path.startswith("plugin/config/"):
            banned.append("getenv")
    pattern = re.compile(r"(?<![\w.>])(" + "|".join(banned) + r")\s*\(")
    for number, line in enumerate(lines, 1):
        for m in pattern.finditer(line):
            if not re.search(r"(struct|->|\.)\s*$", line[:m.start()]):
                faults.append((path, number, f"{m.group(1)}() is not used here"))


def check_globals(path, lines, faults):
    """Writable data at file scope: several instances live in one process."""
    if path.startswith("abi/"):
        return
    depth = 0
    for number, line in enumerate(lines, 1):
        if depth == 0 and re.match(r"(static\s+)?(struct\s+\w+|unsigned|int|char|bool|size_t|u?int\d+_t|"
                                   r"_Atomic|pthread_\w+)\b[^;(){}]*(=|;)", line):
            if not re.search(r"\bconst\b|\bextern\b|\btypedef\b", line) and \
                    not re.match(r"struct\s+\w+\s*;", line):
                faults.append((path, number, "writable data at file scope"))
        depth += line.count("{") - line.count("}")


def check_shape(path, text, faults):
    lines = text.split("\n")
    if not text.startswith("/* SPDX-License-Identifier: MIT */\n"):
        faults.append((path, 1, "the first line must be /* SPDX-License-Identifier: MIT */"))
    if path.endswith(".c") and len(lines) - 1 > MAX_C_LINES:
        faults.append((path, len(lines) - 1, f"over {MAX_C_LINES} lines"))
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_COLUMNS:
            faults.append((path, number, f"over {MAX_COLUMNS} columns"))
        if line != line.rstrip() or "\t" in line:
            faults.append((path, number, "a tab or a space at the end of the line"))
        if re.search(r"\b(TODO|FIXME|XXX)\b", line):
            faults.append((path, number, "unfinished work is not left in comments"))


def check(path, text):
    faults = []
    check_shape(path, text, faults)
    code = strip(text)
    check_includes(path, [a if "#" in b else b for a, b in zip(text.split("\n"), code.split("\n"))],
                   faults)
    check_calls(path, code.split("\n"), faults)
    check_globals(path, code.split("\n"), faults)
    return faults


def sources():
    for folder in RANK:
        for kind in ("*.c", "*.h"):
            yield from sorted(glob.glob(f"{folder}/{kind}"))


def self_test():
    """Each rule finds what it is for, and good source passes."""
    head = "/* SPDX-License-Identifier: MIT */\n"
    bad = {
        "rank": ("plugin/base/x.c", '#include "plugin/net/loop.h"\n'),
        "equal rank": ("plugin/proto/x.c", '#include "plugin/call/call.h"\n'),
        "wrapper": ("plugin/realtime/x.c", "#include <uv.h>\n"),
        "host": ("abi/host/x.c", '#include "plugin/base/str.h"\n'),
        "root": ("plugin/net/x.c", '#include "loop.h"\n'),
        "banned": ("memory/x.c", "int f(void)\n{\n    return atoi(p);\n}\n"),
        "allocator": ("memory/x.c", "void f(void)\n{\n    free(p);\n}\n"),
        "global": ("plugin/x.c", "static int counter;\n"),
        "long": ("plugin/x.c", "int x(void);\n" * 701),
        "wide": ("plugin/x.c", "/*" + "x" * 130 + "*/\n"),
    }
    good = '#include "plugin/base/str.h"\n#include <string.h>\n' \
           'static const int max = 3;\nint f(void)\n{\n    int atoi_like = 1; /* free(p) */\n' \
           '    x->free(p);\n    return 0;\n}\n'
    missed = [name for name, (path, text) in bad.items() if len(check(path, head + text)) == 0]
    if not check("plugin/net/x.c", good[1:]):
        missed.append("licence")
    wrong = check("plugin/net/x.c", head + good)
    for name in missed:
        print(f"self-test: {name} is not found")
    for fault in wrong:
        print(f"self-test: good source has a fault: {fault}")
    return 1 if missed or wrong else 0


def main():
    os.chdir(ROOT)
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    faults, n = [], 0
    for path in sources():
        with open(path, encoding="utf-8") as f:
            faults += check(path, f.read())
        n += 1
    for path, number, text in faults:
        print(f"{path}:{number}: {text}")
    print(f"check-source: {n} files, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
