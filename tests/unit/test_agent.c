/* SPDX-License-Identifier: MIT */
#include "plugin/base/buf.h"
#include "plugin/base/mem.h"
#include "plugin/config/config.h"
#include "tests/unit/t.h"

#include <sys/stat.h>
#include <unistd.h>

static char path[96];

static void put(struct str text)
{
    FILE *f = fopen(path, "w");

    T_MUST(f);
    T_MUST(fwrite(text.p, 1, text.n, f) == text.n);
    T_MUST(fclose(f) == 0);
}

/* NULL: no file. */
static int take(struct agent **a, const char *json, struct err *e)
{
    struct config c = {.agent_file = path};

    *a = NULL;
    e->text[0] = '\0';
    if (json)
        put(str_of(json));
    else
        (void)unlink(path);
    return agent_read(a, &c, e);
}

static void no_file(void)
{
    struct config c = {.agent_file = ""};
    struct agent *a;
    struct err e;

    T_OK(take(&a, NULL, &e));
    T_MUST(a);
    T_STR_EQ(a->name, "");
    T_STR_EQ(a->instructions, "");
    T_STR_EQ(a->voice, "");
    T_STR_EQ(a->model, "");
    T_STR_EQ(a->greeting, "");
    T_EQ(a->n_tools, 0);
    agent_free(a);
    T_OK(agent_read(&a, &c, &e));
    agent_free(a);
    agent_free(NULL);
}

static void all_of_it(void)
{
    struct agent *a;
    struct err e;

    T_OK(take(&a,
              "\xef\xbb\xbf{\"name\":\"Ada\",\"instructions\":\"Be kind.\\nBe brief.\",\"voice\":\"cedar\","
              "\"model\":\"gpt-realtime-2.1-mini\",\"greeting\":\"Hello\",\"language\":\"de\",\"tools\":["
              "{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"description\":\"Weather of a town\","
              "\"parameters\":{\"type\":\"object\",\"properties\":{\"town\":{\"type\":\"string\"}}}}},"
              "{\"type\":\"function\",\"name\":\"time-now\",\"description\":\"\"},"
              "{\"name\":\"bare\",\"parameters\":{\"type\":\"object\"}},"
              "\"ask_openclaw\","
              "{\"type\":\"function\",\"name\":\"ask_openclaw\",\"parameters\":{\"type\":\"object\"}},"
              "{\"type\":\"function\",\"function\":{\"name\":\"end_call\"}}]}",
              &e));
    T_MUST(a);
    T_STR_EQ(a->name, "Ada");
    T_STR_EQ(a->instructions, "Be kind.\nBe brief.");
    T_STR_EQ(a->voice, "cedar");
    T_STR_EQ(a->model, "gpt-realtime-2.1-mini");
    T_STR_EQ(a->greeting, "Hello");
    T_EQ(a->n_tools, 3);
    T_STR_EQ(a->tools[0].name, "weather");
    T_STR_EQ(a->tools[0].description, "Weather of a town");
    T_STR_EQ(a->tools[0].parameters_json,
             "{\"type\":\"object\",\"properties\":{\"town\":{\"type\":\"string\"}}}");
    T_STR_EQ(a->tools[1].name, "time-now");
    T_STR_EQ(a->tools[1].parameters_json, "{\"type\":\"object\",\"properties\":{}}");
    T_STR_EQ(a->tools[2].name, "bare");
    T_STR_EQ(a->tools[2].description, "");
    agent_free(a);
}

static void old_voices(void)
{
    struct agent *a;
    struct err e;

    T_OK(take(&a, "{\"voice\":\"nova\",\"name\":null}", &e));
    T_STR_EQ(a ? a->voice : NULL, "marin");
    agent_free(a);
}

/* Each call reads what is there now. */
static void read_again(void)
{
    struct agent *a;
    struct err e;

    T_OK(take(&a, "{\"name\":\"A\"}", &e));
    T_STR_EQ(a ? a->name : NULL, "A");
    agent_free(a);
    T_OK(take(&a, "{\"name\":\"B\"}", &e));
    T_STR_EQ(a ? a->name : NULL, "B");
    agent_free(a);
}

static void faults(void)
{
    static const struct {
        const char *json, *fault;
    } rows[] = {
        {"", "the text is empty"},
        {"{\"name\":\"x\"", "no JSON: "},
        {"{name:1}", "no JSON: "},
        {"[]", "must be an object"},
        {"{\"name\":5}", "name must be a text"},
        {"{\"instructions\":[\"a\"]}", "instructions must be a text"},
        {"{\"greeting\":false}", "greeting must be a text"},
        {"{\"voice\":\"darth\"}", "voice darth is not known; write marin, or remove it"},
        {"{\"model\":\"two words\"}", "model must be a name without blanks"},
        {"{\"model\":\"a\\r\\nX: y\"}", "model must be a name without blanks"},
        {"{\"tools\":{}}", "tools must be a list"},
        {"{\"tools\":[5]}", "tools[0] must be an object"},
        {"{\"tools\":[\"weather\"]}", "tools[0] must be an object"},
        {"{\"tools\":[{}]}", "tools[0].name must be"},
        {"{\"tools\":[{\"type\":\"mcp\",\"name\":\"x\"}]}", "tools[0].type must be function"},
        {"{\"tools\":[{\"type\":\"function\",\"function\":\"x\"}]}", "tools[0] must be an object"},
        {"{\"tools\":[{\"name\":\"a b\"}]}", "tools[0].name must be"},
        {"{\"tools\":[{\"name\":\"a\"},{\"name\":\"a\"}]}", "tools[1].name a is given twice"},
        {"{\"tools\":[{\"name\":\"a\",\"description\":[]}]}", "tools[0].description must be"},
        {"{\"tools\":[{\"name\":\"a\",\"parameters\":[]}]}", "tools[0].parameters must be"},
        {"{\"tools\":[{\"name\":\"a\",\"parameters\":{\"type\":\"string\"}}]}", "tools[0].parameters must be"},
        {"{\"tools\":[{\"name\":"
         "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}]}", "tools[0].name must be"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct agent *a;
        struct err e;

        T_EQ(take(&a, rows[i].json, &e), ERR_INVALID);
        T_NULL(a);
        T_HAS(e.text, path);
        T_HAS(e.text, rows[i].fault);
    }
}

static void bounds(void)
{
    struct agent *a = NULL;
    struct config c = {.agent_file = path};
    struct err e = {0};
    struct buf b;

    buf_init(&b, 1u << 20);
    (void)buf_puts(&b, STR("{\"tools\":["));
    for (int i = 0; i < 65; i++)
        (void)buf_printf(&b, "%s{\"name\":\"t%d\"}", i ? "," : "", i);
    (void)buf_puts(&b, STR("]}"));
    put(buf_str(&b));
    T_EQ(agent_read(&a, &c, &e), ERR_INVALID);
    T_HAS(e.text, "at most 64 tools, not 65");

    buf_clear(&b);
    (void)buf_puts(&b, STR("{\"name\":\""));
    for (int i = 0; i < 600000; i++)
        (void)buf_putc(&b, 'x');
    (void)buf_puts(&b, STR("\"}"));
    put(buf_str(&b));
    T_EQ(agent_read(&a, &c, &e), ERR_INVALID);
    T_HAS(e.text, "cannot be read: larger than 512 KiB");
    put(str_head(buf_str(&b), 300000));
    T_EQ(agent_read(&a, &c, &e), ERR_INVALID);
    T_HAS(e.text, "no JSON");
    buf_clear(&b);
    (void)buf_printf(&b, "{\"name\":\"%0300d\"}", 1);
    put(buf_str(&b));
    T_EQ(agent_read(&a, &c, &e), ERR_INVALID);
    T_HAS(e.text, "name must be at most 200 bytes");
    buf_free(&b);

    (void)unlink(path);
    T_MUST(mkdir(path, 0700) == 0);
    T_EQ(agent_read(&a, &c, &e), ERR_INVALID);
    T_HAS(e.text, "it is no file");
    T_MUST(rmdir(path) == 0);
    T_NULL(a);
}

static void out_of_memory(void)
{
    struct config c = {.agent_file = path};
    struct err e = {0};
    unsigned n = 1;

    put(STR("{\"name\":\"A\",\"voice\":\"cedar\",\"tools\":[{\"name\":\"a\",\"parameters\":{\"type\":\"object\"}}]}"));
    for (;; n++) {
        struct agent *a = NULL;
        int rc;

        (void)mem_fault_after(n);
        rc = agent_read(&a, &c, &e);
        (void)mem_fault_after(0);
        if (rc == 0) {
            T_STR_EQ(a->tools[0].parameters_json, "{\"type\":\"object\"}");
            agent_free(a);
            break;
        }
        T_EQ(rc, ERR_NOMEM);
        T_NULL(a);
        T_MUST(n < 100);
    }
    T_GT(n, 3);
}

int main(void)
{
    int rc;

    (void)snprintf(path, sizeof path, "/tmp/test_agent.XXXXXX");
    rc = mkstemp(path);
    if (rc < 0)
        return 1;
    (void)close(rc);
    T_RUN(no_file);
    T_RUN(all_of_it);
    T_RUN(old_voices);
    T_RUN(read_again);
    T_RUN(faults);
    T_RUN(bounds);
    T_RUN(out_of_memory);
    rc = T_DONE();
    (void)unlink(path);
    return rc;
}
