/* SPDX-License-Identifier: MIT */
/* What is known of callers, and what their level opens: at the beginning of a call and when it rises. */
#include "memory/journal.h"
#include "memory/people.h"
#include "plugin/base/clock.h"
#include "plugin/base/mem.h"
#include "plugin/calls_int.h"
#include "plugin/steer.h"
#include "plugin/verify.h"

/* ---- What the model should know ---- */

void live_look_up_access(struct live *lc)
{
    const struct config *c = lc->owner->app->config;
    struct access_filters f = {c->security.memory_access_filtering,
                               c->security.cross_channel_context_filtering};

    access_of(&lc->access, lc->base, lc->level == CALLER_PROVEN, &f);
    if (live_any_tools(lc))
        natives_of(&lc->natives, lc->owner->app, &lc->access, str_of(lc->from));
    else
        lc->natives.n = 0;
    steer_of(&lc->natives, lc->owner->app, str_of(lc->id), &lc->access, lc->recorded);
    if (live_owner(lc).n > 0 && !lc->to_owner) /* whoever is called: it is the owner who is asked */
        natives_add(&lc->natives, "ask_owner");
}

void live_prompt(const struct live *lc, struct prompt_input *in)
{
    *in = (struct prompt_input){.config = lc->owner->app->config, .agent = lc->agent, .from = str_of(lc->from),
                                .level = lc->level, .ask_available = live_ask_available(lc),
                                .pin_available = live_pin_available(lc), .chat_available = live_chat_available(lc),
                                .natives = &lc->natives, .context = str_of(lc->context),
                                .outbound = lc->outbound, .message = json_get_str(lc->spec, "message"),
                                .purpose = json_get_str(lc->spec, "purpose"),
                                .task = json_get_str(lc->spec, "context"),
                                .ask_consent = lc->call.set.ask_consent, .so_far = str_of(lc->so_far)};
}

static void on_briefed(void *arg, struct str block)
{
    struct live *lc = arg;

    lc->briefing = NULL;
    mem_free(lc->context);
    lc->context = block.n > 0 ? str_dup(block) : NULL;
    if (!lc->begun)
        live_begin(lc);
    else if (lc->call.sideband_open)
        live_tell_context(lc);
    else if (lc->call.state != CALL_WAITING) /* there the accept will bring it */
        lc->context_late = true;
}

void live_brief(struct live *lc)
{
    struct briefing_ask ask = {str_of(lc->from), lc->access};

    briefing_cancel(lc->briefing);
    (void)briefing_start(&lc->briefing, lc->owner->app, &ask, on_briefed, lc);
}

/* Came too late for the accept: told when the sideband is open, before the first words if it can be. */
void live_tell_context(struct live *lc)
{
    struct call_event ev = {.kind = CALL_EV_CONTEXT, .u.text = str_of(lc->context)};

    lc->context_late = false;
    live_feed(lc, &ev);
}

struct seen { /* the call may be gone when the answer comes */
    struct calls *cs;
    char id[ID_BYTES];
};

static bool linked_by_us(const struct people_caller *p)
{
    for (unsigned i = 0; i < p->n_identities; i++)
        if (!str_eqc(p->sources[i], "config"))
            return true;
    return false;
}

/* Also in the call's row: a later instance takes the call over at that level. */
static void set_level(struct live *lc, enum caller_level base, enum caller_level level)
{
    struct journal_call row = {.id = str_of(lc->id), .level = str_of(caller_level_name(level))};

    lc->base = base;
    lc->level = level;
    live_look_up_access(lc);
    (void)journal_save(lc->owner->app->store, &row, JOURNAL_SET_LEVEL, NULL, NULL);
}

/* A link by a code or the API opens what a link opens, unless the call is past its beginning. */
static void take_links(struct live *lc, const struct people_caller *p)
{
    if (lc->base != CALLER_KNOWN || !linked_by_us(p))
        return;
    if (!lc->was_linked && ((lc->begun && lc->call.state != CALL_WAITING) ||
                            !lc->owner->app->config->sessions.caller_identity_linking))
        return;
    if (lc->was_linked) { /* the row says so */
        lc->base = lc->level = CALLER_LINKED;
        live_look_up_access(lc);
        lc->call.set.n_native_tools = lc->natives.n;
        return;
    }
    set_level(lc, CALLER_LINKED, CALLER_LINKED);
    lc->call.set.n_native_tools = lc->natives.n;
    lc->call.set.tools = live_ask_available(lc) ? live_tools(lc) : CALL_TOOLS_NONE;
    lc->call.set.native_tools = lc->natives.names;
    live_brief(lc);
}

static void on_seen(void *arg, int rc, const struct people_caller *p)
{
    struct seen s = *(struct seen *)arg;
    struct live *lc = rc == 0 ? live_find(s.cs, str_of(s.id)) : NULL;

    mem_free(arg);
    if (lc == NULL)
        return;
    mem_free(lc->person);
    lc->person = str_dup(p->person);
    lc->has_chat = verify_by_chat(lc->owner->app, p);
    for (unsigned i = 0; i < p->n_identities; i++)
        lc->to_owner = lc->to_owner || str_eq(p->identities[i], live_owner(lc));
    take_links(lc, p);
    live_set_proofs(lc);
}

void live_note_caller(struct live *lc)
{
    struct calls *cs = lc->owner;
    struct seen *s;

    if (lc->from[0] == '\0' || !cs->app->config->sessions.caller_history_enabled ||
        (s = MEM_NEW(struct seen)) == NULL)
        return;
    s->cs = cs;
    (void)str_copy(s->id, sizeof s->id, str_of(lc->id));
    if (people_seen(cs->app->store, str_of(lc->id), str_of(lc->from), lc->received_wall_ms, on_seen, s) < 0)
        mem_free(s);
}

/* ---- In mid-call ---- */

/* A higher level was reached in mid-call: its tools and what it opens are added to the session. */
static void raise_level(struct live *lc, enum caller_level base, enum caller_level level, const char *how)
{
    struct calls *cs = lc->owner;
    struct prompt_input in;
    struct buf b;

    set_level(lc, base, level);
    lc->call.set.tools = live_ask_available(lc) ? live_tools(lc) : CALL_TOOLS_NONE;
    lc->call.set.ask_available = live_ask_available(lc);
    live_set_proofs(lc);
    lc->call.set.n_native_tools = lc->natives.n;
    (void)journal_hop(cs->app->store, str_of(lc->id), clock_wall_ms(), STR("proven"), str_of(how));
    log_info(&cs->app->log, "%s: the caller is %s now (%s)", lc->id, caller_level_name(level), how);
    live_prompt(lc, &in);
    buf_init(&b, 1u << 20);
    if (lc->side != NULL && prompt_tools_update(&b, &in) == 0)
        (void)rt_sideband_send(lc->side, buf_str(&b));
    buf_free(&b);
}

void calls_proven(struct calls *cs, struct str call, const char *how)
{
    struct live *lc = cs ? live_find(cs, call) : NULL;

    if (lc != NULL && lc->level != CALLER_PROVEN)
        raise_level(lc, lc->base, CALLER_PROVEN, how);
}

void calls_tell(struct calls *cs, struct str call, struct str key, struct str text)
{
    struct call_event ev = {.kind = CALL_EV_TELL, .u.tell = {key, text, true}};
    struct live *lc = cs ? live_find(cs, call) : NULL;

    if (lc != NULL)
        live_feed(lc, &ev);
}

bool calls_has(struct calls *cs, struct str call)
{
    return cs != NULL && live_find(cs, call) != NULL;
}

void calls_linked(struct calls *cs, struct str call, struct str identity)
{
    struct live *lc = cs ? live_find(cs, call) : NULL;
    struct buf text;

    if (lc == NULL)
        return;
    lc->has_chat = true;
    /* The code came from a chat that the gateway admits: the caller holds that chat. */
    raise_level(lc, CALLER_LINKED, lc->level == CALLER_PROVEN ? CALLER_PROVEN : CALLER_LINKED, "by a code in a chat");
    if (lc->briefing == NULL)
        live_brief(lc);
    buf_init(&text, 1024);
    (void)buf_printf(&text, "The code was typed in the chat (%.*s): this caller and that chat now belong together. Say "
                     "so in one short sentence.", STR_ARG(str_head(identity, 100)));
    calls_tell(cs, call, identity, buf_str(&text));
    buf_free(&text);
}

void calls_know_again(struct calls *cs)
{
    for (unsigned i = 0; cs != NULL && i < cs->n_buckets; i++)
        for (struct live *lc = cs->buckets[i]; lc != NULL; lc = lc->next)
            if (lc->person != NULL)
                live_note_caller(lc);
}

void calls_tell_person(struct calls *cs, struct str person, struct str identity, struct str text)
{
    struct call_event ev = {.kind = CALL_EV_TELL};
    struct buf words, key;

    if (cs == NULL || person.n == 0)
        return;
    buf_init(&words, 16384);
    buf_init(&key, 512);
    (void)buf_printf(&words, "While you talk, the caller sent this in their chat (%.*s). It is their own "
                     "message: take it into account.\n<<<\n%.*s\n>>>",
                     STR_ARG(str_head(identity, str_find(identity, ':'))), STR_ARG(text));
    (void)buf_printf(&key, "%.*s %llu", STR_ARG(str_head(identity, 200)), (unsigned long long)clock_wall_ms());
    ev.u.tell.id = buf_str(&key);
    ev.u.tell.text = buf_str(&words);
    ev.u.tell.speak = true;
    for (unsigned i = 0; i < cs->n_buckets; i++) {
        for (struct live *lc = cs->buckets[i], *next; lc != NULL; lc = next) {
            next = lc->next;
            if (lc->person != NULL && str_eqc(person, lc->person) && lc->access.own_chats)
                live_feed(lc, &ev);
        }
    }
    buf_free(&words);
    buf_free(&key);
}
