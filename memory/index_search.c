/* SPDX-License-Identifier: MIT */
#include "memory/index_int.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define WORDS 16u
#define MATCH_BYTES 2048u
/* Rows that one question ranks at most: ranking is what takes the time. */
#define RANKED 3000
#define CANDIDATES 120
#define TEXT_BYTES 400u
#define QUERY_MS 1000u
#define HITS 20u

struct word {
    struct str text;
    bool prefix, pair; /* begins words; two ideographs side by side */
    int rows;          /* that hold it, at most RANKED + 1 */
    int all_rows;      /* the same, in both tables */
};

struct hit {
    int64_t id;
    bool talk;
    double score;
};

struct search {
    struct index *ix;
    const struct index_scope *scope;
    struct word words[WORDS];
    unsigned n_words;
    char match[MATCH_BYTES];
    struct hit hits[2 * CANDIDATES];
    unsigned n_hits;
    uint64_t now_ms;
};

/* ---- Whose call. ---- */

void index_call_person(struct index *ix, struct str call, char *out)
{
    sqlite3_stmt *st = index_stmt(ix, Q_CALL_GET);

    out[0] = '\0';
    if (st == NULL)
        return;
    (void)sqlite3_bind_text(st, 1, call.p, (int)call.n, SQLITE_STATIC);
    if (sqlite3_step(st) == SQLITE_ROW)
        (void)str_copy(out, INDEX_ID_BYTES + 1, str_of((const char *)sqlite3_column_text(st, 0)));
    (void)sqlite3_reset(st);
}

bool index_call_shown(struct index *ix, const struct index_scope *scope, struct str call)
{
    char person[INDEX_ID_BYTES + 1];

    if (scope->all_calls)
        return true;
    if (scope->person.n == 0)
        return false;
    index_call_person(ix, call, person);
    return str_eqc(scope->person, person);
}

/* ---- Words. ---- */

static bool word_byte(char c)
{
    unsigned char u = (unsigned char)c;

    return u >= 0x80 || (u >= '0' && u <= '9') || (u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z');
}

static void add_word(struct search *q, struct str text, bool pair)
{
    struct word *w;

    for (unsigned i = 0; i < q->n_words; i++)
        if (str_ieq(q->words[i].text, text))
            return;
    if (q->n_words == WORDS || text.n > 64)
        return;
    w = &q->words[q->n_words++];
    *w = (struct word){.text = text, .pair = pair, .prefix = !pair && text.n >= 4};
}

/* Runs of ideographs have no blanks: each two neighbours are looked for. Returns the run's length. */
static size_t add_ideographs(struct search *q, struct str s)
{
    size_t at = 0, n, before = 0;
    unsigned count = 0;

    while (at < s.n && (n = index_cjk(str_skip(s, at))) > 0 && at + n <= s.n) {
        if (count++ > 0)
            add_word(q, str_make(s.p + at - before, before + n), true);
        before = n;
        at += n;
    }
    if (count == 1)
        add_word(q, str_head(s, at), true);
    return at;
}

static void find_words(struct search *q, struct str s, size_t min)
{
    size_t at = 0, n;

    q->n_words = 0;
    while (at < s.n) {
        n = add_ideographs(q, str_skip(s, at));
        if (n == 0) {
            while (at + n < s.n && word_byte(s.p[at + n]) && index_cjk(str_skip(s, at + n)) == 0)
                n++;
            if (n >= min)
                add_word(q, str_make(s.p + at, n), false);
        }
        at += n > 0 ? n : 1;
    }
}

/* ---- The search engine's language: words in quotes, nothing else of the caller's. ---- */

static size_t put_word(char *out, const struct word *w, bool short_prefix)
{
    size_t n = 0, first = w->pair ? index_cjk(w->text) : 0;

    out[n++] = '"';
    for (size_t i = 0; i < w->text.n; i++) {
        if (w->pair && i == first)
            out[n++] = ' ';
        out[n++] = w->text.p[i];
    }
    out[n++] = '"';
    if (w->prefix || (short_prefix && !w->pair && w->text.n >= 2))
        out[n++] = '*';
    return n;
}

/*
 * words whose rows are at most `most` (0: all), joined. talk: of the person who asks, if that is not
 * the owner. false: none fits.
 */
static bool make_match(struct search *q, bool talk, const char *join, int most, bool short_prefix)
{
    bool mine = talk && !q->scope->all_calls;
    size_t n = 0, joint = strlen(join);
    unsigned put = 0;

    if (mine)
        n = (size_t)snprintf(q->match, sizeof q->match, "person:\"%.*s\" AND ", STR_ARG(q->scope->person));
    n += (size_t)snprintf(q->match + n, sizeof q->match - n, talk ? "{head text}:(" : "(");
    for (unsigned i = 0; i < q->n_words; i++) {
        const struct word *w = &q->words[i];

        if ((most > 0 && w->rows > most) || n + w->text.n + joint + 16 > sizeof q->match)
            continue;
        if (put++ > 0) {
            memcpy(q->match + n, join, joint);
            n += joint;
        }
        n += put_word(q->match + n, w, short_prefix);
    }
    q->match[n++] = ')';
    q->match[n] = '\0';
    return put > 0;
}

static int count_rows(struct search *q, bool talk, int *rows)
{
    sqlite3_stmt *st = index_stmt(q->ix, talk ? Q_TALK_COUNT : Q_DOC_COUNT);
    int rc;

    *rows = 0;
    if (st == NULL)
        return SQLITE_ERROR;
    (void)sqlite3_bind_text(st, 1, q->match, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int(st, 2, RANKED + 1);
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        *rows = sqlite3_column_int(st, 0);
    (void)sqlite3_reset(st);
    return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int count_words(struct search *q, bool talk)
{
    unsigned n = q->n_words;
    struct word all[WORDS];
    int rc = SQLITE_OK;

    memcpy(all, q->words, sizeof all);
    q->n_words = 1;
    for (unsigned i = 0; i < n && rc == SQLITE_OK; i++) {
        q->words[0] = all[i];
        (void)make_match(q, talk, " OR ", 0, false);
        rc = count_rows(q, talk, &all[i].rows);
        all[i].all_rows += all[i].rows;
    }
    memcpy(q->words, all, sizeof all);
    q->n_words = n;
    return rc;
}

static int find(struct search *q, bool talk, int64_t above)
{
    sqlite3_stmt *st = index_stmt(q->ix, talk ? Q_TALK_FIND : Q_DOC_FIND);
    unsigned begin = q->n_hits, end = begin + CANDIDATES;
    int rc = SQLITE_ERROR;
    double best;

    if (st == NULL)
        return rc;
    (void)sqlite3_bind_text(st, 1, q->match, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(st, 2, above);
    (void)sqlite3_bind_int(st, 3, CANDIDATES);
    while (q->n_hits < end && (rc = sqlite3_step(st)) == SQLITE_ROW)
        q->hits[q->n_hits++] = (struct hit){sqlite3_column_int64(st, 0), talk, -sqlite3_column_double(st, 1)};
    (void)sqlite3_reset(st);
    /* What bm25 gives for a table of three rows is not to be compared with what it gives for thousands. */
    best = q->n_hits > begin ? q->hits[begin].score : 0.0;
    for (unsigned i = begin; i < q->n_hits; i++)
        q->hits[i].score = best > 0.0 ? q->hits[i].score / best : 1.0;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int64_t top_row(struct search *q)
{
    sqlite3_stmt *st = index_stmt(q->ix, Q_DOC_TOP);
    int64_t top = 0;

    if (st != NULL && sqlite3_step(st) == SQLITE_ROW)
        top = sqlite3_column_int64(st, 0);
    if (st != NULL)
        (void)sqlite3_reset(st);
    return top;
}

/* The largest number of rows a word may have, so that all words with at most as many have RANKED together. */
static int threshold(const struct search *q)
{
    int best = 0, sum;

    for (unsigned i = 0; i < q->n_words; i++) {
        int most = q->words[i].rows;

        sum = 0;
        for (unsigned k = 0; k < q->n_words; k++)
            if (q->words[k].rows <= most)
                sum += q->words[k].rows;
        if (sum <= RANKED && most > best)
            best = most;
    }
    return best;
}

/*
 * Words that stand in thousands of blocks tell little and cost much: the rarer ones decide. If all are
 * common, blocks that hold all of them; if these are none or too many, the newest rows alone.
 */
static int find_in(struct search *q, bool talk)
{
    int rc = count_words(q, talk), most, rows;
    int64_t top;

    if (rc != SQLITE_OK)
        return rc;
    most = threshold(q);
    if (most > 0 && make_match(q, talk, " OR ", most, false))
        return find(q, talk, 0);
    if (!make_match(q, talk, " AND ", 0, false))
        return SQLITE_OK;
    rc = count_rows(q, talk, &rows);
    if (rc != SQLITE_OK)
        return rc;
    if (rows > 0 && rows <= RANKED)
        return find(q, talk, 0);
    if (!make_match(q, talk, " OR ", 0, rows == 0))
        return SQLITE_OK;
    top = talk ? 0 : top_row(q);
    return find(q, talk, top > RANKED ? top - RANKED : 0);
}

/* ---- Hits. ---- */

static size_t find_fold(struct str s, struct str needle)
{
    for (size_t i = 0; i + needle.n <= s.n; i++)
        if (str_istarts(str_skip(s, i), needle))
            return i;
    return s.n;
}

/* At most TEXT_BYTES around the first place where a word stands. */
static struct str excerpt(const struct search *q, struct str text)
{
    size_t hit = text.n, at, begin;

    if (text.n <= TEXT_BYTES)
        return text;
    for (unsigned i = 0; i < q->n_words; i++) {
        at = find_fold(text, q->words[i].text);
        if (at < hit)
            hit = at;
    }
    if (hit == text.n || hit < TEXT_BYTES / 3)
        begin = 0;
    else
        begin = hit - TEXT_BYTES / 3;
    if (text.n - begin < TEXT_BYTES)
        begin = text.n - TEXT_BYTES;
    while (begin > 0 && begin < text.n && ((unsigned char)text.p[begin] & 0xc0) == 0x80)
        begin++;
    if (begin > 0)
        for (at = begin; at < begin + 40 && at < hit; at++)
            if (text.p[at] == ' ' || text.p[at] == '\n') {
                begin = at + 1;
                break;
            }
    text = str_skip(text, begin);
    return str_head(text, str_utf8_floor(text, TEXT_BYTES));
}

static struct str column(sqlite3_stmt *st, int at)
{
    const char *p = (const char *)sqlite3_column_text(st, at);

    return str_make(p, p != NULL ? (size_t)sqlite3_column_bytes(st, at) : 0);
}

static bool visible(const struct search *q, sqlite3_stmt *st, bool talk)
{
    bool in_file = sqlite3_column_type(st, 0) != SQLITE_NULL;

    if (in_file && !q->scope->files)
        return false;
    if (!talk || q->scope->all_calls)
        return true;
    return q->scope->person.n > 0 && str_eq(column(st, 7), q->scope->person);
}

static sqlite3_stmt *open_hit(const struct search *q, const struct hit *h)
{
    sqlite3_stmt *st = index_stmt(q->ix, h->talk ? Q_TALK_GET : Q_DOC_GET);

    if (st == NULL)
        return NULL;
    (void)sqlite3_bind_int64(st, 1, h->id);
    if (sqlite3_step(st) == SQLITE_ROW && visible(q, st, h->talk))
        return st;
    (void)sqlite3_reset(st);
    return NULL;
}

/* Newer weighs more: up to 1.5 times, half of that after 30 days; what has no time lies between. */
static double weigh(const struct search *q, double score, int64_t at)
{
    double days;

    if (at <= 0)
        return score * 1.2;
    days = (uint64_t)at < q->now_ms ? (double)(q->now_ms - (uint64_t)at) / 86400000.0 : 0.0;
    return score * (1.0 + 0.5 * 30.0 / (30.0 + days));
}

/* The words that stand in the text, rare ones more than common ones. */
static double worth(const struct search *q, struct str text)
{
    double sum = 0.0, weight;

    for (unsigned i = 0; i < q->n_words; i++) {
        weight = 14.0;
        for (int rows = q->words[i].all_rows; rows > 1; rows /= 2)
            weight -= 1.0;
        if (find_fold(text, q->words[i].text) < text.n)
            sum += weight;
    }
    /* Found by letters that are the same to the search engine alone: "é" by "e". */
    return sum > 0.0 ? sum : 1.0;
}

static void rank(struct search *q)
{
    sqlite3_stmt *st;
    unsigned n = 0, k;

    for (unsigned i = 0; i < q->n_hits; i++) {
        struct hit h = q->hits[i];

        st = open_hit(q, &h);
        if (st == NULL)
            continue;
        h.score = weigh(q, worth(q, column(st, 4)) * (0.5 + 0.5 * h.score), sqlite3_column_int64(st, 5));
        (void)sqlite3_reset(st);
        for (k = n++; k > 0 && q->hits[k - 1].score < h.score; k--)
            q->hits[k] = q->hits[k - 1];
        q->hits[k] = h;
    }
    q->n_hits = n;
}

static void write_hit(const struct search *q, struct buf *out, const struct hit *h)
{
    sqlite3_stmt *st = open_hit(q, h);

    if (st == NULL)
        return;
    jw_open(out, '{');
    if (sqlite3_column_type(st, 0) != SQLITE_NULL)
        jw_kstr(out, "path", column(st, 0));
    else
        jw_kstr(out, "call", column(st, 6));
    jw_kint(out, "from", sqlite3_column_int64(st, 1));
    jw_kint(out, "lines", sqlite3_column_int64(st, 2));
    if (sqlite3_column_int64(st, 5) > 0)
        jw_kint(out, "at", sqlite3_column_int64(st, 5));
    jw_kstr(out, "text", excerpt(q, column(st, 4)));
    jw_key(out, "score");
    jw_num(out, (double)(int64_t)(h->score * 1000.0) / 1000.0);
    jw_close(out, '}');
    (void)sqlite3_reset(st);
}

int index_run_search(struct index *ix, struct index_op *op)
{
    struct search q = {.ix = ix, .scope = &op->scope, .now_ms = clock_wall_ms()};
    int rc = SQLITE_OK;

    if (ix->db == NULL)
        return ERR_IO;
    ix->query_until_ms = clock_mono_ms() + QUERY_MS;
    find_words(&q, op->a, 2);
    if (q.n_words == 0)
        find_words(&q, op->a, 1);
    if (q.n_words > 0 && op->scope.files)
        rc = find_in(&q, false);
    if (rc == SQLITE_OK && q.n_words > 0 && (op->scope.all_calls || op->scope.person.n > 0))
        rc = find_in(&q, true);
    if (rc == SQLITE_OK)
        rank(&q);
    jw_open(&op->out, '{');
    jw_key(&op->out, "hits");
    jw_open(&op->out, '[');
    for (unsigned i = 0; rc == SQLITE_OK && i < q.n_hits && i < op->lines; i++)
        write_hit(&q, &op->out, &q.hits[i]);
    jw_close(&op->out, ']');
    jw_close(&op->out, '}');
    ix->query_until_ms = 0;
    return rc == SQLITE_OK ? op->out.rc : index_db_fail(ix, rc);
}
