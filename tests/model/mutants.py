#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Faults planted into copies of a machine, one at a time: does the search find each?

  mutants.py BUILDDIR [PART-OF-A-NAME]

A mutant is one file of plugin/call with one text in place of another, linked before the archive. Prints for each which
invariant found it first, and how long the trace is. Exits 1 when one is not found, or cannot be planted any more.
"""
import os
import re
import subprocess
import sys
import tempfile

SECONDS = "20"
# (name, file, old, new, scenario): the first place where `old` stands.
CALL = [
    ("hang-up without a deadline", "call.c", "call_enter(c, CALL_HANGING_UP, now.mono_ms + HANGUP_MS);",
     "call_enter(c, CALL_HANGING_UP, 0);", "life"),
    ("no deadline for attaching", "call.c", "call_enter(c, CALL_ATTACHING, now.mono_ms + ATTACH_ALL_MS);",
     "call_enter(c, CALL_ATTACHING, 0);", "life"),
    ("accept twice after a restart", "call.c", 'call_accept(c, STR("again, after a restart"), now, fx);',
     'call_accept(c, STR("again, after a restart"), now, fx); (void)fx_add(fx, CALL_FX_ACCEPT);', "life"),
    ("an owed hang-up is forgotten after a restart", "call.c", 'if (str_eqc(r->state, "leaving")) {',
     'if (str_eqc(r->state, "left")) {', "life"),
    ("an owed reject is forgotten after a restart", "call.c", 'if (str_eqc(r->state, "refusing")) {',
     'if (str_eqc(r->state, "refused")) {', "life"),
    ("the answer to a reject ends nothing", "call.c", "    if (c->state != CALL_REFUSING)\n        return;",
     "    return;", "life"),
    ("the hang-up is not written", "call.c", 'fx_save(fx, CALL_SAVE_REASON, "leaving", 0);\n    fx_hop(fx, "hangup_sent"',
     'fx_hop(fx, "hangup_sent"', "life"),
    ("the end is not written", "call.c",
     'fx_save(fx, CALL_SAVE_REASON | CALL_SAVE_USAGE | CALL_SAVE_ENDED, "over", 0);', "", "life"),
    ("wrong final state: over before the reject is answered", "call.c",
     "call_enter(c, CALL_REFUSING, now.mono_ms + REFUSE_MS);", "call_enter(c, CALL_OVER, 0);", "life"),
    ("a greeting after a restart", "call.c", 'c->greeted = c->was_live = str_eqc(r->state, "live");',
     'c->was_live = str_eqc(r->state, "live");', "life"),
    ("a lost sideband leaves the call live", "call.c", "            attach(c, now, fx);\n        }\n        break;",
     "        }\n        break;", "life"),
    ("asked while a response is on", "floor.c",
     "return !f->response_active && !f->response_asked && !f->caller_speaking;",
     "return !f->response_asked && !f->caller_speaking;", "turns"),
    ("asked where the provider is about to answer", "floor.c", "return idle(f) && now.mono_ms >= f->auto_until;",
     "return idle(f);", "turns"),
    ("an ask without an answer has no timer", "floor.c",
     "        at = sooner(at, f->asked_at + ASK_LOST_MS);\n    if (f->response_active)\n        at = sooner",
     "        at = sooner(at, 0);\n    if (f->response_active)\n        at = sooner", "turns"),
    ("a goodbye that is never heard has no end", "call.c", "call_enter(c, CALL_GOODBYE, now.mono_ms + GOODBYE_MS);",
     "call_enter(c, CALL_GOODBYE, now.mono_ms + 900000u);", "goodbyes"),
    ("an output is not written", "tool.c",
     "    fx_save_tool(fx, t, tool_state_name(t), str_of(t->output ? t->output : tool_lost_words));\n    tool_send",
     "    tool_send", "tool"),
    ("an output that waits is forgotten", "owed.c",
     "} else if (t->state == TOOL_READY) {\n            tool_send(c, t, now, fx);\n            if (t->kind != TOOL_END)",
     "} else if (t->state == TOOL_READY) {\n            if (t->kind != TOOL_END)", "tool"),
    ("an output is sent again instead of asked for", "owed.c",
     "            probe(t, now, fx);\n        } else if (t->state == TOOL_READY) {",
     "            t->state = TOOL_READY, tool_send(c, t, now, fx);\n        } else if (t->state == TOOL_READY) {", "tool"),
    ("what had begun to act runs again", "owed.c", "} else if (t->restored && t->acting) {",
     "} else if (t->restored && t->acting && t->output != NULL) {", "tool"),
    ("a tool is closed without an output", "tool.c", "    tool_send(c, t, now, fx);\n    if (t->kind != TOOL_END",
     "    tool_close(c, t, fx);\n    if (t->kind != TOOL_END", "tool"),
    ("runs go on at the end", "tool.c", "        t->cancelled = true;\n        if", "        if (t->acting)\n            continue;\n"
     "        t->cancelled = true;\n        if", "tool"),
    ("nobody says that it is still being worked on", "floor.c", "            run_fillers(c, now, fx);\n", "", "tool"),
    ("a response is charged again after a restart", "call_cost.c", "(void)floor_seen_done(c, r->last_response);", "(void)0;",
     "costs"),
    ("a limit that is reached ends nothing", "call_cost.c", "b->left == 0 || b->left < c->dearest_nano",
     "b->left < c->dearest_nano", "costs"),
    ("words for a machine again after a restart", "call_line.c",
     "c->voicemail = CALL_VOICEMAIL_ASKED; /* or just about to be */", "c->voicemail = CALL_VOICEMAIL_WANTED;", "machine"),
    ("a parked leg keeps its sideband", "call_line.c", "c->leg = c->sideband_open = c->accepted", "c->leg = c->accepted",
     "legs"),
    ("what is owed from an earlier leg is an output in this one", "owed.c", "t->elsewhere = true;", "",
     "tool over legs"),
    ("asked on hold", "floor.c", "if (c->held || ripe(c) == 0)", "if (ripe(c) == 0)", "holds"),
    ("a line's end is asked for once", "call_line.c", "    c->try_at_ms = now.mono_ms + LINE_AGAIN_MS;\n", "", "legs"),
]
LINE = [
    ("a dial that is not durable", "line_leg.c", "leg->saved || leg->save_version > version)", "leg->saved)", "dial"),
    ("a restart forgets that a dial may have gone out", "line.c",
     "            leg_enter(s, leg, LEG_LOST); /* the earlier instance may have sent it */",
     "            leg->slot_asked = false, leg_enter(s, leg, LEG_WANTED);", "dial"),
    ("a create without an answer is sent again", "line_leg.c",
     "        else if (answered_unknown(ev))\n            lost(s, leg);",
     "        else if (answered_unknown(ev))\n            back_to_wanted(s, leg, ev);", "dial"),
    ("dialled again after any failure", "line_seen.c", "(outcome == LINE_OUTCOME_BUSY ||",
     "(outcome == LINE_OUTCOME_FAILED || outcome == LINE_OUTCOME_BUSY ||", "dial"),
    ("dialled again without a ceiling", "line_seen.c", "l->attempts <= l->set.retries", "l->attempts < 9", "no retry"),
    ("the model's side never hears of the end", "line.c", 'line_tell(s, TELL_OVER, STR(""));', "", "dial"),
    ("a line that ends leaves its legs", "line.c",
     "            if (!l->apologising || i != 0)\n                leg_end(s, &l->legs[i]);", "            if (l->legs[i].role == "
     "ROLE_MODEL)\n                leg_end(s, &l->legs[i]);", "dial"),
    ("a leg that does not end is waited for for ever", "line.c", "    if (late)\n        give_up_legs(s);", "", "dial"),
    ("over while a leg is there", "line.c", "if (all_gone(l) || (l->leave_legs", "if (late || true || (l->leave_legs", "dial"),
    ("hold before anybody looked after a restart", "line_leg.c",
     "leg->sid[0] == '\\0' || l->restored || l->apologising)", "leg->sid[0] == '\\0' || l->apologising)", "hold"),
    ("keys are sent again after a restart", "line_act.c",
     'act_over(s, a, ACTION_UNCERTAIN, "it was under way when we were restarted; it is not done twice");',
     "a->sent = false, a->step = STEP_START;", "keys out"),
    ("an action outlives its line", "line.c", "    acts_over(s);\n    line_hop(s, \"over\"", "    line_hop(s, \"over\"", "hold"),
    ("the end comes without an outcome", "line.c", "        l->outcome = outcome;\n", "", "dial"),
]
MACHINES = {"call": CALL, "line": LINE}
INCLUDES = ["-I.", "-isystem", "/usr/include/llhttp"]


def plant(build, machine, mutant, folder):
    _, file, old, new, scenario = mutant
    path = "plugin/call/" + file
    with open(path, encoding="utf-8") as f:
        text = f.read()
    if old not in text:
        return None, "it cannot be planted any more"
    source = os.path.join(folder, file)
    with open(source, "w", encoding="utf-8") as f:
        f.write(text.replace(old, new, 1))
    objects = [f"{build}/obj/tests/model/{n[:-2]}.o" for n in sorted(os.listdir("tests/model"))
               if n.endswith(".c") and (n.startswith(machine + "_") or n in ("explore.c", f"model_{machine}.c"))]
    program = os.path.join(folder, "model")
    cc = os.environ.get("CC", "gcc").split()
    made = subprocess.run(
        cc + ["-std=c17", "-D_GNU_SOURCE", "-O2", "-w", *INCLUDES, f"-I{build}/gen", "-o", program, source, *objects,
              f"{build}/lib/libplugin-call.a", f"{build}/lib/libplugin-base.a", "-l:libcrypto.a", "-luv", "-lcjson", "-lyaml",
              "-pthread", "-ldl"], capture_output=True, text=True)
    if made.returncode != 0:
        return None, "it does not compile: " + made.stderr.strip()[-300:]
    ran = subprocess.run([program], capture_output=True, text=True,
                         env=dict(os.environ, OCV_MODEL_ONLY=scenario, MODEL_SECONDS=SECONDS, OCV_MODEL_FIRST="1"))
    found = re.findall(r"^  BROKEN (.*)$", ran.stdout, re.M)
    if not found:
        return False, f"not found in \"{scenario}\" within {SECONDS} s (exit code {ran.returncode})"
    steps = re.search(r"^  BROKEN .*\n(?:(?!  BROKEN).*\n)*", ran.stdout, re.M).group(0)
    return True, f"{found[0]} ({len(re.findall(r'^ +[0-9]+  in ', steps, re.M))} steps)"


def main():
    build, part = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    missed = total = 0
    for machine, mutants in MACHINES.items():
        for m in mutants:
            if part not in m[0]:
                continue
            with tempfile.TemporaryDirectory() as folder:
                good, why = plant(build, machine, m, folder)
            total += 1
            missed += not good
            print(f"{'ok' if good else 'FAIL'} {machine}: {m[0]}: {why}", flush=True)
    print(f"{total - missed} of {total} mutants found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
