#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Derives everything that repeats plugin.toml.

  gen-manifest.py --gen DIR   what the build needs: manifest.h, config_keys.c, package.json, openclaw.plugin.json
  gen-manifest.py --check     fails when a derived file at the top level disagrees with plugin.toml
  gen-manifest.py --write     writes those files
"""
import json
import os
import re
import sys
import tomllib

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TYPES = ["string", "bool", "int", "path", "url", "secret", "string_list", "secret_list",
         "string_map"]
LISTS = ("string_list", "secret_list")
SECRETS = ("secret", "secret_list")
FIELDS = {"type", "default", "min", "max", "choices", "aliases", "env", "old", "restart", "one", "usd", "help"}
CHANNEL = "channels.voice"
DM_POLICIES = ["pairing", "allowlist", "open", "disabled"]


def fail(text):
    sys.exit("plugin.toml: " + text)


def load():
    with open(os.path.join(ROOT, "plugin.toml"), "rb") as f:
        return tomllib.load(f)


def keys_of(m):
    """All configuration keys as [(path, fields)], in the order of the file."""
    keys = []
    for section, table in m["config"].items():
        for name, key in table.items():
            path = section + "." + name
            check_key(path, key)
            keys.append((path, key))
    return keys


def check_key(path, key):
    unknown = set(key) - FIELDS
    if unknown:
        fail(f"{path}: unknown field {', '.join(sorted(unknown))}")
    kind = key.get("type")
    if kind not in TYPES:
        fail(f"{path}: type must be one of {', '.join(TYPES)}")
    if not key.get("help") or "\n" in key["help"]:
        fail(f"{path}: help must be one line")
    if kind == "int" and not ("min" in key and "max" in key):
        fail(f"{path}: an int needs min and max")
    if "one" in key and kind != "string_map":
        fail(f"{path}: one is for maps")
    if "default" in key:
        check_default(path, kind, key)
    for new in key.get("aliases", {}).values():
        if new and new not in key.get("choices", [new]):
            fail(f"{path}: an alias leads to {new}, which is no choice")


def check_default(path, kind, key):
    value = key["default"]
    want = {"bool": bool, "int": int}.get(kind, list if kind in LISTS else str)
    if type(value) is not want:
        fail(f"{path}: default must be a {want.__name__}")
    if kind in SECRETS:
        fail(f"{path}: a secret has no default")
    if kind == "string_map" and not key.get("one"):
        fail(f"{path}: a map has a default only where one text may stand for it")
    if kind == "int" and not key["min"] <= value <= key["max"]:
        fail(f"{path}: default is out of range")
    for v in value if kind in LISTS else [value]:
        if "choices" in key and v not in key["choices"]:
            fail(f"{path}: default {v} is no choice")


def check_abi(m):
    """plugin.abi must be what the header says."""
    with open(os.path.join(ROOT, "abi/openclaw_plugin.h"), encoding="utf-8") as f:
        text = f.read()
    parts = [re.search(rf"#define OC_ABI_{w} (\d+)u", text) for w in ("MAJOR", "MINOR")]
    if not all(parts) or ".".join(p.group(1) for p in parts) != m["plugin"]["abi"]:
        fail("plugin.abi disagrees with abi/openclaw_plugin.h")
    for cap in m["plugin"]["capabilities"]:
        if f"OC_CAP_{cap.upper()} " not in text:
            fail(f"capability {cap} is not in abi/openclaw_plugin.h")


# ---- C -------------------------------------------------------------------------------------------

def c_text(s):
    out = []
    for b in s.encode():
        if b in b'"\\':
            out.append("\\" + chr(b))
        elif 32 <= b < 127 and b != ord("?"):
            out.append(chr(b))
        else:
            out.append(f"\\{b:03o}")
    return '"' + "".join(out) + '"'


def default_text(key):
    """A default as a person would write it in YAML; list entries are joined by commas."""
    if "default" not in key:
        return "NULL"
    value = key["default"]
    if isinstance(value, bool):
        return c_text("true" if value else "false")
    if isinstance(value, list):
        return c_text(",".join(value))
    return c_text(str(value))


def manifest_h(m, count):
    p, c = m["plugin"], m["channel"]
    caps = " | ".join(f"OC_CAP_{x.upper()}" for x in p["capabilities"]) or "0"
    return f"""/* SPDX-License-Identifier: MIT */
/* Generated from plugin.toml by scripts/gen-manifest.py. */
#ifndef MANIFEST_H
#define MANIFEST_H

#define MANIFEST_NAME {c_text(p["name"])}
#define MANIFEST_ID {c_text(p["id"])}
#define MANIFEST_TITLE {c_text(p["title"])}
#define MANIFEST_VERSION {c_text(p["version"])}
#define MANIFEST_CHANNEL {c_text(c["id"])}
#define MANIFEST_USER_AGENT {c_text(p["name"] + "/" + p["version"])}
/* Bits of oc_plugin.caps; needs abi/openclaw_plugin.h where it is used. */
#define MANIFEST_CAPS ({caps})
#define MANIFEST_CONFIG_KEYS {count}

#endif
"""


def key_c(path, key):
    """One entry of config_keys[] and the lists it points to."""
    ident = "k_" + re.sub(r"\W", "_", path)
    lists, choices, aliases = "", "NULL", "NULL"
    if "choices" in key:
        choices = ident + "_choices"
        values = ", ".join(c_text(v) for v in key["choices"])
        lists += f"static const char *const {choices}[] = {{{values}, NULL}};\n"
    if "aliases" in key:
        aliases = ident + "_aliases"
        values = ", ".join(f"{c_text(a)}, {c_text(b)}" for a, b in key["aliases"].items())
        lists += f"static const char *const {aliases}[] = {{{values}, NULL}};\n"
    flags = [f for f, on in (("CONFIG_KEY_SECRET", key["type"] in SECRETS),
                             ("CONFIG_KEY_OLD", "old" in key),
                             ("CONFIG_KEY_RESTART", key.get("restart")),
                             ("CONFIG_KEY_ONE", key.get("one"))) if on]
    text = lambda name: c_text(key[name]) if name in key else "NULL"
    entry = (f"    {{.path = {c_text(path)},\n"
             f"     .type = CONFIG_{key['type'].upper()},\n"
             f"     .def = {default_text(key)},\n"
             f"     .min = {key.get('min', 0)},\n     .max = {key.get('max', 0)},\n"
             f"     .choices = {choices},\n     .aliases = {aliases},\n"
             f"     .flags = {' | '.join(flags) or '0'},\n"
             f"     .env = {text('env')},\n     .warn = {text('old')},\n"
             f"     .help = {text('help')}}},\n")
    return lists, entry


def config_keys_c(keys):
    made = [key_c(path, key) for path, key in keys]
    return ("/* SPDX-License-Identifier: MIT */\n"
            "/* Generated from plugin.toml by scripts/gen-manifest.py. */\n"
            '#include "plugin/config/config_keys.h"\n\n#include <stddef.h>\n\n'
            + "".join(lists for lists, _ in made)
            + "\nconst struct config_key config_keys[] = {\n"
            + "".join(entry for _, entry in made)
            + "};\nconst unsigned config_keys_n = sizeof(config_keys) / sizeof(config_keys[0]);\n")


# ---- JSON ----------------------------------------------------------------------------------------

def key_schema(key):
    """JSON Schema of one key. Old names of a choice stay valid: the plugin warns of them."""
    kind = key["type"]
    text = {"type": "string"}
    if "choices" in key:
        text["enum"] = key["choices"] + [a for a in key.get("aliases", {})]
    if kind == "bool":
        schema = {"type": "boolean"}
    elif kind == "int":
        schema = {"type": "integer", "minimum": key["min"], "maximum": key["max"]}
    elif kind in LISTS:
        items = {"type": "array", "items": text}
        if "max" in key:
            items["maxItems"] = key["max"]
        schema = {"anyOf": [text, items]}
    elif kind == "string_map":
        items = {"type": "object", "additionalProperties": text}
        if "max" in key:
            items["maxProperties"] = key["max"]
        schema = {"anyOf": [text, items]} if key.get("one") else items
    else:
        schema = dict(text)
        if "max" in key:
            schema["maxLength"] = key["max"]
    if key.get("usd"):
        schema = {"anyOf": [schema, {"type": "number", "minimum": 0}]}
    schema["description"] = key["help"]
    if "default" in key:
        schema["default"] = key["default"]
    if "old" in key:
        schema["deprecated"] = True
    return schema


def tree_put(root, names, schema):
    node = root
    for name in names[:-1]:
        node = node["properties"].setdefault(
            name, {"type": "object", "additionalProperties": False, "properties": {}})
    node["properties"][names[-1]] = schema


def channel_schema(keys):
    """Schema of the gateway's channels.voice: our keys directly, other trees by full path."""
    root = {"type": "object", "additionalProperties": False, "properties": {}}
    tree_put(root, ["enabled"], {"type": "boolean"})
    tree_put(root, ["configFile"], {
        "type": "string", "description": "Path of openclaw-voice-config.yaml"})
    tree_put(root, ["dmPolicy"], {
        "type": "string", "enum": DM_POLICIES, "description": "Who may call"})
    tree_put(root, ["allowFrom"], {
        "type": "array", "items": {"type": "string"},
        "description": "Numbers in E.164 that may call, or *"})
    for path, key in keys:
        inside = path.removeprefix(CHANNEL + ".")
        tree_put(root, inside.split("."), key_schema(key))
    return root


def ui_hints(keys):
    hints = {
        "configFile": {"label": "Configuration file"},
        "dmPolicy": {"label": "Who may call"},
        "allowFrom": {"label": "Numbers that may call"},
    }
    for path, key in keys:
        if key["type"] in SECRETS:
            hints[path.removeprefix(CHANNEL + ".")] = {"label": key["help"], "sensitive": True}
    return hints


def plugin_json(m, keys):
    p, c, g = m["plugin"], m["channel"], m["gateway"]
    out = {
        "id": p["id"], "name": p["title"], "description": p["description"],
        "version": p["version"], "channels": [c["id"]], "categories": g["categories"],
        "activation": {"onStartup": False},
        "cliCommands": [{"name": x["name"], "description": x["description"],
                         "hasSubcommands": x["subcommands"]} for x in g.get("cli", [])],
        "configSchema": {"type": "object", "additionalProperties": False, "properties": {}},
        "channelConfigs": {c["id"]: {
            "label": c["label"], "description": p["description"],
            "schema": channel_schema(keys), "uiHints": ui_hints(keys)}},
    }
    if g["tools"]:
        out["contracts"] = {"tools": g["tools"]}
    if g["skills"]:
        out["skills"] = g["skills"]
    return out


def package_json(m):
    p, c, g = m["plugin"], m["channel"], m["gateway"]
    return {
        "name": p["name"], "version": p["version"], "description": p["description"],
        "license": p["license"], "type": "module", "private": True,
        "engines": {"node": g["node"]}, "os": ["linux"],
        "openclaw": {
            "extensions": [g["entry"]], "setupEntry": g["setup_entry"],
            "channel": {
                "id": c["id"], "label": c["label"], "selectionLabel": c["selection_label"],
                "docsPath": c["docs_path"], "blurb": c["blurb"], "order": c["order"]},
            "compat": {"pluginApi": g["plugin_api"]},
        },
    }


def skill_json(m):
    p, s = m["plugin"], m["skill"]
    return {"name": s["name"], "version": p["version"], "description": s["description"],
            "license": p["license"], "plugin": p["id"], "channel": m["channel"]["id"],
            "abi": p["abi"], "capabilities": p["capabilities"], "entry": "SKILL.md"}


def as_text(o):
    return json.dumps(o, indent=2, ensure_ascii=False) + "\n"


def generated(m, keys):
    """What only the build needs."""
    return {"manifest.h": manifest_h(m, len(keys)), "config_keys.c": config_keys_c(keys),
            "openclaw.plugin.json": as_text(plugin_json(m, keys)), "package.json": as_text(package_json(m))}


def derived(m):
    """What stands in the project, for those who read it unbuilt."""
    return {"skill.json": as_text(skill_json(m))}


def put(path, text):
    """Writes only what changed, so that make rebuilds only what must be."""
    try:
        with open(path, encoding="utf-8") as f:
            if f.read() == text:
                return
    except FileNotFoundError:
        pass
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def check(m):
    wrong = []
    for name, text in derived(m).items():
        try:
            with open(os.path.join(ROOT, name), encoding="utf-8") as f:
                if f.read() != text:
                    wrong.append(name)
        except FileNotFoundError:
            wrong.append(name)
    with open(os.path.join(ROOT, "SKILL.md"), encoding="utf-8") as f:
        head = f.read().split("---")[1]
    for name in ("name", "description"):
        if f"\n{name}: {m['skill'][name]}\n" not in head:
            wrong.append(f"SKILL.md ({name})")
    if wrong:
        fail(f"{', '.join(wrong)} disagree with it; run: make manifest")


def main():
    m = load()
    keys = keys_of(m)
    check_abi(m)
    what = sys.argv[1:2]
    if what == ["--gen"] and len(sys.argv) == 3:
        out = sys.argv[2]
        os.makedirs(out, exist_ok=True)
        for name, text in generated(m, keys).items():
            put(os.path.join(out, name), text)
    elif what == ["--check"]:
        check(m)
    elif what == ["--write"]:
        for name, text in derived(m).items():
            put(os.path.join(ROOT, name), text)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
