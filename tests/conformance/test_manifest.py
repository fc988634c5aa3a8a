#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The derived files agree with plugin.toml, and a disagreement is found; the checker of the source works."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.environ["OCV_ROOT"]
BUILD = os.environ["OCV_BUILDDIR"]
PACKAGE = os.environ["OCV_PACKAGE"]
bad = 0


def case(name, good, detail=""):
    global bad
    print(f"{'ok' if good else 'FAIL'} {name}{'' if good else ': ' + str(detail)}", flush=True)
    bad += not good


def gen(folder, *args):
    p = subprocess.run([sys.executable, folder + "/scripts/gen-manifest.py", *args],
                       capture_output=True, text=True)
    return p.returncode, p.stdout + p.stderr


def copy(into):
    for name in ("plugin.toml", "skill.json", "SKILL.md"):
        shutil.copy(f"{ROOT}/{name}", into)
    shutil.copytree(f"{ROOT}/abi", into + "/abi", ignore=lambda d, n: [x for x in n if not x.endswith(".h")
                                                                     and x not in ("host", "node")])
    os.mkdir(into + "/scripts")
    shutil.copy(f"{ROOT}/scripts/gen-manifest.py", into + "/scripts")


def edit(path, old, new):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    assert old in text, f"{old} is not in {path}"
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace(old, new, 1))


def disagreements():
    changes = [("skill.json", '"name": "', '"name": "x'), ("plugin.toml", 'version = "', 'version = "9'),
               ("plugin.toml", 'abi = "1', 'abi = "7'), ("plugin.toml", '"inbound"', '"teleport"'),
               ("SKILL.md", "name: voice", "name: telephone")]
    for name, old, new in changes:
        with tempfile.TemporaryDirectory() as d:
            copy(d)
            edit(f"{d}/{name}", old, new)
            code, text = gen(d, "--check")
            case(f"a change in {name} ({old.strip()}) is found", code != 0 and "plugin.toml: " in text, text)


def load(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def agreement():
    code, text = gen(ROOT, "--check")
    case("the derived files agree with plugin.toml", code == 0, text)
    with tempfile.TemporaryDirectory() as d:
        gen(ROOT, "--gen", d)
        for name in ("manifest.h", "config_keys.c", "openclaw.plugin.json", "package.json"):
            with open(f"{d}/{name}") as a, open(f"{BUILD}/gen/{name}") as b:
                case(f"the build's {name} is of this plugin.toml", a.read() == b.read())
        for name in ("openclaw.plugin.json", "package.json"):
            case(f"the package's {name} is of this plugin.toml", load(f"{PACKAGE}/{name}") == load(f"{d}/{name}"))
    case("the package's skill.json is the project's", load(f"{PACKAGE}/skill.json") == load(f"{ROOT}/skill.json"))


def package():
    plugin, npm = load(f"{PACKAGE}/openclaw.plugin.json"), load(f"{PACKAGE}/package.json")
    case("plugin id and channel id are voice",
         (plugin["id"], plugin["channels"], npm["openclaw"]["channel"]["id"]) == ("voice", ["voice"], "voice"))
    names = npm["openclaw"]["extensions"] + [npm["openclaw"]["setupEntry"]]
    names += ["openclaw_voice.so", "openclaw_voice_node.node", "LICENSE"]
    missing = [n for n in names if not os.path.isfile(f"{PACKAGE}/{n}")]
    case("everything the package names is in it", not missing, missing)
    for skill in plugin.get("skills", []):
        found = os.path.isdir(f"{PACKAGE}/{skill}") and \
            any("SKILL.md" in files for _, _, files in os.walk(f"{PACKAGE}/{skill}"))
        case(f"the skill folder {skill} has a skill", found)
    schema = plugin["channelConfigs"]["voice"]["schema"]["properties"]
    for key in ("enabled", "configFile", "dmPolicy", "allowFrom", "openai", "webhook", "security", "agent",
                "sessions", "memory", "logging", "metrics", "openclaw"):
        case(f"channels.voice may hold {key}", key in schema)
    text = json.dumps(plugin)
    case("no default or help holds what looks like a secret",
         not re.search(r"(sk-[A-Za-z0-9]{8}|whsec_[A-Za-z0-9]{8})", text))


def loaded():
    # With a sanitizer the host is built with it, too, so that the plugin can be loaded into it.
    p = subprocess.run([os.environ["OCV_HOST"], "--version", "--plugin", os.environ["OCV_SO"]],
                       capture_output=True, text=True)
    npm, skill = load(f"{PACKAGE}/package.json"), load(f"{ROOT}/skill.json")
    want = f"{npm['name']} {npm['version']}, ABI {skill['abi']}\n"
    case("the loaded plugin says the same name, version and ABI", p.stdout == want,
         f"{p.stdout!r}{p.stderr!r}, wanted {want!r}")


def source_checker():
    p = subprocess.run([sys.executable, f"{ROOT}/scripts/check-source.py", "--self-test"],
                       capture_output=True, text=True)
    case("the checker of the source finds what it must", p.returncode == 0, p.stdout)


agreement()
disagreements()
package()
loaded()
source_checker()
sys.exit(1 if bad else 0)
