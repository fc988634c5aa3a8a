/* SPDX-License-Identifier: MIT */
#include "memory/index_int.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define WORDS 16u
#define MATCH_BYTES 512u
#define QUERY_BYTES 512u
/* Newest rows of a word that are looked at: words of more rows tell little. */
#define ROWS 3000
#define FEW 200 /* a word of fewer rows is looked for as the beginning of words too */
#define CANDIDATES 120u
#define TEXT_BYTES 400u
#define QUERY_MS 1000u
#define HITS 20u
#define BLOCK_BYTES 700.0 /* of a usual block */

struct word {
    struct str text;   /* in small ASCII letters, in q->folded */
    bool prefix, pair; /* looked for as the beginning of words; two ideographs side by side */
    unsigned rows;     /* that hold it in either table, as far as they were looked at */
    double weight;
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
    char folded[QUERY_BYTES];
    char match[MATCH_BYTES];
    int64_t rows[ROWS];
    unsigned n_rows;
    struct hit hits[2 * CANDIDATES];
    unsigned n_hits;
    uint64_t now_ms;
    int64_t total; /* rows of all, about */
};

/* The sum of the weights of the words found in a row, while one question lasts. */
struct index_tally {
    int64_t id;
    uint32_t turn;
    float sum;
};
#define SLOTS 131072u /* more than twice WORDS * ROWS */

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
    for (unsigned i = 0; i < q->n_words; i++)
        if (str_eq(q->words[i].text, text))
            return;
    if (q->n_words == WORDS || text.n > 64)
        return;
    q->words[q->n_words++] = (struct word){.text = text, .pair = pair, .prefix = !pair && text.n >= 4};
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

static void make_match(struct search *q, bool talk, const struct word *w, bool prefix)
{
    bool mine = talk && !q->scope->all_calls;
    size_t n = 0, first = w->pair ? index_cjk(w->text) : w->text.n;
    struct str a = str_head(w->text, first), b = str_skip(w->text, first);

    if (mine)
        n = (size_t)snprintf(q->match, sizeof q->match, "person:\"%.*s\" AND ", STR_ARG(q->scope->person));
    (void)snprintf(q->match + n, sizeof q->match - n, "%s\"%.*s%s%.*s\"%s", talk ? "{head text}:" : "", STR_ARG(a),
                   b.n > 0 ? " " : "", STR_ARG(b), prefix ? "*" : "");
}

/* The newest rows that match, into q->rows. */
static int find_rows(struct search *q, bool talk)
{
    sqlite3_stmt *st = index_stmt(q->ix, talk ? Q_TALK_ROWS : Q_DOC_ROWS);
    int rc = SQLITE_ERROR;

    q->n_rows = 0;
    if (st == NULL)
        return rc;
    (void)sqlite3_bind_text(st, 1, q->match, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int(st, 2, ROWS);
    while (q->n_rows < ROWS && (rc = sqlite3_step(st)) == SQLITE_ROW)
        q->rows[q->n_rows++] = sqlite3_column_int64(st, 0);
    (void)sqlite3_reset(st);
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

/* log2 of how rare the word is, in whole steps. */
static double rarity(int64_t total, unsigned rows)
{
    double w = 1.0;

    for (int64_t n = rows > 0 ? rows : 1; n < total; n *= 2)
        w += 1.0;
    return w;
}

/* ---- Candidates: the rows with the rarest words, and with most of them. ---- */

static void tally_add(struct search *q, double weight)
{
    struct index *ix = q->ix;
    struct index_tally *t;
    uint64_t h;

    for (unsigned i = 0; i < q->n_rows; i++) {
        h = (uint64_t)q->rows[i] * 0x9e3779b97f4a7c15u >> 47;
        for (t = &ix->tally[h]; t->turn == ix->tally_turn && t->id != q->rows[i]; t = &ix->tally[h])
            h = (h + 1) % SLOTS;
        if (t->turn != ix->tally_turn) {
            *t = (struct index_tally){q->rows[i], ix->tally_turn, 0.0f};
            ix->tally_used[ix->n_tally++] = (uint32_t)h;
        }
        t->sum += (float)weight;
    }
}

static bool better(const struct hit *a, const struct hit *b)
{
    return a->score > b->score || (a->score == b->score && a->id > b->id);
}

/* hits[0..*n) stay ordered, at most max of them. */
static void insert(struct hit *hits, unsigned *n, unsigned max, struct hit h)
{
    unsigned k;

    if (*n == max && !better(&h, &hits[max - 1]))
        return;
    for (k = *n < max ? (*n)++ : max - 1; k > 0 && better(&h, &hits[k - 1]); k--)
        hits[k] = hits[k - 1];
    hits[k] = h;
}

static int find_word(struct search *q, bool talk, struct word *w)
{
    int rc;

    make_match(q, talk, w, false);
    rc = find_rows(q, talk);
    if (rc != SQLITE_OK || !w->prefix || q->n_rows >= FEW)
        return rc;
    make_match(q, talk, w, true);
    return find_rows(q, talk);
}

static int find_in(struct search *q, bool talk)
{
    struct index *ix = q->ix;
    unsigned n = 0;
    int rc;

    ix->n_tally = 0;
    if (++ix->tally_turn == 0) {
        memset(ix->tally, 0, SLOTS * sizeof *ix->tally);
        ix->tally_turn = 1;
    }
    for (unsigned i = 0; i < q->n_words; i++) {
        rc = find_word(q, talk, &q->words[i]);
        if (rc != SQLITE_OK)
            return rc;
        q->words[i].rows += q->n_rows;
        tally_add(q, rarity(q->total, q->n_rows));
    }
    for (unsigned i = 0; i < ix->n_tally; i++) {
        const struct index_tally *t = &ix->tally[ix->tally_used[i]];

        insert(q->hits + q->n_hits, &n, CANDIDATES, (struct hit){t->id, talk, t->sum});
    }
    q->n_hits += n;
    return SQLITE_OK;
}

/* "Jo" may be the beginning of a name: tried where nothing at all was found. */
static int find_all(struct search *q, bool docs, bool talks)
{
    int rc = SQLITE_OK;

    for (unsigned turn = 0; turn < 2 && rc == SQLITE_OK && q->n_hits == 0; turn++) {
        for (unsigned i = 0; turn > 0 && i < q->n_words; i++)
            q->words[i].prefix = !q->words[i].pair && q->words[i].text.n >= 2;
        if (docs)
            rc = find_in(q, false);
        if (rc == SQLITE_OK && talks)
            rc = find_in(q, true);
    }
    for (unsigned i = 0; i < q->n_words; i++)
        q->words[i].weight = rarity(q->total, q->words[i].rows);
    return rc;
}

/* ---- Hits. ---- */

static void fold(char *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        out[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]);
}

/* s in small letters, in the index' own room; valid until the next call. */
static struct str folded(const struct search *q, struct str s)
{
    struct buf *b = &q->ix->fold[2];

    buf_clear(b);
    if (buf_reserve(b, s.n + 1) < 0)
        return STR_NONE;
    fold(b->p, s);
    return str_make(b->p, s.n);
}

/* At most TEXT_BYTES around the first place where the rarest word stands. */
static struct str excerpt(const struct search *q, struct str text)
{
    size_t hit = text.n, at, begin;
    struct str low = folded(q, text);
    double best = 0.0;

    if (text.n <= TEXT_BYTES)
        return text;
    for (unsigned i = 0; i < q->n_words; i++) {
        at = str_find_str(low, q->words[i].text);
        if (at < low.n && q->words[i].weight > best) {
            hit = at;
            best = q->words[i].weight;
        }
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

/*
 * BM25 (k1 1.2, b 0.75) over the block itself. The engine's own is not used: it counts every row of every
 * word, and takes 40 ms for one that stands in half of 60,000 blocks.
 */
static double bm25(const struct search *q, struct str text)
{
    struct str low = folded(q, text), rest;
    double sum = 0.0, tf, room = 1.2 * (0.25 + 0.75 * (double)text.n / BLOCK_BYTES);
    size_t at;

    for (unsigned i = 0; i < q->n_words; i++) {
        const struct str w = q->words[i].text;

        tf = 0.0;
        for (rest = low; tf < 5.0 && (at = str_find_str(rest, w)) < rest.n; rest = str_skip(rest, at + w.n))
            tf += 1.0;
        sum += q->words[i].weight * tf * 2.2 / (tf + room);
    }
    /* Found by letters that are the same to the search engine alone ("é" by "e"), or in the headings. */
    return sum;
}

static void rank(struct search *q)
{
    struct hit best[HITS];
    sqlite3_stmt *st;
    unsigned n = 0;

    for (unsigned i = 0; i < q->n_hits; i++) {
        struct hit h = q->hits[i];

        st = open_hit(q, &h);
        if (st == NULL)
            continue;
        h.score = weigh(q, bm25(q, column(st, 4)) + 0.25 * h.score, sqlite3_column_int64(st, 5));
        (void)sqlite3_reset(st);
        insert(best, &n, HITS, h);
    }
    memcpy(q->hits, best, n * sizeof *best);
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
    struct str query = str_head(op->a, str_utf8_floor(op->a, sizeof q.folded));
    int rc;

    if (ix->db == NULL)
        return ERR_IO;
    if (ix->tally == NULL)
        ix->tally = mem_zalloc(SLOTS * sizeof *ix->tally);
    if (ix->tally_used == NULL)
        ix->tally_used = mem_alloc(WORDS * ROWS * sizeof *ix->tally_used);
    if (ix->tally == NULL || ix->tally_used == NULL)
        return ERR_NOMEM;
    ix->query_until_ms = clock_mono_ms() + QUERY_MS;
    fold(q.folded, query);
    find_words(&q, str_make(q.folded, query.n), 2);
    if (q.n_words == 0)
        find_words(&q, str_make(q.folded, query.n), 1);
    q.total = top_row(&q);
    rc = find_all(&q, op->scope.files, op->scope.all_calls || op->scope.person.n > 0);
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
