/* SPDX-License-Identifier: MIT */
#include "memory/index.h"
#include "tests/unit/index_kit.h"

static void put_call(struct kit *k, const char *call, const char *person, uint64_t at, const char *text)
{
    T_OK(index_put_call(k->ix, str_of(call), str_of(person), at, str_of(text)));
}

static void any_words(void)
{
    static const char *const queries[] = {
        "\"", "' OR 1=1 --", "NEAR(a b)", "head : x", "(((", "a AND", "NOT", "*", "^word", "-word", "{head}:x",
        "word*", "\"unclosed", "col:umn", "a + b", "\xe2\x80\x9cquoted\xe2\x80\x9d", "\xff\xfe", "\xf0\x9f\x98\x80",
        "", " ", "\t\n", "x", "?!", "person:per_1", "\xe6\x88"};
    struct kit k;
    struct kit_answer a = {0};
    char many[9000];
    size_t n = 0;

    kit_init(&k);
    kit_mkdir(&k, "memory");
    kit_write(&k, "memory/a.md", "# Word\n\nA word, quoted. The number 4711 and x.\n");
    kit_open(&k);
    kit_scanned(&k);
    put_call(&k, "call_1", "per_1", 1, "nothing of interest");
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        T_OK(kit_search(&k, &a, &kit_owner, queries[i]));
        T_HAS(a.text, "{\"hits\":[");
    }
    for (int i = 0; i < 800; i++)
        n += (size_t)snprintf(many + n, sizeof many - n, "unword%d ", i);
    T_OK(kit_search(&k, &a, &kit_owner, many));
    T_OK(kit_search(&k, &a, &kit_owner, "4711"));
    T_HAS(a.text, "memory/a.md");
    T_OK(kit_search(&k, &a, &kit_owner, "WORDS? word"));
    T_HAS(a.text, "memory/a.md");
    kit_drop(&a);
    kit_end(&k);
}

static void languages(void)
{
    struct kit k;
    struct kit_answer a = {0};

    kit_init(&k);
    kit_mkdir(&k, "memory");
    kit_write(&k, "memory/de.md", "Der Zahnarzttermin ist im M\xc3\xa4rz.\n");
    kit_write(&k, "memory/ru.md", "\xd0\x9a\xd0\xbe\xd1\x88\xd0\xba\xd0\xb0 \xd1\x81\xd0\xbf\xd0\xb8\xd1\x82\n");
    kit_write(&k, "memory/zh.md", "\xe6\x88\x91\xe5\x96\x9c\xe6\xac\xa2\xe8\x8b\xb9\xe6\x9e\x9c\xe5\x92\x8c\xe6\xa2\xa8\n");
    kit_write(&k, "memory/fr.md", "Le caf\xc3\xa9 est ferm\xc3\xa9.\n");
    kit_write(&k, "memory/jo.md", "Jonathan likes tea.\n");
    kit_open(&k);
    kit_scanned(&k);
    T_OK(kit_search(&k, &a, &kit_files, "zahnarzt marz"));
    T_HAS(a.text, "memory/de.md");
    T_OK(kit_search(&k, &a, &kit_files, "\xd0\xba\xd0\xbe\xd1\x88\xd0\xba\xd0\xb0")); /* small letters */
    T_HAS(a.text, "memory/ru.md");
    T_OK(kit_search(&k, &a, &kit_files, "\xe8\x8b\xb9\xe6\x9e\x9c")); /* two of eight ideographs */
    T_HAS(a.text, "memory/zh.md");
    T_OK(kit_search(&k, &a, &kit_files, "\xe6\xa2\xa8"));
    T_HAS(a.text, "memory/zh.md");
    T_OK(kit_search(&k, &a, &kit_files, "cafe"));
    T_HAS(a.text, "memory/fr.md");
    T_OK(kit_search(&k, &a, &kit_files, "jo"));
    T_HAS(a.text, "memory/jo.md");
    T_OK(kit_search(&k, &a, &kit_files, "fr"));
    T_HAS(a.text, "memory/fr.md"); /* the path is searched too */
    kit_drop(&a);
    kit_end(&k);
}

static void blocks_and_lines(void)
{
    struct kit k;
    struct kit_answer a = {0};
    char text[20000];
    size_t n = 0;

    kit_init(&k);
    kit_mkdir(&k, "memory");
    for (int i = 1; i <= 200; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, i % 50 == 1 ? "## Chapter %d\n" : "Line %d says little.\n\n", i);
    n += (size_t)snprintf(text + n, sizeof text - n, "## Boats\n\n");
    for (int i = 0; i < 30; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "filler filler filler ");
    (void)snprintf(text + n, sizeof text - n, "the mizzen is torn ");
    for (n = strlen(text); n < 12000; n += 7)
        (void)snprintf(text + n, sizeof text - n, "gap gap");
    kit_write(&k, "memory/b.md", text);
    kit_write(&k, "memory/fence.md", "# Code\n\n```\n# not a heading\n```\n\nbehind the fence\n");
    kit_open(&k);
    kit_scanned(&k);
    T_OK(kit_search(&k, &a, &kit_files, "mizzen"));
    T_HAS(a.text, "the mizzen is torn");
    T_HAS(a.text, "\"from\":397");
    T_LT(strlen(strstr(a.text, "\"text\":")), 400 + 60);
    T_OK(kit_search(&k, &a, &kit_files, "behind fence"));
    T_HAS(a.text, "# not a heading");
    T_HAS(a.text, "\"from\":1,\"lines\":7");
    kit_drop(&a);
    kit_end(&k);
}

static void newer_first(void)
{
    struct kit k;
    struct kit_answer a = {0};
    const char *old, *new;

    kit_init(&k);
    kit_mkdir(&k, "memory");
    kit_write(&k, "memory/2020-01-01.md", "the gardener came at noon\n");
    kit_write(&k, "memory/2026-11-20.md", "the gardener came at nine\n");
    kit_open(&k);
    kit_scanned(&k);
    T_OK(kit_search(&k, &a, &kit_files, "gardener"));
    new = strstr(a.text, "2026-11-20");
    old = strstr(a.text, "2020-01-01");
    T_TRUE(new != NULL && old != NULL && new < old);
    kit_drop(&a);
    kit_end(&k);
}

static const char sections[] =
    "# Day\n\nMilk is bought.\n\n## Call call_A \xe2\x80\x94 Ann\n\nAnn wants apricots.\n\n"
    "<!-- voice:call call_A end -->\n\n## Call call_B \xe2\x80\x94 Bob\n\nBob wants bananas.\n\n"
    "<!-- voice:call call_B end -->\nBetween the calls.\n\n## Call call_H\n\nHalf of quinces";

static void hides_others_calls(void)
{
    struct kit k;
    struct kit_answer a = {0};
    struct index_scope ann = {.files = true, .person = STR("per_ann")};
    struct index_scope ann_calls = {.person = STR("per_ann")};
    struct index_scope nobody = {0};
    uint64_t until;

    kit_init(&k);
    kit_mkdir(&k, "memory");
    kit_write(&k, "memory/2026-11-20.md", sections);
    kit_write(&k, "MEMORY.md", sections);
    kit_open(&k);
    kit_scanned(&k);
    /* Whose they are is told after they stood in the file. */
    T_OK(kit_search(&k, &a, &ann, "apricots bananas quinces milk between ann bob"));
    T_HAS(a.text, "Milk");
    T_HAS(a.text, "Between the calls");
    T_NULL(strstr(a.text, "apricots"));
    put_call(&k, "call_A", "per_ann", 1000, "caller: I said apricots myself");
    put_call(&k, "call_B", "per_bob", 2000, "caller: I said bananas myself");
    T_OK(kit_search(&k, &a, &ann, "apricots bananas quinces"));
    T_HAS(a.text, "Ann wants apricots");
    T_HAS(a.text, "\"call\":\"call_A\"");
    T_NULL(strstr(a.text, "anana"));
    T_NULL(strstr(a.text, "uince"));
    T_NULL(strstr(a.text, "Bob"));
    T_OK(kit_search(&k, &a, &ann_calls, "apricots bananas milk"));
    T_HAS(a.text, "I said apricots");
    T_NULL(strstr(a.text, "wants apricots"));
    T_NULL(strstr(a.text, "Milk"));
    T_OK(kit_search(&k, &a, &nobody, "apricots bananas milk"));
    T_STR_EQ(a.text, "{\"hits\":[]}");
    T_OK(kit_search(&k, &a, &kit_files, "apricots bananas quinces"));
    T_STR_EQ(a.text, "{\"hits\":[]}");
    T_OK(kit_search(&k, &a, &kit_owner, "bananas quinces"));
    T_HAS(a.text, "Bob wants bananas");
    T_HAS(a.text, "I said bananas");
    T_HAS(a.text, "Half of quinces");
    T_ERR(kit_search(&k, &a, &(struct index_scope){.person = STR("per_x\" OR text:a")}, "apricots"));
    /* Reading the file shows no more; the lines keep their numbers. */
    T_OK(kit_get(&k, &a, &ann, "memory/2026-11-20.md", 1, 0));
    T_HAS(a.text, "Ann wants apricots");
    T_NULL(strstr(a.text, "anana"));
    T_NULL(strstr(a.text, "uince"));
    T_HAS(a.text, "\"total_lines\":20");
    T_OK(kit_get(&k, &a, &kit_files, "memory/2026-11-20.md", 16, 1));
    T_HAS(a.text, "Between the calls");
    T_NULL(strstr(a.text, "apricots"));
    T_OK(kit_get(&k, &a, &kit_owner, "memory/2026-11-20.md", 1, 0));
    T_HAS(a.text, "bananas");
    /* Nor does what is put into a call's context. */
    T_OK(kit_pieces(&k, &a, 14, clock_wall_ms()));
    T_HAS(a.text, "Milk");
    T_NULL(strstr(a.text, "apricots"));
    T_NULL(strstr(a.text, "bananas"));
    T_NULL(strstr(a.text, "Call"));
    /* Two persons became one. */
    put_call(&k, "call_B", "per_ann", 2000, "caller: I said bananas myself");
    T_OK(kit_search(&k, &a, &ann, "bananas"));
    T_HAS(a.text, "Bob wants bananas");
    /* The file is read anew: still hers. */
    kit_add(&k, "memory/2026-11-20.md", " and more\n");
    until = clock_mono_ms() + 2000;
    do {
        T_OK(kit_search(&k, &a, &ann, "apricots"));
        (void)usleep(20000);
    } while (clock_mono_ms() < until && strstr(a.text, "2026-11-20.md") == NULL);
    T_HAS(a.text, "2026-11-20.md");
    kit_drop(&a);
    kit_end(&k);
}

static int own(struct kit *k, struct kit_answer *a, const char *call, const char *person)
{
    int rc;

    kit_begin(a);
    rc = index_own_call(k->ix, str_of(call), str_of(person), kit_on_done, a);
    if (rc < 0)
        return rc;
    kit_wait(k, &a->came);
    return a->rc;
}

/* Two persons became one, and one of them leaves again: whose a call is changes without its words. */
static void calls_change_hands(void)
{
    struct kit k;
    struct kit_answer a = {0};
    struct index_scope ann = {.files = true, .person = STR("per_ann")}, bob = {.files = true, .person = STR("per_bob")};

    kit_init(&k);
    kit_mkdir(&k, "memory");
    kit_write(&k, "memory/2026-11-20.md", sections);
    kit_open(&k);
    kit_scanned(&k);
    T_EQ(own(&k, &a, "call_B", "per_bob"), ERR_NOT_FOUND);
    put_call(&k, "call_B", "per_bob", 2000, "caller: I said bananas myself");
    T_OK(own(&k, &a, "call_B", "per_bob"));
    T_OK(kit_search(&k, &a, &ann, "bananas"));
    T_STR_EQ(a.text, "{\"hits\":[]}");
    T_OK(own(&k, &a, "call_B", "per_ann"));
    T_OK(kit_search(&k, &a, &ann, "bananas"));
    T_HAS(a.text, "I said bananas");
    T_HAS(a.text, "Bob wants bananas");
    T_HAS(a.text, "\"at\":2000");
    T_OK(kit_search(&k, &a, &bob, "bananas"));
    T_STR_EQ(a.text, "{\"hits\":[]}");
    T_OK(own(&k, &a, "call_B", "per_bob"));
    T_OK(kit_search(&k, &a, &ann, "bananas"));
    T_STR_EQ(a.text, "{\"hits\":[]}");
    T_OK(kit_search(&k, &a, &bob, "bananas"));
    T_HAS(a.text, "I said bananas");
    T_ERR(own(&k, &a, "call B", "per_bob"));
    /* The words were not put again, and are as cheap to put as ever. */
    put_call(&k, "call_B", "per_bob", 2000, "caller: I said bananas myself");
    T_OK(kit_search(&k, &a, &bob, "bananas"));
    T_EQ(kit_count(a.text, "I said bananas"), 1);
    kit_drop(&a);
    kit_end(&k);
}

/* Bytes of `what` in the database and its companions. */
static unsigned bytes_of(const struct kit *k, const char *what)
{
    static const char *const names[] = {"index.db", "index.db-wal", "index.db-shm"};
    char path[200], *text = malloc(64 << 20);
    unsigned hits = 0;

    for (int i = 0; i < 3; i++) {
        FILE *f;
        size_t n;

        (void)snprintf(path, sizeof path, "%s/%s", k->state, names[i]);
        f = fopen(path, "r");
        n = f ? fread(text, 1, 64 << 20, f) : 0;
        if (f != NULL)
            fclose(f);
        for (char *p = text; n > 0 && (p = memmem(p, n - (size_t)(p - text), what, strlen(what))) != NULL; p++)
            hits++;
    }
    free(text);
    return hits;
}

static int expired(struct kit *k, uint64_t text_before, uint64_t calls_before)
{
    struct kit_answer a = {0};

    kit_begin(&a);
    T_OK(index_expire(k->ix, text_before, calls_before, kit_on_done, &a));
    kit_wait(k, &a.came);
    return a.rc;
}

/* Past their time, words go for real, and what is newer stays; such a call is known still and not put again. */
static void old_words_go(void)
{
    struct kit k;
    struct kit_answer a = {0};

    kit_init(&k);
    kit_open(&k);
    kit_scanned(&k);
    put_call(&k, "call_old", "per_here", 1000, "we spoke of zyxomma");
    put_call(&k, "call_new", "per_here", 5000, "we spoke of qwertzuiop");
    T_OK(expired(&k, 2000, 0));
    T_EQ(bytes_of(&k, "zyxomma"), 0);
    T_GT(bytes_of(&k, "qwertzuiop"), 0);
    T_OK(kit_search(&k, &a, &kit_owner, "qwertzuiop"));
    T_HAS(a.text, "call_new");
    T_OK(own(&k, &a, "call_old", "per_here"));
    T_OK(expired(&k, 2000, 0));
    kit_end(&k);
}

/*
 * Calls that are gone leave nothing in the index, however many they are, but whose a call was that a section in a file
 * is about, as long as it stands there.
 */
static void old_calls_go(void)
{
    enum { CALLS = 1300 };
    struct kit k;
    struct kit_answer a = {0};
    char call[40];

    kit_init(&k);
    kit_mkdir(&k, "memory");
    kit_write(&k, "memory/2026-11-23.md", "## Call call_0007\n\nAda wants xylophones.\n\n<!-- voice:call call_0007 end -->\n");
    kit_open(&k);
    kit_scanned(&k);
    for (int i = 0; i < CALLS; i++) {
        (void)snprintf(call, sizeof call, "call_%04d", i);
        put_call(&k, call, "per_here", i < CALLS - 10 ? 1000 : 5000, i % 100 == 0 ? "we spoke of zyxomma" : "");
        if (i % 500 == 0) /* what waits has a bound */
            T_OK(own(&k, &a, call, "per_here"));
    }
    T_OK(expired(&k, 2000, 900));
    T_OK(own(&k, &a, "call_0000", "per_here"));
    T_OK(expired(&k, 2000, 2000));
    for (int i = 0; i < CALLS; i++) {
        (void)snprintf(call, sizeof call, "call_%04d", i);
        if ((own(&k, &a, call, "per_here") == 0) != (i == 7 || i >= CALLS - 10))
            T_FAIL("%s", call);
    }
    kit_write(&k, "memory/2026-11-23.md", "Nothing of it is left.\n");
    (void)kit_until(&k, "left", "Nothing", true);
    T_OK(expired(&k, 2000, 2000));
    T_ERR(own(&k, &a, "call_0007", "per_here"));
    kit_end(&k);
}

static void forgets_for_real(void)
{
    struct kit k;
    struct kit_answer a = {0};
    char text[600];

    kit_init(&k);
    kit_open(&k);
    kit_scanned(&k);
    for (int i = 0; i < 40; i++) {
        char call[40];

        (void)snprintf(call, sizeof call, "call_%d", i);
        (void)snprintf(text, sizeof text, "we spoke of zyxomma%d and qwertzuiop, again and again\n", i);
        put_call(&k, call, i % 2 ? "per_gone" : "per_here", 1000, i % 2 ? text : "we spoke of ordinary things");
        if (i % 5 == 0)
            T_OK(kit_search(&k, &a, &kit_owner, "zyxomma1"));
    }
    T_OK(kit_search(&k, &a, &kit_owner, "zyxomma1"));
    T_HAS(a.text, "call_1");
    T_GT(bytes_of(&k, "qwertzuiop"), 0);
    kit_begin(&a);
    T_OK(index_forget(k.ix, STR("per_gone"), kit_on_done, &a));
    kit_wait(&k, &a.came);
    T_OK(a.rc);
    T_EQ(bytes_of(&k, "qwertzuiop"), 0);
    T_EQ(bytes_of(&k, "zyxomma"), 0);
    T_EQ(bytes_of(&k, "yxomma"), 0);
    T_EQ(bytes_of(&k, "per_gone"), 0);
    T_OK(kit_search(&k, &a, &kit_owner, "zyxomma1 ordinary"));
    T_NULL(strstr(a.text, "zyxomma"));
    T_HAS(a.text, "ordinary");
    kit_drop(&a);
    kit_end(&k);
}

int main(void)
{
    T_RUN(any_words);
    T_RUN(languages);
    T_RUN(blocks_and_lines);
    T_RUN(newer_first);
    T_RUN(hides_others_calls);
    T_RUN(calls_change_hands);
    T_RUN(old_words_go);
    T_RUN(old_calls_go);
    T_RUN(forgets_for_real);
    return T_DONE();
}
