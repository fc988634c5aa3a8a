/* SPDX-License-Identifier: MIT */
#include "plugin/base/mem.h"
#include "plugin/base/heard.h"
#include "plugin/call/transcript.h"
#include "tests/unit/t.h"

#define T_SLICE(s, lit) T_MEM_EQ((s).p, (s).n, lit, sizeof(lit) - 1)
#define ROWS_MAX 32

/* ---- A store that does with rows what their header says. ---- */

struct stored {
    char id[16], text[300];
    int64_t pos;
    enum call_who who;
    uint64_t audio_ms, heard_ms, at;
    bool interrupted;
};

struct world {
    struct transcript t;
    struct transcript_rows rows;
    struct stored v[ROWS_MAX];
    unsigned n, writes;
    uint64_t now;
};

static void take(struct world *w)
{
    for (unsigned i = 0; i < w->rows.n; i++) {
        const struct transcript_row *row = &w->rows.v[i];
        struct stored *s = NULL;

        w->writes++;
        for (unsigned k = 0; k < w->n; k++)
            if (str_eqc(row->item_id, w->v[k].id))
                s = &w->v[k];
        if (row->text.p == NULL) {
            T_MUST(s != NULL);
            s->interrupted = row->interrupted;
            s->heard_ms = row->heard_ms;
            continue;
        }
        if (s == NULL) {
            T_MUST(w->n < ROWS_MAX);
            s = &w->v[w->n++];
            T_MUST(str_copy(s->id, sizeof s->id, row->item_id));
        }
        T_MUST(str_copy(s->text, sizeof s->text, row->text));
        s->pos = row->pos;
        s->who = row->who;
        s->audio_ms = row->audio_ms;
        s->heard_ms = row->heard_ms;
        s->at = row->at_wall_ms;
        s->interrupted = row->interrupted;
    }
}

static void begin(struct world *w)
{
    memset(w, 0, sizeof *w);
    transcript_init(&w->t);
    w->now = 1000000;
}

static void item(struct world *w, const char *id, const char *prev, enum call_who who)
{
    transcript_on_item(&w->t, str_of(id), str_of(prev), who, w->now++, &w->rows);
    take(w);
}

static void heard(struct world *w, const char *id, const char *text)
{
    transcript_on_text(&w->t, str_of(id), str_of(text), w->now++, &w->rows);
    take(w);
}

static void failed(struct world *w, const char *id)
{
    transcript_on_text_failed(&w->t, str_of(id), w->now++, &w->rows);
    take(w);
}

static void truncated(struct world *w, const char *id, uint64_t ms)
{
    transcript_on_truncated(&w->t, str_of(id), ms, w->now++, &w->rows);
    take(w);
}

static void responded(struct world *w, const struct call_output *outputs, unsigned n,
                      uint64_t audio_tokens, enum call_response_status status)
{
    struct call_event ev = {.kind = CALL_EV_RESPONSE_DONE};

    ev.u.response.status = status;
    ev.u.response.outputs = outputs;
    ev.u.response.n_outputs = n;
    ev.u.response.audio_tokens = audio_tokens;
    transcript_on_response(&w->t, &ev, w->now++, &w->rows);
    take(w);
}

static void said(struct world *w, const char *id, const char *text, uint64_t audio_tokens)
{
    struct call_output o = {.item_id = str_of(id), .text = str_of(text)};

    responded(w, &o, 1, audio_tokens, CALL_RESPONSE_COMPLETED);
}

/* "c:text|a:text!|..." in the order of pos; '!' is interrupted. */
static const char *shown(struct world *w)
{
    static char out[4000];
    size_t n = 0;
    int64_t pos = INT64_MIN;

    out[0] = '\0';
    for (unsigned i = 0; i < w->n; i++) {
        const struct stored *next = NULL;

        for (unsigned k = 0; k < w->n; k++)
            if (w->v[k].pos > pos && (next == NULL || w->v[k].pos < next->pos))
                next = &w->v[k];
        if (next == NULL)
            return "two rows have one position";
        pos = next->pos;
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%c:%s%s", i > 0 ? "|" : "",
                              next->who == CALL_WHO_CALLER ? 'c' : 'a', next->text,
                              next->interrupted ? "!" : "");
    }
    return out;
}

static void end(struct world *w)
{
    transcript_free(&w->t);
}

/* ---- Cases. ---- */

static void turns_stand_in_order(void)
{
    struct world w;

    begin(&w);
    item(&w, "a1", NULL, CALL_WHO_ASSISTANT);
    said(&w, "a1", "Hello.", 20);
    item(&w, "u1", NULL, CALL_WHO_CALLER); /* speech started */
    item(&w, "u1", "a1", CALL_WHO_CALLER); /* committed */
    item(&w, "u1", "a1", CALL_WHO_CALLER); /* added */
    heard(&w, "u1", " Who are you?\n");
    item(&w, "a2", "u1", CALL_WHO_ASSISTANT);
    said(&w, "a2", "A voice.", 20);
    T_STR_EQ(shown(&w), "a:Hello.|c:Who are you?|a:A voice.");
    T_EQ(w.writes, 3);
    T_EQ(w.v[0].audio_ms, 1000);
    T_EQ(w.v[0].at, 1000000); /* when the item came, not when the response ended */
    T_EQ(w.v[1].at, 1000002);
    T_EQ(w.v[1].audio_ms, 0);
    end(&w);
}

static void a_late_transcription_keeps_its_place(void)
{
    struct world w;

    begin(&w);
    item(&w, "u1", NULL, CALL_WHO_CALLER);
    item(&w, "a1", "u1", CALL_WHO_ASSISTANT);
    said(&w, "a1", "Yes?", 0);
    item(&w, "u2", "a1", CALL_WHO_CALLER);
    heard(&w, "u2", "Second.");
    heard(&w, "u1", "First.");
    T_STR_EQ(shown(&w), "c:First.|a:Yes?|c:Second.");
    T_EQ(w.v[2].at, 1000000);
    end(&w);
}

static void a_text_that_comes_before_its_place_moves_there(void)
{
    struct world w;

    begin(&w);
    item(&w, "a1", NULL, CALL_WHO_ASSISTANT);
    item(&w, "a2", "a1", CALL_WHO_ASSISTANT);
    heard(&w, "u1", "Between.");
    said(&w, "a1", "One.", 0);
    said(&w, "a2", "Two.", 0);
    T_STR_EQ(shown(&w), "a:One.|a:Two.|c:Between.");
    item(&w, "u1", "a1", CALL_WHO_CALLER);
    T_STR_EQ(shown(&w), "a:One.|c:Between.|a:Two.");
    item(&w, "u1", "a2", CALL_WHO_CALLER); /* a place once told stands */
    T_STR_EQ(shown(&w), "a:One.|c:Between.|a:Two.");
    end(&w);
}

/* The caller had begun to speak before it was told what had gone before. */
static void one_that_was_never_heard_of_stands_before_it(void)
{
    struct world w;

    begin(&w);
    item(&w, "a1", "", CALL_WHO_ASSISTANT);
    said(&w, "a1", "First.", 20);
    item(&w, "c1", "", CALL_WHO_CALLER);     /* speech_started */
    item(&w, "c1", "lost", CALL_WHO_CALLER); /* committed */
    heard(&w, "c1", "Third.");
    said(&w, "lost", "Second.", 20);
    item(&w, "a2", "c1", CALL_WHO_ASSISTANT);
    said(&w, "a2", "Fourth.", 20);
    T_STR_EQ(shown(&w), "a:First.|a:Second.|c:Third.|a:Fourth.");
    end(&w);
}

static void other_items_are_places_too(void)
{
    struct world w;

    begin(&w);
    item(&w, "u1", NULL, CALL_WHO_CALLER);
    item(&w, "f1", "u1", CALL_WHO_OTHER);
    item(&w, "o1", "f1", CALL_WHO_OTHER);
    item(&w, "a1", "o1", CALL_WHO_ASSISTANT);
    said(&w, "a1", "Done.", 0);
    item(&w, "u2", "f1", CALL_WHO_CALLER);
    heard(&w, "u2", "Hurry!");
    heard(&w, "u1", "Do it.");
    T_STR_EQ(shown(&w), "c:Do it.|c:Hurry!|a:Done.");
    end(&w);
}

static void many_items_behind_one_have_room(void)
{
    struct world w;
    char id[16];

    begin(&w);
    item(&w, "a", NULL, CALL_WHO_ASSISTANT);
    item(&w, "b", "a", CALL_WHO_ASSISTANT);
    said(&w, "a", "A", 0);
    said(&w, "b", "B", 0);
    for (int i = 0; i < 20; i++) {
        (void)snprintf(id, sizeof id, "u%d", i);
        item(&w, id, "a", CALL_WHO_CALLER);
        heard(&w, id, id);
    }
    T_STR_EQ(shown(&w), "a:A|c:u19|c:u18|c:u17|c:u16|c:u15|c:u14|c:u13|c:u12|c:u11|c:u10|c:u9|c:u8|"
                        "c:u7|c:u6|c:u5|c:u4|c:u3|c:u2|c:u1|c:u0|a:B");
    end(&w);
    /* When there is none left, the item goes to the end: each still has a position of its own. */
    begin(&w);
    item(&w, "a", NULL, CALL_WHO_ASSISTANT);
    item(&w, "b", "a", CALL_WHO_ASSISTANT);
    for (int i = 0; i < 50; i++) {
        (void)snprintf(id, sizeof id, "u%d", i);
        item(&w, id, "a", CALL_WHO_CALLER);
        for (unsigned k = 0; k + 1 < w.t.n; k++)
            T_NE(w.t.items[k].pos, w.t.items[w.t.n - 1].pos);
    }
    end(&w);
}

static void empty_texts_make_no_turn(void)
{
    struct call_output o[2] = {
        {.item_id = STR("f1"), .is_function = true, .call_id = STR("c"), .text = STR("x")},
        {.item_id = STR("a1"), .text = STR(" \n")},
    };
    struct world w;

    begin(&w);
    heard(&w, "u1", "");
    heard(&w, "u1", " \t\n");
    responded(&w, o, 2, 10, CALL_RESPONSE_COMPLETED);
    responded(&w, NULL, 0, 0, CALL_RESPONSE_FAILED);
    truncated(&w, "a1", 0);
    T_EQ(w.writes, 0);
    item(&w, "", NULL, CALL_WHO_CALLER);
    heard(&w, "", "x");
    failed(&w, "");
    said(&w, "", "x", 0);
    truncated(&w, "", 1);
    T_EQ(w.writes, 0);
    T_EQ(w.t.n, 3);
    end(&w);
}

static void a_failed_transcription_is_an_empty_turn(void)
{
    struct world w;

    begin(&w);
    item(&w, "u1", NULL, CALL_WHO_CALLER);
    said(&w, "a1", "Pardon?", 0);
    failed(&w, "u1");
    T_STR_EQ(shown(&w), "c:|a:Pardon?");
    heard(&w, "u1", "I said.");
    failed(&w, "u1");
    T_STR_EQ(shown(&w), "c:I said.|a:Pardon?");
    failed(&w, "u2");
    T_STR_EQ(shown(&w), "c:I said.|a:Pardon?|c:");
    end(&w);
}

static void what_was_not_heard_is_cut(void)
{
    for (int early = 0; early < 2; early++) {
        struct world w;

        begin(&w);
        item(&w, "a1", NULL, CALL_WHO_ASSISTANT);
        if (early)
            truncated(&w, "a1", 500);
        said(&w, "a1", "one two three four five", 20); /* 23 characters in 1000 ms */
        if (!early) {
            T_STR_EQ(shown(&w), "a:one two three four five");
            truncated(&w, "a1", 500);
        }
        T_STR_EQ(shown(&w), "a:one two!");
        T_EQ(w.v[0].heard_ms, 500);
        T_EQ(w.v[0].audio_ms, 1000);
        truncated(&w, "a1", 500);
        truncated(&w, "a1", 100);
        T_STR_EQ(shown(&w), "a:one two!");
        said(&w, "a1", "one two three four five", 20); /* the end told twice */
        T_STR_EQ(shown(&w), "a:one two!");
        end(&w);
    }
}

static void a_message_nobody_heard_is_an_empty_turn(void)
{
    struct world w;

    begin(&w);
    said(&w, "a1", "Never mind.", 20);
    truncated(&w, "a1", 0);
    T_STR_EQ(shown(&w), "a:!");
    truncated(&w, "a2", 0);
    said(&w, "a2", "Never mind.", 20);
    T_STR_EQ(shown(&w), "a:!|a:!");
    end(&w);
}

static void audio_is_shared_by_length(void)
{
    struct call_output o[3] = {
        {.item_id = STR("a1"), .text = STR("0123456789")},
        {.item_id = STR("f1"), .is_function = true, .call_id = STR("c")},
        {.item_id = STR("a2"), .text = STR("01234567890123456789 1234567 9")},
    };
    struct world w;

    begin(&w);
    responded(&w, o, 3, 80, CALL_RESPONSE_COMPLETED);
    T_EQ(w.v[0].audio_ms, 1000);
    T_EQ(w.v[1].audio_ms, 3000);
    truncated(&w, "a2", 2100);
    T_STR_EQ(shown(&w), "a:0123456789|a:01234567890123456789!");
    responded(&w, o, 1, 0, CALL_RESPONSE_COMPLETED);
    T_EQ(w.v[0].audio_ms, 666);
    responded(&w, o, 1, UINT64_MAX, CALL_RESPONSE_COMPLETED);
    T_GT(w.v[0].audio_ms, 1000000);
    end(&w);
}

static void a_cancelled_response_is_interrupted_in_its_last_message(void)
{
    struct call_output o[3] = {
        {.item_id = STR("a1"), .text = STR("Whole.")},
        {.item_id = STR("a2"), .text = STR("Half of")},
        {.item_id = STR("f1"), .is_function = true, .call_id = STR("c")},
    };
    struct world w;

    begin(&w);
    responded(&w, o, 3, 0, CALL_RESPONSE_CANCELLED);
    T_STR_EQ(shown(&w), "a:Whole.|a:Half of!");
    item(&w, "u0", NULL, CALL_WHO_CALLER);
    item(&w, "u1", NULL, CALL_WHO_CALLER);
    item(&w, "a2", "u0", CALL_WHO_ASSISTANT); /* a move forgets nothing */
    T_STR_EQ(shown(&w), "a:Whole.|a:Half of!");
    end(&w);
}

static void old_items_are_forgotten(void)
{
    struct world w;
    char id[16];

    begin(&w);
    item(&w, "old", NULL, CALL_WHO_CALLER);
    for (int i = 0; i < TRANSCRIPT_ITEMS; i++) {
        (void)snprintf(id, sizeof id, "x%d", i);
        item(&w, id, NULL, CALL_WHO_OTHER);
    }
    T_EQ(w.t.n, TRANSCRIPT_ITEMS);
    heard(&w, "x63", "Last.");
    heard(&w, "old", "Late.");
    item(&w, "new", "x0", CALL_WHO_CALLER); /* x0 was forgotten for "old" */
    heard(&w, "new", "New.");
    T_STR_EQ(shown(&w), "c:Last.|c:Late.|c:New.");
    end(&w);
}

static void a_restart_goes_on_behind_what_is_stored(void)
{
    const struct str ids[] = {STR("u1"), STR("a1"), STR(""), STR("a1")};
    const int64_t pos[] = {10, -5, 7, 99};
    struct world w;

    begin(&w);
    said(&w, "a1", "Said before.", 40);
    w.v[0].pos = 100;
    transcript_restore(&w.t, 100, ids, pos, 4);
    heard(&w, "u2", "After.");
    T_STR_EQ(shown(&w), "a:Said before.|c:After.");
    truncated(&w, "a1", 70);
    T_EQ(w.rows.n, 1);
    T_NULL(w.rows.v[0].text.p);
    T_EQ(w.rows.v[0].who, CALL_WHO_ASSISTANT);
    T_STR_EQ(shown(&w), "a:Said before.!|c:After.");
    T_EQ(w.v[0].heard_ms, 70);
    heard(&w, "u1", "Again."); /* stored already */
    said(&w, "a1", "Again.", 1);
    T_EQ(w.n, 2);
    item(&w, "u3", "a1", CALL_WHO_CALLER);
    heard(&w, "u3", "Between.");
    T_TRUE(w.v[2].pos < w.v[1].pos);
    transcript_restore(&w.t, INT64_MAX, ids, pos, 1);
    item(&w, "x", "u1", CALL_WHO_CALLER);
    transcript_restore(&w.t, INT64_MIN, NULL, NULL, 0);
    heard(&w, "u9", "x");
    T_GT(w.rows.v[0].pos, 0);
    end(&w);
}

static void a_text_too_long_to_keep_is_only_marked(void)
{
    struct transcript t;
    struct transcript_rows rows;
    struct call_event ev = {.kind = CALL_EV_RESPONSE_DONE};
    struct call_output o = {.item_id = STR("a1")};
    char *text = mem_alloc(TRANSCRIPT_KEPT_BYTES + 1);

    T_MUST(text != NULL);
    memset(text, 'x', TRANSCRIPT_KEPT_BYTES + 1);
    ev.u.response.outputs = &o;
    ev.u.response.n_outputs = 1;
    for (int i = 0; i < 3; i++) { /* too long, just fitting, no memory */
        transcript_init(&t);
        o.text = str_make(text, TRANSCRIPT_KEPT_BYTES + (i == 0));
        (void)mem_fault_after(i == 2 ? 1 : 0);
        transcript_on_response(&t, &ev, 5, &rows);
        (void)mem_fault_after(0);
        T_EQ(rows.n, 1);
        T_EQ(rows.v[0].text.n, o.text.n);
        transcript_on_truncated(&t, STR("a1"), 30, 6, &rows);
        T_EQ(rows.n, 1);
        T_TRUE(rows.v[0].interrupted);
        T_EQ(rows.v[0].heard_ms, 30);
        T_EQ(rows.v[0].text.p == NULL, i != 1);
        transcript_free(&t);
    }
    mem_free(text);
}

static void texts_are_cut_between_words(void)
{
    static const struct {
        const char *text;
        uint64_t heard_ms, audio_ms;
        const char *want;
    } table[] = {
        {"one two three", 0, 1300, ""},
        {"one two three", 200, 1300, ""},
        {"one two three", 300, 1300, "one"},
        {"one two three", 400, 1300, "one"},
        {"one two three", 699, 1300, "one"},
        {"one two three", 700, 1300, "one two"},
        {"one two three", 1299, 1300, "one two"},
        {"one two three", 1300, 1300, "one two three"},
        {"one two three", UINT64_MAX, 1300, "one two three"},
        {"one two three", UINT64_MAX, UINT64_MAX, "one two three"},
        {"one two three", 1, UINT64_MAX, ""},
        {"one  two", 400, 800, "one"},
        {"one two three", 500, 0, "one two"}, /* 15 characters a second: 7 */
        {"one two three", 1000, 0, "one two three"},
        {"Gr\xc3\xbc\xc3\x9f dich", 500, 900, "Gr\xc3\xbc\xc3\x9f"},
        {"Gr\xc3\xbc\xc3\x9f dich", 300, 900, ""},
        {"\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xb8\x96\xe7\x95\x8c", 300, 400,
         "\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xb8\x96"},
        {"\xe4\xbd\xa0\xe5\xa5\xbd", 199, 200, "\xe4\xbd\xa0"},
        {"Hi \xe4\xbd\xa0\xe5\xa5\xbd", 400, 500, "Hi \xe4\xbd\xa0"},
        {"\xf0\x9f\x98\x80 yes", 100, 500, "\xf0\x9f\x98\x80"},
        {"", 10, 10, ""},
        {"", 0, 0, ""},
        {"\x80\x80", 0, 10, "\x80\x80"}, /* not one character: nothing to measure */
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct str got = heard_text(str_of(table[i].text), table[i].heard_ms,
                                          table[i].audio_ms);

        T_MEM_EQ(got.p, got.n, table[i].want, strlen(table[i].want));
    }
    T_EQ(heard_text(STR_NONE, 5, 5).n, 0);
}

static uint32_t random_below(uint32_t *seed, uint32_t n)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % n;
}

/* One event of a conversation, by number; later numbers happen later in life, but may be told early. */
static void tell(struct world *w, unsigned what)
{
    switch (what) {
    case 0: item(w, "a1", NULL, CALL_WHO_ASSISTANT); break;
    case 1: item(w, "u1", "a1", CALL_WHO_CALLER); break;
    case 2: item(w, "f1", "u1", CALL_WHO_OTHER); break;
    case 3: item(w, "a2", "f1", CALL_WHO_ASSISTANT); break;
    case 4: item(w, "u2", "a2", CALL_WHO_CALLER); break;
    case 5: said(w, "a1", "Good morning to you.", 20); break;
    case 6: truncated(w, "a1", 620); break;
    case 7: heard(w, "u1", "What is it?"); break;
    case 8: said(w, "a2", "It is nine o'clock sharp.", 25); break;
    case 9: truncated(w, "a2", 600); break;
    case 10: truncated(w, "a2", 600); break;
    default: heard(w, "u2", "Thank you."); break;
    }
}

/* The five placings come in their order, all else at any time: the transcript is always the same. */
static void the_order_of_telling_does_not_matter(void)
{
    uint32_t seed = 7;

    for (int round = 0; round < 3000; round++) {
        unsigned order[12], n_places = 0;
        struct world w;

        for (unsigned i = 0; i < 12; i++)
            order[i] = i;
        for (unsigned i = 11; i > 0; i--) {
            unsigned k = random_below(&seed, i + 1), x = order[i];

            order[i] = order[k];
            order[k] = x;
        }
        begin(&w);
        for (unsigned i = 0; i < 12; i++)
            tell(&w, order[i] < 5 ? n_places++ : order[i]);
        T_STR_EQ(shown(&w), "a:Good morning!|c:What is it?|a:It is nine!|c:Thank you.");
        end(&w);
        if (t_now.bad > 0) {
            for (unsigned i = 0; i < 12; i++)
                printf("%u ", order[i]);
            printf("\n");
            break;
        }
    }
}

/* Any events at all: no crash, bounded rows, and text that is still well-formed. */
static void any_events_do_no_harm(void)
{
    static const char text[] = "ab \xc3\xbc\xe4\xbd\xa0 \xf0\x9f\x98\x80 x\n yz";
    struct transcript t;
    struct transcript_rows rows;
    uint32_t seed = 3;

    transcript_init(&t);
    for (int i = 0; i < 60000; i++) {
        char id[16], prev[16];
        struct str s = str_make(text, random_below(&seed, sizeof text));
        struct call_event ev = {.kind = CALL_EV_RESPONSE_DONE};
        struct call_output o[2] = {{.text = s}, {.text = s}};

        s.n = str_utf8_floor(str_of(text), s.n);
        o[0].text = o[1].text = s;
        (void)snprintf(id, sizeof id, "%u", random_below(&seed, 90));
        (void)snprintf(prev, sizeof prev, "%u", random_below(&seed, 90));
        o[0].item_id = str_of(id);
        o[1].item_id = str_of(prev);
        o[1].is_function = random_below(&seed, 2);
        ev.u.response.outputs = o;
        ev.u.response.n_outputs = 2;
        ev.u.response.status = (enum call_response_status)random_below(&seed, 4);
        ev.u.response.audio_tokens = random_below(&seed, 30);
        rows.n = 99;
        switch (random_below(&seed, 6)) {
        case 0:
            transcript_on_item(&t, str_of(id), str_of(prev),
                               (enum call_who)random_below(&seed, 3), seed, &rows);
            break;
        case 1: transcript_on_text(&t, str_of(id), s, seed, &rows); break;
        case 2: transcript_on_text_failed(&t, str_of(id), seed, &rows); break;
        case 3: transcript_on_response(&t, &ev, seed, &rows); break;
        case 4: transcript_on_truncated(&t, str_of(id), seed % 2000, seed, &rows); break;
        default:
            rows.n = 0;
            if (random_below(&seed, 100) == 0)
                transcript_restore(&t, seed, &o[0].item_id, &t.items[0].pos, 1);
            break;
        }
        T_LE(rows.n, 2);
        for (unsigned k = 0; k < rows.n; k++) {
            T_TRUE(str_utf8_valid(rows.v[k].text));
            T_TRUE(rows.v[k].who == CALL_WHO_CALLER || rows.v[k].who == CALL_WHO_ASSISTANT);
        }
    }
    transcript_free(&t);
}

static void a_transcript_is_small(void)
{
    T_LT(sizeof(struct transcript), 2048);
}

int main(void)
{
    T_RUN(turns_stand_in_order);
    T_RUN(a_late_transcription_keeps_its_place);
    T_RUN(a_text_that_comes_before_its_place_moves_there);
    T_RUN(one_that_was_never_heard_of_stands_before_it);
    T_RUN(other_items_are_places_too);
    T_RUN(many_items_behind_one_have_room);
    T_RUN(empty_texts_make_no_turn);
    T_RUN(a_failed_transcription_is_an_empty_turn);
    T_RUN(what_was_not_heard_is_cut);
    T_RUN(a_message_nobody_heard_is_an_empty_turn);
    T_RUN(audio_is_shared_by_length);
    T_RUN(a_cancelled_response_is_interrupted_in_its_last_message);
    T_RUN(old_items_are_forgotten);
    T_RUN(a_restart_goes_on_behind_what_is_stored);
    T_RUN(a_text_too_long_to_keep_is_only_marked);
    T_RUN(texts_are_cut_between_words);
    T_RUN(the_order_of_telling_does_not_matter);
    T_RUN(any_events_do_no_harm);
    T_RUN(a_transcript_is_small);
    return T_DONE();
}
