/* SPDX-License-Identifier: MIT */
/*
 * The durable text of a line: a JSON object, one table of fields for each struct. What lives in memory alone (commands
 * in flight, asked slots) and actions that are over are not in it. Times are written in the line's time and the clock's
 * skew with them, so that a jump of the wall clock is mended when they are read.
 */
#include "plugin/base/json.h"
#include "plugin/call/line_int.h"

#define TEXT_VERSION 1

enum type { AS_BOOL, AS_UINT, AS_U32, AS_U64, AS_TIME, AS_I64, AS_ENUM, AS_TEXT };

struct field {
    const char *key;
    enum type type;
    size_t at, max; /* max: highest value of an enum, bytes of a text */
};

#define F_BOOL(s, m) {#m, AS_BOOL, offsetof(struct s, m), 0}
#define F_UINT(s, m) {#m, AS_UINT, offsetof(struct s, m), 0}
#define F_U32(s, m) {#m, AS_U32, offsetof(struct s, m), 0}
#define F_U64(s, m) {#m, AS_U64, offsetof(struct s, m), 0}
#define F_TIME(s, m) {#m, AS_TIME, offsetof(struct s, m), 0}
#define F_I64(s, m) {#m, AS_I64, offsetof(struct s, m), 0}
#define F_ENUM(s, m, last) {#m, AS_ENUM, offsetof(struct s, m), (size_t)(last)}
#define F_TEXT(s, m) {#m, AS_TEXT, offsetof(struct s, m), sizeof((struct s *)0)->m}

static const struct field line_fields[] = {
    F_ENUM(line, phase, LINE_OVER), F_ENUM(line, outcome, LINE_OUTCOMES - 1), F_TEXT(line, ref), F_TEXT(line, room),
    F_TEXT(line, code), F_TEXT(line, detail), F_ENUM(line, recording, REC_FAILED), F_TEXT(line, recording_sid),
    F_BOOL(line, consented), F_BOOL(line, held), F_BOOL(line, model_dropped), F_BOOL(line, apologising),
    F_BOOL(line, leave_legs), F_BOOL(line, voicemail), F_UINT(line, attempts), F_UINT(line, callee_turns),
    F_U64(line, made_wall_ms), F_U64(line, due_wall_ms), F_TIME(line, answered_wall_ms), F_TIME(line, held_wall_ms),
    F_TIME(line, ended_wall_ms), F_TIME(line, model_due_wall_ms), F_U64(line, version), F_BOOL(line, direct),
    F_BOOL(line, model_live), F_BOOL(line, over_told), F_BOOL(line, hold_want), F_BOOL(line, model_check),
    F_BOOL(line, newcomer), F_BOOL(line, pause_want), F_BOOL(line, record_stop), F_BOOL(line, record_unsure),
    F_BOOL(line, fetched),
    F_BOOL(line, handed_over), F_BOOL(line, voicemail_told), F_BOOL(line, machine_end), F_UINT(line, model_tries),
    F_UINT(line, model_brings), F_TIME(line, model_brought_wall_ms), F_TIME(line, resume_wall_ms),
    F_TIME(line, voicemail_due_wall_ms), F_TIME(line, record_wall_ms)};

static const struct field set_fields[] = {
    F_UINT(line_settings, can), F_BOOL(line_settings, outbound), F_U32(line_settings, ring_ms),
    F_U32(line_settings, queue_ms), F_U32(line_settings, hold_drop_ms), F_U32(line_settings, max_ms),
    F_ENUM(line_settings, voicemail, VOICEMAIL_CONTINUE), F_BOOL(line_settings, detect_machine),
    F_UINT(line_settings, retries), F_ENUM(line_settings, consent, CONSENT_ASK), F_BOOL(line_settings, record),
    F_TEXT(line_settings, own), F_TEXT(line_settings, model_uri)};

static const struct field leg_fields[] = {
    F_ENUM(leg, state, LEG_GONE), F_ENUM(leg, role, ROLE_OTHER), F_BOOL(leg, held), F_BOOL(leg, muted),
    F_BOOL(leg, ended_by_us), F_BOOL(leg, offered), F_BOOL(leg, in_room), F_BOOL(leg, given_up),
    F_BOOL(leg, mute_want), F_BOOL(leg, ends_room), F_BOOL(leg, ends_want), F_UINT(leg, unsure),
    F_UINT(leg, tries), F_I64(leg, last_seq),
    F_TIME(leg, since_wall_ms), F_TIME(leg, not_before_wall_ms), F_TEXT(leg, label), F_TEXT(leg, ref),
    F_TEXT(leg, sid), F_TEXT(leg, to)};

static const struct field action_fields[] = {
    F_TEXT(line_action, id), F_ENUM(line_action, kind, ACT_KINDS - 1), F_ENUM(line_action, state, ACTION_UNCERTAIN),
    F_BOOL(line_action, sent), F_BOOL(line_action, warm), F_BOOL(line_action, secret), F_BOOL(line_action, accepted),
    F_BOOL(line_action, holds), F_UINT(line_action, step), F_TIME(line_action, deadline_wall_ms),
    F_TIME(line_action, since_wall_ms), F_TEXT(line_action, party), F_TEXT(line_action, to),
    F_TEXT(line_action, text)};

#define COUNT(a) (sizeof a / sizeof a[0])

/* ---- Writing ---- */

static bool is_zero(const struct field *f, const char *p)
{
    static const char zero[16];
    size_t n = f->type == AS_BOOL ? sizeof(bool) : f->type == AS_TEXT ? 1
               : f->type == AS_UINT || f->type == AS_U32 || f->type == AS_ENUM ? 4 : 8;

    return memcmp(p, zero, n) == 0;
}

static int64_t number_at(const struct field *f, const char *p)
{
    uint32_t u32;
    uint64_t u64;
    bool flag;

    switch (f->type) {
    case AS_BOOL: memcpy(&flag, p, sizeof flag); return flag;
    case AS_UINT:
    case AS_U32:
    case AS_ENUM: memcpy(&u32, p, sizeof u32); return u32;
    case AS_U64:
    case AS_TIME:
    case AS_I64: memcpy(&u64, p, sizeof u64); return (int64_t)u64;
    case AS_TEXT: break;
    }
    return 0;
}

static void write_fields(struct buf *out, const void *of, const struct field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct field *f = &fields[i];
        const char *p = (const char *)of + f->at;

        if (is_zero(f, p))
            continue;
        if (f->type == AS_TEXT)
            jw_kstr(out, f->key, str_of(p));
        else
            jw_kint(out, f->key, number_at(f, p));
    }
}

int line_write(const struct line *l, struct buf *out)
{
    _Static_assert(sizeof(unsigned) == 4 && sizeof(enum leg_state) == 4, "numbers of 32 bits are copied as such");
    jw_open(out, '{');
    jw_kint(out, "v", TEXT_VERSION);
    jw_kint(out, "skew", l->skew_ms);
    write_fields(out, l, line_fields, COUNT(line_fields));
    jw_key(out, "set");
    jw_open(out, '{');
    write_fields(out, &l->set, set_fields, COUNT(set_fields));
    jw_close(out, '}');
    jw_key(out, "legs");
    jw_open(out, '[');
    for (unsigned i = 0; i < LINE_PARTIES; i++) {
        jw_open(out, '{');
        write_fields(out, &l->legs[i], leg_fields, COUNT(leg_fields));
        jw_close(out, '}');
    }
    jw_close(out, ']');
    jw_key(out, "actions");
    jw_open(out, '[');
    for (unsigned i = 0; i < LINE_ACTIONS; i++) {
        if (!act_open(&l->actions[i]))
            continue;
        jw_open(out, '{');
        write_fields(out, &l->actions[i], action_fields, COUNT(action_fields));
        jw_close(out, '}');
    }
    jw_close(out, ']');
    jw_key(out, "past");
    jw_open(out, '[');
    for (unsigned i = 0; i < sizeof l->past / sizeof l->past[0]; i++) {
        if (l->past[i][0] != '\0')
            jw_str(out, str_of(l->past[i]));
    }
    jw_close(out, ']');
    jw_close(out, '}');
    return out->rc;
}

/* ---- Reading ---- */

static bool read_number(const struct field *f, const struct json *v, int64_t skew_ms, char *p)
{
    int64_t n = json_int(v, -1);
    uint32_t u32 = (uint32_t)n;
    uint64_t u64 = (uint64_t)n;
    bool flag = n == 1;

    if (!json_is_number(v))
        return false;
    switch (f->type) {
    case AS_BOOL: memcpy(p, &flag, sizeof flag); return n == 0 || n == 1;
    case AS_ENUM: memcpy(p, &u32, sizeof u32); return n >= 0 && (uint64_t)n <= f->max;
    case AS_UINT:
    case AS_U32: memcpy(p, &u32, sizeof u32); return n >= 0 && n <= UINT32_MAX;
    case AS_TIME:
        u64 += (uint64_t)skew_ms;
        memcpy(p, &u64, sizeof u64);
        return n > 0 && (int64_t)u64 > 0;
    case AS_U64:
    case AS_I64: memcpy(p, &u64, sizeof u64); return n >= (f->type == AS_I64 ? -1 : 0);
    case AS_TEXT: break;
    }
    return false;
}

static bool read_fields(const struct json *node, int64_t skew_ms, void *to, const struct field *fields, size_t n)
{
    if (!json_is_object(node))
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct json *v = json_get(node, fields[i].key);
        char *p = (char *)to + fields[i].at;

        if (!v)
            continue; /* zero is not written */
        if (fields[i].type == AS_TEXT) {
            if (!json_is_string(v) || !str_copy(p, fields[i].max, json_str(v)))
                return false;
        } else if (!read_number(&fields[i], v, skew_ms, p)) {
            return false;
        }
    }
    return true;
}

static bool read_lists(struct line *l, const struct json *root, int64_t skew_ms)
{
    const struct json *legs = json_get(root, "legs"), *actions = json_get(root, "actions");
    const struct json *past = json_get(root, "past");
    unsigned n = 0;

    if (!json_is_array(legs) || !json_is_array(actions) || !json_is_array(past))
        return false;
    for (const struct json *v = json_first(legs); v; v = json_next(v)) {
        if (n >= LINE_PARTIES || !read_fields(v, skew_ms, &l->legs[n++], leg_fields, COUNT(leg_fields)))
            return false;
    }
    n = 0;
    for (const struct json *v = json_first(actions); v; v = json_next(v)) {
        if (n >= LINE_ACTIONS || !read_fields(v, skew_ms, &l->actions[n], action_fields, COUNT(action_fields)) ||
            !act_open(&l->actions[n++]))
            return false;
    }
    n = 0;
    for (const struct json *v = json_first(past); v; v = json_next(v)) {
        if (n >= sizeof l->past / sizeof l->past[0] || !str_copy(l->past[n++], LINE_SID_BYTES, json_str(v)))
            return false;
    }
    l->next_past = n > 0 ? n - 1 : 0;
    return true;
}

static bool read_line(struct line *l, const struct json *root)
{
    int64_t skew_ms = json_get_int(root, "skew", 0);

    if (!json_is_object(root) || json_get_int(root, "v", 0) != TEXT_VERSION || skew_ms > INT64_MAX / 4 ||
        skew_ms < -INT64_MAX / 4)
        return false;
    if (!read_fields(root, skew_ms, l, line_fields, COUNT(line_fields)) ||
        !read_fields(json_get(root, "set"), 0, &l->set, set_fields, COUNT(set_fields)) ||
        !read_lists(l, root, skew_ms))
        return false;
    l->restored = true;
    l->timer_wall_ms = 1; /* at once */
    return line_broken(l) == NULL;
}

int line_read(struct line *l, struct str json)
{
    struct json *root = NULL;
    int rc;

    *l = (struct line){.phase = LINE_QUEUED};
    if (json.n > LINE_DURABLE_BYTES)
        return ERR_INVALID;
    rc = json_parse(&root, json, NULL);
    if (rc)
        return rc;
    if (!read_line(l, root))
        rc = ERR_INVALID;
    json_free(root);
    if (rc)
        *l = (struct line){.phase = LINE_QUEUED};
    return rc;
}
