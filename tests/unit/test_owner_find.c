/* SPDX-License-Identifier: MIT */
/* Whose a placed call is: who is named, who wrote, who is configured, whom the gateway knows, in that order. */
#include "plugin/owner.h"
#include "tests/unit/owner_kit.h"

struct asked {
    const char *named, *session;
    unsigned answers;
    char identity[OWNER_BYTES], session_key[OWNER_SESSION_BYTES];
};

static void on_owner(void *arg, struct str identity, struct str session_key)
{
    struct asked *a = arg;

    (void)str_copy(a->identity, sizeof a->identity, identity);
    (void)str_copy(a->session_key, sizeof a->session_key, session_key);
    a->answers++;
}

static void find_fn(void *arg)
{
    struct desk *d = arg;
    struct asked *a = d->more;
    const struct owner_ask ask = {str_of(a->named), str_of(a->session)};

    owner_find(&d->app, &ask, on_owner, a);
}

/* "identity|session". */
static const char *find(struct desk *d, const char *named, const char *session)
{
    static char text[OWNER_BYTES + OWNER_SESSION_BYTES];
    struct asked a = {.named = named, .session = session};

    d->more = &a;
    desk_do(d, find_fn);
    T_MUST(desk_wait(d, &a.answers, 1));
    desk_settle(d);
    T_EQ(a.answers, 1);
    (void)snprintf(text, sizeof text, "%s|%s", a.identity, a.session_key);
    return text;
}

static void open_fn(void *arg)
{
    struct desk *d = arg;

    d->rc = owners_open(&d->app.owners, &d->app);
}

static void close_fn(void *arg)
{
    struct desk *d = arg;

    owners_close(d->app.owners);
    d->app.owners = NULL;
}

static void begin(struct desk *d)
{
    desk_open(d);
    desk_do(d, open_fn);
    T_MUST(d->rc == 0);
}

static void end(struct desk *d)
{
    desk_do(d, close_fn);
    desk_close(d);
}

static void owners_fn(void *arg)
{
    struct desk *d = arg;
    struct json *list = NULL;

    d->rc = json_parse(&list, str_of(d->more), NULL);
    owners_set(d->app.owners, list);
    json_free(list);
}

static void owners(struct desk *d, const char *json)
{
    d->more = (void *)json;
    desk_do(d, owners_fn);
    T_OK(d->rc);
}

struct said {
    const char *identity, *session;
    uint64_t at;
};

static void message_fn(void *arg)
{
    struct desk *d = arg;
    const struct said *s = d->more;
    struct people_message m = {.identity = str_of(s->identity), .session_key = str_of(s->session), .from_them = true,
                               .text = STR("hello"), .at = s->at};

    d->rc = people_message(d->app.store, &m, NULL, NULL);
}

static void message(struct desk *d, const char *identity, const char *session, uint64_t at)
{
    struct said s = {identity, session, at};

    d->more = &s;
    desk_do(d, message_fn);
    T_OK(d->rc);
    desk_settle(d);
}

static void on_seen(void *arg, int rc, const struct people_caller *c)
{
    (void)c;
    desk_rc(arg, rc);
}

static void on_linked(void *arg, int rc, struct str json)
{
    (void)json;
    desk_rc(arg, rc);
}

static void seen_fn(void *arg)
{
    struct desk *d = arg;

    d->rc = people_seen(d->app.store, STR(""), STR("+15550001111"), 1000, on_seen, d);
}

static void link_fn(void *arg)
{
    struct desk *d = arg;

    d->rc = people_link(d->app.store, STR("+15550001111"), str_of(d->more), "api", 1000, on_linked, d);
}

/* The number and that identity are one person from here on. */
static void link_number(struct desk *d, const char *identity)
{
    desk_do(d, seen_fn);
    T_MUST(desk_wait(d, &d->done, 1) && d->rc == 0);
    d->more = (void *)identity;
    desk_do(d, link_fn);
    T_MUST(desk_wait(d, &d->done, 2) && d->rc == 0);
}

static void nobody(void)
{
    struct desk d;

    begin(&d);
    T_STR_EQ(find(&d, "", ""), "|");
    T_STR_EQ(find(&d, "", "agent:main:nobody"), "|");
    T_STR_EQ(find(&d, "discord:5", "agent:main:nobody"), "|"); /* no channel that can be written to */
    T_STR_EQ(find(&d, "+15550009999", ""), "|");
    end(&d);
}

static void who_is_named_comes_first(void)
{
    struct desk d;

    begin(&d);
    d.config.outbound.owner = "telegram:1";
    owners(&d, "[\"signal:2\"]");
    message(&d, "telegram:3", "agent:main:work", 1000);
    T_STR_EQ(find(&d, "signal:4", "agent:main:work"), "signal:4|agent:main:work");
    T_STR_EQ(find(&d, "", "agent:main:work"), "telegram:3|agent:main:work");
    T_STR_EQ(find(&d, "", "agent:main:other"), "telegram:1|agent:main:other");
    T_STR_EQ(find(&d, "", ""), "telegram:1|");
    d.config.outbound.owner = "";
    T_STR_EQ(find(&d, "", ""), "signal:2|");
    owners(&d, "[]");
    T_STR_EQ(find(&d, "", ""), "|");
    end(&d);
}

/* The session of their own chat shall know the result when nobody said another one. */
static void their_own_session(void)
{
    struct desk d;

    begin(&d);
    message(&d, "telegram:7", "agent:main:direct:seven", 1000);
    T_STR_EQ(find(&d, "telegram:7", ""), "telegram:7|agent:main:direct:seven");
    T_STR_EQ(find(&d, "telegram:7", "agent:main:asked"), "telegram:7|agent:main:asked");
    d.config.outbound.owner = "telegram:7";
    T_STR_EQ(find(&d, "", ""), "telegram:7|agent:main:direct:seven");
    message(&d, "telegram:7", "agent:main:direct:later", 2000);
    T_STR_EQ(find(&d, "", ""), "telegram:7|agent:main:direct:later");
    end(&d);
}

static void a_number_that_is_linked(void)
{
    struct desk d;

    begin(&d);
    link_number(&d, "signal:abc");
    T_STR_EQ(find(&d, "+15550001111", ""), "signal:abc|");
    T_STR_EQ(find(&d, "+15550001111", "agent:main:s"), "signal:abc|agent:main:s");
    /* Whoever wrote on a channel that cannot be written to is looked for on one that can. */
    end(&d);
    begin(&d);
    link_number(&d, "discord:9");
    d.config.outbound.owner = "telegram:1";
    T_STR_EQ(find(&d, "+15550001111", ""), "telegram:1|"); /* linked, but not reachable */
    message(&d, "telegram:3", "agent:main:work", 1000);
    T_STR_EQ(find(&d, "+15550001111", "agent:main:work"), "telegram:3|agent:main:work");
    end(&d);
}

static void a_writer_on_another_channel(void)
{
    struct desk d;

    begin(&d);
    message(&d, "discord:9", "agent:main:work", 1000);
    d.config.outbound.owner = "telegram:1";
    T_STR_EQ(find(&d, "", "agent:main:work"), "telegram:1|agent:main:work");
    end(&d);
}

static void who_can_be_reached(void)
{
    struct desk d;
    char huge[OWNER_BYTES + 20];

    begin(&d);
    T_TRUE(owner_reachable(&d.app, STR("telegram:777")));
    T_TRUE(owner_reachable(&d.app, STR("signal:+15550001111")));
    T_FALSE(owner_reachable(&d.app, STR("discord:777")));
    T_FALSE(owner_reachable(&d.app, STR("telegram:")));
    T_FALSE(owner_reachable(&d.app, STR("telegramx:1")));
    T_FALSE(owner_reachable(&d.app, STR("")));
    memset(huge, '1', sizeof huge);
    memcpy(huge, "telegram:", 9);
    T_FALSE(owner_reachable(&d.app, str_make(huge, sizeof huge)));
    T_TRUE(owner_reachable(&d.app, str_make(huge, OWNER_BYTES - 1)));
    d.config.integration.handoff_enabled = false;
    T_FALSE(owner_reachable(&d.app, STR("telegram:777")));
    T_STR_EQ(find(&d, "telegram:777", ""), "|");
    end(&d);
}

/* A host without services sends nothing. */
static void no_services(void)
{
    struct desk d;

    desk_open(&d);
    d.table.size = offsetof(struct oc_host, request);
    host_close(d.app.host);
    T_MUST(host_open(&d.app.host, &d.table) == 0);
    T_FALSE(owner_reachable(&d.app, STR("telegram:777")));
    T_STR_EQ(find(&d, "telegram:777", "agent:main:work"), "|");
    desk_close(&d);
}

static void owners_of_the_gateway(void)
{
    struct desk d;
    char many[2000] = "[\"discord:1\",\"\",5,null,";
    size_t n = strlen(many);

    begin(&d);
    memset(many + n, ' ', sizeof many - n);
    (void)snprintf(many + n, sizeof many - n, "\"telegram:%0300d\",\"telegram:12\",\"telegram:13\"]", 0);
    owners(&d, many); /* the first that can be written to; what is too long is nobody */
    T_STR_EQ(find(&d, "", ""), "telegram:12|");
    owners(&d, "[\"signal:99\"]"); /* replaces */
    T_STR_EQ(find(&d, "", ""), "signal:99|");
    n = (size_t)snprintf(many, sizeof many, "[");
    for (unsigned i = 0; i < 60; i++)
        n += (size_t)snprintf(many + n, sizeof many - n, "\"discord:%u\",", i);
    (void)snprintf(many + n, sizeof many - n, "\"telegram:1\"]");
    owners(&d, many); /* a bound: what stands behind it does not count */
    T_STR_EQ(find(&d, "", ""), "|");
    end(&d);
    owners_close(NULL);
}

static void no_store(void)
{
    struct desk d;
    struct store *kept;
    struct asked a = {.named = "telegram:1", .session = ""};

    begin(&d);
    kept = d.app.store;
    d.app.store = NULL;
    d.more = &a;
    desk_do(&d, find_fn);
    T_EQ(a.answers, 1);
    T_STR_EQ(a.identity, "");
    d.app.store = kept;
    end(&d);
}

int main(void)
{
    T_RUN(nobody);
    T_RUN(who_is_named_comes_first);
    T_RUN(their_own_session);
    T_RUN(a_number_that_is_linked);
    T_RUN(a_writer_on_another_channel);
    T_RUN(who_can_be_reached);
    T_RUN(no_services);
    T_RUN(owners_of_the_gateway);
    T_RUN(no_store);
    return T_DONE();
}
