/* SPDX-License-Identifier: MIT */
#include "plugin/bearer.h"

#include "plugin/base/id.h"
#include "plugin/base/mem.h"
#include "plugin/config/config.h"
#include "tests/unit/t.h"

#define HEX "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" /* SHA-256 of "test" */

static void finding(void)
{
    const struct config_pair pairs[] = {{"dash", "read " HEX}, {"bad", "read nothing"}, {"cron", "steer " HEX}};
    struct config c = {.api_token = "the token of the configuration", .api_tokens = {pairs, 1}};
    struct bearers *b = NULL;
    unsigned scopes;

    T_OK(bearers_open(&b, &c, STR("the first-start token")));
    T_STR_EQ(bearers_find(b, STR("test"), &scopes), "dash");
    T_EQ(scopes, SCOPE_READ);
    T_STR_EQ(bearers_find(b, STR("the first-start token"), &scopes), "api-token");
    T_EQ(scopes, SCOPE_ALL);
    T_STR_EQ(bearers_find(b, STR("the token of the configuration"), &scopes), "api.token");
    T_EQ(scopes, SCOPE_ALL);
    T_NULL(bearers_find(b, STR(""), &scopes));
    T_NULL(bearers_find(b, STR(HEX), &scopes)); /* the hash is no token */
    T_NULL(bearers_find(b, STR("test "), &scopes));
    T_EQ(scopes, 0);
    bearers_close(b);
    T_CASE("a token that stands as its hash");
    c = (struct config){.api_token = "sha256:" HEX, .api_tokens = {pairs, 3}};
    T_OK(bearers_open(&b, &c, STR("")));
    T_STR_EQ(bearers_find(b, STR("test"), &scopes), "cron"); /* the last one of those that fit */
    T_NULL(bearers_find(b, STR(""), &scopes));
    T_NULL(bearers_find(b, STR("sha256:" HEX), &scopes));
    bearers_close(b);
    T_CASE("out of memory");
    (void)mem_fault_after(1);
    T_ERR(bearers_open(&b, &c, STR("")));
    (void)mem_fault_after(0);
    bearers_close(NULL);
}

static void needs(void)
{
    static const struct {
        const char *method, *path;
        enum bearer_scope scope;
    } table[] = {
        {"GET", "/status", SCOPE_READ},
        {"HEAD", "/status", SCOPE_READ},
        {"GET", "/calls", SCOPE_READ},
        {"GET", "/calls/call_1/transcript", SCOPE_READ},
        {"GET", "/calls/call_1/recording", SCOPE_READ},
        {"GET", "/events", SCOPE_READ},
        {"GET", "/callers", SCOPE_READ},
        {"GET", "/callers/+15551234567", SCOPE_READ},
        {"GET", "/callers/+15551234567/export", SCOPE_ADMIN},
        {"HEAD", "/callers/per_1/export", SCOPE_ADMIN},
        {"POST", "/call", SCOPE_STEER},
        {"DELETE", "/call/call_1", SCOPE_STEER},
        {"POST", "/calls/call_1/hold", SCOPE_STEER},
        {"POST", "/calls/call_1/handoff", SCOPE_STEER},
        {"DELETE", "/calls/call_1/parties/p1", SCOPE_STEER},
        {"DELETE", "/calls/call_1/recording", SCOPE_ADMIN},
        {"DELETE", "/callers/per_1", SCOPE_ADMIN},
        {"PUT", "/callers/per_1", SCOPE_ADMIN},
        {"POST", "/callers/per_1/links", SCOPE_ADMIN},
        {"POST", "/backup", SCOPE_ADMIN},
        {"POST", "/check", SCOPE_ADMIN},
        {"POST", "/calls", SCOPE_ADMIN},
        {"POST", "/callsx/call_1/hold", SCOPE_ADMIN},
        {"get", "/status", SCOPE_ADMIN},
        {"PATCH", "/nothing/yet", SCOPE_ADMIN},
        {"GET", "/nothing/yet", SCOPE_READ},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (bearer_needs(str_of(table[i].method), str_of(table[i].path)) != table[i].scope)
            T_FAIL("%s %s", table[i].method, table[i].path);
    T_STR_EQ(bearer_scope_name(SCOPE_READ), "read");
    T_STR_EQ(bearer_scope_name(SCOPE_STEER), "steer");
    T_STR_EQ(bearer_scope_name(SCOPE_ADMIN), "admin");
}

int main(void)
{
    T_RUN(finding);
    T_RUN(needs);
    return T_DONE();
}
