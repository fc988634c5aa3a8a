/* SPDX-License-Identifier: MIT */
#include "abi/host/check.h"

#include "abi/host/outlet.h"
#include "abi/host/text.h"

#include <stdio.h>
#include <string.h>

#define LINE_BYTES 8192u

struct oc_str check_request(bool json)
{
    return json ? (struct oc_str){"{}", 2} : (struct oc_str){"{\"text\":true}", 13};
}

/* One character of a JSON string, which the plugin wrote: \uXXXX stands for control characters alone. */
static char unescaped(const char **p, const char *end)
{
    unsigned value = 0;
    char c = *(*p)++;

    if (c != '\\' || *p >= end)
        return c;
    c = *(*p)++;
    switch (c) {
    case 'n': return '\n';
    case 't': return '\t';
    case 'r': return '\r';
    case 'b': return '\b';
    case 'f': return '\f';
    case 'u': break;
    default: return c;
    }
    for (int i = 0; i < 4 && *p < end; i++, (*p)++)
        value = value * 16 + (unsigned)(**p <= '9' ? **p - '0' : (**p | 0x20) - 'a' + 10);
    return value < 0x80 ? (char)value : '?';
}

void check_print(struct outlet *to, struct oc_str answer, bool json)
{
    const char *p = answer.p, *end = answer.p + answer.n;
    char line[LINE_BYTES];
    size_t n = 0;

    if (json || answer.n < 2 || *p != '"') {
        outlet_put(to, "", answer.p, answer.n);
        return;
    }
    for (p++, end--; p < end;) {
        char c = unescaped(&p, end);

        if (c != '\n' && n < sizeof(line))
            line[n++] = c;
        if (c != '\n' && p < end)
            continue;
        outlet_put(to, "", line, n);
        n = 0;
    }
}

static void put_fault(struct outlet *to, const char *text, bool json, bool first)
{
    static const char member[] = "{\"check\":\"config\",\"result\":\"fail\",\"detail\":";
    char line[2 * LINE_BYTES];
    size_t at = (size_t)snprintf(line, sizeof(line), "%s%s", json && !first ? "," : "",
                                 json ? member : "fail  config  ");

    if (json && text_json_string(line, sizeof(line) - 1, &at, text))
        line[at++] = '}';
    if (!json)
        at += (size_t)snprintf(line + at, sizeof(line) - at, "%s", text);
    outlet_put(to, "", line, at < sizeof(line) ? at : sizeof(line) - 1);
}

void check_print_faults(struct outlet *to, const char *faults, bool json)
{
    static const char head[] = "{\"ok\":false,\"checks\":[", tail[] = "]}";
    bool first = true;

    if (json)
        outlet_put(to, "", head, sizeof(head) - 1);
    while (*faults != '\0') {
        size_t n = strcspn(faults, "\n");
        char text[LINE_BYTES];

        (void)snprintf(text, sizeof(text), "%.*s", (int)n, faults);
        if (n > 0)
            put_fault(to, text, json, first);
        first = first && n == 0;
        faults += n + (faults[n] == '\n');
    }
    if (json)
        outlet_put(to, "", tail, sizeof(tail) - 1);
}
